"""What every format's cell and sites must satisfy, and the sentences where they do not."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from hull.entries import ATOMIC_NUMBER
from validation.crystal import Crystal
from validation.orbits import MERGE_ANG, nearest_two
from validation.rules import Reason, Rejected, Rules

MAX_CELL_FACTOR = 8  # a conventional cell or a small supercell may hold this many times the atoms of a primitive one
LENGTHS_ANG = (0.5, 1000.0)
ANGLES_DEG = (1.0, 179.0)
MAX_FRACTION = 1000.0  # cells away from the origin

_MIN_FILLING = 1e-3  # volume over the product of the lengths
_OCCUPANCY_TOLERANCE = 1e-3
_CHARGED_SYMBOL = re.compile(r"([A-Za-z]{1,2})(?:[0-9.]*[+-]?|[+-][0-9.]*)")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_MAX_NUMBER_LENGTH = 64

SiteName = Callable[[int, str], str]


def refuse_too_long(text: str, rules: Rules) -> None:
    size = len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
    if size > rules.max_text_bytes:
        detail = f"the text has {size:,} bytes; at most {rules.max_text_bytes:,} are allowed for one structure."
        raise Rejected(Reason.TOO_LARGE, detail, value=size, limit=rules.max_text_bytes)


def refuse_too_many(count: int, rules: Rules, *, what: str = "sites are listed") -> None:
    """Before any work that grows with the sites."""
    limit = MAX_CELL_FACTOR * rules.max_atoms
    if count > limit:
        detail = (
            f"{count:,} {what}; at most {limit:,} are read, and {rules.max_atoms} in the primitive cell are allowed."
        )
        raise Rejected(Reason.TOO_MANY_ATOMS, detail, value=count, limit=limit)


def element_of(letters: str) -> str | None:
    """The element's symbol, whatever the case; D is hydrogen: the same energies."""
    symbol = letters.capitalize()
    return "H" if symbol == "D" else symbol if symbol in ATOMIC_NUMBER else None


def element_symbol(written: str) -> str | None:
    """``Fe``, ``Fe3+``, ``O-2`` or ``FE`` → the element's symbol."""
    charged = _CHARGED_SYMBOL.fullmatch(written.strip())
    return element_of(charged[1]) if charged else None


def site_name(index: int, symbol: str) -> str:
    """``site 3 (O)`` for the site with index 2."""
    return f"site {index + 1} ({symbol})"


def number(text: str) -> float:
    """NaN where the text is no plain decimal number."""
    return float(text) if len(text) <= _MAX_NUMBER_LENGTH and _NUMBER.fullmatch(text) else float("nan")


def is_full(occupancy: float) -> bool:
    return abs(occupancy - 1.0) <= _OCCUPANCY_TOLERANCE


def refuse_partial_occupancy(where: str, occupancy: float, sites: tuple[int, ...] = ()) -> None:
    if not is_full(occupancy):
        raise partial_occupancy(where, f"{occupancy:g}", sites)


def partial_occupancy(where: str, written: str, sites: tuple[int, ...] = ()) -> Rejected:
    detail = f"{where} has occupancy {written}; every site must be fully occupied (1) by one element."
    return Rejected(Reason.DISORDERED, detail, sites=sites, limit=1.0)


def crystal_of(vectors: NDArray[np.float64], frac: NDArray[np.float64], symbols: Sequence[str]) -> Crystal:
    """The crystal with these cell vectors (Å, one a row) and fractional coordinates, its cell turned as a CIF has it:
    a along x, b in the xy plane. Nothing is mirrored. Raises Rejected."""
    if np.linalg.det(vectors) < 0.0:  # left-handed: the same crystal has the opposite vectors
        vectors, frac = -vectors, -frac
    lattice = upright_cell(np.linalg.norm(vectors, axis=1).tolist(), _cosines(vectors))
    crystal = Crystal.of(lattice, frac, [ATOMIC_NUMBER[symbol] for symbol in symbols])
    refuse_shared_places(crystal)
    return crystal


