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
