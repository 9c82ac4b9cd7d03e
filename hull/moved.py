"""Which compositions moved: their places in the store, and their formulas for whoever looks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import overload

import numpy as np
from numpy.typing import NDArray

from hull import packing
from hull.entries import Formula

Places = NDArray[np.int32]


class Moved(Sequence[Formula]):
    """Formulas in ascending order, made out when they are first asked for.

    A find among a million phases moves the hull at dozens of compositions, and whoever follows the hull wants their
    states and not their names: ``HullStore.point_arrays`` takes these as they are.
    """

    __slots__ = ("_formulas", "_made_out", "places")

    def __init__(self, places: Places, formulas: Callable[[NDArray[np.int64]], list[Formula]]) -> None:
        """places: (n,), of compositions in a store. formulas: says what stands there; it stays as long as the store."""
        self.places = places
        self._formulas = formulas
        self._made_out: tuple[Formula, ...] | None = None

    def __len__(self) -> int:
        return len(self.places)

    def __iter__(self) -> Iterator[Formula]:
        return iter(self._all())

    @overload
    def __getitem__(self, index: int) -> Formula: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Formula, ...]: ...
    def __getitem__(self, index: int | slice) -> Formula | tuple[Formula, ...]:
        return self._all()[index]

    def __or__(self, other: Moved) -> Moved:
        """What moved once or twice, in the same store."""
        return Moved(np.union1d(self.places, other.places), self._formulas if len(self) else other._formulas)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and self._all() == tuple(other)

    def __hash__(self) -> int:
        return hash(self._all())

    def __repr__(self) -> str:
        return f"Moved({', '.join(map(str, self))})"

    def _all(self) -> tuple[Formula, ...]:
        if self._made_out is None:
            self._made_out = tuple(packing.in_order(self._formulas(self.places.astype(np.int64))))
        return self._made_out


NOTHING_MOVED = Moved(np.empty(0, np.int32), lambda places: [])
