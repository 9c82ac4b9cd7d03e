"""One frame of extended XYZ becomes a crystal, or a sentence that says why not. The frame may come from anybody.

A frame is a number of atoms, a line of key=value pairs with Lattice and Properties, and a line an atom.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from validation.crystal import Crystal
from validation.rules import Reason, Rejected, Rules
from validation.sites import (
    crystal_of,
    element_symbol,
    number,
    refuse_cell,
    refuse_coordinates,
    refuse_partial_occupancy,
    refuse_too_long,
    refuse_too_many,
)

_COUNT = re.compile(r"[ \t]*([0-9]{1,9})[ \t]*")
_KEY = re.compile(r"[^\s=\"'{}\[\]]+")
_WORD = re.compile(r"\S+")
_SPACE = re.compile(r"\s*")
_CLOSING = {'"': '"', "'": "'", "{": "}", "[": "]"}
_WIDTH = re.compile(r"[1-9][0-9]{0,2}")
_KINDS = frozenset("SRIL")
_NO_PROPERTIES = "species:S:1:pos:R:3"
_TRUE, _FALSE = frozenset({"t", "true", "1"}), frozenset({"f", "false", "0"})


@dataclass(frozen=True, slots=True)
class _Columns:
    """Where an atom's line has what, from 0; occupancy is None where it has none."""

    species: int
    position: int
    occupancy: int | None
    width: int


def read_frame(text: str, rules: Rules, *, first_line: int = 1) -> Crystal:
    """first_line: where the frame begins in its file, for the line numbers in sentences. Raises Rejected."""
    refuse_too_long(text, rules)
    lines = text.rstrip().split("\n")
    n_atoms = _n_atoms(lines[0], first_line)
    refuse_too_many(n_atoms, rules)
    if len(lines) != n_atoms + 2:
        detail = f"line {first_line} announces {n_atoms} atoms, and {max(0, len(lines) - 2)} lines of atoms follow."
        raise Rejected(Reason.UNREADABLE, detail)
    pairs = _pairs(lines[1], first_line + 1)
    vectors = _vectors(pairs, first_line + 1)
    columns = _columns(pairs.get("properties", _NO_PROPERTIES), first_line + 1)
    symbols, positions = _atoms(lines[2:], columns, first_line + 2)
    frac = positions @ np.linalg.inv(vectors)
    refuse_coordinates(frac, symbols, lambda site, symbol: f"line {first_line + 2 + site} ({symbol})")
    return crystal_of(vectors, frac, symbols)


def _n_atoms(line: str, number_of_line: int) -> int:
    count = _COUNT.fullmatch(line)
    if count is None:
        detail = f"line {number_of_line} is {line.strip()[:40]!r} where a frame begins with its number of atoms."
        raise Rejected(Reason.UNREADABLE, detail)
    if int(count[1]) == 0:
        raise Rejected(Reason.NO_ATOMS, f"line {number_of_line} announces 0 atoms; at least 1 is needed.")
    return int(count[1])


def _pairs(line: str, number_of_line: int) -> dict[str, str]:
    """Keys in lower case; a word without a value is passed over. One scan, whatever the line holds."""
    pairs: dict[str, str] = {}
    position = 0
    while position < len(line):
        key = _KEY.match(line, position)
        position = _after_space(line, key.end() if key else position + 1)
        if key is None or line[position : position + 1] != "=":
            continue
        value, position = _value(line, _after_space(line, position + 1), key[0], number_of_line)
        if key[0].lower() in ("lattice", "properties", "pbc") and key[0].lower() in pairs:
            raise Rejected(Reason.UNREADABLE, f"line {number_of_line} gives {key[0][:40]} twice.")
        pairs[key[0].lower()] = value
    return pairs


def _value(line: str, position: int, key: str, number_of_line: int) -> tuple[str, int]:
    """The value that begins here, without its quotes, and where it ends."""
    closing = _CLOSING.get(line[position : position + 1])
    if closing is None:
        word = _WORD.match(line, position)
        return (word[0], word.end()) if word else ("", position)
    end = line.find(closing, position + 1)
    if end < 0:
        detail = f"line {number_of_line}: the {line[position]} after {key[:40]}= is not closed."
        raise Rejected(Reason.UNREADABLE, detail)
    return line[position + 1 : end], end + 1


