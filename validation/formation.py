"""Formation energies: what a release is measured from, without its crystals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hull.entries import ATOMIC_NUMBER, SYMBOLS, Formula, checked_energy
from hull.reference import Coverage, Release
from validation.corrections import correction_per_atom, corrections_of


@dataclass(frozen=True, slots=True)
class Grounds:
    """How much of the known chemistry a release covers, and the lowest energy of each element there.

    elemental: eV/atom by atomic number. corrections: of the scale, as ``corrections_of`` has them.
    """

    coverage: Coverage
    elemental: Mapping[int, float]
    corrections: Mapping[int, float] = field(default_factory=dict)

    @classmethod
    def of(cls, release: Release) -> Grounds:
        elemental = {ATOMIC_NUMBER[symbol]: release.elemental_reference(symbol) for symbol in release.elements}
        return cls(release.coverage, elemental, corrections_of(release.scale))

    def without_corrections(self, formula: Formula, formation_energy_per_atom: float) -> float:
        """eV/atom that the scale would give a compound without what was added to the energies that it learned."""
        return formation_energy_per_atom - correction_per_atom(formula, self.corrections)

    def missing(self, formula: Formula) -> list[str]:
        """Symbols of the formula's elements that the release has no reference for, alphabetical."""
        return sorted(SYMBOLS[number - 1] for number, _ in formula.amounts if number not in self.elemental)

    def formation_energy_per_atom(self, formula: Formula, energy_per_atom: float) -> float | None:
        """eV/atom, to the last bit as ``Release`` has it; None where an element is missing. Raises BadEnergy."""
        checked_energy(energy_per_atom)
        n_atoms, reference = formula.n_atoms, 0.0
        for number, amount in formula.amounts:
            if number not in self.elemental:
                return None
            reference += amount / n_atoms * self.elemental[number]
        return energy_per_atom - reference
