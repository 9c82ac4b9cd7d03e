"""The cell that pymatgen's StructureMatcher reduces a crystal to: ``get_primitive_structure``, compiled.

Atoms that repeat within a quarter of an ångström it takes for the same and puts at their mean. Whether it does depends
on the vectors that it starts from, so each step is taken as pymatgen takes it (``IStructure.get_primitive_structure``
of pymatgen 2026), in the same order and with the same strict comparisons.
"""

from __future__ import annotations

import numba
import numpy as np

from validation.crystal import Crystal
from validation.matcher_lattice import matcher_lattice

TOLERANCE_ANG = 0.25  # along each axis; the matcher's own


def matcher_cell(crystal: Crystal) -> Crystal:
    """What ``get_reduced_structure`` and then ``get_primitive_structure(tolerance=0.25)`` make of the crystal."""
    return _folded(_niggli(crystal))


def _folded(crystal: Crystal) -> Crystal:
    """In the vectors that are given; what is folded is folded again in those that this makes, and reduced each time."""
    smaller = _smaller(crystal)
    return crystal if smaller is None else _niggli(_folded(smaller))


def _niggli(crystal: Crystal) -> Crystal:
    """``get_reduced_structure``: of several equally good cells pymatgen takes the first that it comes upon."""
    lattice = matcher_lattice(crystal.lattice)
    if lattice is crystal.lattice:
        return crystal
    return Crystal.of(lattice, crystal.cart_coords @ np.linalg.inv(lattice), crystal.numbers)


def _smaller(crystal: Crystal) -> Crystal | None:
    """The first smaller cell that pymatgen comes upon, None where it finds none."""
    symbols = crystal.symbols
    order = np.array(sorted(range(len(crystal)), key=symbols.__getitem__))
    numbers = crystal.numbers[order]
    starts = np.flatnonzero(np.diff(numbers, prepend=0, append=0))
    units = int(np.gcd.reduce(np.diff(starts)))
    if units == 1:
        return None
    matrix, means = np.zeros((3, 3)), np.empty((len(crystal), 3))
    kept = np.zeros(len(crystal), np.bool_)
    if not _fold(crystal.lattice, crystal.frac_coords[order], starts, units, TOLERANCE_ANG, matrix, means, kept):
        return None
    return Crystal.of(np.linalg.inv(matrix) @ crystal.lattice, means[kept], numbers[kept])


@numba.njit(cache=True, error_model="numpy")
def _fold(lattice, frac, starts, units, tolerance, matrix, means, kept):  # type: ignore[no-untyped-def]
    """Whether a smaller cell was found. Fills the matrix that takes fractions to those of the smaller cell, and the
    positions of the sites that are kept there.

    starts: where the sites of each species begin, and the end of the last ones. units: of the formula.
    """
    reach = np.empty(3)  # the tolerance as fractions of each vector
    for axis in range(3):
        reach[axis] = tolerance / np.sqrt(np.dot(lattice[axis], lattice[axis]))
    steps = _near_steps(frac, starts, 2.0 * reach)
    if len(steps) < 2:
        return False  # the first one is no step at all
    for size in range(2, units + 1):
        if units % size:
            continue
        for form in _forms(size):
            matrix[:] = form
            if _is_spanned(matrix, steps, reach) and _repeats(
                lattice, frac, starts, size, tolerance, reach, matrix, means, kept
            ):
                return True
    return False


