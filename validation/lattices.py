"""The shortest vectors that span a lattice, whatever vectors it was given by."""

from __future__ import annotations

from itertools import product

import numba
import numpy as np
from numpy.typing import NDArray

_PASSES = 100  # a pass takes a length down by a digit and more; what has not settled then is flat
_SHORTER = 1.0 - 1e-12  # of a squared length: less is rounding and could go on for ever
_SAME_METRIC = 1e-3  # of lengths and of cosines
_NEIGHBOURS = np.array([row for row in product((-1, 0, 1), repeat=3) if any(row)], dtype=np.int64)
NIGGLI_TOLERANCE = 1e-5  # pymatgen's, of Å² and of ratios of lengths, over volume^(1/3) in Å
MAPPED_DEG = 1.0  # by which it lets the angles of vectors that it takes for the reduced ones differ from theirs
_REDUCED_FILLING = 0.5  # a reduced cell fills at least 1/√2 of the box that its three lengths span


def reduced_lattice(lattice: NDArray[np.float64]) -> NDArray[np.float64]:
    """Å, shape (3, 3): a Minkowski-reduced basis of the same lattice, shortest vector first, not rotated.

    Its lengths are the three shortest that independent lattice vectors have, those of the Niggli cell; its handedness
    is that of the input. A flat lattice, and one that is not finite, is returned in some other basis or as it is.
    Method: Semaev, A 3-dimensional lattice reduction algorithm, LNCS 2146 (2001), doi 10.1007/3-540-44670-2_13.
    """
    return _reduced(np.ascontiguousarray(lattice, dtype=np.float64))


def aspect_ratio(lattice: NDArray[np.float64]) -> float:
    """Longest over shortest vector of the reduced lattice; infinite where the lattice is flat or cannot be reduced."""
    return elongation(reduced_lattice(lattice))


def elongation(reduced: NDArray[np.float64]) -> float:
    """``aspect_ratio`` of a lattice that ``reduced_lattice`` made."""
    return float(_elongation(reduced))


def niggli_lattice(lattice: NDArray[np.float64]) -> NDArray[np.float64]:
    """Å, shape (3, 3): the Niggli cell of the same lattice, not rotated: of the shortest vectors those that its
    conditions choose, also where several are equally short.

    Method: R. W. Grosse-Kunstleve, N. K. Sauter and P. D. Adams, Acta Cryst. A60, 1 (2004),
    doi 10.1107/S010876730302186X; its tolerance is that of pymatgen, whose matcher starts from this cell.
    """
    return _niggli(np.ascontiguousarray(lattice, dtype=np.float64))


def turns(lattice: NDArray[np.float64]) -> NDArray[np.int64]:
    """Other bases of a reduced lattice that are as good: with the same lengths and angles, to a thousandth, or with
    those that pymatgen takes for them. Of a basis and its negative only one. Whole numbers, shape (m, 3, 3): rows in
    terms of the given vectors."""
    vectors = _NEIGHBOURS @ lattice
    metric = lattice @ lattice.T
    lengths, own = np.linalg.norm(vectors, axis=1), np.sqrt(metric.diagonal())
    alike = [np.flatnonzero(np.abs(lengths - length) < _SAME_METRIC * length) for length in own]
    found = np.stack(np.meshgrid(*alike, indexing="ij"), axis=-1).reshape(-1, 3)
    rows = vectors[found]
    misfit = np.abs(rows @ rows.transpose(0, 2, 1) - metric) / np.outer(own, own)
    same = (misfit < _SAME_METRIC).all(axis=(1, 2)) | _are_taken_for(lattice, rows)
    bases = _NEIGHBOURS[found[same]]
    is_given = (bases == np.eye(3, dtype=np.int64)).all(axis=(1, 2))
    leads = np.argmax(bases[:, 0] != 0, axis=1)
    is_first = bases[np.arange(len(bases)), 0, leads] > 0
    return np.asarray(bases[~is_given & is_first], dtype=np.int64)


