"""Many entries at once, as arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class EntryArrays:
    """n entries. Rows of atomic numbers ascend and end in zeros; amounts stand in the same order."""

    entry_ids: NDArray[np.int64]  # (n,)
    atomic_numbers: NDArray[np.uint8]  # (n, 9)
    amounts: NDArray[np.int32]  # (n, 9), reduced or not
    energies_per_atom: NDArray[np.float64]  # (n,), eV/atom

    def __len__(self) -> int:
        return len(self.entry_ids)


@dataclass(frozen=True, slots=True)
class Distances:
    """Where n entries sit, or would; eV/atom, nan where a reference is missing."""

    e_above_hull: NDArray[np.float64]  # (n,), >= 0
    e_above_hull_on_arrival: NDArray[np.float64]  # (n,), signed
    decomposition_energy: NDArray[np.float64]  # (n,), signed; nan for elements


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
