"""Which atoms of a periodic crystal are near each other, and whether they hold together in three directions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from validation.crystal import Crystal
from validation.reduction import reduced_lattice

_ZERO_ANG = 1e-9


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairs of atoms within a cutoff, each once, an atom and its own images included; all arrays have n_pairs rows.

    first, second: indices of sites. offsets: whole cells of the *reduced* lattice between the two, shape (n, 3).
    distances: Å.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    offsets: NDArray[np.int64]
    distances: NDArray[np.float64]


def neighbour_pairs(crystal: Crystal, cutoff_ang: float) -> Pairs:
    """Every pair within the cutoff.

    The work grows with cutoff³ / volume × sites²: bound sites, volume an atom and aspect ratio first.
    """
    lattice = reduced_lattice(crystal.lattice)
    frac = crystal.cart_coords @ np.linalg.inv(lattice)
    images = _images(lattice, cutoff_ang)
    i, j = np.triu_indices(len(crystal), k=1)
    apart = frac[j] - frac[i]
    wraps = np.round(apart).astype(np.int64)
    squared = _squared_distances((apart - wraps) @ lattice, images @ lattice)
    pair, image = np.nonzero(squared <= cutoff_ang**2)
    own = _own_images(images, lattice, cutoff_ang)
    atoms = np.arange(len(crystal), dtype=np.int64)
    return Pairs(
        first=np.concatenate([i[pair], np.repeat(atoms, len(own))]),
        second=np.concatenate([j[pair], np.repeat(atoms, len(own))]),
        offsets=np.concatenate([images[image] - wraps[pair], np.tile(own, (len(atoms), 1))]),
        distances=np.concatenate(
            [np.sqrt(squared[pair, image]), np.tile(np.linalg.norm(own @ lattice, axis=1), len(atoms))]
        ),
    )


def periodic_directions(n_sites: int, pairs: Pairs) -> tuple[bool, int]:
    """Whether bonds connect all sites, and in how many independent directions they run through the crystal (0 to 3).

    Walks a spanning tree and notes in which image it reached each site; each further bond then closes a cycle whose
    lattice translation is its offset between those images. The rank of the translations is the number of directions.
    """
    source = np.concatenate([pairs.first, pairs.second])
    target = np.concatenate([pairs.second, pairs.first])
    shift = np.concatenate([pairs.offsets, -pairs.offsets])
    cell = np.zeros((n_sites, 3), dtype=np.int64)
    reached = np.zeros(n_sites, dtype=bool)
    reached[0] = True
    while True:
        steps = np.flatnonzero(reached[source] & ~reached[target])
        if not len(steps):
            break
        sites, where = np.unique(target[steps], return_index=True)
        cell[sites] = cell[source[steps[where]]] + shift[steps[where]]
        reached[sites] = True
    cycles = (shift + cell[source] - cell[target])[reached[source]].astype(np.float64)
    return bool(reached.all()), int(np.linalg.matrix_rank(cycles.T @ cycles)) if len(cycles) else 0


def _images(lattice: NDArray[np.float64], cutoff_ang: float) -> NDArray[np.int64]:
    """Every whole-cell offset that can bring a wrapped pair within the cutoff, shape (n, 3)."""
    heights = 1.0 / np.linalg.norm(np.linalg.inv(lattice), axis=0)
    a, b, c = np.floor(cutoff_ang / heights + 0.5).astype(int)
    grid = np.meshgrid(np.arange(-a, a + 1), np.arange(-b, b + 1), np.arange(-c, c + 1), indexing="ij")
    return np.asarray(np.stack(grid, axis=-1).reshape(-1, 3), dtype=np.int64)


def _own_images(images: NDArray[np.int64], lattice: NDArray[np.float64], cutoff_ang: float) -> NDArray[np.int64]:
    """Half of the lattice vectors within the cutoff (never both v and -v), shape (n, 3)."""
    half = images[len(images) // 2 + 1 :]  # the grid is symmetric about its middle, the zero offset
    return np.asarray(half[np.linalg.norm(half @ lattice, axis=1) <= cutoff_ang], dtype=np.int64)


def _squared_distances(apart: NDArray[np.float64], images: NDArray[np.float64]) -> NDArray[np.float64]:
    """Å², shape (n_pairs, n_images); one matrix product instead of an (n_pairs, n_images, 3) array."""
    squared = (apart**2).sum(axis=1)[:, None] + (images**2).sum(axis=1)[None, :] + 2.0 * (apart @ images.T)
    return np.asarray(np.maximum(squared, _ZERO_ANG**2), dtype=np.float64)
