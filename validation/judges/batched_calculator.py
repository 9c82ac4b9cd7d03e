"""An ASE calculator around a batched potential, for whoever relaxes one crystal with ASE."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.stress import full_3x3_to_voigt_6_stress

from validation.evaluation import Batch, Evaluator

_KEY = -1  # a flight counts from 0


class BatchedCalculator(Calculator):  # type: ignore[misc]  # ASE has no types
    """Energy (eV), forces (eV/Å) and stress (eV/Å³, Voigt) of one crystal."""

    implemented_properties: ClassVar[list[str]] = ["energy", "free_energy", "forces", "stress", "magmoms", "charges"]

    def __init__(self, evaluator: Evaluator) -> None:
        super().__init__()
        self._evaluator = evaluator

    def calculate(self, atoms: Atoms | None = None, properties: Any = None, system_changes: Any = all_changes) -> None:
        super().calculate(atoms, properties or ["energy"], system_changes)
        given = self.atoms
        first, cells = np.array([0, len(given)]), given.cell.array[None]
        try:
            found = self._evaluator.evaluate(Batch(first, given.numbers, given.positions, cells, (_KEY,)))
        finally:
            self._evaluator.forget((_KEY,))
        energy = float(found.energies[0])
        stress = full_3x3_to_voigt_6_stress(found.stresses[0])
        self.results = {
            "energy": energy,
            "free_energy": energy,
            "forces": found.forces,
            "stress": stress,
            **found.sites,
        }
