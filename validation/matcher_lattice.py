"""The Niggli cell as pymatgen finds it: of several equally good ones, the one that its StructureMatcher starts from.

What the matcher takes a crystal for depends on it. So each step is taken as ``Lattice.get_niggli_reduced_lattice`` of
pymatgen 2026 takes it; only the lattice points are asked of it, for the order in which it lists them.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from validation.lattices import MAPPED_DEG, NIGGLI_TOLERANCE, choose_niggli

_POINT_TOLERANCE_ANG = 1e-8
_SAME = 1e-8, 1e-5  # Å, and of a component: numpy's allclose
_LOVASZ = 0.75


def matcher_lattice(lattice: NDArray[np.float64]) -> NDArray[np.float64]:
    """Å, shape (3, 3), right-handed, not rotated; the lattice itself where that differs by rounding only.

    pymatgen computes lengths and angles of the Niggli cell, and takes the first vectors that have them: lengths within
    1e-5 of the cube root of the volume, as a ratio, and angles within 1 degree. Raises ValueError where there are none,
    which a lattice that fills space does not do.
    """
    from pymatgen.optimization.neighbors import find_points_in_spheres  # late: no web process needs it

    given, target = np.ascontiguousarray(lattice, dtype=np.float64), np.empty((3, 3))
    _lll_reduced(given, target)
    tolerance = NIGGLI_TOLERANCE * abs(float(np.linalg.det(given))) ** (1 / 3)
    choose_niggli(target, tolerance)
    radius = float(np.sqrt((target * target).sum(axis=1).max()) * (1.0 + tolerance))
    origin, periodic = np.zeros((1, 3)), np.ones(3, dtype=np.int64)
    points = find_points_in_spheres(origin, origin, radius, periodic, given, _POINT_TOLERANCE_ANG)[2]
    found = np.empty((3, 3))
    if not _first_alike(given, points, target, tolerance, found):
        raise ValueError("no vectors of the lattice make its Niggli cell")
    return lattice if _are_same(found, given) else found


@numba.njit(cache=True, error_model="numpy")
def _lll_reduced(lattice, basis):  # type: ignore[no-untyped-def]
    """Fill a basis of short vectors (A. K. Lenstra, H. W. Lenstra and L. Lovász, Math. Ann. 261, 515 (1982))."""
    basis[:] = lattice
    upright, shares, squares = np.zeros((3, 3)), np.zeros((3, 3)), np.zeros(3)
    for row in range(3):
        _make_upright(basis, row, upright, shares, squares)
    row = 1
    while row < 3:
        for other in range(row - 1, -1, -1):
            whole = np.round(shares[row, other])
            if whole != 0.0:
                basis[row] -= whole * basis[other]
                for column in range(other):
                    shares[row, column] -= whole * shares[other, column]
                shares[row, other] -= whole
        if not squares[row] < (_LOVASZ - shares[row, row - 1] ** 2) * squares[row - 1]:  # also where it is no number
            row += 1
            continue
        for axis in range(3):
            basis[row, axis], basis[row - 1, axis] = basis[row - 1, axis], basis[row, axis]
        for changed in (row - 1, row):
            _make_upright(basis, changed, upright, shares, squares)
        if row > 1:
            row -= 1
        else:
            for column in range(2):
                shares[2, column] = np.dot(basis[2], upright[column]) / squares[column]


@numba.njit(cache=True, error_model="numpy")
def _make_upright(basis, row, upright, shares, squares):  # type: ignore[no-untyped-def]
    """What of a vector is at right angles to those before it, and its shares of these."""
    upright[row] = basis[row]
    for other in range(row):
        shares[row, other] = np.dot(basis[row], upright[other]) / squares[other]
        upright[row] -= shares[row, other] * upright[other]
    squares[row] = np.dot(upright[row], upright[row])


@numba.njit(cache=True, error_model="numpy")
def _first_alike(lattice, points, target, tolerance, found):  # type: ignore[no-untyped-def]
    """Fill the first three of the lattice points that have the lengths and angles of the target, those of the given
    hand first; turned round where they are left-handed. False where there are none.

    points: whole coordinates of lattice points, shape (n, 3), in the order in which they are tried.
    """
    lengths, angles = _sizes(target), np.empty(3)
    vectors = points @ lattice
    sizes = _sizes(vectors)
    for axis in range(3):
        angles[axis] = _angle(target, lengths, (axis + 1) % 3, (axis + 2) % 3)
    is_found = False
    for i in range(len(points)):
        if not _is_alike(sizes[i], lengths[0], tolerance):
            continue
        for j in range(len(points)):
            if not _is_alike(sizes[j], lengths[1], tolerance):
                continue
            if abs(_angle(vectors, sizes, i, j) - angles[2]) > MAPPED_DEG:
                continue
            for k in range(len(points)):
                if not _is_alike(sizes[k], lengths[2], tolerance):
                    continue
                if abs(_angle(vectors, sizes, j, k) - angles[0]) > MAPPED_DEG:
                    continue
                if abs(_angle(vectors, sizes, i, k) - angles[1]) > MAPPED_DEG:
                    continue
                hand = _triple(points[i], points[j], points[k])
                if abs(hand) < 0.5 or (is_found and hand < 0.0):
                    continue
                is_found = True
                sign = np.sign(_triple(vectors[i], vectors[j], vectors[k]))
                found[0], found[1], found[2] = sign * vectors[i], sign * vectors[j], sign * vectors[k]
                if hand > 0.0:
                    return True
    return is_found


@numba.njit(cache=True, error_model="numpy")
def _sizes(vectors):  # type: ignore[no-untyped-def]
    sizes = np.empty(len(vectors))
    for row in range(len(vectors)):
        sizes[row] = np.sqrt(vectors[row, 0] ** 2 + vectors[row, 1] ** 2 + vectors[row, 2] ** 2)
    return sizes


@numba.njit(cache=True, error_model="numpy")
def _is_alike(size, wanted, tolerance):  # type: ignore[no-untyped-def]
    return 1.0 / (1.0 + tolerance) < size / wanted < 1.0 + tolerance


@numba.njit(cache=True, error_model="numpy")
def _angle(vectors, sizes, one, other):  # type: ignore[no-untyped-def]
    """Degrees between two of the vectors."""
    product = 0.0
    for axis in range(3):
        product += vectors[one, axis] * vectors[other, axis]
    return np.degrees(np.arccos(min(1.0, max(-1.0, product / sizes[one] / sizes[other]))))


@numba.njit(cache=True, error_model="numpy")
def _triple(a, b, c):  # type: ignore[no-untyped-def]
    return a[0] * (b[1] * c[2] - b[2] * c[1]) + a[1] * (b[2] * c[0] - b[0] * c[2]) + a[2] * (b[0] * c[1] - b[1] * c[0])


@numba.njit(cache=True, error_model="numpy")
def _are_same(found, lattice):  # type: ignore[no-untyped-def]
    for row in range(3):
        for axis in range(3):
            if abs(found[row, axis] - lattice[row, axis]) > _SAME[0] + _SAME[1] * abs(lattice[row, axis]):
                return False
    return True
