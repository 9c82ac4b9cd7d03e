"""What two matching crystals have nearly in common, as numbers: the filters in front of the structure matcher.

A fingerprint does not depend on the choice of cell, origin, orientation, scale or the order of sites, and moves
continuously with the atoms. What the matcher matches has equal keys and lies within ``Limits``: docs/matching.md says
on how many pairs that was tried.

Average minimum distances: D. Widdowson et al., MATCH Commun. Math. Comput. Chem. 87, 529 (2022),
doi 10.46793/match.87-3.529W. The code here is our own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from validation.crystal import Crystal
from validation.lattices import reduced_lattice
from validation.rules import Tolerances

FINGERPRINT_VERSION = 1
N_PROJECTIONS = 3

_K_ALL = 48  # neighbours of any species
_K_PAIR = 10  # neighbours of one species
_N_LENGTHS = 13  # of the shortest lattice vectors, one of v and -v: 26 vectors
_LEEWAY = 1.3  # volume searched at first, over that which holds as many neighbours on average
_GROWTH = 1.26  # of the radius where that was not enough: twice the volume
_CONTRAST = np.array([1.0] * 4 + [-0.5] * 8) / np.sqrt(6.0)  # a unit vector


@dataclass(frozen=True, slots=True)
class Limits:
    """Beyond which two fingerprints cannot be of matching crystals. distances: of the root mean square difference;
    lengths: of the largest difference of two logarithms."""

    distances: float
    lengths: float

    @classmethod
    def of(cls, tolerances: Tolerances) -> Limits:
        """For the default rules 0.16 and 0.2 (duplicates), 0.032 and 0.04 (twins). Matching pairs at the matcher's own
        limit reach 0.116 and 0.157, 0.031 and 0.039: those where all angles of a nearly cubic cell open at once."""
        angle = 0.04 * tolerances.angle_tol
        return cls(0.8 * (tolerances.stol + 2.0 * tolerances.ltol), max(4.0 * tolerances.ltol, angle))

    @property
    def reaches(self) -> tuple[float, float, float]:
        """How far the projections of two fingerprints within the limits can lie apart."""
        return self.lengths, self.distances, self.lengths


def key_of(crystal: Crystal) -> str:
    """Reduced formula and number of atoms, as ``AuCu3:4``: only primitive cells of one key can match."""
    return f"{crystal.formula}:{len(crystal)}"


@dataclass(frozen=True, eq=False)
class Fingerprint:
    """Of one primitive cell.

    distances: means over the sites of the distances to the k-th nearest neighbours, k to 48, and for each pair of
    elements of those to the k-th nearest of the other one, k to 10; in units of (volume / atoms)^(1/3), float32,
    shape (d,), d the same for all of one key. lengths: natural logarithms of the 13 shortest lattice vectors (of v and
    -v one) over volume^(1/3), ascending, float32, shape (13,).
    """

    key: str
    distances: NDArray[np.float32]
    lengths: NDArray[np.float32]

    @classmethod
    def of(cls, crystal: Crystal) -> Fingerprint:
        """Of a crystal as it is given: two cells of one crystal have one fingerprint only if both are primitive."""
        kinds = len(crystal.formula.amounts)
        distances = np.zeros(_K_ALL + _K_PAIR * (kinds * (kinds + 1) // 2))
        lengths = np.zeros(_N_LENGTHS)
        lattice = reduced_lattice(crystal.lattice)
        _describe(lattice, crystal.lattice, crystal.frac_coords, crystal.numbers, distances, lengths)
        return cls(key_of(crystal), distances.astype(np.float32), lengths.astype(np.float32))

    def distance_to(self, other: Fingerprint) -> float:
        """Root mean square difference of the distances; needs equal keys."""
        return float(np.sqrt(np.mean(np.square(self.distances - other.distances), dtype=np.float64)))

    def lattice_distance_to(self, other: Fingerprint) -> float:
        """Largest difference of the logarithms of the lengths."""
        return float(np.abs(self.lengths - other.lengths).max())

    def is_near(self, other: Fingerprint, limits: Limits) -> bool:
        """Whether the matcher has to be asked about the two."""
        return (
            self.key == other.key
            and self.lattice_distance_to(other) <= limits.lengths
            and self.distance_to(other) <= limits.distances
        )

    @property
    def n_atoms(self) -> int:
        return int(self.key.rpartition(":")[2])

    @property
    def key_number(self) -> int:
        """The key as a signed 64-bit number, for an index. Two keys of one number do no harm but cost a comparison."""
        return int.from_bytes(hashlib.blake2b(self.key.encode(), digest_size=8).digest(), "big", signed=True)

    @property
    def projections(self) -> tuple[float, float, float]:
        """Three numbers to search for by ranges: fingerprints within ``Limits`` have them within ``Limits.reaches``.

        The shortest lattice vector, how sharply the first four neighbours are set off from the next eight (what
        differs most between known crystals), the fourth lattice vector.
        """
        contrast = float(_CONTRAST @ self.distances[: len(_CONTRAST)]) / np.sqrt(len(self.distances))
        return float(self.lengths[0]), float(contrast), float(self.lengths[3])

    def pack(self) -> bytes:
        """All but the key, as float32."""
        return self.lengths.astype("<f4").tobytes() + self.distances.astype("<f4").tobytes()

    @classmethod
    def unpack(cls, key: str, blob: bytes | memoryview) -> Fingerprint:
        """Raises ValueError where the bytes are not those of ``pack``."""
        numbers = np.frombuffer(bytes(blob), "<f4").astype(np.float32)
        if len(numbers) < _N_LENGTHS + _K_ALL + _K_PAIR:
            raise ValueError(f"a packed fingerprint has at least {4 * (_N_LENGTHS + _K_ALL + _K_PAIR)} bytes")
        return cls(key, numbers[_N_LENGTHS:], numbers[:_N_LENGTHS])


def near(
    mine: Fingerprint, others: NDArray[np.float32], limits: Limits
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Which of many fingerprints of the same key are near one, and how far their distances are apart.

    others: unpacked by ``stacked``, shape (n, d + 13). Returns row numbers and distances, shape (m,) each.
    """
    rows, apart = np.empty(len(others), np.int64), np.empty(len(others))
    query = np.concatenate([mine.lengths, mine.distances])
    found = _near(query, others, limits.lengths, limits.distances, rows, apart)
    return rows[:found], apart[:found]


