"""CIF syntax that gemmi refuses and pymatgen reads: where the fault lies in nothing that makes the crystal.

Cell, symmetry and sites are also read here, line by line, and both must find the same: pymatgen alone would drop the
earlier of two equal tags, take a tag for the value of another, or lose what stands before the first block. Where the
two differ, or such a line is not as plain as programmes write it, the file stays refused.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field

import gemmi

MAX_LENIENT_CHARACTERS = 100_000
_MAX_LINE = 2048  # of CIF 1.1; pymatgen's work on a line with quotes grows with its square
_TAG = re.compile(r"_(?:cell_(?:length|angle)_|symmetry_|space_group_|atom_site_(?!aniso))[^\s'\"]*", re.IGNORECASE)
_TOKEN = re.compile(r"'([^']*)'(?=\s|$)|\"([^\"]*)\"(?=\s|$)|([^\s'\"#]\S*)|(['\"].*)")
_CONTROL = re.compile(r"[^\t\n\r -~]")
_COMMENT = re.compile(r"(?:^|\s)#.*")


@dataclass(slots=True)
class _Items:
    """pairs: value by tag in lower case. loops: columns by tag, a dictionary a loop."""

    pairs: dict[str, str] = field(default_factory=dict)
    loops: list[dict[str, list[str]]] = field(default_factory=list)


class _Unclear(Exception):
    """A line that might mean something else to another reader."""


def lenient_block(text: str) -> gemmi.cif.Block | None:
    """Cell, symmetry and sites of a text (ASCII) with one data block; None where they are not beyond doubt."""
    if len(text) > MAX_LENIENT_CHARACTERS or _CONTROL.search(text) or max(map(len, text.splitlines())) > _MAX_LINE:
        return None
    try:
        plain = _read_plainly(text)
    except _Unclear:
        return None
    complete = "_cell_length_a" in plain.pairs and any("_atom_site_fract_x" in loop for loop in plain.loops)
    return _as_block(plain) if complete and plain == _read_by_pymatgen(text) else None


def _read_plainly(text: str) -> _Items:
    """Each pair and each row of a loop on a line of its own. Raises _Unclear."""
    items, lines = _Items(), list(_lines_outside_text_fields(text))
    if sum(line.lower().startswith("data_") for line in lines) != 1:
        raise _Unclear
    place = 0
    while place < len(lines):
        if lines[place].lower() == "loop_":
            place = _read_loop(lines, place + 1, items)
            continue
        if _TAG.match(lines[place]):
            _read_pair(lines[place], items)
        place += 1
    tags = [*items.pairs, *(tag for loop in items.loops for tag in loop)]
    if len(set(tags)) != len(tags) or sorted(tags) != sorted(tag.lower() for tag in _TAG.findall(text)):
        raise _Unclear  # twice, or where no line begins
    return items


def _lines_outside_text_fields(text: str) -> Iterator[str]:
    """Stripped, without comments and empty lines. Raises _Unclear where a text field does not end."""
    in_field = False
    for line in text.splitlines():
        if line.startswith(";"):
            in_field = not in_field
        elif not in_field and (plain := _COMMENT.sub("", line).strip()):
            yield plain
    if in_field:
        raise _Unclear


def _read_pair(line: str, items: _Items) -> None:
    tag, *values = _tokens(line)
    if len(values) != 1 or tag.lower() in items.pairs:
        raise _Unclear
    items.pairs[tag.lower()] = values[0]


def _read_loop(lines: list[str], place: int, items: _Items) -> int:
    """Reads a loop that lists something of the crystal, passes over others; returns the line after it."""
    tags = []
    while place < len(lines) and lines[place].startswith("_"):
        tags.append(lines[place].lower())
        place += 1
    ours = any(_TAG.match(tag) for tag in tags)
    rows = []
    while place < len(lines) and not lines[place].lower().startswith(("_", "loop_", "data_")):
        if ours:
            rows.append(_tokens(lines[place]))
        place += 1
    if ours:
        if not rows or len(set(tags)) != len(tags) or any(len(row) != len(tags) for row in rows):
            raise _Unclear
        if not all(_TAG.fullmatch(tag) for tag in tags):
            raise _Unclear
        items.loops.append({tag: [row[column] for row in rows] for column, tag in enumerate(tags)})
    return place


def _tokens(line: str) -> list[str]:
    """Values of a line, unquoted. Raises _Unclear for a quote that does not end."""
    found = []
    for single, double, bare, unterminated in _TOKEN.findall(line):
        if unterminated:
            raise _Unclear
        found.append((single or double or bare).strip())
    return found


def _read_by_pymatgen(text: str) -> _Items | None:
    """What pymatgen makes of the same tags; None where it gives up."""
    from pymatgen.io.cif import CifFile  # late: a second of imports that few files need

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what it passes over: the comparison tells whether that mattered
            blocks = list(CifFile.from_str(text).data.values())
    except (ValueError, ArithmeticError, LookupError):
        return None
    if len(blocks) != 1:
        return None
    data, items = blocks[0].data, _Items()
    looped = {tag for loop in blocks[0].loops for tag in loop}
    items.pairs = {tag.lower(): value.strip() for tag, value in data.items() if tag not in looped and _TAG.match(tag)}
    items.loops = [{tag.lower(): data[tag] for tag in loop} for loop in blocks[0].loops if any(map(_TAG.match, loop))]
    return items


def _as_block(items: _Items) -> gemmi.cif.Block:
    document = gemmi.cif.Document()
    block = document.add_new_block("read_leniently")
    for tag, value in items.pairs.items():
        block.set_pair(tag, _quoted(value))
    for columns in items.loops:
        loop = block.init_loop("", list(columns))
        for row in zip(*columns.values(), strict=True):
            loop.add_row([_quoted(value) for value in row])
    return gemmi.cif.read_string(document.as_string()).sole_block()


def _quoted(value: str) -> str:
    """``?`` and ``.`` keep their meaning, which they lose in quotes."""
    return value if value in ("?", ".") else str(gemmi.cif.quote(value))
