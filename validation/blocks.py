"""One text a structure: the data blocks of a CIF, the frames of an extended XYZ, the objects of a JSON file.

Cut apart without parsing them, one at a time, so that a file of a hundred thousand is not as many objects at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from validation.json_objects import json_objects
from validation.rules import printable

_HEADER_OR_FIELD = re.compile(rb"^(?:(;)|[ \t]*data_([^\s]*))", re.IGNORECASE | re.MULTILINE)
_STRUCTURE = re.compile(rb"_cell_length_a|_atom_site", re.IGNORECASE)
_HEADER = re.compile(rb"^[ \t]*data_", re.IGNORECASE | re.MULTILINE)
_FRAME_START = re.compile(rb"[ \t]*([0-9]{1,9})[ \t]*(?:\n|\Z)")
_BLANK = re.compile(rb"[ \t\n]*")
_SUFFIXES = {
    "xyz": "extxyz",
    "extxyz": "extxyz",
    "json": "json",
    "jsonl": "json",
    "ndjson": "json",
}
_BOM = b"\xef\xbb\xbf"
_MAX_NAME_LENGTH = 255


class Format(StrEnum):
    """How a structure's text is to be read."""

    CIF = "cif"
    EXTXYZ = "extxyz"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class Block:
    """name: what follows ``data_``, or the number of a frame or an object where a file has several. text: the block
    with its header. line: where that begins in the file, from 1."""

    name: str
    text: str
    line: int = 1
    format: Format = Format.CIF


def decode(data: bytes) -> str:
    """UTF-8 with or without a byte order mark, else Latin-1, which reads any bytes."""
    try:
        return data.removeprefix(_BOM).decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def split_file(data: bytes, name: str = "") -> Iterator[Block]:
    """The blocks of one file, at least one. Its format is known by its content; the name decides where that does not.

    Line endings become those of Unix. What cannot be cut apart is one block, for reading to refuse.
    """
    data = data.removeprefix(_BOM)
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return _SPLITTERS[format_of(data, name)](data)


def format_of(data: bytes, name: str = "") -> Format:
    """By the first characters: JSON begins with a bracket, XYZ with a number on a line of its own, CIF has headers."""
    begin = _blank_end(data, 0)
    if data[begin : begin + 1] in (b"{", b"["):
        return Format.JSON
    if _FRAME_START.match(data, begin):
        return Format.EXTXYZ
    hint = _SUFFIXES.get(name.lower().rpartition(".")[2])
    return Format.CIF if hint is None or _HEADER.search(data) else Format(hint)


def _cif_blocks(data: bytes) -> Iterator[Block]:
    """One block per ``data_`` header; those without cell and sites are dropped where another has them.

    A text without any header is one block without a name. Headers count at the beginning of a line only, and not within
    a semicolon text field or a comment. What precedes the first header goes with it.
    """
    only_structures = _STRUCTURE.search(data) is not None
    for name, begin, end, line in _cif_spans(data):
        if not only_structures or _STRUCTURE.search(data, begin, end):
            yield Block(printable(decode(name)[:_MAX_NAME_LENGTH]), decode(data[begin:end]), line)


def _cif_spans(data: bytes) -> Iterator[tuple[bytes, int, int, int]]:
    """Name, begin, end and first line; the first block begins where the file does."""
    begin, line, name = 0, 1, None
    for found_name, position in _headers(data):
        if name is not None:
            yield name, begin, position, line
            line += data.count(b"\n", begin, position)
            begin = position
        name = found_name
    yield name or b"", begin, len(data), line


def _headers(data: bytes) -> Iterator[tuple[bytes, int]]:
    """Name and position of each header outside text fields, which a semicolon at a line's start begins and ends."""
    in_field = False
    for match in _HEADER_OR_FIELD.finditer(data):
        if match[1]:
            in_field = not in_field
        elif not in_field:
            yield match[2], match.start()


def _frames(data: bytes) -> Iterator[Block]:
    """Each frame says how many lines it has; where that is no number, the rest of the file is one block."""
    begin, line, number = 0, 1, 0
    while True:
        content = _blank_end(data, begin)
        line += data.count(b"\n", begin, content)
        if content == len(data) and number:
            return
        end = _frame_end(data, content)
        number += 1
        is_only = number == 1 and _blank_end(data, end) == len(data)
        yield Block("" if is_only else str(number), decode(data[content:end]), line, Format.EXTXYZ)
        line += data.count(b"\n", content, end)
        begin = end


def _frame_end(data: bytes, begin: int) -> int:
    start = _FRAME_START.match(data, begin)
    if start is None:
        return len(data)
    end = start.end()
    for _ in range(int(start[1]) + 1):
        end = data.find(b"\n", end) + 1
        if end == 0:
            return len(data)
    return end


def _objects(data: bytes) -> Iterator[Block]:
    for name, begin, end, line in json_objects(data):
        yield Block(name, decode(data[begin:end]), line, Format.JSON)


def _blank_end(data: bytes, begin: int) -> int:
    blank = _BLANK.match(data, begin)
    return blank.end() if blank else begin


_SPLITTERS = {Format.CIF: _cif_blocks, Format.EXTXYZ: _frames, Format.JSON: _objects}
