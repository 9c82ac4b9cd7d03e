"""Which prototypes are tried for an element, what it is known as, and what is known against a judge's number for it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

CLOSE_PACKED = ("fcc", "bcc", "hcp")

# What the element is at low temperature and no pressure, or the nearest thing in validation/prototypes.py (molecular
# crystals of the lightest elements differ by less than DFT can say). Donohue, The Structures of the Elements (1974);
# Young, Phase Diagrams of the Elements (1991).
# fmt: off
KNOWN_STRUCTURE: Mapping[str, str] = MappingProxyType({
    symbol: label
    for label, symbols in (
        ("fcc", "Ne Ar Kr Xe Al Ca Ni Cu Sr Rh Pd Ag Ce Yb Ir Pt Au Pb Ac Th"),
        ("bcc", "K Rb Cs Ba V Cr Fe Nb Mo Ta W Eu"),
        ("hcp", "He Be Mg Sc Ti Co Y Zr Tc Ru Gd Tb Dy Ho Er Tm Lu Hf Re Os Tl"),
        ("hcp-Zn", "Zn Cd"), ("dhcp", "La Pr Nd Pm Am Cm Bk Cf"), ("9R", "Li Na Sm"),
        ("A7", "As Sb Bi"), ("diamond", "Si Ge Sn"), ("Se-chain", "Se Te"), ("sc", "Po"),
        ("hcp-H2", "H"), ("alpha-N2", "N"), ("alpha-O2", "O F"), ("I2", "Cl Br I"),
        ("alpha-B12", "B"), ("graphite", "C"), ("black-P", "P"), ("alpha-S8", "S"), ("alpha-Mn", "Mn"),
        ("alpha-Ga", "Ga"), ("bct-In", "In"), ("hR1-Hg", "Hg"), ("bct-Pa", "Pa"), ("alpha-U", "U"), ("alpha-Np", "Np"),
        ("alpha-Pu", "Pu"),
    )
    for symbol in symbols.split()
})

# Beyond the known structure and the close-packed ones, which every element tries: other polymorphs, and neighbours that
# calculations put within a few meV/atom.
FURTHER_PROTOTYPES: Mapping[str, tuple[str, ...]] = MappingProxyType({
    "H": ("I2", "alpha-N2"), "N": ("gamma-N2", "hcp-H2"), "O": ("I2", "gamma-N2"), "F": ("I2", "gamma-N2"),
    "Cl": ("gamma-N2", "sc"), "Br": ("sc",), "I": ("sc",), "K": ("9R",), "Rb": ("9R",), "Cs": ("9R", "dhcp"),
    "Be": ("sc",), "Mg": ("dhcp",), "Ca": ("sc",), "Sr": ("sc",), "B": ("diamond", "sc"), "C": ("diamond",),
    "Si": ("beta-Sn", "sc"), "Ge": ("beta-Sn", "sc"), "Sn": ("beta-Sn", "bct-In"), "P": ("A7", "sc"),
    "As": ("black-P", "sc"), "Sb": ("black-P", "sc"), "Bi": ("black-P", "sc"), "S": ("S6", "Se-chain", "sc"),
    "Se": ("S6", "alpha-S8", "sc"), "Te": ("A7", "sc"), "Ga": ("bct-In", "sc"), "In": ("alpha-Ga",), "Tl": ("dhcp",),
    "Pb": ("dhcp", "diamond"), "Hg": ("bct-Hg", "hcp-Zn"), "Ti": ("omega",), "Zr": ("omega",), "Hf": ("omega",),
    "Cr": ("A15",), "Mo": ("A15",), "W": ("A15",), "Ta": ("A15",), "Co": ("dhcp",), "Sc": ("dhcp",),
    "Y": ("dhcp", "9R"), "La": ("9R",), "Ce": ("dhcp", "9R", "alpha-U"), "Pr": ("9R",), "Nd": ("9R",), "Pm": ("9R",),
    "Sm": ("dhcp",), "Eu": ("dhcp", "9R"), "Gd": ("9R", "dhcp"), "Tb": ("9R", "dhcp"), "Dy": ("9R", "dhcp"),
    "Ho": ("9R", "dhcp"), "Er": ("9R", "dhcp"), "Tm": ("9R", "dhcp"), "Yb": ("9R", "dhcp"), "Lu": ("9R", "dhcp"),
    "Ac": ("dhcp",), "Th": ("dhcp", "bct-Pa"), "Pa": ("alpha-U",), "U": ("bct-Pa", "alpha-Np"), "Np": ("alpha-U",),
    "Pu": ("alpha-Np", "alpha-U"),
})
# fmt: on

START_FACTORS = (0.8, 1.0, 1.25)  # of the tabulated volume; a poor start "converges" at Ne +5.8, I +4.5 eV/atom
LARGE_CELL_ATOMS = 12
LARGE_CELL_FACTORS = (1.0, 1.25)  # so large a cell is tried for few elements; GGAs leave rings of S and Se far apart


def prototypes_of(element: str) -> tuple[str, ...]:
    """Labels of the prototypes to try, each once, the element's known structure first."""
    known = (KNOWN_STRUCTURE[element],) if element in KNOWN_STRUCTURE else ()
    return tuple(dict.fromkeys((*known, *FURTHER_PROTOTYPES.get(element, ()), *CLOSE_PACKED)))


DOUBTFUL_DEVIATION_EV_PER_ATOM = 0.1  # beyond, a find with the element is marked

# eV/atom above published DFT (Materials Project, PBE), by judge and model; only elements beyond the limit above.
KNOWN_DEVIATIONS: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {"chgnet/0.3.0": MappingProxyType({"W": 0.20, "Mo": 0.15, "Ru": 0.13, "Fe": 0.11, "Cr": 0.11, "Cl": -0.12})}
)
