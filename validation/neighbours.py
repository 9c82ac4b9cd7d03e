"""Which atoms of a periodic crystal are near each other, and whether they hold together in three directions.

Everything is counted on the reduced lattice, where the images within reach are fewest. The work grows with
reach³ / volume × sites²: bound sites, volume an atom and aspect ratio first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from validation.crystal import Crystal
from validation.lattices import reduced_lattice

_ZERO_ANG = 1e-9
_PAIRS_AN_ATOM = 40  # room for as many at first; a 5 Å sphere of a typical crystal holds twice as many, shared by two

_Floats = NDArray[np.float64]
_Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ReducedCell:
    """The sites of a crystal in its reduced lattice. lattice: Å, shape (3, 3); frac_coords: (n, 3), within [0, 1]."""

    lattice: _Floats
    frac_coords: _Floats

    @classmethod
    def of(cls, crystal: Crystal) -> ReducedCell:
        lattice, frac = np.ascontiguousarray(crystal.lattice), np.ascontiguousarray(crystal.frac_coords)
        reduced = reduced_lattice(lattice)
        return cls(reduced, _moved(frac, lattice, reduced))


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairs of atoms within a cutoff, each once, an atom and its own images included; all arrays have n_pairs rows.

    first, second: indices of sites. offsets: whole cells of the *reduced* lattice between the two, shape (n, 3).
    distances: Å.
    """

    first: _Ints
    second: _Ints
    offsets: _Ints
    distances: _Floats


@dataclass(frozen=True, slots=True)
class Contact:
    """Two sites, or one and its own image. distance and limit: Å; the limit is what the two should keep."""

    first: int
    second: int
    distance: float
    limit: float


def neighbour_pairs(crystal: Crystal, cutoff_ang: float) -> Pairs:
    """Every pair within the cutoff."""
    cell = ReducedCell.of(crystal)
    room = _PAIRS_AN_ATOM * len(crystal)
    while True:
        sites = np.empty((room, 2), dtype=np.int64)
        offsets = np.empty((room, 3), dtype=np.int64)
        distances = np.empty(room)
        found = _pairs(cell.lattice, cell.frac_coords, cutoff_ang, sites, offsets, distances)
        if found <= room:
            return Pairs(sites[:found, 0], sites[:found, 1], offsets[:found], distances[:found])
        room = found


def closest_contact(cell: ReducedCell, radii: _Floats, ratio: float) -> Contact | None:
    """Of the pairs nearer than ``ratio`` × the sum of their radii (Å, shape (n,)), the one that is nearest by it."""
    first, second, distance = _closest(cell.lattice, cell.frac_coords, radii, ratio)
    if first < 0:
        return None
    return Contact(int(first), int(second), float(distance), ratio * float(radii[first] + radii[second]))


def bonded_directions(cell: ReducedCell, radii: _Floats, *, bond_ang: float, ratio: float) -> tuple[bool, int]:
    """``periodic_directions`` by bonds up to ``bond_ang`` or ``ratio`` × the sum of the radii, whichever is longer.

    Looks at no more pairs than it needs to.
    """
    connected, directions = _bonded(cell.lattice, cell.frac_coords, radii, bond_ang, ratio)
    return bool(connected), int(directions)


def periodic_directions(n_sites: int, pairs: Pairs) -> tuple[bool, int]:
    """Whether bonds connect all sites, and in how many independent directions they run through the crystal (0 to 3).

    Where they do not connect all, the directions are those of the piece that holds the first site.
    """
    first, second = np.ascontiguousarray(pairs.first), np.ascontiguousarray(pairs.second)
    connected, directions = _directions(n_sites, first, second, np.ascontiguousarray(pairs.offsets))
    return bool(connected), int(directions)


@numba.njit(cache=True, error_model="numpy")
def _moved(frac: _Floats, lattice: _Floats, reduced: _Floats) -> _Floats:
    """Fractions of one lattice's vectors as fractions of another's, wrapped."""
    normals = _normals(reduced)
    moved = np.empty_like(frac)
    for site in range(len(frac)):
        for axis in range(3):
            total = 0.0
            for row in range(3):
                along = 0.0
                for xyz in range(3):
                    along += lattice[row, xyz] * normals[axis, xyz]
                total += frac[site, row] * along
            moved[site, axis] = total - np.floor(total)
    return moved


@numba.njit(cache=True, error_model="numpy")
def _normals(lattice: _Floats) -> _Floats:
    """Reciprocal vectors without 2π, one a row: 1 over their lengths are the distances of the cell's faces."""
    normals = np.empty((3, 3))
    for row in range(3):
        u, v = lattice[(row + 1) % 3], lattice[(row + 2) % 3]
        for xyz in range(3):
            y, z = (xyz + 1) % 3, (xyz + 2) % 3
            normals[row, xyz] = u[y] * v[z] - u[z] * v[y]
    volume = lattice[0, 0] * normals[0, 0] + lattice[0, 1] * normals[0, 1] + lattice[0, 2] * normals[0, 2]
    reciprocal: _Floats = normals / volume
    return reciprocal


