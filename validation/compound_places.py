"""Which ions may sit where in a prototype, and how rare they may be together: what the selection is made by.

Windows of radii (Å, six-coordinated) are wide around the known compounds of each structure (Muller, Roy, The Major
Ternary Structural Families, 1974): they save computing, and decide nothing about stability.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from validation.ions import Ion


@dataclass(frozen=True, slots=True)
class Place:
    """Who may be of a kind: ions of these charges, within a window of radii, of these elements only where some are
    named."""

    charges: tuple[int, ...]
    radii_ang: tuple[float, float] = (0.25, 3.0)  # C, N, B and the like are inside anions, and are named where they are
    elements: frozenset[str] = frozenset()

    def takes(self, ion: Ion) -> bool:
        low, high = self.radii_ang
        named = not self.elements or ion.element in self.elements
        return ion.charge in self.charges and named and low <= ion.radius_ang <= high


@dataclass(frozen=True, slots=True)
class Occupation:
    """One way to fill a prototype. places: of its kinds. max_rank: of all ions together.

    tolerance: where given, the window of Goldschmidt's factor (r_A + r_X) / √2 (r_B + r_X) of the first three kinds.
    """

    places: tuple[Place, ...]
    max_rank: int
    tolerance: tuple[float, float] | None = None

    def takes(self, ions: tuple[Ion, ...]) -> bool:
        if sum(ion.rank for ion in ions) > self.max_rank:
            return False
        if self.tolerance is None:
            return True
        low, high = self.tolerance
        return low <= goldschmidt(*(ion.radius_ang for ion in ions[:3])) <= high


def goldschmidt(a: float, b: float, x: float) -> float:
    """The tolerance factor of a perovskite ABX3 (Goldschmidt, Naturwissenschaften 14, 477, 1926)."""
    return (a + x) / (math.sqrt(2.0) * (b + x))


def _cation(*charges: int, radii: tuple[float, float] = (0.25, 3.0), only: str = "") -> Place:
    return Place(charges, radii, frozenset(only.split()))


def _anion(*charges: int, only: str = "") -> Place:
    return Place(tuple(-charge for charge in charges), (0.0, 3.0), frozenset(only.split()))


def _pair(low: float, high: float, *, max_rank: int = 5) -> Occupation:
    """Any cation in the window with any anion; the cell's formula decides which charges balance."""
    return Occupation((_cation(1, 2, 3, 4, 5, 6, radii=(low, high)), _anion(1, 2, 3, 4)), max_rank)


def _anti_pair(low: float, high: float, *, max_rank: int = 5) -> Occupation:
    return Occupation((_cation(1, 2, radii=(low, high)), _anion(1, 2, 3, 4)), max_rank)


