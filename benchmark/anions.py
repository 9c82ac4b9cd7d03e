"""Compounds by the anion that decides how two scales differ: corrections of published energies go by it."""

from __future__ import annotations

from hull.entries import Formula

# Non-metals from the most electronegative on (Pauling), as MP2020 looks for a compound's anion: A. Wang et al., Sci.
# Rep. 11, 15496, 2021. Hydrogen is left out: it is an anion in few of its compounds.
ANIONS = {
    "F": "fluorides",
    "O": "oxides",
    "Cl": "other_halides",
    "N": "nitrides",
    "Br": "other_halides",
    "I": "other_halides",
    "S": "chalcogenides",
    "Se": "chalcogenides",
    "Te": "chalcogenides",
    "P": "pnictides",
    "As": "pnictides",
    "Sb": "pnictides",
}
CLASSES = ("oxides", "fluorides", "other_halides", "chalcogenides", "nitrides", "pnictides", "other")


def anion_of(formula: Formula) -> str:
    """Symbol of the most electronegative non-metal of a compound; empty for an element and where there is none."""
    elements = set(formula.elements)
    return "" if formula.is_element else next((symbol for symbol in ANIONS if symbol in elements), "")


def class_of(formula: Formula) -> str:
    """One of CLASSES. Oxyfluorides are fluorides, sulfates oxides; intermetallics, borides, carbides and elements are
    the others."""
    anion = anion_of(formula)
    return ANIONS[anion] if anion else "other"
