"""The numbers of a fingerprint, compiled: mean distances of the nearest atoms, and the shortest lattice vectors."""

from __future__ import annotations

import numba
import numpy as np

K_ALL = 48  # neighbours of any species
K_PAIR = 10  # neighbours of one species
N_LENGTHS = 13  # of the shortest lattice vectors, one of v and -v: 26 vectors
_LEEWAY = 1.3  # volume searched at first, over that which holds as many neighbours on average
_GROWTH = 1.26  # of the radius where that was not enough: twice the volume
_N_BOXES = 64  # into which distances are sorted; about as many as are within reach


@numba.njit(cache=True, error_model="numpy")
def describe(reduced, lattice, frac, numbers, distances, lengths):  # type: ignore[no-untyped-def]
    """Fill ``distances`` and ``lengths``. frac: in ``lattice``, of which ``reduced`` (Å) is another basis."""
    cell = _upright(reduced)
    volume = cell[0, 0] * cell[1, 1] * cell[2, 2]
    frac = frac @ lattice @ np.linalg.inv(reduced)
    _add_up(cell, volume, frac - np.floor(frac), numbers, distances)
    distances /= (volume / len(frac)) ** (1 / 3)
    reach = _radius_of(2 * N_LENGTHS, volume)
    while not _shortest(cell, reach, lengths):
        reach *= _GROWTH
    for index in range(N_LENGTHS):
        lengths[index] = 0.5 * np.log(lengths[index]) - np.log(volume) / 3


@numba.njit(cache=True, error_model="numpy")
def _add_up(cell, volume, frac, numbers, distances):  # type: ignore[no-untyped-def]
    """Fill the mean distances, Å. Sites for which the reach is too small are looked at again with a larger one."""
    n_sites = len(frac)
    species, counts = _species(numbers)
    reaches = np.empty(len(counts) + 1)  # Å, by species; the last one for neighbours of any
    reaches[-1] = _radius_of(K_ALL, volume / n_sites)
    for kind in range(len(counts)):
        reaches[kind] = max(reaches[-1], _radius_of(K_PAIR, volume / counts[kind]))
    nearest, by_species = np.empty(K_ALL), np.empty((len(counts), K_PAIR))
    done = np.zeros(n_sites, np.bool_)
    while not done.all():
        points, begins, home = _points_around(cell, frac, species, reaches)
        squares, kinds = np.empty((3, begins[-1])), np.empty((2, begins[-1]), np.int64)
        for site in range(n_sites):
            if done[site]:
                continue
            found = _within(points, begins, home[site], reaches, squares, kinds)
            _sort(squares, kinds, found, reaches.max() ** 2)
            if _neighbours(squares[2], kinds[1], found, reaches[-1] ** 2, nearest, by_species):
                _add(nearest, by_species, species[site], distances)
                done[site] = True
        reaches *= _GROWTH
    _divide(distances, counts, n_sites)


@numba.njit(cache=True, error_model="numpy")
def _species(numbers):  # type: ignore[no-untyped-def]
    """Species from 0 in the order of atomic numbers, and how many atoms each has."""
    atoms_of = np.zeros(256, np.int64)
    for number in numbers:
        atoms_of[number] += 1
    kind_of, n_kinds = np.zeros(256, np.int64), 0
    for number in range(256):
        if atoms_of[number]:
            kind_of[number] = n_kinds
            n_kinds += 1
    species, counts = np.empty(len(numbers), np.int64), np.zeros(n_kinds, np.int64)
    for site in range(len(numbers)):
        species[site] = kind_of[numbers[site]]
        counts[species[site]] += 1
    return species, counts


@numba.njit(cache=True, error_model="numpy")
def _upright(lattice):  # type: ignore[no-untyped-def]
    """The same cell turned: a along x, b in the xy plane, c anywhere above it; mirrored where it was left-handed."""
    a, b, c = lattice[0], lattice[1], lattice[2]
    cell = np.zeros((3, 3))
    cell[0, 0] = np.sqrt(np.dot(a, a))
    cell[1, 0] = np.dot(a, b) / cell[0, 0]
    cell[2, 0] = np.dot(a, c) / cell[0, 0]
    cell[1, 1] = np.sqrt(np.dot(b, b) - cell[1, 0] ** 2)
    cell[2, 1] = (np.dot(b, c) - cell[1, 0] * cell[2, 0]) / cell[1, 1]
    cell[2, 2] = np.sqrt(np.dot(c, c) - cell[2, 0] ** 2 - cell[2, 1] ** 2)
    return cell


