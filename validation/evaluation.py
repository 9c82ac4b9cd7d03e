"""What an engine asks of a potential: energies, forces and stresses of several crystals at once."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import compress
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from validation.crystal import Crystal

_Floats = NDArray[np.float64]
_Ints = NDArray[np.int64]
_SITE_PROPERTIES = ("magmoms", "charges")


class OutOfMemory(Exception):
    """A batch was too large for the device; fewer crystals at once may fit."""


class CellTooFlat(Exception):
    """A cell has so many images within a potential's cutoff that nobody lists them: it is no crystal any more."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Crystals one after the other.

    first: (b + 1,), where the atoms of a crystal begin. numbers: atomic numbers, (n,). positions: Å, (n, 3), not
    wrapped. cells: Å, (b, 3, 3), a vector a row. keys: (b,), the same number for the same crystal in every batch, so
    that a potential may keep what changes little from step to step.
    """

    first: _Ints
    numbers: _Ints
    positions: _Floats
    cells: _Floats
    keys: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.cells)

    @cached_property
    def counts(self) -> _Ints:
        """Atoms of each crystal."""
        return np.diff(self.first)

    @cached_property
    def owners(self) -> _Ints:
        """The crystal of each atom, (n,)."""
        return np.repeat(np.arange(len(self)), self.counts)

    @cached_property
    def volumes(self) -> _Floats:
        """Å³, (b,)."""
        volumes: _Floats = np.abs(np.linalg.det(self.cells))
        return volumes

    def part(self, start: int, end: int) -> Batch:
        """The crystals from ``start`` up to ``end``."""
        lower, upper = self.first[start], self.first[end]
        return Batch(
            self.first[start : end + 1] - lower,
            self.numbers[lower:upper],
            self.positions[lower:upper],
            self.cells[start:end],
            self.keys[start:end],
        )

    def kept(self, keep: NDArray[np.bool_]) -> Batch:
        """Only the crystals for which ``keep``, (b,), is true."""
        atoms = np.repeat(keep, self.counts)
        first = np.concatenate([[0], np.cumsum(self.counts[keep])])
        keys = tuple(compress(self.keys, keep))
        return Batch(first, self.numbers[atoms], self.positions[atoms], self.cells[keep], keys)


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """energies: eV a cell, (b,). forces: eV/Å, (n, 3). stresses: eV/Å³, (b, 3, 3), symmetric, ASE's sign.

    sites: what the potential gives for each atom beside that, arrays (n,): ``magmoms`` (μB), ``charges`` (e).
    """

    energies: _Floats
    forces: _Floats
    stresses: _Floats
    sites: Mapping[str, _Floats] = field(default_factory=dict)

    @classmethod
    def joined(cls, parts: list[Evaluation]) -> Evaluation:
        """Of batches one after the other."""
        if len(parts) == 1:
            return parts[0]
        return cls(
            np.concatenate([part.energies for part in parts]),
            np.concatenate([part.forces for part in parts]),
            np.concatenate([part.stresses for part in parts]),
            {name: np.concatenate([part.sites[name] for part in parts]) for name in parts[0].sites},
        )

    def kept(self, keep: NDArray[np.bool_], counts: _Ints) -> Evaluation:
        """Only of those crystals for which ``keep``, (b,), is true. counts: atoms of each, (b,)."""
        atoms = np.repeat(keep, counts)
        sites = {name: values[atoms] for name, values in self.sites.items()}
        return Evaluation(self.energies[keep], self.forces[atoms], self.stresses[keep], sites)


class Evaluator(Protocol):
    """A potential as the engine sees it.

    pairs_at_once: how many neighbours (directed pairs within the cutoff) a batch should have; 1 where crystals go one
    after the other anyway. It may change as the potential learns what fits.
    """

    @property
    def pairs_at_once(self) -> int: ...

    @property
    def potential_s(self) -> float:
        """Seconds spent in the potential's forward and backward pass so far, the rest being graphs and transfers."""
        ...

    def evaluate(self, batch: Batch) -> Evaluation:
        """Raises OutOfMemory where the device has too little, and whatever the potential raises."""
        ...

    def forget(self, keys: tuple[int, ...]) -> None:
        """These crystals will not come again."""
        ...


def expected_pairs(counts: _Ints, volumes: _Floats, cutoff_ang: float) -> _Floats:
    """Neighbours within the cutoff of all atoms of each cell, pairs in both directions, at its density; at least 1.

    counts: atoms, (b,). volumes: Å³, (b,).
    """
    with np.errstate(divide="ignore"):  # a cell without volume is refused later, with its reason
        return np.maximum(counts**2 / volumes * (4 / 3 * math.pi * cutoff_ang**3), 1.0)


def expected_pairs_of(crystal: Crystal, cutoff_ang: float) -> float:
    """The same of one crystal."""
    return float(expected_pairs(np.array([len(crystal)]), np.array([crystal.volume]), cutoff_ang)[0])


def site_properties(results: Mapping[str, Any], n_atoms: int) -> dict[str, NDArray[np.float64]]:
    """Magnetic moments (μB) and charges (e) among a calculator's results, one number an atom."""
    given = {name: np.asarray(results[name], dtype=np.float64) for name in _SITE_PROPERTIES if name in results}
    return {name: values for name, values in given.items() if values.shape == (n_atoms,)}