# fmt: off
OCCUPATIONS: Mapping[str, tuple[Occupation, ...]] = MappingProxyType({
    # AX: (1, 1), (2, 2), (3, 3), (4, 4)
    "rocksalt": (_pair(0.25, 2.0, max_rank=6),),
    "CsCl": (_pair(0.70, 2.0),),
    "zincblende": (_pair(0.25, 1.2),),
    "wurtzite": (_pair(0.25, 1.2),),
    "NiAs": (_pair(0.50, 1.2, max_rank=4),),
    "litharge": (Occupation((_cation(2, only="Sn Pb Ge"), _anion(2, only="O S Se")), 5),),
    "GeS": (Occupation((_cation(2, only="Sn Pb Ge"), _anion(2)), 5),),
    "PtS": (Occupation((_cation(2, only="Cu Pd Pt Ni"), _anion(2)), 5),),
    # AX2 and A2X
    "fluorite": (_pair(0.55, 1.6),),
    "rutile": (_pair(0.35, 1.0),),
    "anatase": (_pair(0.45, 0.9, max_rank=3),),
    "CdI2": (_pair(0.50, 1.2, max_rank=4),),
    "MoS2": (Occupation((_cation(4, only="Mo W Nb Ta V Ti"), _anion(2, only="S Se Te")), 5),),
    "quartz": (_pair(0.25, 0.60, max_rank=3),),
    "antifluorite": (_anti_pair(0.5, 2.0, max_rank=6),),
    "cuprite": (Occupation((_cation(1, only="Cu Ag Au Li Tl"), _anion(2)), 5),),
    # A2X3 and A3X2
    "corundum": (_pair(0.25, 0.95, max_rank=3),),
    "La2O3": (_pair(0.75, 1.2),),
    "anti-corundum": (_anti_pair(0.4, 0.9, max_rank=2),),
    "anti-La2O3": (_anti_pair(0.4, 1.5, max_rank=4),),
    # AX3 and A3X
    "ReO3": (_pair(0.50, 1.0, max_rank=4),),
    "BiF3": (_pair(0.60, 1.3, max_rank=3),),
    "UCl3": (_pair(0.85, 1.3, max_rank=4),),
    "BiI3": (_pair(0.50, 1.1, max_rank=3),),
    "anti-ReO3": (_anti_pair(0.5, 1.3),),
    "anti-BiF3": (_anti_pair(0.5, 2.0),),
    "Li3N": (_anti_pair(0.5, 2.0),),
    "Na3As": (_anti_pair(0.5, 2.0),),
    "Th3P4": (_pair(0.60, 1.0, max_rank=3),),
    # ABX3
    "perovskite": (
        Occupation((_cation(1, 2, 3, radii=(0.9, 2.0)), _cation(2, 3, 4, 5, radii=(0.5, 1.2)),
                    _anion(1, 2, only="F O")), 4, tolerance=(0.80, 1.10)),
        Occupation((_cation(2, only="Ca Sr Ba"), _cation(4, radii=(0.5, 0.8)), _anion(2, only="S")), 4,
                   tolerance=(0.80, 1.10)),
        Occupation((_cation(1, only="Li Na K Rb Cs"), _cation(2, only="Mg Ca Sr Ba Eu"), _anion(1, only="H")), 6,
                   tolerance=(0.80, 1.15)),
        Occupation((_cation(2, only="Sr Ba Eu"), _cation(1, only="Li"), _anion(1, only="H")), 6),
        Occupation((_cation(1, only="K Cs Rb Tl"), _cation(2, radii=(0.6, 1.2)), _anion(1, only="Cl Br I")), 4,
                   tolerance=(0.80, 1.10)),
    ),
    "perovskite-R": (
        Occupation((_cation(2, 3, radii=(0.9, 1.4)), _cation(3, 4, radii=(0.5, 0.8)), _anion(2, only="O")), 3,
                   tolerance=(0.84, 1.02)),
    ),
    "perovskite-O": (
        Occupation((_cation(2, 3, radii=(0.9, 1.4)), _cation(3, 4, radii=(0.5, 0.8)), _anion(2, only="O")), 3,
                   tolerance=(0.80, 0.95)),
    ),
    "ilmenite": (
        Occupation((_cation(2, radii=(0.6, 0.9)), _cation(4, radii=(0.4, 0.75)), _anion(2, only="O")), 3),
    ),
    "LiNbO3": (
        Occupation((_cation(1, only="Li Na Ag"), _cation(5, radii=(0.5, 0.7)), _anion(2, only="O")), 4),
    ),
    "calcite": (
        Occupation((_cation(2, radii=(0.6, 1.2)), Place((4,), (0.0, 0.2), frozenset({"C"})), _anion(2, only="O")), 3),
        Occupation((_cation(3, radii=(0.5, 1.0)), _cation(3, only="B"), _anion(2, only="O")), 4),
    ),
    # ABX2
    "delafossite": (
        Occupation((_cation(1, only="Cu Ag Pd"), _cation(3, radii=(0.5, 1.1)), _anion(2, only="O")), 4),
    ),
    "NaFeO2": (
        Occupation((_cation(1, only="Li Na K Cu Ag Rb Cs"), _cation(3, radii=(0.5, 1.1)),
                    _anion(2, only="O S Se")), 4),
    ),
    "chalcopyrite": (
        Occupation((_cation(1, only="Cu Ag Li"), _cation(3, only="Al Ga In Fe Tl"), _anion(2, only="S Se Te")), 5),
        Occupation((_cation(2, only="Mg Zn Cd Be Mn"), _cation(4, only="Si Ge Sn"), _anion(3, only="P As Sb N")), 5),
    ),
    # AB2X4, A2BX4, ABX4, A2BX6
    "spinel": (
        Occupation((_cation(2, radii=(0.4, 0.96)), _cation(3, radii=(0.5, 0.85)), _anion(2, only="O")), 3),
        Occupation((_cation(2, only="Mg Mn Fe Co Ni Cu Zn Cd"), _cation(3, only="Al Ga In Cr"), _anion(2, only="S")),
                   3),
        Occupation((_cation(4, only="Ti Sn Ge Si Mn"), _cation(2, only="Mg Mn Fe Co Ni Zn"), _anion(2, only="O")), 3),
    ),
    "K2NiF4": (
        Occupation((_cation(2, only="Ca Sr Ba"), _cation(4, radii=(0.5, 0.8)), _anion(2, only="O")), 4),
        Occupation((_cation(3, only="La Pr Nd"), _cation(2, only="Cu Ni Co Mg Zn"), _anion(2, only="O")), 4),
        Occupation((_cation(1, only="K Rb Cs Na"), _cation(2, radii=(0.6, 1.0)), _anion(1, only="F Cl")), 4),
    ),
    "scheelite": (
        Occupation((_cation(2, radii=(0.7, 1.4)), _cation(6, only="Mo W"), _anion(2, only="O")), 3),
    ),
    "zircon": (
        Occupation((_cation(4, radii=(0.6, 1.0)), _cation(4, only="Si Ge"), _anion(2, only="O")), 4),
        Occupation((_cation(3, radii=(0.7, 1.1)), _cation(5, only="P V As"), _anion(2, only="O")), 3),
    ),
    "K2PtCl6": (
        Occupation((_cation(1, only="K Rb Cs"), _cation(4, radii=(0.35, 0.8)), _anion(1, only="F Cl Br I")), 4),
    ),
    # AXY
    "PbFCl": (
        Occupation((_cation(2, only="Ca Sr Ba Pb Eu"), _anion(1, only="F H"), _anion(1, only="Cl Br I")), 4),
        Occupation((_cation(3, radii=(0.85, 1.2)), _anion(2, only="O"), _anion(1, only="F Cl Br I")), 4),
    ),
})
# fmt: on
