"""The sites that a CIF lists: an element, a place and a full occupancy each, or a sentence that says which has none."""

from __future__ import annotations

import re
from dataclasses import dataclass

import gemmi
import numpy as np
from gemmi.cif import as_number, as_string, is_null
from numpy.typing import NDArray

from hull.entries import ATOMIC_NUMBER, SYMBOLS
from validation.rules import Reason, Rejected, Rules
from validation.sites import (
    MAX_FRACTION,
    element_of,
    element_symbol,
    is_full,
    partial_occupancy,
    refuse_too_many,
    site_name,
)

_LEADING_LETTERS = re.compile(r"[A-Za-z]+")
_AXES = ("x", "y", "z")


@dataclass(frozen=True, slots=True)
class _Table:
    """The columns ``_atom_site_…`` of a block, by what follows that; as written, quotes and all."""

    block: gemmi.cif.Block
    loop: dict[str, list[str]]  # of the loop that lists x, fetched at once: a call for each value costs ten times that

    @classmethod
    def of(cls, block: gemmi.cif.Block) -> _Table:
        column = block.find_loop("_atom_site_fract_x")
        if not len(column):
            return cls(block, {})
        loop = column.get_loop()
        tags, values = loop.tags, loop.values
        return cls(block, {tag.lower(): values[place :: len(tags)] for place, tag in enumerate(tags)})

    def __getitem__(self, name: str) -> list[str]:
        """Empty where there is no such column; it may stand outside the loop, too."""
        tag = f"_atom_site_{name}"
        found = self.loop.get(tag)
        if found is not None:
            return found
        column = self.block.find_values(tag)
        return [column[row] for row in range(len(column))]


def listed_sites(block: gemmi.cif.Block, rules: Rules) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Atomic numbers, shape (n,), and fractional coordinates, shape (n, 3), of the sites as listed, each a full atom.

    Raises Rejected.
    """
    table = _Table.of(block)
    columns = [table[f"fract_{axis}"] for axis in _AXES]
    n_sites = len(columns[0])
    _refuse_missing_coordinates(table, columns)
    refuse_too_many(n_sites, rules)
    numbers = _atomic_numbers(table, n_sites)
    _refuse_disorder(table, numbers)
    _refuse_implied_hydrogen(table, numbers)
    frac = np.array(_as_numbers([*columns[0], *columns[1], *columns[2]])).reshape(3, n_sites)
    if not np.abs(frac).max() <= MAX_FRACTION:
        raise _wrong_coordinate(columns, frac, numbers)
    return np.array(numbers, dtype=np.int64), np.ascontiguousarray(frac.T)


def _as_numbers(values: list[str]) -> list[float]:
    """NaN for what is no number, 0.25 for ``0.25(1)``. By Python's own reading where it does: that is much faster."""
    try:
        if "_" not in "".join(values):  # 1_000 is a number in Python only
            return list(map(float, values))
    except ValueError:  # an uncertainty, or no number
        pass
    return list(map(as_number, values))


def _refuse_missing_coordinates(table: _Table, columns: list[list[str]]) -> None:
    counts = [len(column) for column in columns]
    if counts[0] and counts[0] == counts[1] == counts[2]:
        return
    if not any(counts) and not any(len(table[name]) for name in ("label", "type_symbol", "Cartn_x")):
        detail = "the structure lists no sites; at least 1 in an _atom_site loop is needed."
        raise Rejected(Reason.NO_ATOMS, detail, value=0, limit=1)
    if not any(counts):
        detail = "the sites have no fractional coordinates; _atom_site_fract_x, _y and _z are needed."
    elif not all(counts):
        missing = " and ".join(f"_atom_site_fract_{axis}" for axis, n in zip(_AXES, counts, strict=True) if not n)
        detail = f"the sites have no {missing}; _atom_site_fract_x, _y and _z are needed."
    else:
        detail = f"the sites have {counts[0]} x, {counts[1]} y and {counts[2]} z; each needs one of each."
    raise Rejected(Reason.BAD_COORDINATES, detail)


def _wrong_coordinate(columns: list[list[str]], frac: NDArray[np.float64], numbers: list[int]) -> Rejected:
    """The first site with a coordinate that is no number or beyond the limit; frac: shape (3, n)."""
    site, axis = (int(index) for index in np.argwhere(~(np.abs(frac.T) <= MAX_FRACTION))[0])
    detail = (
        f"{_site(site, numbers)} has {_AXES[axis]} = {columns[axis][site][:40]}; "
        f"fractional coordinates are numbers from {-MAX_FRACTION:g} to {MAX_FRACTION:g}."
    )
    return Rejected(Reason.BAD_COORDINATES, detail, sites=(site + 1,), limit=MAX_FRACTION)


def _atomic_numbers(table: _Table, n_sites: int) -> list[int]:
    """By type, which few values repeat, else by label."""
    kinds, labels = table["type_symbol"], table["label"]
    kinds = kinds if len(kinds) == n_sites else ["."] * n_sites
    labels = labels if len(labels) == n_sites else ["."] * n_sites
    of_kind = {kind: _number_of_kind(kind) for kind in set(kinds) if not is_null(kind)}
    numbers = [
        of_kind[kind] if kind in of_kind else _number_of_label(label) for kind, label in zip(kinds, labels, strict=True)
    ]
    if 0 in numbers:
        index = numbers.index(0)
        written = next((text for text in map(as_string, (kinds[index], labels[index])) if text), None)
        called = f"is called {written[:40]!r}" if written else "has neither a type symbol nor a label"
        detail = f"site {index + 1} {called}, which names no element."
        raise Rejected(Reason.UNKNOWN_ELEMENT, detail, sites=(index + 1,))
    return numbers


def _number_of_kind(value: str) -> int:
    """``O2-``, ``Fe3+``, ``O-2`` or ``FE`` → the element's atomic number; 0 where it names none."""
    return ATOMIC_NUMBER.get(element_symbol(as_string(value)) or "", 0)


def _number_of_label(value: str) -> int:
    """``Fe1``, ``O1A`` → the element's atomic number; the letters before the first digit must be exactly one."""
    letters = _LEADING_LETTERS.match(as_string(value).strip())
    return ATOMIC_NUMBER.get(element_of(letters[0]) or "", 0) if letters else 0


def _refuse_disorder(table: _Table, numbers: list[int]) -> None:
    values = table["occupancy"]
    if len(values) not in (0, len(numbers)):
        detail = f"{len(values)} occupancies are given for {len(numbers)} sites; every site needs one, or none has one."
        raise Rejected(Reason.DISORDERED, detail)
    partial = {value for value in set(values) if not _is_full(value)}
    if partial:
        index = next(index for index, value in enumerate(values) if value in partial)
        raise partial_occupancy(_site(index, numbers), values[index][:40], (index + 1,))


def _is_full(occupancy: str) -> bool:
    """The dictionary's default is 1."""
    return is_null(occupancy) or is_full(as_number(occupancy))


def _refuse_implied_hydrogen(table: _Table, numbers: list[int]) -> None:
    """Atoms that are counted but have no place would be lost in silence."""
    for index, value in enumerate(table["attached_hydrogens"]):
        if not is_null(value) and as_number(value) != 0:
            place = _site(index, numbers) if index < len(numbers) else f"site {index + 1}"
            detail = f"{place} has {value[:40]} hydrogens without places; every atom must be a site of its own."
            raise Rejected(Reason.BAD_COORDINATES, detail, sites=(index + 1,))


def _site(index: int, numbers: list[int]) -> str:
    return site_name(index, SYMBOLS[numbers[index] - 1])
