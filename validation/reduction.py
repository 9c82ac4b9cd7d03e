"""Smaller and better-shaped descriptions of the same crystal: its primitive cell and its reduced lattice."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from validation.crystal import Crystal

SYMPREC_ANG = 0.01
LOOSE_SYMPREC_ANG = 0.1  # 0.05 Å of noise hides the small cell from the tight tolerance
_SHEAR_PASSES = 50
_REDUCED_FILLING = 0.5  # a Niggli cell fills at least 1/√2 of the box that its three lengths span


def primitive(crystal: Crystal, *, symprec_ang: float = SYMPREC_ANG) -> Crystal:
    """The standardised primitive cell, in the crystal's own orientation and neither idealised nor relaxed.

    A crystal whose symmetry spglib cannot find is returned as it is.
    """
    import spglib  # late: a tenth of a second that the web process never needs

    cell: Any = (crystal.lattice, crystal.frac_coords, crystal.numbers)  # its types ask for lists, it takes arrays
    try:
        found = spglib.standardize_cell(cell, to_primitive=True, no_idealize=True, symprec=symprec_ang)
    except spglib.SpglibError:  # what newer versions raise where older ones return None
        return crystal
    if found is None or len(found[2]) >= len(crystal):
        return crystal
    return Crystal.of(*found)


def reduced_lattice(lattice: NDArray[np.float64]) -> NDArray[np.float64]:
    """Å, shape (3, 3): the Niggli-reduced vectors of the same lattice, not rotated; the input where none is found."""
    import spglib  # late: as above

    for cell in (lattice, _unsheared(lattice)):  # spglib gives up on strong shears
        try:
            reduced = spglib.niggli_reduce(cell)
        except spglib.SpglibError:  # as above
            reduced = None
        if reduced is not None:
            return np.asarray(reduced, dtype=np.float64)
    return lattice


def aspect_ratio(lattice: NDArray[np.float64]) -> float:
    """Longest over shortest vector of the reduced lattice; infinite where the lattice is flat or cannot be reduced."""
    reduced = reduced_lattice(lattice)
    lengths = np.linalg.norm(reduced, axis=1)
    box = float(np.prod(lengths))
    if not box > 0 or abs(np.linalg.det(reduced)) < _REDUCED_FILLING * box:
        return float("inf")
    return float(lengths.max() / lengths.min())


def _unsheared(lattice: NDArray[np.float64]) -> NDArray[np.float64]:
    """Whole multiples of shorter vectors subtracted from longer ones until nothing shortens."""
    vectors = lattice[np.argsort(np.linalg.norm(lattice, axis=1))].copy()
    for _ in range(_SHEAR_PASSES):
        before = vectors.copy()
        for longer, shorter in ((1, 0), (2, 0), (2, 1)):
            steps = np.round(vectors[longer] @ vectors[shorter] / (vectors[shorter] @ vectors[shorter]))
            vectors[longer] -= steps * vectors[shorter]
        vectors = vectors[np.argsort(np.linalg.norm(vectors, axis=1))]
        if np.array_equal(before, vectors):
            break
    if np.linalg.det(vectors) * np.linalg.det(lattice) < 0:
        vectors = -vectors
    return vectors
