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
from validation.mean_distances import K_ALL, K_PAIR, N_LENGTHS, describe
from validation.rules import Tolerances

FINGERPRINT_VERSION = 1
N_PROJECTIONS = 3

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
        distances = np.zeros(K_ALL + K_PAIR * (kinds * (kinds + 1) // 2))
        lengths = np.zeros(N_LENGTHS)
        lattice = reduced_lattice(crystal.lattice)
        describe(lattice, crystal.lattice, crystal.frac_coords, crystal.numbers, distances, lengths)
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
        if len(numbers) < N_LENGTHS + K_ALL + K_PAIR:
            raise ValueError(f"a packed fingerprint has at least {4 * (N_LENGTHS + K_ALL + K_PAIR)} bytes")
        return cls(key, numbers[N_LENGTHS:], numbers[:N_LENGTHS])


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
    n_values = len(query) - N_LENGTHS
    most = limit_distances * limit_distances * n_values
    found = 0
    for row in range(len(others)):
        is_near = True
        for column in range(N_LENGTHS):
            if abs(others[row, column] - query[column]) > limit_lengths:
                is_near = False
                break
        total = 0.0
        if is_near:
            for column in range(N_LENGTHS, len(query)):
                difference = float(others[row, column]) - float(query[column])
                total += difference * difference
                if total > most:
                    is_near = False
                    break
        if is_near:
            rows[found], apart[found] = row, np.sqrt(total / n_values)
            found += 1
    return found
