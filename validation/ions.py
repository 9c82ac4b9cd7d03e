"""Ions that compounds are made of: usual oxidation states, how common they are, and how large.

Oxidation states: Greenwood, Earnshaw, Chemistry of the Elements (2nd ed., 1997). Radii: effective ionic radii of six
neighbours, high spin where there are two, Shannon, Acta Cryst. A32, 751 (1976); those that are not there are marked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Ion:
    """radius_ang: effective, six-coordinated. rank: 1 what most minerals and materials are made of, 2 common in
    laboratories, 3 rare: costly, radioactive, one of the later lanthanides, or in an unusual state."""

    element: str
    charge: int
    radius_ang: float
    rank: int

    def __str__(self) -> str:
        return f"{self.element}{abs(self.charge)}{'+' if self.charge > 0 else '-'}"


# Where Shannon has no radius of six neighbours (or none at all): Sn2+, Sm2+ and Pd1+ extrapolated from his other
# coordinations and neighbours in the table. H-, C4-, P3-, As3-, Sb3-, Bi3-: what half the lattice parameters of LiH,
# TiC and GdP, GdAs, GdSb, GdBi (Wyckoff, Crystal Structures, vol. 1) leave beside the cation; N3- his of four.
ESTIMATED = frozenset({"Sn2+", "Sm2+", "Pd1+", "H1-", "C4-", "N3-", "P3-", "As3-", "Sb3-", "Bi3-"})

_RANKS = {
    1: """
        Li1+ 0.76 Na1+ 1.02 K1+ 1.38 Cu1+ 0.77 Ag1+ 1.15
        Be2+ 0.45 Mg2+ 0.72 Ca2+ 1.00 Sr2+ 1.18 Ba2+ 1.35 Mn2+ 0.83 Fe2+ 0.78 Co2+ 0.745 Ni2+ 0.69 Cu2+ 0.73 Zn2+ 0.74
        Cd2+ 0.95 Pb2+ 1.19 Sn2+ 1.18
        Al3+ 0.535 Ga3+ 0.62 In3+ 0.80 Sc3+ 0.745 Y3+ 0.90 La3+ 1.032 Cr3+ 0.615 Fe3+ 0.645 V3+ 0.64 Mn3+ 0.645
        Ti3+ 0.67 Co3+ 0.61 Bi3+ 1.03
        C4+ 0.16 Si4+ 0.40 Ti4+ 0.605 Zr4+ 0.72 Sn4+ 0.69 Ge4+ 0.53 Mn4+ 0.53
        P5+ 0.38 V5+ 0.54 Nb5+ 0.64 W6+ 0.60 Mo6+ 0.59
        F1- 1.33 Cl1- 1.81 Br1- 1.96 I1- 2.20 O2- 1.40 S2- 1.84 Se2- 1.98 N3- 1.46 P3- 1.93 As3- 1.99
    """,
    2: """
        Rb1+ 1.52 Cs1+ 1.67 Tl1+ 1.50
        Hg2+ 1.02 Ge2+ 0.73 V2+ 0.79 Cr2+ 0.80 Pd2+ 0.86 Pt2+ 0.80 Eu2+ 1.17
        B3+ 0.27 Ce3+ 1.01 Pr3+ 0.99 Nd3+ 0.983 Sm3+ 0.958 Gd3+ 0.938 Lu3+ 0.861 Sb3+ 0.76 Rh3+ 0.665 Tl3+ 0.885
        Hf4+ 0.71 Ce4+ 0.87 Pb4+ 0.775 V4+ 0.58 Mo4+ 0.65 W4+ 0.66 Nb4+ 0.68 Ru4+ 0.62 Pt4+ 0.625 Th4+ 0.94 U4+ 0.89
        As5+ 0.46 Sb5+ 0.60 Ta5+ 0.64
        H1- 1.28 Te2- 2.21 Sb3- 2.17 C4- 1.56
    """,
    3: """
        Au1+ 1.37 Hg1+ 1.19 Pd1+ 0.95
        Ti2+ 0.86 Yb2+ 1.02 Sm2+ 1.19
        Pm3+ 0.97 Eu3+ 0.947 Tb3+ 0.923 Dy3+ 0.912 Ho3+ 0.901 Er3+ 0.890 Tm3+ 0.880 Yb3+ 0.868 Ni3+ 0.60 Ru3+ 0.68
        Ir3+ 0.68 Au3+ 0.85 As3+ 0.58 Mo3+ 0.69 Nb3+ 0.72 Ta3+ 0.72 U3+ 1.025 Ac3+ 1.12 Np3+ 1.01 Pu3+ 1.00
        Cr4+ 0.55 Ta4+ 0.68 Tc4+ 0.645 Re4+ 0.63 Os4+ 0.63 Ir4+ 0.625 Pd4+ 0.615 Rh4+ 0.60 Te4+ 0.97 Pa4+ 0.90 Np4+ 0.87
        Pu4+ 0.86
        Bi3- 2.22
    """,
}


def _read() -> Iterator[Ion]:
    for rank, text in _RANKS.items():
        words = text.split()
        for name, radius in zip(words[::2], words[1::2], strict=True):
            charge = int(name[-2]) * (1 if name[-1] == "+" else -1)
            yield Ion(name[:-2], charge, float(radius), rank)


_IONS = {(ion.element, ion.charge): ion for ion in _read()}


def ion(element: str, charge: int) -> Ion:
    """Raises KeyError for an oxidation state that is not among the usual ones."""
    return _IONS[element, charge]


def ions(elements: Iterable[str]) -> tuple[Ion, ...]:
    """All ions of these elements, by symbol and charge."""
    wanted = set(elements)
    return tuple(sorted(one for one in _IONS.values() if one.element in wanted))
