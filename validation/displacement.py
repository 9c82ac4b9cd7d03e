"""How far a relaxation moved the atoms of a crystal."""

from __future__ import annotations

import numpy as np

from validation.crystal import Crystal


def displacement_rmsd_ang(start: Crystal, end: Crystal) -> float:
    """Root mean square displacement of the atoms, Å, without the deformation of the cell and without drift.

    Fractional coordinates are compared, each difference by its shortest image beside that of the first atom, in a cell
    whose vectors are the means of both; the sites must be in the same order.
    """
    moves = end.frac_coords - start.frac_coords
    moves -= moves[0]
    moves -= np.round(moves)
    moves -= moves.mean(axis=0)
    lengths = np.linalg.norm(moves @ (start.lattice + end.lattice) / 2, axis=1)
    return float(np.sqrt((lengths**2).mean()))
