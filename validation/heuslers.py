"""Half- and full Heusler compounds by their valence electrons: no ions, but a count that opens a gap or nearly so.

18 or 8 electrons a formula unit of a half-Heusler ABC (Graf, Felser, Parkin, Prog. Solid State Chem. 39, 1, 2011), 24
of a Heusler A2BC, and the magnets A2MnC that Heusler himself began with.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

# Electrons outside closed shells; lanthanides keep their 4f.
VALENCE_ELECTRONS = {
    symbol: electrons
    for electrons, symbols in (
        (3, "Sc Y La Gd Lu Al Ga In"),
        (4, "Ti Zr Hf Si Ge Sn Pb"),
        (5, "V Nb Ta As Sb Bi"),
        (7, "Mn"),
        (8, "Fe Ru"),
        (9, "Co Rh Ir"),
        (10, "Ni Pd Pt"),
        (11, "Cu Ag Au"),
    )
    for symbol in symbols.split()
}
_EARLY = ("Sc", "Y", "La", "Gd", "Lu", "Ti", "Zr", "Hf", "V", "Nb", "Ta")
_LATE = ("Fe", "Co", "Ni", "Cu", "Ru", "Rh", "Pd", "Ag", "Ir", "Pt", "Au")
_MAIN = ("Al", "Ga", "In", "Si", "Ge", "Sn", "Pb", "As", "Sb", "Bi")
_MAGNETIC = ("Fe", "Co", "Ni", "Cu", "Ru", "Rh", "Pd")  # beside manganese
# Nowotny and Juza's compounds of 8 electrons: the second and the last make zincblende, the first balances the charge
_FIRST, _SECOND, _LAST = ("Li", "Na", "K", "Cu", "Ag"), ("Mg", "Ca", "Zn", "Cd"), ("P", "As", "Sb", "Bi")

Species = tuple[str, ...]


def half_heuslers() -> Iterator[Species]:
    """Elements at ½ ½ ½, ¼ ¼ ¼ and 0 0 0 of the half-Heusler: the first and the last make rock salt."""
    for species in product(_EARLY, _LATE, _MAIN):
        if sum(VALENCE_ELECTRONS[symbol] for symbol in species) == 18:
            yield species
    yield from product(_FIRST, _SECOND, _LAST)


def heuslers() -> Iterator[Species]:
    """Elements at ¼ ¼ ¼ (twice), ½ ½ ½ and 0 0 0 of the Heusler."""
    for twice, once, main in product(_LATE, (*_EARLY, "Mn"), _MAIN):
        closed = 2 * VALENCE_ELECTRONS[twice] + VALENCE_ELECTRONS[once] + VALENCE_ELECTRONS[main] == 24
        if closed or (once == "Mn" and twice in _MAGNETIC):
            yield twice, once, main
