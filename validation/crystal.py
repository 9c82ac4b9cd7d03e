"""A crystal as every phase passes it on: a cell, its sites, and nothing else."""

from __future__ import annotations

import hashlib
import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hull.entries import ATOMIC_NUMBER, SYMBOLS, Formula

if TYPE_CHECKING:
    from ase import Atoms
    from pymatgen.core import Structure

_HASH_RESOLUTION_ANG = 1e-4  # finer digits are noise of a text format, not another crystal
PACK_MAGIC = b"XT1\0"


@dataclass(frozen=True, eq=False)
class Crystal:
    """A fully occupied periodic structure.

    lattice: Å, shape (3, 3), one vector a row. frac_coords: shape (n, 3), within [0, 1). numbers: atomic numbers, (n,).
    """

    lattice: NDArray[np.float64]
    frac_coords: NDArray[np.float64]
    numbers: NDArray[np.int64]

    @classmethod
    def of(cls, lattice: object, frac_coords: object, numbers: object) -> Crystal:
        """Build from anything array-like; fractional coordinates are wrapped into the cell."""
        wrapped = np.ascontiguousarray(frac_coords, dtype=np.float64).reshape(-1, 3) % 1.0
        wrapped[wrapped >= 1.0] = 0.0  # -1e-17 % 1.0 is 1.0
        return cls(
            np.array(lattice, dtype=np.float64).reshape(3, 3), wrapped, np.array(numbers, dtype=np.int64).reshape(-1)
        )

    @classmethod
    def from_atoms(cls, atoms: Atoms) -> Crystal:
        return cls.of(atoms.cell.array, atoms.get_scaled_positions(wrap=True), atoms.numbers)

    @classmethod
    def from_structure(cls, structure: Structure) -> Crystal:
        """From an ordered pymatgen Structure; oxidation states are stripped, D counts as H."""
        return cls.of(structure.lattice.matrix, structure.frac_coords, [site.specie.Z for site in structure])

    @classmethod
    def from_sites(cls, lattice: object, cart_coords: object, symbols: Sequence[str]) -> Crystal:
        """From Cartesian positions in Å, shape (n, 3), and element symbols."""
        vectors = np.asarray(lattice, dtype=np.float64)
        frac = np.asarray(cart_coords, dtype=np.float64) @ np.linalg.inv(vectors)
        return cls.of(vectors, frac, [ATOMIC_NUMBER[symbol] for symbol in symbols])

    def to_atoms(self) -> Atoms:
        from ase import Atoms  # late: half a second of imports that the web process never needs

        return Atoms(numbers=self.numbers, scaled_positions=self.frac_coords, cell=self.lattice, pbc=True)

    def to_structure(self) -> Structure:
        from pymatgen.core import Lattice, Structure  # late: a second of imports that the web process never needs

        return Structure(Lattice(self.lattice), list(self.symbols), self.frac_coords)

    def __len__(self) -> int:
        return len(self.numbers)

    @cached_property
    def symbols(self) -> tuple[str, ...]:
        """Element symbol of each site."""
        return tuple([SYMBOLS[number - 1] for number in self.numbers.tolist()])

    @cached_property
    def formula(self) -> Formula:
        amounts = Counter(self.numbers.tolist())
        return Formula.of({SYMBOLS[number - 1]: amount for number, amount in amounts.items()})

    @property
    def elements(self) -> tuple[str, ...]:
        return self.formula.elements

    @cached_property
    def cart_coords(self) -> NDArray[np.float64]:
        """Cartesian positions, Å, shape (n, 3)."""
        return self.frac_coords @ self.lattice

    @cached_property
    def volume(self) -> float:
        """Å³."""
        return float(abs(np.linalg.det(self.lattice)))

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 of the cell and the sites, rounded to 1e-4 Å; the order of the sites and the shift by whole cells
        do not count, the choice of cell and of origin does (those are the matcher's business)."""
        steps = np.rint(self.lattice / _HASH_RESOLUTION_ANG).astype("<i8")
        lengths = np.sqrt((self.lattice * self.lattice).sum(axis=1))
        grid = np.maximum(np.rint(lengths / _HASH_RESOLUTION_ANG), 1.0)
        sites = np.empty((len(self), 4), dtype="<i8")
        sites[:, 0] = self.numbers
        sites[:, 1:] = np.rint(self.frac_coords * grid)
        sites[:, 1:] %= grid.astype("<i8")
        order = np.lexsort((sites[:, 3], sites[:, 2], sites[:, 1], sites[:, 0]))
        return hashlib.sha256(b"crystal-1" + steps.tobytes() + sites[order].tobytes()).hexdigest()

    def pack(self) -> bytes:
        """The crystal as bytes, exact to the last bit; ``unpack`` reads them."""
        head = PACK_MAGIC + struct.pack("<I", len(self))
        return (
            head
            + self.lattice.astype("<f8").tobytes()
            + self.frac_coords.astype("<f8").tobytes()
            + self.numbers.astype("u1").tobytes()
        )

    @classmethod
    def unpack(cls, blob: bytes | memoryview) -> Crystal:
        """Raises ValueError where the bytes are not those of ``pack``."""
        blob = bytes(blob)
        if blob[:4] != PACK_MAGIC or len(blob) < 8:
            raise ValueError("these bytes are not a packed crystal")
        (n_sites,) = struct.unpack_from("<I", blob, 4)
        if len(blob) != 8 + 72 + 25 * n_sites:
            raise ValueError(f"a packed crystal of {n_sites} sites has {8 + 72 + 25 * n_sites} bytes, not {len(blob)}")
        reals = np.frombuffer(blob, "<f8", 9 + 3 * n_sites, 8).astype(np.float64)
        lattice, frac = reals[:9].reshape(3, 3), reals[9:].reshape(-1, 3)
        numbers = np.frombuffer(blob, "u1", n_sites, 80 + 24 * n_sites).astype(np.int64)
        return cls(lattice, frac, numbers)
