"""Whether one reduced cell can be laid upon another: the search of pymatgen's StructureMatcher, compiled.

The matcher itself (S. P. Ong et al., Comput. Mater. Sci. 68, 314 (2013), doi 10.1016/j.commatsci.2012.10.028) decides
what is a duplicate. This here is what it is spared: a pair that does not fit here, with a margin for rounding, does
not match there. It is asked a thousand times for each time that the matcher has to be.
"""

from __future__ import annotations

import numba
import numpy as np

from validation.crystal import Crystal
from validation.rules import Tolerances

_MARGIN = 1.0 + 1e-6  # of every tolerance
_FORBIDDEN = 1e9  # Å², the cost of a pair of sites too far apart


def may_fit(a: Crystal, b: Crystal, tolerances: Tolerances) -> tuple[bool, bool]:
    """Whether the matcher may find b upon a, and a upon b: near a tolerance the answers can differ."""
    return may_fit_upon(a, b, tolerances), may_fit_upon(b, a, tolerances)


def may_fit_upon(a: Crystal, b: Crystal, tolerances: Tolerances) -> bool:
    """The first of the two answers of ``may_fit``.

    Both in their Niggli-reduced primitive cells and with the same numbers of atoms of each element.
    """
    stol, ltol, angle = tolerances.stol * _MARGIN, tolerances.ltol * _MARGIN, tolerances.angle_tol * _MARGIN
    ratio = (b.volume / a.volume) ** (1 / 6) if tolerances.scale else 1.0
    first, second = a.lattice * ratio, b.lattice / ratio
    return bool(_fits(first, a.frac_coords, a.numbers, second, b.frac_coords, b.numbers, ltol, stol, angle))


@numba.njit(cache=True, error_model="numpy")
def _fits(lattice1, frac1, numbers1, lattice2, frac2, numbers2, ltol, stol, angle_tol):  # type: ignore[no-untyped-def]
    """Try every mapping of the lattices that keeps lengths and angles, and every shift of a site of the rarest element
    of the second cell onto one of the first."""
    lengths, angles = _parameters(lattice2)
    points, vectors, sizes = _lattice_points(lattice1, lengths.max() * (1.0 + ltol))
    first, second = _of_length(sizes, lengths[0], ltol), _of_length(sizes, lengths[1], ltol)
    third = _of_length(sizes, lengths[2], ltol)
    anchor = _rarest(numbers2)
    moved, mapping, basis = np.empty_like(frac1), np.empty((3, 3)), np.empty((3, 3))
    for i in first:
        for j in second:
            gamma = _angle(vectors[i], vectors[j])
            if abs(gamma - angles[2]) > angle_tol:
                continue
            for k in third:
                alpha = _angle(vectors[j], vectors[k])
                if abs(alpha - angles[0]) > angle_tol:
                    continue
                beta = _angle(vectors[i], vectors[k])
                if abs(beta - angles[1]) > angle_tol:
                    continue
                mapping[0], mapping[1], mapping[2] = points[i], points[j], points[k]
                if abs(abs(np.linalg.det(mapping)) - 1.0) > 0.5:
                    continue
                average = np.array([sizes[i], sizes[j], sizes[k], alpha, beta, gamma])
                average[:3] = 0.5 * (average[:3] + lengths)
                average[3:] = 0.5 * (average[3:] + angles)
                _from_parameters(average, basis)
                moved[:] = frac1 @ np.linalg.inv(mapping)
                if _shifts_fit(moved, numbers1, frac2, numbers2, anchor, basis, stol):
                    return True
    return False