@numba.njit(cache=True, error_model="numpy")
def _inverse_heights(lattice: _Floats) -> _Floats:
    normals = _normals(lattice)
    steepness: _Floats = np.sqrt((normals * normals).sum(axis=1))
    return steepness


@numba.njit(cache=True, error_model="numpy")
def _room(steepness: _Floats, reach: float) -> int:
    """How many images of one site can be within reach of a point, at most."""
    room = 1
    for axis in range(3):
        room *= int(2.0 * reach * steepness[axis]) + 2
    return room


@numba.njit(cache=True, error_model="numpy")
def _images(
    lattice: _Floats, steepness: _Floats, frac: _Floats, i: int, j: int, reach: float, offsets: _Ints, squared: _Floats
) -> int:
    """Writes the offsets of all images of site j within reach of site i, and the squared distances; returns how many.

    steepness: 1 over the distances of the cell's faces. Scalars throughout: an array a pair would cost more than the
    distances.
    """
    da, db, dc = frac[j, 0] - frac[i, 0], frac[j, 1] - frac[i, 1], frac[j, 2] - frac[i, 2]
    span_a, span_b, span_c = reach * steepness[0], reach * steepness[1], reach * steepness[2]
    first_c, last_c = int(np.ceil(-span_c - dc)), int(np.floor(span_c - dc))
    if first_c > last_c:
        return 0
    first_b, last_b = int(np.ceil(-span_b - db)), int(np.floor(span_b - db))
    count = 0
    for a in range(int(np.ceil(-span_a - da)), int(np.floor(span_a - da)) + 1):
        for b in range(first_b, last_b + 1):
            u, v = da + a, db + b
            x = u * lattice[0, 0] + v * lattice[1, 0]
            y = u * lattice[0, 1] + v * lattice[1, 1]
            z = u * lattice[0, 2] + v * lattice[1, 2]
            for c in range(first_c, last_c + 1):
                w = dc + c
                dx, dy, dz = x + w * lattice[2, 0], y + w * lattice[2, 1], z + w * lattice[2, 2]
                distance = dx * dx + dy * dy + dz * dz
                if distance <= reach * reach:
                    offsets[count, 0], offsets[count, 1], offsets[count, 2] = a, b, c
                    squared[count] = distance
                    count += 1
    return count


@numba.njit(cache=True, error_model="numpy")
def _is_second_half(a: int, b: int, c: int) -> bool:
    """Of each v and -v, and zero, all but one v: an atom is bonded to its images in both directions at once."""
    if a != 0:
        return a < 0
    if b != 0:
        return b < 0
    return c <= 0


@numba.njit(cache=True, error_model="numpy")
def _pairs(lattice: _Floats, frac: _Floats, reach: float, sites: _Ints, offsets: _Ints, distances: _Floats) -> int:
    """Writes all pairs for which there is room and returns how many there are."""
    steepness = _inverse_heights(lattice)
    room = _room(steepness, reach)
    images, squared = np.empty((room, 3), dtype=np.int64), np.empty(room)
    found = 0
    for i in range(len(frac)):
        for j in range(i, len(frac)):
            for k in range(_images(lattice, steepness, frac, i, j, reach, images, squared)):
                if i == j and _is_second_half(images[k, 0], images[k, 1], images[k, 2]):
                    continue
                if found < len(distances):
                    sites[found, 0], sites[found, 1] = i, j
                    for axis in range(3):
                        offsets[found, axis] = images[k, axis]
                    distances[found] = max(np.sqrt(squared[k]), _ZERO_ANG)
                found += 1
    return found


@numba.njit(cache=True, error_model="numpy")
def _closest(lattice: _Floats, frac: _Floats, radii: _Floats, ratio: float) -> tuple[int, int, float]:
    """Sites and distance of the pair that is least in distance over radii, if below the ratio; else -1, -1, inf."""
    steepness = _inverse_heights(lattice)
    room = _room(steepness, 2.0 * ratio * radii.max())
    images, squared = np.empty((room, 3), dtype=np.int64), np.empty(room)
    first, second, nearest, least = -1, -1, np.inf, np.inf
    for i in range(len(frac)):
        for j in range(i, len(frac)):
            radius = radii[i] + radii[j]
            for k in range(_images(lattice, steepness, frac, i, j, ratio * radius, images, squared)):
                if i == j and _is_second_half(images[k, 0], images[k, 1], images[k, 2]):
                    continue
                distance = np.sqrt(squared[k])
                if distance < ratio * radius and distance / radius < least:
                    first, second, nearest, least = i, j, distance, distance / radius
    return first, second, nearest


