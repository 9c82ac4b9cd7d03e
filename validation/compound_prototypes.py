"""Crystal structures that compounds take, from tabulated cells and coordinates; nothing is read from a file.

Cells and internal coordinates of the compound that a line names: Wyckoff, Crystal Structures, vols. 1 to 3 (1963 to
1965); where a line names a paper, that paper. Only the shape counts: ``CompoundPrototype.crystal`` sets the volume.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from hull.entries import ATOMIC_NUMBER
from validation.conventional_cells import Site, cubic, hexagonal, orthorhombic, primitive_sites, tetragonal
from validation.crystal import Crystal


@dataclass(frozen=True, eq=False)
class CompoundPrototype:
    """A primitive cell whose kinds of atoms can be of any elements.

    lattice: Å, shape (3, 3). frac_coords: shape (n, 3). kinds: of each atom, shape (n,), from 0.
    """

    label: str
    lattice: NDArray[np.float64]
    frac_coords: NDArray[np.float64]
    kinds: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.kinds)

    @property
    def amounts(self) -> tuple[int, ...]:
        """Atoms of each kind in the cell."""
        counted = Counter(self.kinds.tolist())
        return tuple(counted[kind] for kind in sorted(counted))

    @property
    def volume_per_atom(self) -> float:
        """Å³, of the tabulated cell."""
        return abs(float(np.linalg.det(self.lattice))) / len(self)

    def crystal(self, species: Sequence[str], volume_per_atom_ang3: float) -> Crystal:
        """The prototype made of these elements, one symbol a kind. Raises ValueError where their number is another."""
        if len(species) != len(self.amounts):
            raise ValueError(f"{self.label} has {len(self.amounts)} kinds of atoms, not {len(species)}")
        lattice = self.lattice * (volume_per_atom_ang3 / self.volume_per_atom) ** (1 / 3)
        return Crystal.of(lattice, self.frac_coords, [ATOMIC_NUMBER[species[kind]] for kind in self.kinds.tolist()])


@cache
def compound_prototype(label: str) -> CompoundPrototype:
    """The prototype of this label; raises KeyError where there is none."""
    number, cell, orbits, origin = _TABLE[label]
    sites = [site for orbit in orbits for site in orbit]
    kinds = [kind for kind, orbit in enumerate(orbits) for _ in orbit]
    return CompoundPrototype(label, *primitive_sites(number, cell, sites, kinds, origin=origin))


def compound_prototype_labels() -> tuple[str, ...]:
    return tuple(sorted(_TABLE))


_Orbits = tuple[tuple[Site, ...], ...]  # of each kind
_Entry = tuple[int, tuple[float, ...], _Orbits, int]


def _of(number: int, cell: tuple[float, ...], *orbits: Site | tuple[Site, ...], origin: int = 1) -> _Entry:
    """orbits: of each kind, one site or several."""
    return number, cell, tuple(orbit if isinstance(orbit[0], tuple) else (orbit,) for orbit in orbits), origin


def _swapped(entry: _Entry) -> _Entry:
    """The same cell with cations and anions exchanged."""
    number, cell, orbits, origin = entry
    return number, cell, orbits[::-1], origin


_THIRD, _TWO_THIRDS = 1 / 3, 2 / 3

_FLUORITE = _of(225, cubic(5.463), (0, 0, 0), (0.25, 0.25, 0.25))  # CaF2
_CORUNDUM = _of(167, hexagonal(4.7617, 12.9947), (0, 0, 0.3520), (0.3065, 0, 0.25))  # Al2O3
_LA2O3 = _of(164, hexagonal(3.938, 6.136), (_THIRD, _TWO_THIRDS, 0.2467), ((0, 0, 0), (_THIRD, _TWO_THIRDS, 0.6470)))
_REO3 = _of(221, cubic(3.734), (0, 0, 0), (0.5, 0, 0))
_BIF3 = _of(225, cubic(5.853), (0, 0, 0), ((0.25, 0.25, 0.25), (0.5, 0.5, 0.5)))

# The order of the kinds is that of the formula at the end of the line.
_TABLE: dict[str, _Entry] = {
    # AX
    "rocksalt": _of(225, cubic(5.640), (0, 0, 0), (0.5, 0.5, 0.5)),  # NaCl
    "CsCl": _of(221, cubic(4.123), (0, 0, 0), (0.5, 0.5, 0.5)),
    "zincblende": _of(216, cubic(5.409), (0, 0, 0), (0.25, 0.25, 0.25)),  # ZnS
    "wurtzite": _of(186, hexagonal(3.811, 6.234), (_THIRD, _TWO_THIRDS, 0), (_THIRD, _TWO_THIRDS, 0.375)),  # ZnS
    "NiAs": _of(194, hexagonal(3.602, 5.009), (0, 0, 0), (_THIRD, _TWO_THIRDS, 0.25)),
    "litharge": _of(129, tetragonal(3.975, 5.023), (0, 0.5, 0.2385), (0, 0, 0)),  # PbO
    "PtS": _of(131, tetragonal(3.47, 6.10), (0, 0.5, 0), (0, 0, 0.25)),
    "GeS": _of(  # SnS: Wiedemeier, von Schnering, Z. Kristallogr. 148, 295 (1978)
        62, orthorhombic(11.20, 3.987, 4.334), (0.1194, 0.25, 0.1198), (0.8508, 0.25, 0.4793)
    ),
    # AX2 and A2X
    "fluorite": _FLUORITE,
    "antifluorite": _swapped(_FLUORITE),
    "rutile": _of(136, tetragonal(4.594, 2.959), (0, 0, 0), (0.3053, 0.3053, 0)),  # TiO2
    "anatase": _of(141, tetragonal(3.785, 9.514), (0, 0, 0), (0, 0, 0.2081)),  # TiO2
    "CdI2": _of(164, hexagonal(4.24, 6.84), (0, 0, 0), (_THIRD, _TWO_THIRDS, 0.25)),
    "MoS2": _of(194, hexagonal(3.160, 12.295), (_THIRD, _TWO_THIRDS, 0.25), (_THIRD, _TWO_THIRDS, 0.621)),
    "quartz": _of(  # SiO2, α: Levien, Prewitt, Weidner, Am. Mineral. 65, 920 (1980)
        154, hexagonal(4.916, 5.4054), (0.4697, 0, _TWO_THIRDS), (0.4135, 0.2669, 0.7858)
    ),
    "cuprite": _of(224, cubic(4.270), (0.25, 0.25, 0.25), (0, 0, 0)),  # Cu2O
    # A2X3 and A3X2
    "corundum": _CORUNDUM,
    "anti-corundum": _swapped(_CORUNDUM),
    "La2O3": _LA2O3,
    "anti-La2O3": _swapped(_LA2O3),  # Mg3Sb2
    # AX3 and A3X
    "ReO3": _REO3,
    "anti-ReO3": _swapped(_REO3),  # Cu3N
    "BiF3": _BIF3,
    "anti-BiF3": _swapped(_BIF3),  # Li3Bi
    "UCl3": _of(176, hexagonal(7.443, 4.321), (_THIRD, _TWO_THIRDS, 0.25), (0.3854, 0.3012, 0.25)),
    "BiI3": _of(148, hexagonal(7.516, 20.718), (0, 0, 0.1667), (0.3415, 0.3395, 0.0805)),
    "Li3N": _of(191, hexagonal(3.648, 3.875), ((0, 0, 0.5), (_THIRD, _TWO_THIRDS, 0)), (0, 0, 0)),
    "Na3As": _of(
        194, hexagonal(5.098, 9.000), ((0, 0, 0.25), (_THIRD, _TWO_THIRDS, 0.583)), (_THIRD, _TWO_THIRDS, 0.25)
    ),
    # A3X4
    "Th3P4": _of(220, cubic(8.618), (0.375, 0, 0.25), (0.083, 0.083, 0.083)),
    # ABX3
    "perovskite": _of(221, cubic(3.905), (0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0)),  # SrTiO3
    "perovskite-R": _of(167, hexagonal(5.365, 13.11), (0, 0, 0.25), (0, 0, 0), (0.525, 0, 0.25)),  # LaAlO3
    "perovskite-O": _of(  # CaTiO3: Sasaki, Prewitt, Bass, Schulze, Acta Cryst. C43, 1668 (1987)
        62,
        orthorhombic(5.4423, 7.6401, 5.3796),
        (0.0360, 0.25, 0.9932),
        (0, 0, 0.5),
        ((0.4838, 0.25, 0.0714), (0.2888, 0.0371, 0.7108)),
    ),
    "ilmenite": _of(  # FeTiO3: Wechsler, Prewitt, Am. Mineral. 69, 176 (1984)
        148, hexagonal(5.0884, 14.0855), (0, 0, 0.35537), (0, 0, 0.14640), (0.31743, 0.02332, 0.24506)
    ),
    "LiNbO3": _of(  # Abrahams, Reddy, Bernstein, J. Phys. Chem. Solids 27, 997 (1966)
        161, hexagonal(5.1483, 13.8631), (0, 0, 0.2787), (0, 0, 0), (0.0476, 0.3433, 0.0633)
    ),
    "calcite": _of(167, hexagonal(4.990, 17.061), (0, 0, 0), (0, 0, 0.25), (0.2568, 0, 0.25)),  # CaCO3
    # ABX2
    "delafossite": _of(166, hexagonal(3.035, 17.166), (0, 0, 0), (0, 0, 0.5), (0, 0, 0.1066)),  # CuFeO2
    "NaFeO2": _of(166, hexagonal(2.816, 14.05), (0, 0, 0.5), (0, 0, 0), (0, 0, 0.2605)),  # LiCoO2
    "chalcopyrite": _of(122, tetragonal(5.289, 10.423), (0, 0, 0), (0, 0, 0.5), (0.2574, 0.25, 0.125)),  # CuFeS2
    # AB2X4, A2BX4 and ABX4
    "spinel": _of(  # MgAl2O4
        227, cubic(8.083), (0.125, 0.125, 0.125), (0.5, 0.5, 0.5), (0.2624, 0.2624, 0.2624), origin=2
    ),
    "K2NiF4": _of(139, tetragonal(4.006, 13.076), (0, 0, 0.352), (0, 0, 0), ((0, 0.5, 0), (0, 0, 0.151))),
    "scheelite": _of(  # CaWO4: Zalkin, Templeton, J. Chem. Phys. 40, 501 (1964)
        88, tetragonal(5.243, 11.376), (0, 0, 0.5), (0, 0, 0), (0.2415, 0.1504, 0.0861)
    ),
    "zircon": _of(  # ZrSiO4: Robinson, Gibbs, Ribbe, Am. Mineral. 56, 782 (1971)
        141, tetragonal(6.607, 5.982), (0, 0.75, 0.125), (0, 0.25, 0.375), (0, 0.0661, 0.1953), origin=2
    ),
    # A2BX6
    "K2PtCl6": _of(225, cubic(9.755), (0.25, 0.25, 0.25), (0, 0, 0), (0.24, 0, 0)),
    # AXY
    "PbFCl": _of(129, tetragonal(4.09, 7.21), (0, 0.5, 0.20), (0, 0, 0), (0, 0.5, 0.65)),
    # ABC and A2BC
    "half-Heusler": _of(216, cubic(5.93), (0.5, 0.5, 0.5), (0.25, 0.25, 0.25), (0, 0, 0)),  # TiNiSn
    "Heusler": _of(225, cubic(5.76), (0.25, 0.25, 0.25), (0.5, 0.5, 0.5), (0, 0, 0)),  # Fe2VAl
}
