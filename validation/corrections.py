"""What was added to the DFT energies that a potential learned, as far as that is known.

Two potentials trained on the same functional disagree about every oxide when one of them learned corrected energies.
Before they are asked whether they agree, such corrections are taken out of both.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from hull.entries import ATOMIC_NUMBER, Formula

# Materials Project 2020, eV per atom of the anion, by its atomic number: A. Wang et al., Sci. Rep. 11, 15496 (2021).
# The most electronegative first: that one is the anion of a compound. The mixing of GGA and GGA+U, corrected there as
# well, is no shift of one number an element against plain GGA, and stays.
MP2020: Mapping[int, float] = {
    ATOMIC_NUMBER[symbol]: correction
    for symbol, correction in {
        "F": -0.462,
        "O": -0.687,
        "Cl": -0.614,
        "N": -0.361,
        "Br": -0.534,
        "I": -0.379,
        "S": -0.503,
        "Se": -0.472,
        "H": -0.179,
        "Te": -0.422,
        "Sb": -0.192,
    }.items()
}
_LEARNED: Mapping[str, Mapping[int, float]] = {  # by the weights' SHA-256; CHGNet's r2scan weights learned plain r2SCAN
    "27f12f6d42174d159bb65eb013a6400b643dce65634a8b95a3e3bd0b7ffb20c4": MP2020,  # CHGNet 0.3.0
    "07acf4b0c2654db67ae2fd077ff9b4d8a9e54dc31aa5a5ee191cba8069b8389b": MP2020,  # CHGNet 0.2.0
}
_NONE: Mapping[int, float] = MappingProxyType({})


def corrections_of(scale: Mapping[str, Any]) -> Mapping[int, float]:
    """By atomic number of an anion, eV per atom of it, the most electronegative first; empty where none are known.

    scale: its identity.
    """
    return _LEARNED.get(str(scale.get("weights_sha256")), _NONE)


def correction_per_atom(formula: Formula, corrections: Mapping[int, float]) -> float:
    """What these corrections add to the energy of a compound, eV/atom; nothing to an element's."""
    if formula.is_element:
        return 0.0
    amounts = dict(formula.amounts)
    anion = next((number for number in corrections if number in amounts), None)
    return 0.0 if anion is None else corrections[anion] * amounts[anion] / formula.n_atoms
