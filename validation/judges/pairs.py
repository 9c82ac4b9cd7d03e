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
    heights = 1 / np.linalg.norm(_reciprocal(np.ascontiguousarray(cell)), axis=1)
    images = np.prod(2 * np.ceil(cutoff_ang / heights) + 1)
    if not len(positions) ** 2 * images <= MAX_IMAGES:  # nan, too
        raise CellTooFlat(f"a cell of heights {', '.join(f'{height:.3g}' for height in heights)} Å is too flat")
    return _half_pairs(np.ascontiguousarray(cell), np.ascontiguousarray(positions), heights, cutoff_ang)


@numba.njit(cache=True, error_model="numpy")
def _reciprocal(cell: _Floats) -> _Floats:
    """1/Å, a vector a row: its product with a place is the fraction along that axis, its length 1 / height."""
    found = np.empty((3, 3))
    for axis in range(3):
        before, after = cell[(axis + 1) % 3], cell[(axis + 2) % 3]
        for xyz in range(3):
            y, z = (xyz + 1) % 3, (xyz + 2) % 3
            found[axis, xyz] = before[y] * after[z] - before[z] * after[y]
        found[axis] /= (found[axis] * cell[axis]).sum()
    return found


@numba.njit(cache=True, error_model="numpy")
def _half_pairs(cell: _Floats, positions: _Floats, heights: _Floats, cutoff: float) -> tuple[_Ints, _Ints]:
    order = np.argsort(-heights)  # the last axis has most images: there a range is solved for, not searched
    axes, reach = cell[order], np.ceil(cutoff / heights[order]).astype(np.int64)
    count, reciprocal = len(positions), _reciprocal(cell)
    whole, inside = np.empty((count, 3)), np.empty((count, 3))
    for atom in range(count):
        for axis in range(3):
            whole[atom, axis] = np.floor((positions[atom] * reciprocal[axis]).sum())
        for xyz in range(3):
            inside[atom, xyz] = positions[atom, xyz] - (whole[atom] * cell[:, xyz]).sum()
    room = 64 * count
    sites, offsets = np.empty((room, 2), dtype=np.int64), np.empty((room, 3), dtype=np.int64)
    found = _search(axes, inside, cutoff, reach, sites, offsets)
    if found > room:
        sites, offsets = np.empty((found, 2), dtype=np.int64), np.empty((found, 3), dtype=np.int64)
        _search(axes, inside, cutoff, reach, sites, offsets)
    turned = np.empty((found, 3), dtype=np.int64)
    for pair in range(found):
        one, other = sites[pair]
        for place in range(3):
            axis = order[place]
            turned[pair, axis] = offsets[pair, place] + np.int64(whole[one, axis] - whole[other, axis])
    return sites[:found].copy(), turned


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
