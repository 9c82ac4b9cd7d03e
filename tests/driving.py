"""Driving the three phases in this process, on crystals that ASE's EMT judges in milliseconds.

``submit(member, {name: text})`` uploads, ``run_all(season)`` does the rest; or phase by phase.
"""

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ase import Atoms
from ase.build import bulk
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db.models import Model

from philately.domain import intake, parse, place
from philately.domain import relax as relaxing
from philately.domain.releases import import_release
from philately.domain.seasons import SeasonPlan, open_season
from philately.models import Batch, Membership, RelaxationFact, RelaxationGeometry, Season, Shard
from philately.states import CandidateState, ShardState
from validation.crystal import Crystal


def season_on(release_file: Path, **plan: object) -> Season:
    """An open season judged against a release file; the rest is as SeasonPlan has it."""
    release, _ = import_release(release_file)
    return open_season(SeasonPlan(release=release, **plan))


def submit(
    member: Membership, files: Mapping[str, str], *, method: str = "substitution", name: str = "batch.zip"
) -> Batch:
    """Upload these texts as a zip, through the door that pages use."""
    upload = SimpleUploadedFile(name, zipped(files))
    batch, _ = intake.accept_upload(member, upload, intake.Method(method), consent=True)
    return batch


def zipped(files: Mapping[str, str]) -> bytes:
    """These texts as a zip; the same texts give the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for file, text in files.items():
            archive.writestr(zipfile.ZipInfo(file), text)
    return buffer.getvalue()


def read_all(season: Season) -> None:
    """Phase 1 of everything that was uploaded."""
    intake.read_batches(season.pk)
    for shard in Shard.objects.filter(batch__season=season, state=ShardState.WAITING).order_by("pk"):
        parse.parse_shard(shard.pk)


_facts: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {}  # of earlier tests, by content hash and scale


def relax_all(season: Season) -> None:
    """Phase 2 of everything that waits for it; what an earlier test relaxed is a fact, and facts are shared."""
    _recall(season)
    while relaxing.relax_some(season.scale_id):
        pass
    _remember(season)


def _recall(season: Season) -> None:
    for initial_hash in season.candidates.filter(state=CandidateState.PARSED).values_list("content_hash", flat=True):
        known = _facts.get(initial_hash + season.scale.digest)
        if known and not RelaxationFact.objects.filter(initial_hash=initial_hash, scale=season.scale).exists():
            fact = RelaxationFact.objects.create(scale=season.scale, **known[0])
            RelaxationGeometry.objects.create(relaxation=fact, **known[1])


def _remember(season: Season) -> None:
    for fact in RelaxationFact.objects.filter(scale=season.scale).select_related("geometry"):
        _facts[fact.initial_hash + season.scale.digest] = (
            model_to_values(fact, leave_out=("id", "scale_id", "made_for_id", "created_at")),
            model_to_values(fact.geometry, leave_out=("relaxation_id",)),
        )


def model_to_values(row: Model, *, leave_out: tuple[str, ...]) -> dict[str, Any]:
    names = (field.attname for field in row._meta.concrete_fields)
    return {name: getattr(row, name) for name in names if name not in leave_out}


def place_all(season: Season) -> None:
    """Phase 3 of everything whose turn it is."""
    place.place_waiting(season.pk)


def run_all(season: Season) -> None:
    """All three phases."""
    read_all(season)
    relax_all(season)
    place_all(season)


def cif(atoms: Atoms) -> str:
    return Crystal.from_atoms(atoms).to_structure().to(fmt="cif")


def ordered_alloy(majority: str, minority: str, *, lattice_ang: float, n_minority: int = 1) -> Atoms:
    """Four atoms of a face-centred cubic cell: L1₂ with one atom of the minority, L1₀ with two."""
    atoms = bulk(majority, "fcc", a=lattice_ang, cubic=True)
    for site in range(n_minority):
        atoms.symbols[site] = minority
    return atoms


def first_texts() -> dict[str, str]:
    """A small batch that shows most verdicts: finds, a twin, a duplicate, an element and what is no CIF."""
    cu3au = ordered_alloy("Cu", "Au", lattice_ang=3.7)
    return {
        "Cu3Au.cif": cif(cu3au),
        "Cu3Au-supercell.cif": cif(cu3au * (2, 1, 1)),
        "CuAu.cif": cif(ordered_alloy("Cu", "Au", lattice_ang=3.8, n_minority=2)),
        "Cu3Au-wide.cif": cif(ordered_alloy("Cu", "Au", lattice_ang=3.88)),
        "Cu.cif": cif(bulk("Cu")),
        "notes.txt": "hello",
    }