@numba.njit(cache=True, error_model="numpy")
def _shifts_fit(frac1, numbers1, frac2, numbers2, anchor, basis, stol):  # type: ignore[no-untyped-def]
    """basis: of the average lattice, Å."""
    volume = abs(np.linalg.det(basis))
    length = (volume / len(frac1)) ** (1 / 3)
    inverse = np.linalg.inv(basis)
    tolerance = np.empty(3)  # fractions along each axis: twice the final one, for the best shift is not known yet
    for axis in range(3):
        tolerance[axis] = 2.0 * stol * length * np.linalg.norm(inverse[:, axis])
    for site in range(len(frac1)):
        if numbers1[site] != numbers2[anchor]:
            continue
        shift = frac1[site] - frac2[anchor]
        if _all_near(frac1, numbers1, frac2, numbers2, shift, tolerance) and _assigned(
            frac1, numbers1, frac2, numbers2, shift, basis, stol * length
        ):
            return True
    return False


@numba.njit(cache=True, error_model="numpy")
def _all_near(frac1, numbers1, frac2, numbers2, shift, tolerance):  # type: ignore[no-untyped-def]
    """Whether each site of the second cell has one of its element in the first within the tolerance."""
    for second in range(len(frac2)):
        found = False
        for first in range(len(frac1)):
            if numbers1[first] != numbers2[second]:
                continue
            near = True
            for axis in range(3):
                apart = frac1[first, axis] - frac2[second, axis] - shift[axis]
                near = near and abs(apart - np.round(apart)) < tolerance[axis]
            if near:
                found = True
                break
        if not found:
            return False
    return True


@numba.njit(cache=True, error_model="numpy")
def _assigned(frac1, numbers1, frac2, numbers2, shift, basis, limit):  # type: ignore[no-untyped-def]
    """Whether the sites pair up so that, best shift removed, none is further than ``limit`` (Å) from its partner.

    The shift lays one pair upon each other, so no partner is further than twice the limit before.
    """
    n_sites = len(frac1)
    costs = np.full((n_sites, n_sites), _FORBIDDEN)
    vectors = np.empty((n_sites, n_sites, 3))
    for second in range(n_sites):
        for first in range(n_sites):
            if numbers1[first] != numbers2[second]:
                continue
            squared = 0.0
            for column in range(3):
                part = 0.0
                for axis in range(3):
                    apart = frac1[first, axis] - frac2[second, axis] - shift[axis]
                    part += (apart - np.round(apart)) * basis[axis, column]
                vectors[second, first, column] = part
                squared += part * part
            if squared <= 4.0 * limit * limit:
                costs[second, first] = squared
    partners = _assignment(costs)
    mean = np.zeros(3)
    for second in range(n_sites):
        if costs[second, partners[second]] >= _FORBIDDEN:
            return False
        mean += vectors[second, partners[second]] / n_sites
    for second in range(n_sites):
        apart = vectors[second, partners[second]] - mean
        if np.dot(apart, apart) > limit * limit:
            return False
    return True


@numba.njit(cache=True, error_model="numpy")
def _assignment(costs):  # type: ignore[no-untyped-def]
    """The column of each row at the least total cost: shortest augmenting paths (H. W. Kuhn, Nav. Res. Logist. Q. 2,
    83 (1955); R. Jonker and A. Volgenant, Computing 38, 325 (1987)). Rows and columns are counted from 1 inside."""
    n = len(costs)
    row_price, column_price = np.zeros(n + 1), np.zeros(n + 1)
    row_of, way = np.zeros(n + 1, np.int64), np.zeros(n + 1, np.int64)
    for row in range(1, n + 1):
        row_of[0] = row
        column = 0
        least = np.full(n + 1, np.inf)
        used = np.zeros(n + 1, np.bool_)
        while row_of[column] != 0:
            used[column] = True
            delta, following = np.inf, 0
            for other in range(1, n + 1):
                if used[other]:
                    continue
                reduced = costs[row_of[column] - 1, other - 1] - row_price[row_of[column]] - column_price[other]
                if reduced < least[other]:
                    least[other], way[other] = reduced, column
                if least[other] < delta:
                    delta, following = least[other], other
            for other in range(n + 1):
                if used[other]:
                    row_price[row_of[other]] += delta
                    column_price[other] -= delta
                else:
                    least[other] -= delta
            column = following
        while column:
            row_of[column] = row_of[way[column]]
            column = way[column]
    partners = np.empty(n, np.int64)
    for column in range(1, n + 1):
        partners[row_of[column] - 1] = column - 1
    return partners