def _after_space(line: str, position: int) -> int:
    space = _SPACE.match(line, position)
    return space.end() if space else position


def _vectors(pairs: dict[str, str], number_of_line: int) -> NDArray[np.float64]:
    """Å, shape (3, 3), one cell vector a row."""
    if "lattice" not in pairs:
        detail = (
            f'line {number_of_line} has no Lattice="ax ay az bx by bz cx cy cz", so the frame is no crystal; '
            "all three cell vectors are needed."
        )
        raise Rejected(Reason.BAD_CELL, detail)
    words = pairs["lattice"].replace(",", " ").split()
    values = [number(word) for word in words]
    if len(values) != 9 or not np.isfinite(values).all():
        detail = f"line {number_of_line}: Lattice is {pairs['lattice'][:80]!r}; it must be 9 numbers."
        raise Rejected(Reason.BAD_CELL, detail)
    _refuse_not_periodic(pairs.get("pbc", "T T T"), number_of_line)
    vectors = np.array(values).reshape(3, 3)
    refuse_cell(vectors)
    return vectors


def _refuse_not_periodic(pbc: str, number_of_line: int) -> None:
    words = pbc.lower().replace(",", " ").split()
    if len(words) not in (1, 3) or not set(words) <= _TRUE | _FALSE:
        raise Rejected(Reason.BAD_CELL, f"line {number_of_line}: pbc is {pbc[:40]!r}; it must be 'T T T'.")
    if set(words) & _FALSE:
        detail = f"line {number_of_line}: pbc is {pbc[:40]!r}; a crystal is periodic in all three directions."
        raise Rejected(Reason.BAD_CELL, detail)


def _columns(properties: str, number_of_line: int) -> _Columns:
    """``species:S:1:pos:R:3`` and more of that kind."""
    parts = properties.split(":")
    found: dict[str, tuple[int, str, int]] = {}
    width = 0
    for name, kind, size in zip(parts[::3], parts[1::3], parts[2::3], strict=False):
        if kind not in _KINDS or not _WIDTH.fullmatch(size) or name.lower() in found:
            break
        found[name.lower()] = (width, kind, int(size))
        width += int(size)
    if 3 * len(found) != len(parts):
        detail = f"line {number_of_line}: Properties is {properties[:80]!r}; it must read like {_NO_PROPERTIES}."
        raise Rejected(Reason.UNREADABLE, detail)
    species, position = found.get("species"), found.get("pos")
    if species is None or position is None or species[1:] != ("S", 1) or position[1:] != ("R", 3):
        detail = f"line {number_of_line}: Properties has no species:S:1 and pos:R:3, which are needed."
        raise Rejected(Reason.UNREADABLE, detail)
    occupancy = found.get("occupancy") or found.get("occupancies")
    return _Columns(species[0], position[0], occupancy[0] if occupancy else None, width)


def _atoms(lines: Sequence[str], columns: _Columns, first_line: int) -> tuple[list[str], NDArray[np.float64]]:
    """Symbols, and Cartesian positions in Å, shape (n, 3)."""
    rows = list(_rows(lines, columns, first_line))
    return [symbol for symbol, _ in rows], np.array([position for _, position in rows])


def _rows(lines: Sequence[str], columns: _Columns, first_line: int) -> Iterator[tuple[str, list[float]]]:
    for number_of_line, line in enumerate(lines, first_line):
        words = line.split()
        if len(words) != columns.width:
            detail = f"line {number_of_line} has {len(words)} columns where Properties announces {columns.width}."
            raise Rejected(Reason.UNREADABLE, detail)
        symbol = element_symbol(words[columns.species])
        if symbol is None:
            detail = f"line {number_of_line} is of {words[columns.species][:40]!r}, which names no element."
            raise Rejected(Reason.UNKNOWN_ELEMENT, detail)
        if columns.occupancy is not None:
            refuse_partial_occupancy(f"line {number_of_line} ({symbol})", number(words[columns.occupancy]))
        written = words[columns.position : columns.position + 3]
        position = [number(word) for word in written]
        if not np.isfinite(position).all():
            detail = (
                f"line {number_of_line} ({symbol}) has the position {' '.join(written)[:80]}; it must be 3 numbers."
            )
            raise Rejected(Reason.BAD_COORDINATES, detail)
        yield symbol, position