@numba.njit(cache=True, error_model="numpy")
def _forms(size):  # type: ignore[no-untyped-def]
    """Every lattice that is so many times finer, by the matrix in Hermite's normal form; shape (m, 3, 3)."""
    room = 0
    for a in range(1, size + 1):
        for e in range(1, size // a + 1):
            if size % (a * e) == 0:
                room += a * a * e
    forms, found = np.zeros((room, 3, 3)), 0
    for a in range(1, size + 1):
        for e in range(1, size // a + 1):
            if size % (a * e):
                continue
            for b in range(a):
                for c in range(a):
                    for f in range(e):
                        forms[found, 0, 0], forms[found, 0, 1], forms[found, 0, 2] = a, b, c
                        forms[found, 1, 1], forms[found, 1, 2] = e, f
                        forms[found, 2, 2] = size // (a * e)
                        found += 1
    return forms


@numba.njit(cache=True, error_model="numpy")
def _near_steps(frac, starts, reach):  # type: ignore[no-untyped-def]
    """Differences of two sites of the rarest species that take every site near one of its species; shape (m, 3)."""
    rarest = 0
    for kind in range(len(starts) - 1):
        if starts[kind + 1] - starts[kind] < starts[rarest + 1] - starts[rarest]:
            rarest = kind
    origin = starts[rarest]
    steps, found = np.empty((starts[rarest + 1] - origin, 3)), 0
    for site in range(origin, starts[rarest + 1]):
        step = frac[site] - frac[origin]
        if _is_near_step(frac, starts, step, reach):
            steps[found] = step
            found += 1
    return steps[:found]


@numba.njit(cache=True, error_model="numpy")
def _is_near_step(frac, starts, step, reach):  # type: ignore[no-untyped-def]
    for kind in range(len(starts) - 1):
        for site in range(starts[kind], starts[kind + 1]):
            found = False
            for other in range(starts[kind], starts[kind + 1]):
                near = True
                for axis in range(3):
                    apart = frac[other, axis] - frac[site, axis] - step[axis]
                    if not abs(apart - np.round(apart)) < reach[axis]:
                        near = False
                        break
                if near:
                    found = True
                    break
            if not found:
                return False
    return True


@numba.njit(cache=True, error_model="numpy")
def _is_spanned(matrix, steps, reach):  # type: ignore[no-untyped-def]
    """Whether each vector of the smaller cell, in those of the larger one, is near a step."""
    inverse = np.linalg.inv(matrix)
    for row in range(3):
        found = False
        for step in range(len(steps)):
            near = True
            for axis in range(3):
                apart = inverse[row, axis] - steps[step, axis]
                near = near and abs(apart - np.round(apart)) < reach[axis]
            if near:
                found = True
                break
        if not found:
            return False
    return True


@numba.njit(cache=True, error_model="numpy")
def _repeats(lattice, frac, starts, size, tolerance, reach, matrix, means, kept):  # type: ignore[no-untyped-def]
    """Whether the sites fall into groups of ``size``, each of which is one site of the smaller cell. Fills where that
    is, at the first of the group."""
    smaller = np.linalg.inv(matrix) @ lattice
    close = np.empty(3)
    for axis in range(3):
        close[axis] = tolerance / np.sqrt(np.dot(smaller[axis], smaller[axis]))
    within = frac @ matrix
    kept[:] = False
    for kind in range(len(starts) - 1):
        first, end = starts[kind], starts[kind + 1]
        together = _together(frac[first:end], within[first:end], reach, close)
        if not _are_groups(together, size):
            return False
        for site in range(first, end):
            members = np.flatnonzero(together[site - first]) + first
            if members[0] == site:
                kept[site] = True
                _mean(within, members, means[site])
    return True


@numba.njit(cache=True, error_model="numpy")
def _together(frac, within, reach, close):  # type: ignore[no-untyped-def]
    """Which sites are one in the smaller cell, but no neighbours in the larger one; shape (n, n)."""
    n_sites = len(frac)
    together = np.zeros((n_sites, n_sites), np.bool_)
    for one in range(n_sites):
        together[one, one] = True
        for other in range(one):
            near, apart = True, False
            for axis in range(3):
                inner = within[other, axis] - within[one, axis]
                outer = frac[other, axis] - frac[one, axis]
                near = near and abs(inner - np.round(inner)) < close[axis]
                apart = apart or abs(outer - np.round(outer)) > 2.0 * reach[axis]
            together[one, other] = together[other, one] = near and apart
    return together


@numba.njit(cache=True, error_model="numpy")
def _are_groups(together, size):  # type: ignore[no-untyped-def]
    """Whether each site has as many with it, and all of these each other."""
    for site in range(len(together)):
        if together[site].sum() != size:
            return False
    for site in range(len(together)):
        for one in np.flatnonzero(together[site]):
            for other in np.flatnonzero(together[site]):
                if not together[one, other]:
                    return False
    return True


@numba.njit(cache=True, error_model="numpy")
def _mean(frac, members, mean):  # type: ignore[no-untyped-def]
    """Of the images that are nearest to what the mean is so far."""
    mean[:] = frac[members[0]] % 1.0
    for number in range(1, len(members)):
        offset = frac[members[number]] % 1.0 - mean
        mean += (offset - np.round(offset)) / (number + 1)
