"""Releases and scales in the database; their files are read by ``hull.reference``."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from django.db import transaction

from hull.reference import Coverage, ReferencePhase, read_release
from hull.reference import Release as ReleaseFile
from philately.domain.audit_log import Deed, record
from philately.domain.symmetry import symmetry_columns
from philately.models import Release, ReleasePhase, Scale, User
from validation.crystal import Crystal
from validation.references import reference_crystal, reference_phase


def import_release(
    path: Path, *, model: str = "", sha256: str | None = None, by: User | None = None
) -> tuple[Release, bool]:
    """Take a release file (Parquet) in, its scale too; the second value is False where it was there already.

    model: folder or hub name from which this installation loads the scale's judge, where the judge has several.
    Raises hull.reference.DamagedRelease.
    """
    found = read_release(path, sha256=sha256)
    digest = file_sha256(path)
    known = Release.objects.filter(sha256=digest).first()
    if known is not None:
        return known, False
    rows = list(_rows(found.phases))  # before the transaction: symmetry takes a millisecond or two a phase
    with transaction.atomic():
        scale = scale_row(found.scale, found.scale_digest, model=model)
        release = Release.objects.create(
            scale=scale,
            name=found.name,
            coverage=found.coverage.value,
            sha256=digest,
            n_phases=len(found.phases),
            elements=sorted(found.elements),
        )
        for row in rows:
            row.release = release
        ReleasePhase.objects.bulk_create(rows, batch_size=1000)
        told = {"release": release.name, "sha256": digest, "n_phases": release.n_phases, "scale": scale.digest}
        record(Deed.IMPORT_RELEASE, by=by, parameters={"file": path.name}, outcome=told)
    return release, True


def file_sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def scale_row(identity: dict[str, object], digest: str, *, model: str = "") -> Scale:
    """The scale's row, made where it is new; a model given later replaces the place to load it from."""
    judge = str(identity["judge"])
    name = f"{judge} {_short(model)}".strip()[:100]
    scale, created = Scale.objects.get_or_create(
        digest=digest, defaults={"name": name, "judge": judge, "model": model, "identity": identity}
    )
    if not created and model and scale.model != model:
        scale.model, scale.name = model, name
        scale.save(update_fields=["model", "name"])
    return scale


def _short(model: str) -> str:
    """Of a folder or hub name its last part, of a description its path."""
    if not model.lstrip().startswith("{"):
        return Path(model).name
    return str(json.loads(model)["path"])


def _rows(phases: Iterable[ReferencePhase]) -> Iterator[ReleasePhase]:
    for phase in phases:
        crystal = reference_crystal(phase)
        yield ReleasePhase(
            number=phase.number,
            formula=str(phase.formula),
            energy_per_atom=phase.energy_per_atom,
            n_sites=len(phase.species_at_sites),
            geometry=crystal.pack(),
            label=phase.label,
            note=phase.note,
            **symmetry_columns(crystal),
        )


def release_of(row: Release) -> ReleaseFile:
    """The release as the science takes it, read back from the database."""
    phases = tuple(_phase(phase) for phase in row.phases.order_by("number"))
    return ReleaseFile(
        name=row.name,
        coverage=Coverage(row.coverage),
        scale=row.scale.identity,
        scale_digest=row.scale.digest,
        phases=phases,
    )


def _phase(row: ReleasePhase) -> ReferencePhase:
    crystal = Crystal.unpack(row.geometry)
    return reference_phase(row.number, crystal, row.energy_per_atom, label=row.label, note=row.note)
