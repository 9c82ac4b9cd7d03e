"""Translations that map a crystal onto itself within a tolerance, and the smaller cell that they make."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from validation.crystal import Crystal


def smallest_cell(crystal: Crystal, tolerance_ang: float) -> Crystal:
    """The primitive cell, in the crystal's own orientation; the crystal itself where it has no smaller one.

    An atom of the smaller cell stands at the mean of those that it stands for, none of which is further than the
    tolerance (Å) from it. One prime factor of the number of cells is taken out at a time, the best fitting first.
    """
    while len(crystal) > 1:
        kinds = np.empty(len(crystal), np.int64)
        if (units := _rank(crystal.numbers, kinds)) == 1:
            return crystal
        step = np.zeros(3, np.int64)
        prime = _best_step(crystal.lattice, crystal.frac_coords, kinds, _primes(units), tolerance_ang, step)
        if not prime:
            return crystal
        crystal = _folded(crystal, step, prime)
    return crystal


def may_fold(crystal: Crystal, tolerance_ang: float) -> bool:
    """Whether some translation takes every atom near one of its species: along each axis of the given cell no further
    than the tolerance (Å). Without one, pymatgen's ``get_primitive_structure`` of half that tolerance finds nothing."""
    kinds = np.empty(len(crystal), np.int64)
    return _rank(crystal.numbers, kinds) > 1 and bool(
        _has_near_step(crystal.lattice, crystal.frac_coords, kinds, tolerance_ang)
    )


def _primes(number: int) -> NDArray[np.int64]:
    """Prime factors, each once."""
    primes, factor = [], 2
    while number > 1:
        if number % factor == 0:
            primes.append(factor)
            while number % factor == 0:
                number //= factor
        factor += 1
    return np.array(primes, dtype=np.int64)


def _folded(crystal: Crystal, step: NDArray[np.int64], prime: int) -> Crystal:
    """The cell that the translation ``step / prime`` (fractions) makes ``prime`` times smaller."""
    axis = int(np.flatnonzero(step % prime)[0])
    basis = np.eye(3)
    basis[axis] = (pow(int(step[axis]), -1, prime) * step % prime) / prime
    first, means = np.zeros(len(crystal), np.bool_), np.zeros((len(crystal), 3))
    _orbits(crystal.lattice, crystal.frac_coords, crystal.numbers, step / prime, prime, np.inf, first, means)
    return Crystal.of(basis @ crystal.lattice, means[first] @ np.linalg.inv(basis), crystal.numbers[first])


@numba.njit(cache=True, error_model="numpy")
def _rank(numbers, kinds):  # type: ignore[no-untyped-def]
    """Fill species from 0, the rarest first, so that the kernels try the fewest steps. Returns how many formula units
    there are: the greatest common divisor of the numbers of atoms of each element."""
    counts = np.zeros(256, np.int64)
    for number in numbers:
        counts[number] += 1
    present = np.flatnonzero(counts)
    units = 0
    for number in present:
        units = np.gcd(units, counts[number])
    ranks = np.zeros(256, np.int64)
    for number in present:
        for other in present:
            if counts[other] < counts[number] or (counts[other] == counts[number] and other < number):
                ranks[number] += 1
    for site in range(len(numbers)):
        kinds[site] = ranks[numbers[site]]
    return units


@numba.njit(cache=True, error_model="numpy")
def _best_step(lattice, frac, kinds, primes, tolerance, best_step):  # type: ignore[no-untyped-def]
    """The prime whose p-th part of a lattice vector fits best as a translation, 0 where none does; fills the vector."""
    best, best_prime = tolerance * tolerance, 0
    first, means = np.zeros(len(frac), np.bool_), np.zeros((len(frac), 3))
    origin = np.argmin(kinds)
    for prime in primes:
        for site in range(len(frac)):
            if kinds[site] != 0 or site == origin:
                continue
            apart = frac[site] - frac[origin]
            step = np.round(prime * apart).astype(np.int64)
            if (step % prime == 0).all() or _square(apart - step / prime, lattice) > 4.0 * best:
                continue
            worst = _orbits(lattice, frac, kinds, step / prime, prime, best, first, means)
            if worst < best:
                best, best_prime = worst, prime
                best_step[:] = step % prime
    return best_prime


@numba.njit(cache=True, error_model="numpy")
def _orbits(lattice, frac, kinds, translation, order, limit, first, means):  # type: ignore[no-untyped-def]
    """The largest squared distance (Å²) of an atom from the mean of its orbit, moved back; infinite above ``limit``.

    Fills for each orbit the mean at its first atom. Each step goes to the nearest atom of the kind that is still free.
    """
    n_sites, worst = len(frac), 0.0
    free = np.ones(n_sites, np.bool_)
    first[:] = False
    orbit = np.empty((order, 3))
    for start in range(n_sites):
        if not free[start]:
            continue
        first[start], free[start] = True, False
        orbit[0] = frac[start]
        for length in range(1, order):
            at = orbit[length - 1] + translation  # where the next one would stand exactly
            nearest, found = 4.0 * limit, -1
            for site in range(n_sites):
                if free[site] and kinds[site] == kinds[start]:
                    squared = _square(frac[site] - at, lattice)
                    if squared <= nearest:
                        nearest, found = squared, site
            if found < 0:
                return np.inf
            free[found] = False
            orbit[length] = at + _wrapped(frac[found] - at)
        for length in range(order):
            orbit[length] -= length * translation
        for axis in range(3):
            means[start, axis] = orbit[:, axis].mean()
        for length in range(order):
            worst = max(worst, _square(orbit[length] - means[start], lattice))
        if worst > limit:
            return np.inf
    return worst


@numba.njit(cache=True, error_model="numpy")
def _wrapped(apart):  # type: ignore[no-untyped-def]
    return apart - np.round(apart)


@numba.njit(cache=True, error_model="numpy")
def _square(apart, lattice):  # type: ignore[no-untyped-def]
    """Å² of a difference of fractions, wrapped; exact where that is much smaller than the cell."""
    total = 0.0
    for axis in range(3):
        part = 0.0
        for row in range(3):
            part += (apart[row] - np.round(apart[row])) * lattice[row, axis]
        total += part * part
    return total


@numba.njit(cache=True, error_model="numpy")
def _has_near_step(lattice, frac, kinds, tolerance_ang):  # type: ignore[no-untyped-def]
    tolerance = np.empty(3)  # fractions along each axis
    for axis in range(3):
        tolerance[axis] = tolerance_ang / np.sqrt(np.dot(lattice[axis], lattice[axis]))
    origin = np.argmin(kinds)
    for site in range(len(frac)):
        if kinds[site] == 0 and site != origin and _is_near_step(frac, kinds, frac[site] - frac[origin], tolerance):
            return True
    return False


@numba.njit(cache=True, error_model="numpy")
def _is_near_step(frac, kinds, step, tolerance):  # type: ignore[no-untyped-def]
    """Whether every atom comes near one of its kind."""
    for site in range(len(frac)):
        found = False
        for other in range(len(frac)):
            if kinds[other] != kinds[site]:
                continue
            near = True
            for axis in range(3):
                apart = frac[other, axis] - frac[site, axis] - step[axis]
                near = near and abs(apart - np.round(apart)) <= tolerance[axis]
            if near:
                found = True
                break
        if not found:
            return False
    return True
