"""Many entries at once, as arrays."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hull.entries import MAX_ELEMENTS, Entry, checked_id


@dataclass(frozen=True, slots=True)
class EntryArrays:
    """n entries. Rows of atomic numbers ascend and end in zeros; amounts stand in the same order."""

    entry_ids: NDArray[np.int64]  # (n,)
    atomic_numbers: NDArray[np.uint8]  # (n, 9)
    amounts: NDArray[np.int32]  # (n, 9), reduced or not
    energies_per_atom: NDArray[np.float64]  # (n,), eV/atom

    def __len__(self) -> int:
        return len(self.entry_ids)

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> EntryArrays:
        """The same entries, in the same order. Raises BadEntryId."""
        given = list(entries)
        numbers, amounts = (
            np.zeros((len(given), MAX_ELEMENTS), np.uint8),
            np.zeros((len(given), MAX_ELEMENTS), np.int32),
        )
        rows = np.repeat(np.arange(len(given)), [len(entry.formula.amounts) for entry in given])
        places = [place for entry in given for place in range(len(entry.formula.amounts))]
        pairs = np.array([pair for entry in given for pair in entry.formula.amounts], dtype=np.int32).reshape(-1, 2)
        numbers[rows, places], amounts[rows, places] = pairs[:, 0], pairs[:, 1]
        ids = np.array([checked_id(entry.entry_id) for entry in given], dtype=np.int64)
        return cls(ids, numbers, amounts, np.array([entry.energy_per_atom for entry in given], dtype=np.float64))


@dataclass(frozen=True, slots=True)
class Distances:
    """Where n entries sit, or would; eV/atom, nan where a reference is missing."""

    e_above_hull: NDArray[np.float64]  # (n,), >= 0
    e_above_hull_on_arrival: NDArray[np.float64]  # (n,), signed
    decomposition_energy: NDArray[np.float64]  # (n,), signed; nan for elements


@dataclass(frozen=True, slots=True)
class Positions:
    """Where n stored entries sit; eV/atom, nan where a reference is missing. Parts of mixtures stand one after the
    other, those of an entry by entry id; there are none where a reference is missing."""

    e_above_hull: NDArray[np.float64]  # (n,), >= 0
    decomposition_energy: NDArray[np.float64]  # (n,), signed; nan for elements
    n_parts: NDArray[np.int64]  # (n,)
    part_ids: NDArray[np.int64]  # (sum of n_parts,), entry ids of the competing phases
    part_fractions: NDArray[np.float64]  # (sum of n_parts,), of the atoms


@dataclass(frozen=True, slots=True)
class PointArrays:
    """The states of n compositions, as HullPoint has them, in no order. gone: formulas of which no entry is left."""

    formulas: list[str]  # as ``str(Formula)`` has them
    chemical_systems: list[str]
    hull_energies: NDArray[np.float64]  # (n,), eV/atom; nan for an element or a missing reference
    lowest_energies: NDArray[np.float64]  # (n,), eV/atom
    lowest_entries: NDArray[np.int64]  # (n,)
    is_vertex: NDArray[np.bool_]  # (n,)
    gone: list[str]

    def __len__(self) -> int:
        return len(self.formulas)


EVENT_ARRAY = np.dtype(
    [
        ("step", np.int64),  # number of the entry in the batch that caused it
        ("kind", np.int8),  # 0 stable, 1 dethroned
        ("entry_id", np.int64),
    ]
)


@dataclass(frozen=True, slots=True)
class ArraysInsertion:
    """What a batch of n insertions did."""

    e_above_hull_on_arrival: NDArray[np.float64]  # (n,), eV/atom; nan where undefined
    decomposition_energy: NDArray[np.float64]  # (n,), eV/atom; nan where undefined, and for elements
    events: NDArray[np.void]  # EVENT_ARRAY, in order of the steps, and within by kind and entry id
    n_moved: int  # compositions whose point is another than before the batch
