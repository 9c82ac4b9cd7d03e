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
