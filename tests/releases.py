"""Releases that tests judge against: fcc metals, relaxed by ASE's EMT or by Morse when a test run first needs them."""

import json
from pathlib import Path

from ase.build import bulk

from benchmark.season_crystals import elements_release
from hull.reference import Coverage, Release, write_release
from validation.crystal import Crystal
from validation.potentials import Judge, load_judge
from validation.references import reference_phase
from validation.relaxation import relax
from validation.rules import RelaxationSettings
from validation.scales import scale_digest, scale_of

EMT_ELEMENTS = ("Ag", "Al", "Au", "Cu", "Ni", "Pd", "Pt")  # the metals that EMT is meant for
# A second potential, near the first and never the same: EMT with the cutoff of another code.
SECOND_MODEL = json.dumps(
    {
        "path": "ase.calculators.emt:EMT",
        "elements": EMT_ELEMENTS,
        "cutoff_ang": 6,
        "arguments": {"asap_cutoff": True},
    }
)


def emt_release(elements: tuple[str, ...] = EMT_ELEMENTS) -> Release:
    """A release of these elements' face-centred cubic crystals."""
    return metals_release(load_judge("emt"), elements, name="EMT elements")


def metals_release(judge: Judge, elements: tuple[str, ...], *, name: str) -> Release:
    settings = RelaxationSettings()
    phases = []
    for number, symbol in enumerate(sorted(elements), start=1):
        result = relax(Crystal.from_atoms(bulk(symbol)), judge, settings)
        phases.append(reference_phase(number, result.crystal, result.energy_per_atom, label="fcc"))
    scale = scale_of(judge, settings)
    return Release(
        name=name,
        coverage=Coverage.ELEMENTS,
        scale=scale,
        scale_digest=scale_digest(scale),
        phases=tuple(phases),
    )


def write_emt_release(path: Path, elements: tuple[str, ...] = EMT_ELEMENTS) -> Path:
    write_release(emt_release(elements), path)
    return path


def write_second_release(path: Path, elements: tuple[str, ...] = EMT_ELEMENTS) -> Path:
    """On the scale of the second potential."""
    write_release(metals_release(load_judge("ase", SECOND_MODEL), elements, name="second elements"), path)
    return path


def write_morse_release(path: Path, elements: tuple[str, ...]) -> Path:
    """On the scale of the potential that is made for tests."""
    write_release(elements_release(load_judge("morse"), elements), path)
    return path
