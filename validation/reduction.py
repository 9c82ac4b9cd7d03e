"""Smaller and better-shaped descriptions of the same crystal: its primitive cell and its reduced cell."""

from __future__ import annotations

import numpy as np

from validation.crystal import Crystal
from validation.lattices import niggli_lattice
from validation.translations import smallest_cell

SYMPREC_ANG = 0.01
LOOSE_SYMPREC_ANG = 0.1  # 0.05 Å of noise hides the small cell from the tight tolerance


def primitive(crystal: Crystal, *, symprec_ang: float = SYMPREC_ANG) -> Crystal:
    """The primitive cell, in the crystal's own orientation; the crystal itself where it has no smaller one."""
    smallest = smallest_cell(crystal, symprec_ang)
    return smallest if smallest is crystal else reduced(smallest)


def reduced(crystal: Crystal) -> Crystal:
    """The same crystal in its Niggli-reduced cell, not rotated."""
    lattice = niggli_lattice(crystal.lattice)
    return Crystal.of(lattice, crystal.cart_coords @ np.linalg.inv(lattice), crystal.numbers)