@numba.njit(cache=True, error_model="numpy")
def _rarest(numbers):  # type: ignore[no-untyped-def]
    """The first site of the element with the fewest."""
    counts = np.zeros(256, np.int64)
    for number in numbers:
        counts[number] += 1
    best = 0
    for site in range(len(numbers)):
        if counts[numbers[site]] < counts[numbers[best]]:
            best = site
    return best


@numba.njit(cache=True, error_model="numpy")
def _of_length(sizes, wanted, ltol):  # type: ignore[no-untyped-def]
    """Which of these are as long as wanted, within the tolerance."""
    return np.flatnonzero((wanted / (1.0 + ltol) < sizes) & (sizes < wanted * (1.0 + ltol)))


@numba.njit(cache=True, error_model="numpy")
def _lattice_points(lattice, radius):  # type: ignore[no-untyped-def]
    """The lattice vectors no longer than the radius: in whole coordinates (as floats), in Å, and their lengths."""
    inverse = np.linalg.inv(lattice)
    most = np.empty(3, np.int64)
    for axis in range(3):
        most[axis] = int(radius * np.linalg.norm(inverse[:, axis]))
    room = 1
    for axis in range(3):
        room *= 2 * most[axis] + 1
    points, vectors, lengths, found = np.empty((room, 3)), np.empty((room, 3)), np.empty(room), 0
    for a in range(-most[0], most[0] + 1):
        for b in range(-most[1], most[1] + 1):
            for c in range(-most[2], most[2] + 1):
                vector = a * lattice[0] + b * lattice[1] + c * lattice[2]
                length = np.sqrt(np.dot(vector, vector))
                if length <= radius:
                    points[found, 0], points[found, 1], points[found, 2] = a, b, c
                    vectors[found] = vector
                    lengths[found] = length
                    found += 1
    return points[:found], vectors[:found], lengths[:found]


@numba.njit(cache=True, error_model="numpy")
def _angle(u, v):  # type: ignore[no-untyped-def]
    """Degrees. Without a product of arrays: it is asked a thousand times a search."""
    product = u[0] * v[0] + u[1] * v[1] + u[2] * v[2]
    squares = (u[0] * u[0] + u[1] * u[1] + u[2] * u[2]) * (v[0] * v[0] + v[1] * v[1] + v[2] * v[2])
    return np.degrees(np.arccos(min(1.0, max(-1.0, product / np.sqrt(squares)))))


@numba.njit(cache=True, error_model="numpy")
def _parameters(lattice):  # type: ignore[no-untyped-def]
    """Lengths in Å and angles in degrees."""
    lengths = np.empty(3)
    for axis in range(3):
        lengths[axis] = np.linalg.norm(lattice[axis])
    angles = np.array([_angle(lattice[1], lattice[2]), _angle(lattice[0], lattice[2]), _angle(lattice[0], lattice[1])])
    return lengths, angles


@numba.njit(cache=True, error_model="numpy")
def _from_parameters(parameters, basis):  # type: ignore[no-untyped-def]
    """Fill a basis with these lengths and angles: a along x, b in the xy plane."""
    a, b, c = parameters[0], parameters[1], parameters[2]
    cosines = np.cos(np.radians(parameters[3:]))
    sine = np.sin(np.radians(parameters[5]))
    basis[:] = 0.0
    basis[0, 0] = a
    basis[1, 0], basis[1, 1] = b * cosines[2], b * sine
    basis[2, 0] = c * cosines[1]
    basis[2, 1] = c * (cosines[0] - cosines[1] * cosines[2]) / sine
    basis[2, 2] = np.sqrt(max(c * c - basis[2, 0] ** 2 - basis[2, 1] ** 2, 0.0))