def _are_taken_for(lattice: NDArray[np.float64], bases: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which of many bases, shape (m, 3, 3), pymatgen takes for the reduced lattice if it comes upon them first."""
    tolerance = NIGGLI_TOLERANCE * abs(float(np.linalg.det(lattice))) ** (1 / 3)
    own, lengths = np.linalg.norm(lattice, axis=1), np.linalg.norm(bases, axis=2)
    opened = np.degrees(_angles(bases / lengths[..., None]) - _angles(lattice / own[:, None]))
    near = (np.abs(lengths / own - 1.0) < tolerance) & (np.abs(opened) < MAPPED_DEG)
    return np.asarray(near.all(axis=1), dtype=np.bool_)


def _angles(units: NDArray[np.float64]) -> NDArray[np.float64]:
    """Radians between the unit vectors that are rows, shape (..., 3, 3): between each and the one before it."""
    return np.asarray(
        np.arccos(np.clip((units * np.roll(units, 1, axis=-2)).sum(axis=-1), -1.0, 1.0)), dtype=np.float64
    )


@numba.njit(cache=True, error_model="numpy")
def _niggli(lattice: NDArray[np.float64]) -> NDArray[np.float64]:
    basis = _reduced(lattice)
    choose_niggli(basis, NIGGLI_TOLERANCE * abs(_det(basis)) ** (1 / 3))
    return basis


@numba.njit(cache=True, error_model="numpy")
def choose_niggli(basis: NDArray[np.float64], tolerance: float) -> None:
    """In place. Steps and their names (A1 to A8) as in the paper; each changes the basis by whole multiples."""
    for _ in range(_PASSES):
        a, b, c, xi, eta, zeta = _form(basis)
        if b + tolerance < a or (abs(a - b) < tolerance and abs(xi) > abs(eta) + tolerance):  # A1
            _exchange(basis, 0, 1)
            a, b, c, xi, eta, zeta = _form(basis)
        if c + tolerance < b or (abs(b - c) < tolerance and abs(eta) > abs(zeta) + tolerance):  # A2
            _exchange(basis, 1, 2)
            continue
        _align_signs(basis, tolerance)  # A3, A4
        a, b, c, xi, eta, zeta = _form(basis)
        if _is_too_long(xi, b, zeta, eta, tolerance):  # A5
            basis[2] -= np.sign(xi) * basis[1]
        elif _is_too_long(eta, a, zeta, xi, tolerance):  # A6
            basis[2] -= np.sign(eta) * basis[0]
        elif _is_too_long(zeta, a, eta, xi, tolerance):  # A7
            basis[1] -= np.sign(zeta) * basis[0]
        else:
            rest = xi + eta + zeta + a + b
            if not (rest < -tolerance or (abs(rest) < tolerance and 2.0 * (a + eta) + zeta > tolerance)):
                return
            basis[2] += basis[0] + basis[1]  # A8


@numba.njit(cache=True, error_model="numpy")
def _is_too_long(product: float, square: float, other: float, third: float, tolerance: float) -> bool:
    """Whether a vector is to be replaced by its difference from another one, or its sum: because that is shorter, or
    equally short and the conditions choose it."""
    return bool(
        abs(product) > square + tolerance
        or (abs(product - square) < tolerance and 2.0 * third < other - tolerance)
        or (abs(product + square) < tolerance and other < -tolerance)
    )


@numba.njit(cache=True, error_model="numpy")
def _form(basis: NDArray[np.float64]) -> tuple[float, float, float, float, float, float]:
    """a², b², c², 2bc, 2ac, 2ab: the characteristic of the cell, Å²."""
    return (
        _dot(basis[0], basis[0]),
        _dot(basis[1], basis[1]),
        _dot(basis[2], basis[2]),
        2.0 * _dot(basis[1], basis[2]),
        2.0 * _dot(basis[0], basis[2]),
        2.0 * _dot(basis[0], basis[1]),
    )


@numba.njit(cache=True, error_model="numpy")
def _exchange(basis: NDArray[np.float64], first: int, second: int) -> None:
    """Two vectors, all three turned round."""
    for axis in range(3):
        basis[first, axis], basis[second, axis] = basis[second, axis], basis[first, axis]
    basis *= -1.0


@numba.njit(cache=True, error_model="numpy")
def _align_signs(basis: NDArray[np.float64], tolerance: float) -> None:
    """Turn vectors round until all three angles are acute, or none is."""
    _, _, _, xi, eta, zeta = _form(basis)
    acute = 0
    right = -1
    flips = np.ones(3)
    products = (xi, eta, zeta)
    for index in range(3):
        if products[index] > tolerance:
            acute += 1
        elif products[index] >= -tolerance:
            right = index
    all_acute = right < 0 and acute % 2 == 1  # the product of the three is positive
    for index in range(3):
        if (all_acute and products[index] < -tolerance) or (not all_acute and products[index] > tolerance):
            flips[index] = -1.0
    if flips[0] * flips[1] * flips[2] < 0.0 and right >= 0:
        flips[right] = -1.0
    for index in range(3):
        for axis in range(3):
            basis[index, axis] *= flips[index]


@numba.njit(cache=True, error_model="numpy")
def _reduced(lattice: NDArray[np.float64]) -> NDArray[np.float64]:
    basis = lattice.copy()
    for _ in range(_PASSES):
        _sort(basis)
        if _shortened_second(basis):
            continue
        if not _shortened_third(basis):
            break
    if _det(basis) * _det(lattice) < 0.0:
        basis = -basis
    return basis


@numba.njit(cache=True, error_model="numpy")
def _sort(basis: NDArray[np.float64]) -> None:
    """By length, in place."""
    for low, high in ((0, 1), (1, 2), (0, 1)):
        if _dot(basis[high], basis[high]) < _dot(basis[low], basis[low]):
            for axis in range(3):
                basis[low, axis], basis[high, axis] = basis[high, axis], basis[low, axis]


@numba.njit(cache=True, error_model="numpy")
def _shortened_second(basis: NDArray[np.float64]) -> bool:
    """Whether the second vector became shorter by a multiple of the first (Lagrange's step)."""
    before = _dot(basis[1], basis[1])
    steps = np.rint(_dot(basis[0], basis[1]) / _dot(basis[0], basis[0]))
    shorter = basis[1] - steps * basis[0]
    if not _dot(shorter, shorter) < before * _SHORTER:
        return False
    basis[1] = shorter
    return True


@numba.njit(cache=True, error_model="numpy")
def _shortened_third(basis: NDArray[np.float64]) -> bool:
    """Whether the third vector became shorter by a vector of the net of the first two, which are reduced.

    The net's point nearest to it is among the nine around where its projection falls.
    """
    before = _dot(basis[2], basis[2])
    aa, ab, bb = _dot(basis[0], basis[0]), _dot(basis[0], basis[1]), _dot(basis[1], basis[1])
    ac, bc = _dot(basis[0], basis[2]), _dot(basis[1], basis[2])
    flatness = aa * bb - ab * ab
    x, y = np.rint((ac * bb - bc * ab) / flatness), np.rint((bc * aa - ac * ab) / flatness)
    least, best = before * _SHORTER, basis[2].copy()
    for dx in range(-1, 2):
        for dy in range(-1, 2):
            moved = basis[2] - (x + dx) * basis[0] - (y + dy) * basis[1]
            if _dot(moved, moved) < least:
                least, best = _dot(moved, moved), moved
    basis[2] = best
    return least < before * _SHORTER


@numba.njit(cache=True, error_model="numpy")
def _elongation(reduced: NDArray[np.float64]) -> float:
    squares = np.array([_dot(reduced[row], reduced[row]) for row in range(3)])
    box = np.sqrt(squares[0]) * np.sqrt(squares[1]) * np.sqrt(squares[2])
    if not box > 0.0 or not abs(_det(reduced)) >= _REDUCED_FILLING * box:
        return np.inf
    return float(np.sqrt(squares.max() / squares.min()))


@numba.njit(cache=True, error_model="numpy")
def _dot(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    return float(first[0] * second[0] + first[1] * second[1] + first[2] * second[2])


@numba.njit(cache=True, error_model="numpy")
def _det(rows: NDArray[np.float64]) -> float:
    return float(
        rows[0, 0] * (rows[1, 1] * rows[2, 2] - rows[1, 2] * rows[2, 1])
        - rows[0, 1] * (rows[1, 0] * rows[2, 2] - rows[1, 2] * rows[2, 0])
        + rows[0, 2] * (rows[1, 0] * rows[2, 1] - rows[1, 1] * rows[2, 0])
    )
