"""Phases of a release and the crystals that they are."""

from __future__ import annotations

from collections.abc import Sequence

from hull.reference import ReferencePhase
from validation.attempts import Attempt, TaskT
from validation.crystal import Crystal
from validation.spacegroup import symmetry_of


def reference_phase(
    number: int, crystal: Crystal, energy_per_atom: float, *, label: str, note: str = ""
) -> ReferencePhase:
    """A relaxed crystal as a phase of a release. energy_per_atom: eV/atom."""
    first, second, third = (_vector(row) for row in crystal.lattice.tolist())
    return ReferencePhase(
        number=number,
        formula=crystal.formula,
        energy_per_atom=energy_per_atom,
        lattice_vectors=(first, second, third),
        cartesian_site_positions=tuple(_vector(row) for row in crystal.cart_coords.tolist()),
        species_at_sites=crystal.symbols,
        label=label,
        note=note,
    )


def reference_crystal(phase: ReferencePhase) -> Crystal:
    """The relaxed cell of a phase of the release."""
    return Crystal.from_sites(phase.lattice_vectors, phase.cartesian_site_positions, phase.species_at_sites)


def kept_phase(number: int, kept: Attempt[TaskT], note: str = "") -> ReferencePhase:
    """What a build keeps, as a phase of a release. Raises ValueError for an attempt without an energy."""
    if kept.energy_per_atom is None:
        raise ValueError(f"{kept.task} has no energy and was kept all the same")
    crystal = Crystal.unpack(kept.crystal)
    return reference_phase(number, crystal, kept.energy_per_atom, label=label_of(kept), note=note)


def label_of(kept: Attempt[TaskT]) -> str:
    """The prototype it started from, and what became of it where the relaxation found another space group."""
    found, own = (_group(crystal) for crystal in (Crystal.unpack(kept.crystal), kept.task.start()))
    return kept.task.prototype if found == own else f"{kept.task.prototype}, relaxed to space group {found}"


def _group(crystal: Crystal) -> int | None:
    symmetry = symmetry_of(crystal)
    return symmetry.number if symmetry else None


def _vector(components: Sequence[float]) -> tuple[float, float, float]:
    x, y, z = components
    return (x, y, z)
