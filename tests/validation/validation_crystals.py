"""Crystals and CIF texts that several tests start from."""

from __future__ import annotations

from functools import cache

import numpy as np
from pymatgen.core import Lattice, Structure

from validation.crystal import Crystal

_SYMBOLS = "H Li C N O F Na Mg Al Si P S Cl K Ca Ti Fe Cu Zn Ga As Sr Cs Te Xe W Pt Au U"
ELEMENTS = frozenset(_SYMBOLS.split())


@cache
def prototypes() -> dict[str, Structure]:
    """Conventional cells of well-known prototypes, by name."""
    build = Structure.from_spacegroup
    third, cubic, hexagonal = 1 / 3, Lattice.cubic, Lattice.hexagonal
    return {
        "rocksalt": build("Fm-3m", cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]),
        "CsCl": build("Pm-3m", cubic(4.12), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]),
        "zincblende": build("F-43m", cubic(5.65), ["Ga", "As"], [[0, 0, 0], [0.25, 0.25, 0.25]]),
        "wurtzite": build(
            "P6_3mc", hexagonal(3.82, 6.26), ["Zn", "S"], [[third, 2 * third, 0], [third, 2 * third, 0.375]]
        ),
        "fluorite": build("Fm-3m", cubic(5.46), ["Ca", "F"], [[0, 0, 0], [0.25, 0.25, 0.25]]),
        "perovskite": build("Pm-3m", cubic(3.91), ["Sr", "Ti", "O"], [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0]]),
        "rutile": build("P4_2/mnm", Lattice.tetragonal(4.59, 2.96), ["Ti", "O"], [[0, 0, 0], [0.3053, 0.3053, 0]]),
        "diamond": build("Fd-3m", cubic(3.567), ["C"], [[0, 0, 0]]),
        "bcc": build("Im-3m", cubic(2.87), ["Fe"], [[0, 0, 0]]),
        "hcp": build("P6_3/mmc", hexagonal(3.21, 5.21), ["Mg"], [[third, 2 * third, 0.25]]),
        "corundum": build("R-3c", hexagonal(4.76, 12.99), ["Al", "O"], [[0, 0, 0.3522], [0.3064, 0, 0.25]]),
        "tellurium": build("P3_121", hexagonal(4.456, 5.921), ["Te"], [[0.2636, 0, third]]),
        "quartz": build(
            "P3_221", hexagonal(4.913, 5.405), ["Si", "O"], [[0.4697, 0, 2 * third], [0.4135, 0.2669, 0.7858]]
        ),
    }


@cache
def crystal(name: str) -> Crystal:
    return Crystal.from_structure(prototypes()[name])


def heusler(order: str) -> Crystal:
    """Four sites along the diagonal of the fcc cell, of elements by letter: XYXZ is L2_1, XXYZ is XA, …"""
    elements = {"X": 29, "Y": 25, "Z": 13}
    return Crystal.of(
        2.98 * (np.ones((3, 3)) - np.eye(3)), [[n / 4] * 3 for n in range(4)], [elements[letter] for letter in order]
    )


def stacked_layers(order: str) -> Crystal:
    """Silicon carbide of layers A, B and C: AB is 2H, ABC 3C, ABAC 4H, ABCACB 6H."""
    at = {"A": 0.0, "B": 1 / 3, "C": 2 / 3}
    height = np.arange(len(order)) / len(order)
    plane = np.array([at[letter] for letter in order])
    silicon = np.column_stack([plane, 2 * plane, height])
    lattice = Lattice.hexagonal(3.08, 2.52 * len(order)).matrix
    carbon = silicon + np.array([0.0, 0.0, 0.75 / len(order)])
    return Crystal.of(lattice, np.vstack([silicon, carbon]), [14] * len(order) + [6] * len(order))


def tilted_perovskite(degrees: float) -> Crystal:
    """SrTiO3 with octahedra turned about c, those above and below alike (a0 a0 c+), in a cell of twice the atoms."""
    turn = np.tan(np.radians(degrees)) / 4
    side = 3.905 * 2**0.5 * np.cos(np.radians(degrees))
    titanium, strontium = [[0, 0, 0], [0.5, 0.5, 0]], [[0.5, 0, 0.5], [0, 0.5, 0.5]]
    x, y = 0.25 + turn, 0.25 - turn
    oxygen = [[0, 0, 0.5], [0.5, 0.5, 0.5], [x, y, 0], [-y, x, 0], [-x, -y, 0], [y, -x, 0]]
    return Crystal.of(
        np.diag([side, side, 3.905]), [*titanium, *strontium, *oxygen], [22, 22, 38, 38, 8, 8, 8, 8, 8, 8]
    )


def rotated(start: Crystal, seed: int = 0) -> Crystal:
    """Turned as a rigid body into a random orientation."""
    turn, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    return Crystal.of(start.lattice @ (turn * np.sign(np.linalg.det(turn))), start.frac_coords, start.numbers)


def permuted(start: Crystal, seed: int = 0) -> Crystal:
    order = np.random.default_rng(seed).permutation(len(start))
    return Crystal.of(start.lattice, start.frac_coords[order], start.numbers[order])


def shifted(start: Crystal, by: tuple[float, float, float] = (0.13, 0.27, 0.41)) -> Crystal:
    return Crystal.of(start.lattice, start.frac_coords + np.array(by), start.numbers)


def supercell(start: Crystal, *times: int) -> Crystal:
    return Crystal.from_structure(start.to_structure().make_supercell(times))


def rattled(start: Crystal, ang: float, seed: int = 0) -> Crystal:
    """Each site moved by a random vector of that root mean square length."""
    noise = np.random.default_rng(seed).normal(0.0, ang / 3**0.5, size=(len(start), 3))
    return Crystal.of(start.lattice, start.frac_coords + noise @ np.linalg.inv(start.lattice), start.numbers)


def mirrored(start: Crystal) -> Crystal:
    """The other hand."""
    return Crystal.of(start.lattice, -start.frac_coords, start.numbers)


def cif_text(
    sites: str = "Na1 Na 0 0 0\nCl1 Cl 0.5 0.5 0.5",
    *,
    cell: tuple[object, ...] = (4.0, 4.0, 4.0, 90, 90, 90),
    columns: tuple[str, ...] = ("label", "type_symbol", "fract_x", "fract_y", "fract_z"),
    extra: str = "",
) -> str:
    """A small CIF, every part of which a test may spoil."""
    tags = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    head = "".join(f"_cell_{tag} {value}\n" for tag, value in zip(tags, cell, strict=True))
    loop = "loop_\n" + "".join(f"_atom_site_{column}\n" for column in columns)
    return f"data_test\n{head}{extra}\n{loop}{sites}\n"