def stacked(packed: Iterable[bytes | memoryview]) -> NDArray[np.float32]:
    """Packed fingerprints of one key as rows, shape (n, d + 13)."""
    blobs = [bytes(blob) for blob in packed]
    return np.frombuffer(b"".join(blobs), "<f4").astype(np.float32).reshape(len(blobs), -1)


@numba.njit(cache=True, error_model="numpy")
def _near(query, others, limit_lengths, limit_distances, rows, apart):  # type: ignore[no-untyped-def]
    """Fill the rows near the query and their distances; returns how many. A row is left as soon as it is too far."""
    n_values = len(query) - _N_LENGTHS
    most = limit_distances * limit_distances * n_values
    found = 0
    for row in range(len(others)):
        is_near = True
        for column in range(_N_LENGTHS):
            if abs(others[row, column] - query[column]) > limit_lengths:
                is_near = False
                break
        total = 0.0
        if is_near:
            for column in range(_N_LENGTHS, len(query)):
                difference = float(others[row, column]) - float(query[column])
                total += difference * difference
                if total > most:
                    is_near = False
                    break
        if is_near:
            rows[found], apart[found] = row, np.sqrt(total / n_values)
            found += 1
    return found


@numba.njit(cache=True, error_model="numpy")
def _describe(reduced, lattice, frac, numbers, distances, lengths):  # type: ignore[no-untyped-def]
    """Fill ``distances`` and ``lengths``. frac: in ``lattice``, of which ``reduced`` (Å) is another basis."""
    n_sites = len(frac)
    cell = _upright(reduced)
    volume = cell[0, 0] * cell[1, 1] * cell[2, 2]
    frac = frac @ lattice @ np.linalg.inv(reduced)
    frac = frac - np.floor(frac)
    species, counts = _species(numbers)
    reaches = np.empty(len(counts) + 1)  # Å, by species; the last one for neighbours of any
    reaches[-1] = _radius_of(_K_ALL, volume / n_sites)
    for kind in range(len(counts)):
        reaches[kind] = max(reaches[-1], _radius_of(_K_PAIR, volume / counts[kind]))
    nearest = np.empty(_K_ALL)
    by_species = np.empty((len(counts), _K_PAIR))
    for site in range(n_sites):
        factor = 1.0
        while not _neighbours(cell, frac, species, site, factor * reaches, nearest, by_species):
            factor *= _GROWTH
        _add(nearest, by_species, species[site], counts, n_sites, distances)
    distances /= (volume / n_sites) ** (1 / 3)
    reach = _radius_of(2 * _N_LENGTHS, volume)
    while not _shortest(cell, reach, lengths):
        reach *= _GROWTH
    for index in range(_N_LENGTHS):
        lengths[index] = 0.5 * np.log(lengths[index]) - np.log(volume) / 3


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
def _neighbours(cell, frac, species, site, reaches, nearest, by_species):  # type: ignore[no-untyped-def]
    """Squared distances from one site, ascending, in all and by species; False where the reaches are too small.

    Only points within reach are visited: the planes of c that cut the sphere, their rows of b, and of those the points.
    """
    nearest[:] = np.inf
    by_species[:] = np.inf
    for other in range(len(frac)):
        u, v, w = frac[other, 0] - frac[site, 0], frac[other, 1] - frac[site, 1], frac[other, 2] - frac[site, 2]
        own = by_species[species[other]]
        square = reaches[species[other]] ** 2
        top = reaches[species[other]] / cell[2, 2]
        for c in range(int(np.ceil(-top - w)), int(np.floor(top - w)) + 1):
            z = (w + c) * cell[2, 2]
            left = square - z * z
            if left < 0.0:
                continue
            shift, half = v + (w + c) * cell[2, 1] / cell[1, 1], np.sqrt(left) / cell[1, 1]
            for b in range(int(np.ceil(-half - shift)), int(np.floor(half - shift)) + 1):
                y = (shift + b) * cell[1, 1]
                rest = left - y * y
                if rest < 0.0:
                    continue
                start = u + ((v + b) * cell[1, 0] + (w + c) * cell[2, 0]) / cell[0, 0]
                span = np.sqrt(rest) / cell[0, 0]
                for a in range(int(np.ceil(-span - start)), int(np.floor(span - start)) + 1):
                    x = (start + a) * cell[0, 0]
                    squared = x * x + y * y + z * z
                    if other == site and a == 0 and b == 0 and c == 0:
                        continue
                    if squared < nearest[-1]:
                        _insert(nearest, squared)
                    if squared < own[-1]:
                        _insert(own, squared)
    enough = nearest[-1] <= reaches[-1] ** 2
    for kind in range(len(by_species)):
        enough = enough and by_species[kind, -1] <= reaches[kind] ** 2
    return enough


@numba.njit(cache=True, error_model="numpy")
def _insert(ascending, value):  # type: ignore[no-untyped-def]
    """Put a value into its place; the last one falls out."""
    place = len(ascending) - 1
    while place > 0 and ascending[place - 1] > value:
        ascending[place] = ascending[place - 1]
        place -= 1
    ascending[place] = value


@numba.njit(cache=True, error_model="numpy")
def _add(nearest, by_species, kind, counts, n_sites, distances):  # type: ignore[no-untyped-def]
    """One site's share of the means: over all sites, and over those of its species for each that is not before it."""
    n_species = len(counts)
    for k in range(_K_ALL):
        distances[k] += np.sqrt(nearest[k]) / n_sites
    begin = _K_ALL + _K_PAIR * (kind * n_species - kind * (kind - 1) // 2)
    for other in range(kind, n_species):
        for k in range(_K_PAIR):
            distances[begin + k] += np.sqrt(by_species[other, k]) / counts[kind]
        begin += _K_PAIR


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
