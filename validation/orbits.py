"""The images of sites under symmetry operations: each orbit once, an atom on a special position once, too."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

_Floats = NDArray[np.float64]
_Ints = NDArray[np.int64]

MERGE_ANG = 0.05  # images of one site closer than this are one atom on a special position


def multiplicities(frac: _Floats, rotations: _Floats, translations: _Floats, lattice: _Floats) -> _Floats:
    """How many atoms each site stands for, shape (n,), from the number of operations that leave it in its place.

    frac: (n, 3); rotations: (m, 3, 3); translations: (m, 3); lattice: Å, (3, 3). A whole number where the operations
    are a group and the site is not off a special position by about MERGE_ANG.
    """
    return len(rotations) / np.maximum(_stabilisers(frac, rotations, translations, lattice), 1)


def orbits(frac: _Floats, rotations: _Floats, translations: _Floats, lattice: _Floats) -> tuple[_Ints, _Floats]:
    """Which site each atom is an image of, shape (k,), and its fractional coordinates, shape (k, 3), wrapped.

    The memory grows with n × m: bound ``multiplicities`` first.
    """
    return _orbits(frac, rotations, translations, lattice)


def nearest_two(frac: _Floats, lattice: _Floats) -> tuple[int, int, float]:
    """The two of at least two sites that are nearest to each other, and their distance in Å by wrapped differences.

    Exact where the distance is much smaller than the cell.
    """
    first, second, squared = _nearest_two(frac, lattice)
    return int(first), int(second), float(np.sqrt(squared))


@numba.njit(cache=True, error_model="numpy")
def _squared(ax: float, ay: float, az: float, frac: _Floats, site: int, lattice: _Floats) -> float:
    """Å², from a place to a site, by the wrapped difference."""
    u, v, w = ax - frac[site, 0], ay - frac[site, 1], az - frac[site, 2]
    u, v, w = u - np.rint(u), v - np.rint(v), w - np.rint(w)
    x = u * lattice[0, 0] + v * lattice[1, 0] + w * lattice[2, 0]
    y = u * lattice[0, 1] + v * lattice[1, 1] + w * lattice[2, 1]
    z = u * lattice[0, 2] + v * lattice[1, 2] + w * lattice[2, 2]
    return float(x * x + y * y + z * z)


@numba.njit(cache=True, error_model="numpy")
def _image(
    frac: _Floats, site: int, rotations: _Floats, translations: _Floats, operation: int
) -> tuple[float, float, float]:
    x, y, z = frac[site, 0], frac[site, 1], frac[site, 2]
    turn, shift = rotations[operation], translations[operation]
    return (
        (turn[0, 0] * x + turn[0, 1] * y + turn[0, 2] * z + shift[0]) % 1.0,
        (turn[1, 0] * x + turn[1, 1] * y + turn[1, 2] * z + shift[1]) % 1.0,
        (turn[2, 0] * x + turn[2, 1] * y + turn[2, 2] * z + shift[2]) % 1.0,
    )


@numba.njit(cache=True, error_model="numpy")
def _stabilisers(frac: _Floats, rotations: _Floats, translations: _Floats, lattice: _Floats) -> _Ints:
    counts = np.zeros(len(frac), np.int64)
    for site in range(len(frac)):
        for operation in range(len(rotations)):
            x, y, z = _image(frac, site, rotations, translations, operation)
            if _squared(x, y, z, frac, site, lattice) < MERGE_ANG * MERGE_ANG:
                counts[site] += 1
    return counts


@numba.njit(cache=True, error_model="numpy")
def _orbits(frac: _Floats, rotations: _Floats, translations: _Floats, lattice: _Floats) -> tuple[_Ints, _Floats]:
    """Each image that is not within MERGE_ANG of an earlier one of its site."""
    sites = np.empty(len(frac) * len(rotations), np.int64)
    atoms = np.empty((len(frac) * len(rotations), 3))
    found = 0
    for site in range(len(frac)):
        first = found
        for operation in range(len(rotations)):
            x, y, z = _image(frac, site, rotations, translations, operation)
            new = True
            for known in range(first, found):
                if _squared(x, y, z, atoms, known, lattice) < MERGE_ANG * MERGE_ANG:
                    new = False
                    break
            if new:
                sites[found] = site
                atoms[found, 0], atoms[found, 1], atoms[found, 2] = x, y, z
                found += 1
    return sites[:found].copy(), atoms[:found].copy()


@numba.njit(cache=True, error_model="numpy")
def _nearest_two(frac: _Floats, lattice: _Floats) -> tuple[int, int, float]:
    first, second, least = 0, 0, np.inf
    for i in range(len(frac)):
        for j in range(i + 1, len(frac)):
            squared = _squared(frac[i, 0], frac[i, 1], frac[i, 2], frac, j, lattice)
            if squared < least:
                first, second, least = i, j, squared
    return first, second, least