@numba.njit(cache=True, error_model="numpy")
def _radius_of(n_neighbours, volume_of_one):  # type: ignore[no-untyped-def]
    """Å; of a sphere that holds so many on average, and some leeway."""
    return (0.75 / np.pi * _LEEWAY * n_neighbours * volume_of_one) ** (1 / 3)


@numba.njit(cache=True, error_model="numpy")
def _points_around(cell, frac, species, reaches):  # type: ignore[no-untyped-def]
    """All atoms, images included, that may be within reach of a site of the cell: positions in Å, shape (3, m), species
    by species; where each begins, shape (kinds + 1,); which of them the sites themselves are, shape (n,)."""
    n_kinds = len(reaches) - 1
    across = _shares_of_a_length(cell)
    lowest, highest = np.empty(3), np.empty(3)
    for axis in range(3):
        lowest[axis], highest[axis] = frac[:, axis].min(), frac[:, axis].max()
    room = 0
    for other in range(len(frac)):
        per_site = 1
        for axis in range(3):
            per_site *= 2 + int(highest[axis] - lowest[axis] + 2.0 * reaches[species[other]] * across[axis])
        room += per_site
    points, begins, home = np.empty((3, room)), np.empty(n_kinds + 1, np.int64), np.empty(len(frac), np.int64)
    found = 0
    low, high, at = np.empty(3, np.int64), np.empty(3, np.int64), np.empty(3)
    for kind in range(n_kinds):
        begins[kind] = found
        for other in range(len(frac)):
            if species[other] != kind:
                continue
            for axis in range(3):
                reach = reaches[kind] * across[axis]
                low[axis] = int(np.ceil(lowest[axis] - reach - frac[other, axis]))
                high[axis] = int(np.floor(highest[axis] + reach - frac[other, axis]))
            for c in range(low[2], high[2] + 1):
                at[2] = frac[other, 2] + c
                for b in range(low[1], high[1] + 1):
                    at[1] = frac[other, 1] + b
                    shift = at[1] * cell[1, 0] + at[2] * cell[2, 0]
                    y, z = at[1] * cell[1, 1] + at[2] * cell[2, 1], at[2] * cell[2, 2]
                    for a in range(low[0], high[0] + 1):
                        if a == 0 and b == 0 and c == 0:
                            home[other] = found
                        x = (frac[other, 0] + a) * cell[0, 0] + shift
                        points[0, found], points[1, found], points[2, found] = x, y, z
                        found += 1
    begins[n_kinds] = found
    return points, begins, home


@numba.njit(cache=True, error_model="numpy")
def _shares_of_a_length(cell):  # type: ignore[no-untyped-def]
    """1/Å: how far along each vector, in fractions, a sphere of radius 1 Å reaches."""
    inverse, shares = np.linalg.inv(cell), np.empty(3)
    for axis in range(3):
        shares[axis] = np.sqrt(inverse[0, axis] ** 2 + inverse[1, axis] ** 2 + inverse[2, axis] ** 2)
    return shares


@numba.njit(cache=True, error_model="numpy")
def _within(points, begins, home, reaches, squares, kinds):  # type: ignore[no-untyped-def]
    """How many of the points are within reach of one of them, ``home``. Fills their squared distances (the second row
    of ``squares``; the first is room for those of all points) and species (the first row of ``kinds``)."""
    x, y, z = points[0, home], points[1, home], points[2, home]
    for place in range(begins[-1]):
        squares[0, place] = (points[0, place] - x) ** 2 + (points[1, place] - y) ** 2 + (points[2, place] - z) ** 2
    squares[0, home] = np.inf  # itself
    found = 0
    for kind in range(len(begins) - 1):
        most = reaches[kind] ** 2
        for place in range(begins[kind], begins[kind + 1]):
            squares[1, found], kinds[0, found] = squares[0, place], kind  # to be written over, rather than a branch
            found += squares[0, place] <= most
    return found


