"""Which atoms of a crystal are within a cutoff of each other, each pair once, as fast as a relaxation needs it.

Unlike ``validation.neighbours`` it counts offsets in the cell as it is and takes positions outside of it, so that a
list stays good while atoms move.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from validation.evaluation import CellTooFlat

MAX_IMAGES = 20_000_000  # of pairs, looked through for one crystal; a cell this flat is no crystal any more

_Floats = NDArray[np.float64]
_Ints = NDArray[np.int64]


def half_pairs(cell: _Floats, positions: _Floats, cutoff_ang: float) -> tuple[_Ints, _Ints]:
    """Pairs (i, j), shape (m, 2), and the whole cells between them, shape (m, 3): j + offset · cell is near i.

    Of a pair and its reverse only one is listed. Raises CellTooFlat.
    """
    heights = np.abs(np.linalg.det(cell)) / np.linalg.norm(np.cross(cell[[1, 2, 0]], cell[[2, 0, 1]]), axis=1)
    order = np.argsort(-heights)  # the last axis has most images: there a range is solved for, not searched
    reach = np.ceil(cutoff_ang / heights[order])
    if not len(positions) ** 2 * np.prod(2 * reach + 1) <= MAX_IMAGES:  # nan, too
        raise CellTooFlat(f"a cell of heights {', '.join(f'{height:.3g}' for height in heights)} Å is too flat")
    frac = np.linalg.solve(cell.T, positions.T).T
    whole = np.floor(frac)
    inside = np.ascontiguousarray((frac - whole) @ cell)
    axes = np.ascontiguousarray(cell[order])
    room = 64 * len(positions)
    while True:
        sites, offsets = np.empty((room, 2), dtype=np.int64), np.empty((room, 3), dtype=np.int64)
        found = _search(axes, inside, cutoff_ang, reach.astype(np.int64), sites, offsets)
        if found <= room:
            break
        room = found
    sites, unordered = sites[:found], offsets[:found]
    offsets = np.empty_like(unordered)
    offsets[:, order] = unordered
    return sites, offsets + (whole[sites[:, 0]] - whole[sites[:, 1]]).astype(np.int64)


@numba.njit(cache=True, error_model="numpy")
def _search(axes: _Floats, positions: _Floats, cutoff: float, reach: _Ints, sites: _Ints, offsets: _Ints) -> int:
    """Counts all pairs and writes as many as there is room for."""
    found = 0
    limit = cutoff * cutoff
    last = axes[2]
    square = (last**2).sum()
    apart = np.empty(3)
    for one in range(len(positions)):
        for other in range(one, len(positions)):
            for first in range(-reach[0], reach[0] + 1):
                for second in range(-reach[1], reach[1] + 1):
                    for xyz in range(3):
                        shift = first * axes[0, xyz] + second * axes[1, xyz]
                        apart[xyz] = positions[other, xyz] - positions[one, xyz] + shift
                    middle = -(apart * last).sum() / square
                    rest = (apart**2).sum() - middle * middle * square
                    if rest > limit:
                        continue
                    half = np.sqrt((limit - rest) / square)
                    for third in range(int(np.ceil(middle - half)), int(np.floor(middle + half)) + 1):
                        if one == other and (first, second, third) <= (0, 0, 0):
                            continue
                        if found < len(sites):
                            sites[found, 0], sites[found, 1] = one, other
                            offsets[found, 0], offsets[found, 1], offsets[found, 2] = first, second, third
                        found += 1
    return found
