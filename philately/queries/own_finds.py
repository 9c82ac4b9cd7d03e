"""What a viewer of a blind season found: sorted once, then read a page at a time.

No index has one's finds by formula: the database would look at everything that one sent, or at everything that others
did, for each page. So the keys are kept where they are many (``queries/remembered.py``), by membership, and nothing but
one's own rows is in them (``queries/blind.py``).
"""

from collections.abc import Collection
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from philately.models import Run
from philately.queries import blind
from philately.queries.remembered import Remembered, remembered

Key = tuple[str, int, int]  # formula, candidate, placement
_Keys = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class OwnFinds:
    """Row by row, by formula and candidate: several of a formula may be one's own."""

    formulas: NDArray[np.bytes_]
    candidates: _Keys
    arrivals: _Keys
    placements: _Keys

    def __len__(self) -> int:
        return len(self.placements)

    def newest(self, size: int) -> list[int]:
        """Placements, in no order."""
        return [int(key) for key in self.placements[np.argsort(self.arrivals)[::-1][:size]]]

    def after(self, formula: str, candidate: int, size: int) -> list[Key]:
        """Those that come next, in order."""
        text = formula.encode(errors="replace")
        begin, end = (int(np.searchsorted(self.formulas, text, side)) for side in ("left", "right"))
        place = begin + int(np.searchsorted(self.candidates[begin:end], candidate, "right"))
        rows = slice(place, place + size)
        columns = (self.formulas[rows], self.candidates[rows], self.placements[rows])
        return [(one.decode(), int(key), int(placement)) for one, key, placement in zip(*columns, strict=True)]


def own_finds(run: Run | None, members: Collection[int]) -> Remembered[OwnFinds]:
    """Two queries."""
    whose = ",".join(map(str, sorted(members)))
    return remembered(f"own-finds:{run.pk if run else 0}:{whose}", partial(_own_finds, run, members))


def _own_finds(run: Run | None, members: Collection[int]) -> OwnFinds:
    columns = ("candidate__formula", "candidate", "candidate__arrival", "pk")
    rows: list[tuple[Any, ...]] = list(blind.finds_of(run, members).values_list(*columns))
    formulas = np.array([formula for formula, *_ in rows], np.bytes_)  # reduced formulas are ASCII
    keys = np.array([numbers for _, *numbers in rows], np.int64).reshape(-1, 3)
    order = np.lexsort((keys[:, 0], formulas))
    candidates, arrivals, placements = keys[order].T.copy()
    return OwnFinds(formulas[order], candidates, arrivals, placements)
