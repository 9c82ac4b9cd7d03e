"""Write first_batch.zip and second_batch.zip: two small uploads that meet the ways in which a structure can end.

Run as ``python examples/make_examples.py`` from the repository's root. The same bytes each time: seeded distortions,
coordinates rounded before they are written, fixed timestamps, and members stored as they are, because deflate differs
between versions of its library. What each file is for stands in README.md beside this script.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Vector = tuple[float, float, float]
Sites = Sequence[tuple[str, Vector]]

HERE = Path(__file__).resolve().parent
TIMESTAMP = (2025, 1, 1, 0, 0, 0)

_THIRD = 1 / 3
_FCC: Sequence[Vector] = ((0, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0))
_BCC: Sequence[Vector] = ((-0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0.5, 0.5, -0.5))
_CUBE: Sequence[Vector] = ((1, 0, 0), (0, 1, 0), (0, 0, 1))
_HEXAGON: Sequence[Vector] = ((1, 0, 0), (-0.5, 0.75**0.5, 0), (0, 0, 1))


@dataclass(frozen=True, slots=True)
class Cell:
    """lattice: Å, one vector a row. sites: element and fractional coordinates."""

    lattice: Floats
    sites: tuple[tuple[str, Vector], ...]


def rocksalt(cation: str, anion: str, a: float) -> Cell:
    return _cell(_FCC, (a, a, a), [(cation, (0, 0, 0)), (anion, (0.5, 0.5, 0.5))])


def caesium_chloride(cation: str, anion: str, a: float) -> Cell:
    """CsCl, in metals called B2."""
    return _cell(_CUBE, (a, a, a), [(cation, (0, 0, 0)), (anion, (0.5, 0.5, 0.5))])


def zincblende(cation: str, anion: str, a: float) -> Cell:
    return _cell(_FCC, (a, a, a), [(cation, (0, 0, 0)), (anion, (0.25, 0.25, 0.25))])


def wurtzite(cation: str, anion: str, a: float, c: float) -> Cell:
    first, second = (_THIRD, 2 * _THIRD), (2 * _THIRD, _THIRD)
    u = 0.377
    sites = [
        (cation, (*first, 0.0)),
        (cation, (*second, 0.5)),
        (anion, (*first, u)),
        (anion, (*second, u + 0.5)),
    ]
    return _cell(_HEXAGON, (a, a, c), sites)


def fluorite(cation: str, anion: str, a: float) -> Cell:
    """With the roles exchanged it is antifluorite."""
    return _cell(_FCC, (a, a, a), [(cation, (0, 0, 0)), (anion, (0.25, 0.25, 0.25)), (anion, (0.75, 0.75, 0.75))])


def rutile(cation: str, anion: str, a: float, c: float) -> Cell:
    x = 0.305
    anions: Sequence[Vector] = ((x, x, 0), (-x, -x, 0), (0.5 + x, 0.5 - x, 0.5), (0.5 - x, 0.5 + x, 0.5))
    return _cell(
        _CUBE, (a, a, c), [(cation, (0, 0, 0)), (cation, (0.5, 0.5, 0.5)), *((anion, place) for place in anions)]
    )


def anatase(cation: str, anion: str, a: float, c: float) -> Cell:
    """Body-centred; six atoms in the primitive cell."""
    u = 0.208
    vectors = np.array([(-a, a, c), (a, -a, c), (a, a, -c)]) / 2
    cartesian = [
        (cation, (0, 0, 0)),
        (cation, (0, a / 2, c / 4)),
        *((anion, (0, 0, sign * u * c)) for sign in (1, -1)),
        *((anion, (0, a / 2, c / 4 + sign * u * c)) for sign in (1, -1)),
    ]
    inverse = np.linalg.inv(vectors)
    return Cell(vectors, tuple((symbol, _vector(np.array(place) @ inverse)) for symbol, place in cartesian))


def perovskite(large: str, small: str, anion: str, a: float) -> Cell:
    faces: Sequence[Vector] = ((0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5))
    sites = [(large, (0, 0, 0)), (small, (0.5, 0.5, 0.5)), *((anion, place) for place in faces)]
    return _cell(_CUBE, (a, a, a), sites)


def half_heusler(first: str, centre: str, second: str, a: float) -> Cell:
    """centre: the element whose neighbours are a cube of both others."""
    return _cell(_FCC, (a, a, a), [(first, (0, 0, 0)), (centre, (0.25, 0.25, 0.25)), (second, (0.5, 0.5, 0.5))])


def l1_2(corner: str, face: str, a: float) -> Cell:
    faces: Sequence[Vector] = ((0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5))
    return _cell(_CUBE, (a, a, a), [(corner, (0, 0, 0)), *((face, place) for place in faces)])


def l1_0(first: str, second: str, a: float, c: float) -> Cell:
    """Layers along c; a is the side of the two-atom cell."""
    return _cell(_CUBE, (a, a, c), [(first, (0, 0, 0)), (second, (0.5, 0.5, 0.5))])


def bcc(element: str, a: float) -> Cell:
    return _cell(_BCC, (a, a, a), [(element, (0, 0, 0))])


def slab(cation: str, anion: str, a: float, gap: float) -> Cell:
    """Two rocksalt layers and a gap of that many Å."""
    height = a / 2 + gap
    side, top = a / 2**0.5, a / 2 / height
    sites = [(cation, (0, 0, 0)), (anion, (0.5, 0.5, 0)), (anion, (0, 0, top)), (cation, (0.5, 0.5, top))]
    return _cell(_CUBE, (side, side, height), sites)


def _cell(vectors: Sequence[Vector], lengths: Vector, sites: Sites) -> Cell:
    """vectors: in units of the cubic or hexagonal axes whose lengths follow."""
    return Cell(np.array(vectors, dtype=np.float64) * np.array(lengths), tuple(sites))


def _vector(values: Floats) -> Vector:
    x, y, z = (float(value) for value in values)
    return (x, y, z)


def distorted(cell: Cell, seed: int, *, strain: float = 0.015, shift_ang: float = 0.03) -> Cell:
    """Strained by a random symmetric tensor of components up to ``strain``, each atom moved by up to ``shift_ang``."""
    random = np.random.default_rng(seed)
    tensor = random.uniform(-strain, strain, size=(3, 3))
    lattice = cell.lattice @ (np.eye(3) + (tensor + tensor.T) / 2)
    moves = random.uniform(-1, 1, size=(len(cell.sites), 3)) * shift_ang / 3**0.5 @ np.linalg.inv(lattice)
    sites = [(symbol, _vector(np.array(place) + move)) for (symbol, place), move in zip(cell.sites, moves, strict=True)]
    return Cell(lattice, tuple(sites))


def stretched(cell: Cell, factor: float) -> Cell:
    return Cell(cell.lattice * factor, cell.sites)


def supercell(cell: Cell, matrix: Sequence[Sequence[int]]) -> Cell:
    """Whole multiples of the vectors; a matrix that is not diagonal turns the axes, and a CIF forgets orientations."""
    new = np.array(matrix, dtype=np.float64)
    inverse = np.linalg.inv(new)
    reach = int(np.abs(new).sum())
    shifts = np.array(list(product(range(-reach, reach), repeat=3)))
    places = []
    for symbol, place in cell.sites:
        images = np.round((np.array(place) + shifts) @ inverse % 1.0, 9) % 1.0
        places += [(symbol, _vector(image)) for image in np.unique(images, axis=0)]
    return Cell(new @ cell.lattice, tuple(places))


def cif(name: str, cell: Cell, *, charges: Mapping[str, str] | None = None) -> str:
    """A block without symmetry. charges: ``{"K": "1+"}`` makes the type symbol K1+."""
    rows = []
    for number, (symbol, place) in enumerate(cell.sites, 1):
        kind = symbol + (charges or {}).get(symbol, "")
        rows.append(f"{symbol}{number} {kind} {_coordinates(place)} 1\n")
    return _block(name, _parameters(cell.lattice), ["x, y, z"], "P 1", rows)


def _block(name: str, parameters: Sequence[float], operations: Sequence[str], group: str, rows: Sequence[str]) -> str:
    tags = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    lines = [f"data_{name}\n", f"_symmetry_space_group_name_H-M   '{group}'\n"]
    lines += [f"_cell_{tag}   {value:.6f}\n" for tag, value in zip(tags, parameters, strict=True)]
    lines += ["loop_\n", "_symmetry_equiv_pos_as_xyz\n", *(f"'{operation}'\n" for operation in operations)]
    columns = ("label", "type_symbol", "fract_x", "fract_y", "fract_z", "occupancy")
    lines += ["loop_\n", *(f"_atom_site_{column}\n" for column in columns), *rows]
    return "".join(lines)


def _coordinates(place: Vector) -> str:
    return " ".join(f"{round(value, 6) % 1.0:.6f}" for value in place)


def _parameters(lattice: Floats) -> list[float]:
    lengths = np.linalg.norm(lattice, axis=1)
    pairs = ((1, 2), (0, 2), (0, 1))
    cosines = [float(lattice[i] @ lattice[j] / lengths[i] / lengths[j]) for i, j in pairs]
    return [*lengths.tolist(), *np.degrees(np.arccos(cosines)).tolist()]


# fmt: off
_RUTILE_OPERATIONS = (
    "x,y,z", "-x,-y,z", "1/2-y,1/2+x,1/2+z", "1/2+y,1/2-x,1/2+z",
    "1/2-x,1/2+y,1/2-z", "1/2+x,1/2-y,1/2-z", "y,x,-z", "-y,-x,-z",
    "-x,-y,-z", "x,y,-z", "1/2+y,1/2-x,1/2-z", "1/2-y,1/2+x,1/2-z",
    "1/2+x,1/2-y,1/2+z", "1/2-x,1/2+y,1/2+z", "-y,-x,z", "y,x,z",
)
# fmt: on


def symmetric_rutile() -> str:
    """TiO2 by its two symmetry-independent sites and the sixteen operations of P 42/m n m."""
    rows = ["Ti1 Ti 0 0 0 1\n", "O1 O 0.3050 0.3050 0 1\n"]
    return _block("TiO2_rutile", (4.60, 4.60, 2.96, 90, 90, 90), _RUTILE_OPERATIONS, "P 42/m n m", rows)


def partly_occupied() -> str:
    rows = ["Na1 Na 0 0 0 0.5\n", "K1 K 0 0 0 0.5\n", "Cl1 Cl 0.5 0.5 0.5 1\n"]
    return _block("solid_solution", (4.2, 4.2, 4.2, 60, 60, 60), ["x, y, z"], "P 1", rows)


def several_blocks() -> str:
    """As journals write them: what holds for all, then one block a structure."""
    common = "data_global\n_journal_name_full   'An example'\n_audit_creation_method   'three rocksalt crystals'\n"
    cells = {
        "LiF": distorted(rocksalt("Li", "F", 4.05), 21),
        "NaF": distorted(rocksalt("Na", "F", 4.65), 22),
        "CaO": distorted(rocksalt("Ca", "O", 4.82), 23),
    }
    return "\n".join([common, *(cif(name, cell) for name, cell in cells.items())])


_BROKEN = """data_broken
_cell_length_a   4.2
_cell_length_b   4.2
loop_
_atom_site_label
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
Na1 0 0 0
Cl1 0.5 0.5
"""
_NOTES = "Ideas for the next batch: more nitrides.\nThis file is no structure and should say so.\n"
_PAGE = "<!DOCTYPE html>\n<html><head><title>404</title></head><body>The structure was not found.</body></html>\n"


def first_batch() -> dict[str, str]:
    """File name → text, in order of arrival."""
    mgo = distorted(rocksalt("Mg", "O", 4.24), 1)
    return {
        "01-MgO-rocksalt.cif": cif("MgO", mgo),
        "02-NaCl-CsCl-type.cif": cif("NaCl_B2", distorted(caesium_chloride("Na", "Cl", 3.45), 2)),
        "03-CsCl.cif": cif("CsCl", distorted(caesium_chloride("Cs", "Cl", 4.20), 3)),
        "04-ZnS-zincblende.cif": cif("ZnS", distorted(zincblende("Zn", "S", 5.45), 4)),
        "05-CaF2-fluorite.cif": cif("CaF2", distorted(fluorite("Ca", "F", 5.50), 5)),
        "06-Li2O-antifluorite.cif": cif("Li2O", distorted(fluorite("O", "Li", 4.65), 6)),
        "07-TiO2-rutile-symmetric.cif": symmetric_rutile(),
        "08-SrTiO3-perovskite.cif": cif("SrTiO3", distorted(perovskite("Sr", "Ti", "O", 3.94), 8)),
        "09-TiNiSn-half-Heusler.cif": cif("TiNiSn", distorted(half_heusler("Ti", "Ni", "Sn", 5.95), 9)),
        "10-Ni3Al-L1_2.cif": cif("Ni3Al", distorted(l1_2("Al", "Ni", 3.56), 10)),
        "11-NiAl-B2.cif": cif("NiAl", distorted(caesium_chloride("Ni", "Al", 2.89), 11)),
        "12-KCl-charges.cif": cif("KCl", distorted(rocksalt("K", "Cl", 6.35), 12), charges={"K": "1+", "Cl": "1-"}),
        "13-MgO-CsCl-type.cif": cif("MgO_B2", distorted(caesium_chloride("Mg", "O", 2.66), 13)),
        "14-three-blocks.cif": several_blocks(),
        "15-MgO-twin.cif": cif("MgO_turned", supercell(mgo, [[1, 1, 0], [-1, 1, 0], [0, 0, 1]])),
        "16-W-of-the-release.cif": cif("W", distorted(bcc("W", 3.20), 16)),
        "17-NaW-does-not-bind.cif": cif("NaW", distorted(caesium_chloride("Na", "W", 3.55), 17)),
        "18-overlapping.cif": cif(
            "overlapping", _cell(_CUBE, (4.2, 4.2, 4.2), [("Mg", (0, 0, 0)), ("O", (0.15, 0, 0))])
        ),
        "19-partly-occupied.cif": partly_occupied(),
        "20-MgO-slab.cif": cif("MgO_slab", slab("Mg", "O", 4.24, 12.0)),
        "21-neon.cif": cif("NaNe", caesium_chloride("Na", "Ne", 3.6)),
        "22-broken.cif": _BROKEN,
        "23-page.cif": _PAGE,
        "notes.txt": _NOTES,
    }


def second_batch() -> dict[str, str]:
    """Of another member; file name → text, in order of arrival."""
    return {
        "01-NaCl-rocksalt.cif": cif("NaCl", distorted(rocksalt("Na", "Cl", 5.72), 31)),
        "02-CaF2-again.cif": cif(
            "CaF2_again",
            supercell(distorted(stretched(fluorite("Ca", "F", 5.50), 1.03), 32), [[-1, 1, 1], [1, -1, 1], [1, 1, -1]]),
        ),
        "03-CsCl-copied.cif": first_batch()["03-CsCl.cif"],
        "04-TiO2-anatase.cif": cif("TiO2_anatase", distorted(anatase("Ti", "O", 3.81, 9.60), 34)),
        "05-ZnS-wurtzite.cif": cif("ZnS_wurtzite", distorted(wurtzite("Zn", "S", 3.85, 6.30), 35)),
        "06-GaN-wurtzite.cif": cif("GaN", distorted(wurtzite("Ga", "N", 3.24, 5.28), 36)),
        "07-SrO-rocksalt.cif": cif("SrO", distorted(rocksalt("Sr", "O", 5.19), 37)),
        "08-AuCu-L1_0.cif": cif("AuCu", distorted(l1_0("Au", "Cu", 2.85, 3.65), 38)),
        "09-Cu3Au-L1_2.cif": cif("Cu3Au", distorted(l1_2("Au", "Cu", 3.78), 39)),
        "10-MgF2-rutile.cif": cif("MgF2", distorted(rutile("Mg", "F", 4.68, 3.08), 40)),
        "11-ZnS-rocksalt.cif": cif("ZnS_rocksalt", distorted(rocksalt("Zn", "S", 5.10), 41)),
    }


def write_zip(files: Mapping[str, str], path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            info = zipfile.ZipInfo(name, TIMESTAMP)
            info.create_system = 3
            info.external_attr = 0o644 << 16
            archive.writestr(info, text.encode(), compress_type=zipfile.ZIP_STORED)


def main(folder: Path = HERE) -> None:
    write_zip(first_batch(), folder / "first_batch.zip")
    write_zip(second_batch(), folder / "second_batch.zip")


if __name__ == "__main__":
    main()
