"""Small fcc-metal alloys for flows that need many structures and an analytic potential."""

import io
import itertools
import zipfile
from collections.abc import Iterator

import numpy as np
from ase import Atoms
from ase.build import bulk

from validation.crystal import Crystal

METALS = ("Ag", "Al", "Au", "Cu", "Ni", "Pd", "Pt")
_LATTICE_ANG = {"Ag": 4.06, "Al": 3.99, "Au": 4.06, "Cu": 3.59, "Ni": 3.49, "Pd": 3.88, "Pt": 3.92}


def structures() -> Iterator[tuple[str, Atoms]]:
    """Names and cells, always the same and without end: ordered alloys, then strained copies of them."""
    for round_number in itertools.count():
        rng = np.random.default_rng(round_number)
        for first, second in itertools.combinations(METALS, 2):
            for name, symbols in (
                ("L10", (first, first, second, second)),
                ("L12", (first, second, second, second)),
                ("L12", (second, first, first, first)),
            ):
                yield f"{round_number}-{name}-{first}{second}-{symbols[0]}.cif", _strained(symbols, rng)


def _strained(symbols: tuple[str, ...], rng: np.random.Generator) -> Atoms:
    lattice = float(np.mean([_LATTICE_ANG[symbol] for symbol in symbols]))
    atoms = bulk("Cu", "fcc", a=lattice, cubic=True)
    atoms.symbols = list(symbols)
    strain = np.eye(3) + rng.uniform(-0.03, 0.03, (3, 3))
    atoms.set_cell(atoms.cell @ (strain + strain.T) / 2, scale_atoms=True)
    return atoms


def cif(atoms: Atoms) -> str:
    return str(Crystal.from_atoms(atoms).to_structure().to(fmt="cif"))


def archive(count: int, *, extra: dict[str, str] | None = None) -> bytes:
    """A zip of so many alloys and a few files more; the same bytes each time."""
    buffer = io.BytesIO()
    files = {name: cif(atoms) for name, atoms in itertools.islice(structures(), count)}
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, text in {**files, **(extra or {})}.items():
            packed.writestr(zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0)), text)
    return buffer.getvalue()
