"""Any ASE calculator in the engine's terms: one crystal after the other."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from ase import Atoms
from ase.stress import voigt_6_to_full_3x3_stress

from validation.evaluation import Batch, Evaluation, site_properties


class AseEvaluator:
    """calculator: gives energy (eV), forces (eV/Å) and stress (eV/Å³)."""

    pairs_at_once = 1  # nothing is gained by more than one at a time

    def __init__(self, calculator: Any) -> None:
        self.potential_s = 0.0
        self._calculator = calculator

    def evaluate(self, batch: Batch) -> Evaluation:
        started = time.perf_counter()
        found = Evaluation.joined([self._one(batch.part(index, index + 1)) for index in range(len(batch))])
        self.potential_s += time.perf_counter() - started
        return found

    def forget(self, keys: tuple[int, ...]) -> None:
        """It keeps nothing between steps."""

    def _one(self, batch: Batch) -> Evaluation:
        atoms = Atoms(numbers=batch.numbers, positions=batch.positions, cell=batch.cells[0], pbc=True)
        if hasattr(self._calculator, "reset"):
            self._calculator.reset()  # what it remembers is of another crystal
        atoms.calc = self._calculator
        stress = voigt_6_to_full_3x3_stress(np.asarray(atoms.get_stress(), dtype=np.float64))
        return Evaluation(
            np.array([atoms.get_potential_energy()], dtype=np.float64),
            np.asarray(atoms.get_forces(), dtype=np.float64),
            stress[None],
            site_properties(getattr(self._calculator, "results", {}), len(atoms)),
        )
