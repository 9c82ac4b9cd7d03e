"""Crystal structures that elements take, from tabulated cells and coordinates; nothing is read from a file.

Cells and internal coordinates: Wyckoff, Crystal Structures, vol. 1 (1963); Donohue, The Structures of the Elements
(1974); where a line names a paper, that paper. Only the shape counts: ``Prototype.crystal`` sets the volume.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from hull.entries import ATOMIC_NUMBER
from validation.conventional_cells import Site, cubic, hexagonal, orthorhombic, primitive_sites, tetragonal
from validation.crystal import Crystal

Floats = NDArray[np.float64]

# Å, of the free molecule: Huber and Herzberg, Constants of Diatomic Molecules (1979).
_BOND_ANG = {"H": 0.741, "N": 1.098, "O": 1.208, "F": 1.412, "Cl": 1.988, "Br": 2.281, "I": 2.666}


@dataclass(frozen=True, eq=False)
class Prototype:
    """A primitive cell whose atoms can be of any element.

    lattice: Å, shape (3, 3); frac_coords: shape (n, 3). axes: empty, or, shape (n, 3), where ``frac_coords`` holds the
    centre of an atom's molecule, the Cartesian unit vector from there to the atom: a bond keeps its length when the
    volume changes.
    """

    label: str
    lattice: Floats
    frac_coords: Floats
    axes: Floats

    def __len__(self) -> int:
        return len(self.frac_coords)

    def crystal(self, element: str, volume_per_atom_ang3: float) -> Crystal:
        """The prototype made of one element. Raises KeyError for dumbbells of an element that forms none."""
        own = abs(float(np.linalg.det(self.lattice))) / len(self)
        lattice = self.lattice * (volume_per_atom_ang3 / own) ** (1 / 3)
        frac = self.frac_coords
        if len(self.axes):
            frac = frac + 0.5 * _BOND_ANG[element] * self.axes @ np.linalg.inv(lattice)
        return Crystal.of(lattice, frac, [ATOMIC_NUMBER[element]] * len(self))


@cache
def prototype(label: str) -> Prototype:
    """The prototype of this label; raises KeyError where there is none."""
    lattice, frac, axes = _BUILDERS[label]()
    return Prototype(label, lattice, frac, axes)


def prototype_labels() -> tuple[str, ...]:
    return tuple(sorted(_BUILDERS))


_Parts = tuple[Floats, Floats, Floats]


def _group(number: int, cell: Sequence[float], *sites: Site, origin: int = 1) -> Callable[[], _Parts]:
    """By space group, as ``primitive_sites`` has it."""

    def build() -> _Parts:
        lattice, frac, _ = primitive_sites(number, cell, sites, [0] * len(sites), origin=origin)
        return lattice, frac, np.zeros((0, 3))

    return build


def _dumbbells(vectors: Sequence[Site], molecules: Sequence[tuple[Site, Site]]) -> Callable[[], _Parts]:
    """Diatomic molecules, each given by its centre and its direction, both Cartesian; vectors in Å."""

    def build() -> _Parts:
        lattice = np.array(vectors, dtype=np.float64)
        centres = np.repeat([centre for centre, _ in molecules], 2, axis=0) @ np.linalg.inv(lattice)
        directions = np.array([direction for _, direction in molecules], dtype=np.float64)
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        return lattice, centres, np.stack([directions, -directions], axis=1).reshape(-1, 3)

    return build


def _halogen(a: float, b: float, c: float, tilt: Site) -> Callable[[], _Parts]:
    """Cmce, 8f: herringbone layers; the second molecule is the first one's mirror image."""
    x, y, z = tilt
    return _dumbbells(
        [(a / 2, b / 2, 0), (-a / 2, b / 2, 0), (0, 0, c)], [((0, 0, 0), tilt), ((0, b / 2, c / 2), (x, -y, z))]
    )


def _cubic_molecules(a: float) -> Callable[[], _Parts]:
    """Pa-3, 8c: centres on the fcc lattice, each along another body diagonal."""
    h = a / 2
    return _dumbbells(
        [(a, 0, 0), (0, a, 0), (0, 0, a)],
        [((0, 0, 0), (1, 1, 1)), ((h, 0, h), (-1, -1, 1)), ((0, h, h), (-1, 1, -1)), ((h, h, 0), (1, -1, -1))],
    )


def _hexagonal_molecules(a: float, c: float) -> Callable[[], _Parts]:
    """Centres on the hcp sites, all along c."""
    height = a * 3**0.5 / 2
    return _dumbbells(
        [(a, 0, 0), (-a / 2, height, 0), (0, 0, c)],
        [((0, 0, 0), (0, 0, 1)), ((a / 2, height / 3, c / 2), (0, 0, 1))],
    )


def _oxygen(a: float, b: float, c: float, beta_deg: float) -> Callable[[], _Parts]:
    """C2/m, 4i: one molecule, at right angles to the layers."""
    beta = np.radians(beta_deg)
    along_c = (c * float(np.cos(beta)), 0.0, c * float(np.sin(beta)))
    return _dumbbells([(a / 2, b / 2, 0), (-a / 2, b / 2, 0), along_c], [((0, 0, 0), (0, 0, 1))])


