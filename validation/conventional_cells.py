"""Primitive cells from conventional ones: space group, cell parameters and one site of each orbit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hull.entries import SYMBOLS

Site = tuple[float, float, float]


def primitive_sites(
    number: int, cell: Sequence[float], sites: Sequence[Site], kinds: Sequence[int], *, origin: int = 1
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Lattice (Å, shape (3, 3)), fractional coordinates (n, 3) and kind (n,) of every atom of the primitive cell.

    cell: a, b, c in Å and α, β, γ in degrees; rhombohedral groups in the hexagonal setting. kinds: of each site, from
    0. origin: the origin choice of the International Tables where there are two.
    """
    from ase.spacegroup import crystal  # late: only whoever builds references needs it

    stand_ins = [SYMBOLS[kind] for kind in kinds]
    atoms = crystal(stand_ins, sites, spacegroup=number, setting=origin, cellpar=cell, primitive_cell=True)
    return atoms.cell.array, atoms.get_scaled_positions(), np.asarray(atoms.numbers, dtype=np.int64) - 1


def cubic(a: float) -> tuple[float, ...]:
    return (a, a, a, 90, 90, 90)


def tetragonal(a: float, c: float) -> tuple[float, ...]:
    return (a, a, c, 90, 90, 90)


def hexagonal(a: float, c: float) -> tuple[float, ...]:
    return (a, a, c, 90, 90, 120)


def orthorhombic(a: float, b: float, c: float) -> tuple[float, ...]:
    return (a, b, c, 90, 90, 90)