def upright_cell(lengths: Sequence[float], cosines: Sequence[float]) -> NDArray[np.float64]:
    """Å, shape (3, 3): a along x, b in the xy plane. cosines: of alpha, beta and gamma, which are not flat."""
    (a, b, c), (cos_a, cos_b, cos_c) = lengths, cosines
    sin_c = math.sqrt(1.0 - cos_c**2)
    tilt = (cos_a - cos_b * cos_c) / sin_c
    height = math.sqrt(_squared_filling(cosines)) / sin_c
    rows = [[a, 0.0, 0.0], [b * cos_c, b * sin_c, 0.0], [c * cos_b, c * tilt, c * height]]
    return np.array(rows, dtype=np.float64)


def are_flat(cosines: Sequence[float]) -> bool:
    """Whether no cell with a volume has these angles."""
    return not _squared_filling(cosines) > _MIN_FILLING**2


def rounded_cosine(cosine: float) -> float:
    """Of 90 degrees: 0."""
    return round(cosine * 1e15) / 1e15


def refuse_cell(vectors: NDArray[np.float64]) -> None:
    """vectors: Å, shape (3, 3), one a row."""
    if not np.isfinite(vectors).all():
        raise Rejected(Reason.BAD_CELL, "the cell's vectors must be 9 numbers.")
    low, high = LENGTHS_ANG
    for name, vector in zip("abc", vectors, strict=True):
        if not low < (length := float(np.hypot.reduce(vector))) < high:
            detail = f"the cell vector {name} is {length:g} Å long; it must be from {low:g} to {high:g} Å."
            raise Rejected(Reason.BAD_CELL, detail, value=length, limit=high if length >= high else low)
    cosines = _cosines(vectors)
    angles = np.degrees(np.arccos(np.clip(cosines, -1.0, 1.0)))
    low, high = ANGLES_DEG
    if are_flat(cosines) or not (low < angles.min() and angles.max() < high):
        given = ", ".join(f"{angle:.4g}" for angle in angles)
        raise Rejected(Reason.BAD_CELL, f"the cell is flat: its vectors enclose angles of {given} degrees.")


def refuse_coordinates(frac: NDArray[np.float64], symbols: Sequence[str], name: SiteName) -> None:
    """frac: shape (n, 3). name: what a site, counted from 0, is called in a sentence."""
    wrong = np.argwhere(~(np.abs(frac) <= MAX_FRACTION))
    if len(wrong):
        site = int(wrong[0][0])
        detail = (
            f"{name(site, symbols[site])} has the fractional coordinates {_place(frac[site])}; these are numbers from "
            f"{-MAX_FRACTION:g} to {MAX_FRACTION:g}."
        )
        raise Rejected(Reason.BAD_COORDINATES, detail, sites=(site + 1,), limit=MAX_FRACTION)


def refuse_shared_places(crystal: Crystal) -> None:
    """Two atoms on one place are one site with two occupants."""
    if len(crystal) < 2:
        return
    first, second, distance = nearest_two(crystal.frac_coords, crystal.lattice)
    if distance < MERGE_ANG:
        names = [f"{crystal.symbols[index]} at {_place(crystal.frac_coords[index])}" for index in (first, second)]
        detail = f"{names[0]} and {names[1]} share one place; every site must be occupied by one atom."
        raise Rejected(Reason.DISORDERED, detail, value=distance, limit=MERGE_ANG)


def _cosines(vectors: NDArray[np.float64]) -> list[float]:
    """Of alpha, beta and gamma."""
    unit = vectors / np.linalg.norm(vectors, axis=1)[:, None]
    return [rounded_cosine(float(unit[i] @ unit[j])) for i, j in ((1, 2), (0, 2), (0, 1))]


def _squared_filling(cosines: Sequence[float]) -> float:
    """The square of the volume over the product of the lengths."""
    cos_a, cos_b, cos_c = cosines
    return 1.0 - cos_a**2 - cos_b**2 - cos_c**2 + 2.0 * cos_a * cos_b * cos_c


def _place(frac: NDArray[np.float64]) -> str:
    return "(" + ", ".join(f"{value:.4f}" if abs(value) < 1e6 else f"{value:g}" for value in frac) + ")"