_THIRD = 1 / 3
_BUILDERS: dict[str, Callable[[], _Parts]] = {
    # close packed and simple
    "fcc": _group(225, cubic(4.0), (0, 0, 0)),
    "bcc": _group(229, cubic(3.2), (0, 0, 0)),
    "sc": _group(221, cubic(3.35), (0, 0, 0)),
    "hcp": _group(194, hexagonal(3.2, 5.2), (_THIRD, 2 * _THIRD, 0.25)),
    "hcp-Zn": _group(194, hexagonal(2.66, 4.95), (_THIRD, 2 * _THIRD, 0.25)),  # c/a = 1.86
    "dhcp": _group(194, hexagonal(3.77, 12.16), (0, 0, 0), (_THIRD, 2 * _THIRD, 0.25)),
    "9R": _group(166, hexagonal(3.63, 26.2), (0, 0, 0), (0, 0, 2 / 9)),  # Sm
    "omega": _group(191, hexagonal(4.60, 2.82), (0, 0, 0), (_THIRD, 2 * _THIRD, 0.5)),
    "A15": _group(223, cubic(5.05), (0, 0, 0), (0.25, 0, 0.5)),  # β-W
    "bct-In": _group(139, tetragonal(3.25, 4.95), (0, 0, 0)),
    "bct-Pa": _group(139, tetragonal(3.92, 3.24), (0, 0, 0)),
    "bct-Hg": _group(139, tetragonal(3.995, 2.825), (0, 0, 0)),  # β-Hg
    "hR1-Hg": _group(166, hexagonal(3.458, 6.684), (0, 0, 0)),  # α-Hg, α = 70.5°
    # covalent
    "diamond": _group(227, cubic(5.43), (0, 0, 0)),
    "beta-Sn": _group(141, tetragonal(5.83, 3.18), (0, 0, 0)),
    "graphite": _group(194, hexagonal(2.46, 6.71), (0, 0, 0.25), (_THIRD, 2 * _THIRD, 0.25)),
    "A7": _group(166, hexagonal(4.31, 11.27), (0, 0, 0.233)),  # Sb
    "black-P": _group(64, orthorhombic(3.314, 10.478, 4.376), (0, 0.1017, 0.0806)),  # Brown, Rundqvist 1965
    "alpha-Ga": _group(64, orthorhombic(4.520, 7.663, 4.526), (0, 0.1539, 0.0810)),  # Sharma, Donohue 1962
    "Se-chain": _group(152, hexagonal(4.366, 4.954), (0.2254, 0, _THIRD)),
    "S6": _group(148, hexagonal(10.818, 4.280), (0.1454, 0.1882, 0.1055)),  # Steidel et al. 1978
    "alpha-S8": _group(  # Rettig, Trotter, Acta Cryst. C43, 2260 (1987)
        70,
        orthorhombic(10.4646, 12.8660, 24.4860),
        (0.8554, 0.9526, 0.9516),
        (0.7844, 0.0301, 0.0763),
        (0.7069, 0.9795, 0.0040),
        (0.7862, 0.9073, 0.1290),
        origin=2,
    ),
    "alpha-B12": _group(  # Decker, Kasper 1959
        166, hexagonal(4.908, 12.567), (0.1189, -0.1189, 0.8912), (0.1969, -0.1969, 0.0243)
    ),
    # metals with a structure of their own
    "alpha-Mn": _group(
        217, cubic(8.911), (0, 0, 0), (0.317, 0.317, 0.317), (0.356, 0.356, 0.034), (0.089, 0.089, 0.282)
    ),
    "alpha-U": _group(63, orthorhombic(2.854, 5.870, 4.955), (0, 0.1025, 0.25)),
    "alpha-Np": _group(62, orthorhombic(6.663, 4.723, 4.887), (0.036, 0.25, 0.208), (0.319, 0.25, 0.842)),
    "alpha-Pu": _group(  # Zachariasen, Ellinger, Acta Cryst. 16, 777 (1963)
        11,
        (6.183, 4.822, 10.963, 90, 101.79, 90),
        (0.345, 0.25, 0.162),
        (0.767, 0.25, 0.168),
        (0.128, 0.25, 0.340),
        (0.657, 0.25, 0.457),
        (0.025, 0.25, 0.618),
        (0.473, 0.25, 0.653),
        (0.328, 0.25, 0.926),
        (0.894, 0.25, 0.935),
    ),
    # diatomic molecules
    "I2": _halogen(7.180, 4.710, 9.810, (0, 0.727, 1.152)),
    "alpha-O2": _oxygen(5.403, 3.429, 5.086, 132.53),
    "alpha-N2": _cubic_molecules(5.66),
    "gamma-N2": _dumbbells(
        [(3.957, 0, 0), (0, 3.957, 0), (0, 0, 5.109)], [((0, 0, 0), (1, 1, 0)), ((1.9785, 1.9785, 2.5545), (1, -1, 0))]
    ),
    "hcp-H2": _hexagonal_molecules(3.76, 6.14),
}
