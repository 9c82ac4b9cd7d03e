"""Driving the three phases in this process, on crystals that ASE's EMT judges in milliseconds.

``submit(member, {name: text})`` uploads, ``run_all(season)`` does the rest; or phase by phase.
"""

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

from ase import Atoms
from ase.build import bulk
from django.core.files.uploadedfile import SimpleUploadedFile

from hull.entries import Formula
from hull.reference import Coverage, ReferencePhase, write_release
from hull.reference import Release as ReleaseFile
from philately.domain import intake, parse, place
from philately.domain import relax as relaxing
from philately.domain.releases import import_release
from philately.domain.seasons import SeasonPlan, open_season
from philately.models import Batch, Membership, Season, Shard
from philately.states import ShardState
from validation.crystal import Crystal
from validation.potentials import Judge, load_judge
from validation.relaxation import relax
from validation.rules import RelaxationSettings
from validation.scales import scale_digest, scale_of

EMT_ELEMENTS = ("Ag", "Al", "Au", "Cu", "Ni", "Pd", "Pt")  # the metals that EMT is meant for


def write_emt_release(path: Path, elements: tuple[str, ...]) -> Path:
    """A release of these elements' face-centred cubic crystals, relaxed by EMT."""
    judge, how = load_judge("emt"), RelaxationSettings()
    scale = scale_of(judge, how)
    phases = tuple(_element(number, symbol, judge, how) for number, symbol in enumerate(sorted(elements), start=1))
    release = ReleaseFile(
        name="EMT elements",
        coverage=Coverage.ELEMENTS,
        scale=scale,
        scale_digest=scale_digest(scale),
        phases=phases,
    )
    write_release(release, path)
    return path


def _element(number: int, symbol: str, judge: Judge, how: RelaxationSettings) -> ReferencePhase:
    result = relax(Crystal.from_atoms(bulk(symbol)), judge, how)
    return ReferencePhase(
        number=number,
        formula=Formula.of({symbol: 1}),
        energy_per_atom=result.energy_per_atom,
        lattice_vectors=tuple(map(tuple, result.crystal.lattice.tolist())),
        cartesian_site_positions=tuple(map(tuple, result.crystal.cart_coords.tolist())),
        species_at_sites=result.crystal.symbols,
        label="fcc",
    )


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


def relax_all(season: Season) -> None:
    """Phase 2 of everything that waits for it."""
    while relaxing.relax_some(season.scale_id):
        pass


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
