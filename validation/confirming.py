"""pymatgen's StructureMatcher asked about two crystals, without the structures that it would copy and compare first.

``StructureMatcher.fit`` copies both structures twice, compares compositions and scales the lattices; then its search,
``_strict_match``, decides. Of structures that are reduced, of one formula and size only the search is left to ask. It
reads no more of a structure than what is given here.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from validation.crystal import Crystal
from validation.rules import Tolerances

if TYPE_CHECKING:
    from pymatgen.analysis.structure_matcher import StructureMatcher
    from pymatgen.core import Lattice, Structure


@dataclass(frozen=True, slots=True)
class _Sites:
    """What pymatgen's search reads of a structure, under its names. Species are compared only: symbols will do."""

    lattice: Lattice
    frac_coords: NDArray[np.float64]
    species_and_occu: tuple[str, ...]

    @property
    def cart_coords(self) -> NDArray[np.float64]:
        return np.asarray(self.frac_coords @ self.lattice.matrix)

    def __len__(self) -> int:
        return len(self.species_and_occu)


def confirmed(a: Crystal, b: Crystal, tolerances: Tolerances) -> bool:
    """``StructureMatcher.fit(a, b, skip_structure_reduction=True)``, of two cells of one formula and size."""
    ratio = (b.volume / a.volume) ** (1 / 6) if tolerances.scale else 1.0
    first, second = _sites(a, a.lattice * ratio), _sites(b, b.lattice / ratio)
    match = _matcher(tolerances)._strict_match(
        cast("Structure", first), cast("Structure", second), 1, s1_supercell=True, break_on_match=True
    )
    return match is not None and bool(match[0] <= tolerances.stol)


def _sites(cell: Crystal, lattice: NDArray[np.float64]) -> _Sites:
    from pymatgen.core import Lattice  # late: a second of imports that the web process never needs

    return _Sites(Lattice(lattice), cell.frac_coords, cell.symbols)


@lru_cache(maxsize=8)
def _matcher(tolerances: Tolerances) -> StructureMatcher:
    from pymatgen.analysis.structure_matcher import StructureMatcher  # late: two seconds that no web process needs

    return StructureMatcher(
        ltol=tolerances.ltol,
        stol=tolerances.stol,
        angle_tol=tolerances.angle_tol,
        scale=tolerances.scale,
        primitive_cell=True,
        attempt_supercell=False,
    )