@numba.njit(cache=True, error_model="numpy")
def _bonded(lattice: _Floats, frac: _Floats, radii: _Floats, bond: float, ratio: float) -> tuple[bool, int]:
    """Atoms and their own images first: the translations of a small cell are all the directions that there are."""
    steepness = _inverse_heights(lattice)
    room = _room(steepness, max(bond, 2.0 * ratio * radii.max()))
    images, squared = np.empty((room, 3), dtype=np.int64), np.empty(room)
    n = len(frac)
    parent, cell, rank, basis = _apart(n)
    pieces = n
    for step in range(n):
        for i in range(n - step):
            j = i + step
            reach = max(bond, ratio * (radii[i] + radii[j]))
            for k in range(_images(lattice, steepness, frac, i, j, reach, images, squared)):
                pieces -= _bind(i, j, images, k, parent, cell, rank, basis)
            if pieces == 1 and rank[_root(0, parent, cell)] == 3:
                return True, 3
    return pieces == 1, rank[_root(0, parent, cell)]


@numba.njit(cache=True, error_model="numpy")
def _directions(n: int, first: _Ints, second: _Ints, offsets: _Ints) -> tuple[bool, int]:
    parent, cell, rank, basis = _apart(n)
    pieces = n
    for bond in range(len(first)):
        pieces -= _bind(first[bond], second[bond], offsets, bond, parent, cell, rank, basis)
    return pieces == 1, rank[_root(0, parent, cell)]


@numba.njit(cache=True, error_model="numpy")
def _apart(n: int) -> tuple[_Ints, _Ints, _Ints, _Ints]:
    """Every site a piece of its own: parent, cell relative to the parent's, and of each root rank and translations."""
    return np.arange(n), np.zeros((n, 3), np.int64), np.zeros(n, np.int64), np.zeros((n, 3, 3), np.int64)


@numba.njit(cache=True, error_model="numpy")
def _root(site: int, parent: _Ints, cell: _Ints) -> int:
    """The root of the site's piece; afterwards ``cell[site]`` is relative to it, unless the site is the root."""
    while parent[parent[site]] != parent[site]:
        above = parent[site]
        for axis in range(3):
            cell[site, axis] += cell[above, axis]
        parent[site] = parent[above]
    return int(parent[site])


@numba.njit(cache=True, error_model="numpy")
def _bind(i: int, j: int, offsets: _Ints, k: int, parent: _Ints, cell: _Ints, rank: _Ints, basis: _Ints) -> int:
    """Adds the bond from site i to site j in the cell at offset k; returns 1 where it joins two pieces, else 0.

    Union-find in which each site knows in which cell it lies, seen from its root. A bond within a piece closes a cycle;
    what its cells do not add up to zero by is a translation that leads along bonds from an atom to its own image.
    """
    mine, yours = _root(i, parent, cell), _root(j, parent, cell)
    x = cell[i, 0] + offsets[k, 0] - cell[j, 0]  # from my root's cell to that of yours
    y = cell[i, 1] + offsets[k, 1] - cell[j, 1]
    z = cell[i, 2] + offsets[k, 2] - cell[j, 2]
    if mine == yours:
        _add_translation(mine, x, y, z, rank, basis)
        return 0
    parent[yours] = mine
    cell[yours, 0], cell[yours, 1], cell[yours, 2] = x, y, z
    for known in range(rank[yours]):
        _add_translation(mine, basis[yours, known, 0], basis[yours, known, 1], basis[yours, known, 2], rank, basis)
    return 1


@numba.njit(cache=True, error_model="numpy")
def _add_translation(root: int, x: int, y: int, z: int, rank: _Ints, basis: _Ints) -> None:
    """Keeps the vector where it is independent of those that the piece has; whole numbers, so exactly."""
    known = rank[root]
    if known == 3:
        return
    new = x != 0 or y != 0 or z != 0
    if known == 1:
        u, v, w = basis[root, 0, 0], basis[root, 0, 1], basis[root, 0, 2]
        new = v * z != w * y or w * x != u * z or u * y != v * x
    elif known == 2:
        u, v, w = basis[root, 0, 0], basis[root, 0, 1], basis[root, 0, 2]
        p, q, r = basis[root, 1, 0], basis[root, 1, 1], basis[root, 1, 2]
        new = x * (v * r - w * q) + y * (w * p - u * r) + z * (u * q - v * p) != 0
    if new:
        basis[root, known, 0], basis[root, known, 1], basis[root, known, 2] = x, y, z
        rank[root] += 1
