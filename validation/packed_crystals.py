"""Many packed crystals unpacked at once: ``Crystal.unpack`` one by one costs ten times as much."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from validation.crystal import PACK_MAGIC, Crystal

_HEAD, _LATTICE, _SITE, _PLACE = 8, 72, 25, 24  # bytes, as `Crystal.pack` writes them


@dataclass(frozen=True, slots=True)
class Cells:
    """n crystals; the sites of all of them one after the other."""

    n_sites: NDArray[np.int64]  # (n,)
    lattices: NDArray[np.float64]  # Å, (n, 3, 3), one vector a row
    cart_coords: NDArray[np.float64]  # Å, (sum of n_sites, 3)
    numbers: NDArray[np.uint8]  # atomic numbers, (sum of n_sites,)


def cells_of(blobs: Sequence[bytes]) -> Cells:
    """Of crystals as ``Crystal.pack`` writes them, exact to the last bit. Raises ValueError where one is none."""
    lengths = np.fromiter(map(len, blobs), np.int64, len(blobs))
    n_sites = np.maximum(lengths - _HEAD - _LATTICE, 0) // _SITE
    starts, total = np.cumsum(n_sites) - n_sites, int(n_sites.sum())
    cells = Cells(n_sites, np.empty((len(blobs), 3, 3)), np.empty((total, 3)), np.empty(total, np.uint8))
    for length in np.unique(lengths).tolist():
        rows = np.flatnonzero(lengths == length)
        _unpack([blobs[row] for row in rows.tolist()], rows, starts[rows], cells)
    return cells


def _unpack(alike: Sequence[bytes], rows: NDArray[np.int64], starts: NDArray[np.int64], cells: Cells) -> None:
    """Crystals of as many sites each, into these rows, and their sites from these places on."""
    n_sites = int(cells.n_sites[rows[0]])
    packed = np.frombuffer(b"".join(alike), np.uint8).reshape(len(alike), -1)
    _check(alike, packed, n_sites)
    end = _HEAD + _LATTICE + _PLACE * n_sites
    lattices = _reals(packed[:, _HEAD : _HEAD + _LATTICE]).reshape(len(alike), 3, 3)
    fractions = _reals(packed[:, _HEAD + _LATTICE : end]).reshape(len(alike), n_sites, 3)
    sites = starts[:, None] + np.arange(n_sites)
    cells.lattices[rows] = lattices
    cells.cart_coords[sites] = fractions @ lattices
    cells.numbers[sites] = packed[:, end:]


def _check(alike: Sequence[bytes], packed: NDArray[np.uint8], n_sites: int) -> None:
    head = np.frombuffer(PACK_MAGIC + struct.pack("<I", n_sites), np.uint8)
    fits = packed.shape[1] == _HEAD + _LATTICE + _SITE * n_sites
    if not fits or not np.array_equal(packed[:, :_HEAD], np.broadcast_to(head, (len(alike), _HEAD))):
        for blob in alike:
            Crystal.unpack(blob)  # says what is wrong with it
        raise AssertionError("Crystal.unpack reads what is refused here")


def _reals(packed: NDArray[np.uint8]) -> NDArray[np.float64]:
    return np.ascontiguousarray(packed).view("<f8")
