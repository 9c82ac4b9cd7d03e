"""CIFs to read: a corpus where there is one, and crystals made here, as pymatgen writes them."""

from __future__ import annotations

import os
import warnings
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pymatgen.core import Lattice, Structure
from pymatgen.io.cif import CifWriter

from validation.prototypes import prototype, prototype_labels

CORPUS = Path(__file__).resolve().parents[2] / "shared" / "corpus" / "mp.zip"
_SYMPREC_ANG = 0.01
_MAX_SITES = 100
_LEAST_DISTANCE_ANG = 1.4  # most of them pass the checks, and nothing is near a reader's tolerance for one atom
_ELEMENTS = ("Li", "O", "F", "Na", "Mg", "Al", "Si", "S", "Cl", "K", "Ca", "Ti", "Fe", "Cu", "Zn", "Sr", "Ba", "La")
_SPECIAL = ((0.0, 0.0, 0.0), (0.5, 0.5, 0.5), (0.0, 0.0, 0.5), (0.5, 0.5, 0.0), (0.25, 0.25, 0.25))


@dataclass(frozen=True, slots=True)
class Cif:
    """symmetric: with symmetry operations to expand; else it lists every site of its cell. name: of a corpus' file."""

    text: str
    symmetric: bool
    name: str = ""


def corpus(path: Path | None = None) -> list[Cif]:
    """Every CIF of the archive; of CORPUS, or of the one that BENCHMARK_CIFS names. Empty where there is none."""
    path = path or Path(os.environ.get("BENCHMARK_CIFS", CORPUS))
    if not path.exists():
        return []
    with zipfile.ZipFile(path) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".cif"))
        texts = {name: archive.read(name).decode() for name in names}
    return [Cif(text, _lists_operations(text), name) for name, text in texts.items()]


def made(count: int, seed: int = 0) -> list[Cif]:
    """Elements in their prototypes and random compounds of random space groups, ``count`` in P1 and ``count`` with
    operations, of 1 to 100 sites; and one crystal of 20 sites."""
    structures = [Structure.from_spacegroup("Pm-3m", Lattice.cubic(3.91), ["Sr", "Ti", "O"], _PEROVSKITE) * (2, 2, 1)]
    structures += [structure for structure, _ in zip(_elements(), range(count // 2), strict=False)]
    for structure in _compounds(np.random.default_rng(seed)):
        if len(structures) >= count:
            break
        structures.append(structure)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of how symmetry will be found in coming versions
        plain = [Cif(str(CifWriter(structure)), False) for structure in structures]
        symmetric = [Cif(str(CifWriter(structure, symprec=_SYMPREC_ANG)), True) for structure in structures]
    return plain + symmetric


_PEROVSKITE = [[0.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.5, 0.5, 0.0]]


def _elements() -> Iterator[Structure]:
    """Iodine and copper in every prototype: dumbbells have a length for iodine."""
    for label in prototype_labels():
        shape = prototype(label)
        yield (shape.crystal("I", 42.0) if len(shape.axes) else shape.crystal("Cu", 12.0)).to_structure()


def _compounds(rng: np.random.Generator) -> Iterator[Structure]:
    while True:
        group = int(rng.integers(1, 231))
        elements = rng.choice(_ELEMENTS, size=int(rng.integers(1, 5)), replace=False).tolist()
        sites = [_SPECIAL[rng.integers(len(_SPECIAL))] if rng.random() < 0.6 else rng.random(3) for _ in elements]
        structure = Structure.from_spacegroup(group, _lattice(group, rng), elements, sites)
        if len(structure) > _MAX_SITES:
            continue
        structure.scale_lattice(float(rng.uniform(12.0, 30.0)) * len(structure))
        if structure.is_valid(tol=_LEAST_DISTANCE_ANG):
            yield structure


def _lattice(group: int, rng: np.random.Generator) -> Lattice:
    """One that the group allows; the volume comes later."""
    a, b, c = (float(length) for length in rng.uniform(4.0, 9.0, size=3))
    angles = [float(angle) for angle in rng.uniform(75.0, 105.0, size=3)]
    if group <= 2:
        return Lattice.from_parameters(a, b, c, *angles)
    if group <= 15:
        return Lattice.monoclinic(a, b, c, angles[0])
    if group <= 74:
        return Lattice.orthorhombic(a, b, c)
    if group <= 142:
        return Lattice.tetragonal(a, c)
    if group <= 194:
        return Lattice.hexagonal(a, c)
    return Lattice.cubic(a)


def _lists_operations(text: str) -> bool:
    """More than the identity, as programmes write it: quoted and one a line."""
    return text.count("-x") > 0 or text.count("x+1/2") > 0
