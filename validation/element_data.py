"""Numbers about the elements that the checks need."""

from __future__ import annotations

from functools import cache
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

# Å³ per atom of the condensed element: the molar volumes (cm³/mol) of pymatgen's ``Element.molar_volume`` divided by
# 0.602214076. Gases count as solids or liquids (H 18.96, N 22.48, O 28.83). Elements without a measured one are absent.
# fmt: off
ATOMIC_VOLUME_ANG3 = MappingProxyType({
    "H": 18.96, "He": 34.87, "Li": 21.62, "Be": 8.05, "B": 7.29, "C": 8.78, "N": 22.48, "O": 28.83, "F": 18.60,
    "Ne": 21.97, "Na": 39.49, "Mg": 23.25, "Al": 16.61, "Si": 20.03, "P": 28.26, "S": 25.79, "Cl": 28.88, "Ar": 37.46,
    "K": 76.29, "Ca": 43.51, "Sc": 24.91, "Ti": 17.67, "V": 13.82, "Cr": 12.01, "Mn": 12.20, "Fe": 11.77, "Co": 11.08,
    "Ni": 10.94, "Cu": 11.81, "Zn": 15.21, "Ga": 19.59, "Ge": 22.63, "As": 21.50, "Se": 27.27, "Br": 32.85,
    "Kr": 46.48, "Rb": 92.59, "Sr": 56.36, "Y": 33.01, "Zr": 23.28, "Nb": 17.98, "Mo": 15.58, "Tc": 14.33,
    "Ru": 13.57, "Rh": 13.75, "Pd": 14.21, "Ag": 17.05, "Cd": 21.59, "In": 26.17, "Sn": 27.05, "Sb": 30.21,
    "Te": 33.97, "I": 42.71, "Xe": 59.65, "Cs": 117.80, "Ba": 63.37, "La": 37.18, "Ce": 34.36, "Pr": 34.54,
    "Nd": 34.19, "Pm": 33.59, "Sm": 33.18, "Eu": 48.11, "Gd": 33.04, "Tb": 32.05, "Dy": 31.57, "Ho": 31.12,
    "Er": 30.65, "Tm": 31.72, "Yb": 41.25, "Lu": 29.52, "Hf": 22.32, "Ta": 18.02, "W": 15.73, "Re": 14.71,
    "Os": 13.98, "Ir": 14.15, "Pt": 15.09, "Au": 16.95, "Hg": 23.40, "Tl": 28.59, "Pb": 30.32, "Bi": 35.39,
    "Po": 38.14, "Rn": 83.86, "Ra": 68.23, "Ac": 37.45, "Th": 32.88, "Pa": 25.21, "U": 20.74, "Np": 19.25,
    "Pu": 20.41, "Am": 29.28, "Cm": 29.97, "Bk": 27.96, "Cf": 27.40, "Es": 47.36,
})
# fmt: on


@cache
def covalent_radii() -> NDArray[np.float64]:
    """Å, by atomic number (Cordero et al., Dalton Trans. 2008, 2832, doi 10.1039/b801115j), as ASE tabulates them."""
    from ase.data import covalent_radii as radii  # late: the web process names elements but never measures them

    return np.array(radii, dtype=np.float64)


@cache
def atomic_masses() -> NDArray[np.float64]:
    """g/mol, by atomic number (IUPAC 2016), as ASE tabulates them."""
    from ase.data import atomic_masses as masses  # late: as above

    return np.array(masses, dtype=np.float64)
