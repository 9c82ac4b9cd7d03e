"""Phases of a release and the crystals that they are."""

from __future__ import annotations

from collections.abc import Sequence

from hull.reference import ReferencePhase
from validation.crystal import Crystal


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


def _vector(components: Sequence[float]) -> tuple[float, float, float]:
    x, y, z = components
    return (x, y, z)