@numba.njit(cache=True, error_model="numpy")
def _sort(squares, kinds, count, most):  # type: ignore[no-untyped-def]
    """From the rows that ``_within`` fills into the last ones, ascending: first into boxes of equal width, which are
    few values each, and then by insertion."""
    ends = np.zeros(_N_BOXES + 1, np.int64)
    scale = (_N_BOXES - 1) / most
    for place in range(count):
        ends[int(squares[1, place] * scale) + 1] += 1
    for box in range(_N_BOXES):
        ends[box + 1] += ends[box]
    for place in range(count):
        box = int(squares[1, place] * scale)
        squares[2, ends[box]], kinds[1, ends[box]] = squares[1, place], kinds[0, place]
        ends[box] += 1
    for place in range(1, count):
        square, kind, at = squares[2, place], kinds[1, place], place
        while at > 0 and squares[2, at - 1] > square:
            squares[2, at], kinds[1, at] = squares[2, at - 1], kinds[1, at - 1]
            at -= 1
        squares[2, at], kinds[1, at] = square, kind


@numba.njit(cache=True, error_model="numpy")
def _neighbours(squares, kinds, count, most, nearest, by_species):  # type: ignore[no-untyped-def]
    """Fill the nearest ones, in all and by species, from what is sorted; False where there are too few within reach,
    which is the root of ``most`` (Å²) for those of any species."""
    if count < K_ALL or squares[K_ALL - 1] > most:
        return False
    nearest[:] = squares[:K_ALL]
    taken = np.zeros(len(by_species), np.int64)
    for place in range(count):
        kind = kinds[place]
        if taken[kind] < K_PAIR:
            by_species[kind, taken[kind]] = squares[place]
            taken[kind] += 1
    return taken.min() == K_PAIR


@numba.njit(cache=True, error_model="numpy")
def _insert(ascending, value):  # type: ignore[no-untyped-def]
    """Put a value into its place; the last one falls out."""
    place = len(ascending) - 1
    while place > 0 and ascending[place - 1] > value:
        ascending[place] = ascending[place - 1]
        place -= 1
    ascending[place] = value


@numba.njit(cache=True, error_model="numpy")
def _add(nearest, by_species, kind, distances):  # type: ignore[no-untyped-def]
    """One site's share of the sums: over all sites, and over those of its species for each that is not before it."""
    n_species = len(by_species)
    for k in range(K_ALL):
        distances[k] += np.sqrt(nearest[k])
    begin = K_ALL + K_PAIR * (kind * n_species - kind * (kind - 1) // 2)
    for other in range(kind, n_species):
        for k in range(K_PAIR):
            distances[begin + k] += np.sqrt(by_species[other, k])
        begin += K_PAIR


@numba.njit(cache=True, error_model="numpy")
def _divide(distances, counts, n_sites):  # type: ignore[no-untyped-def]
    """Make means of the sums."""
    distances[:K_ALL] /= n_sites
    begin = K_ALL
    for kind in range(len(counts)):
        end = begin + K_PAIR * (len(counts) - kind)
        distances[begin:end] /= counts[kind]
        begin = end


@numba.njit(cache=True, error_model="numpy")
def _shortest(cell, reach, squares):  # type: ignore[no-untyped-def]
    """Squared lengths of the shortest lattice vectors, one of v and -v; False where ``reach`` is too small."""
    squares[:] = np.inf
    for c in range(int(reach / cell[2, 2]) + 1):
        z = c * cell[2, 2]
        left = reach * reach - z * z
        shift, half = c * cell[2, 1] / cell[1, 1], np.sqrt(max(left, 0.0)) / cell[1, 1]
        for b in range(int(np.ceil(-half - shift)) if c else 0, int(np.floor(half - shift)) + 1):
            y = (shift + b) * cell[1, 1]
            start = (b * cell[1, 0] + c * cell[2, 0]) / cell[0, 0]
            span = np.sqrt(max(left - y * y, 0.0)) / cell[0, 0]
            for a in range(int(np.ceil(-span - start)) if b or c else 1, int(np.floor(span - start)) + 1):
                x = (start + a) * cell[0, 0]
                squared = x * x + y * y + z * z
                if squared < squares[-1]:
                    _insert(squares, squared)
    return squares[-1] <= reach * reach
