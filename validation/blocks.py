"""The data blocks of a CIF, cut apart without parsing them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from validation.rules import Reason, Rejected

MAX_BLOCKS = 100_000  # of one file; as many as an archive may have members

_HEADER_OR_FIELD = re.compile(r"^(?:(;)|[ \t]*data_([^\s]*))", re.IGNORECASE | re.MULTILINE)
_STRUCTURE = re.compile(r"_cell_length_a|_atom_site", re.IGNORECASE)
_BOM = "\ufeff"


@dataclass(frozen=True, slots=True)
class Block:
    """name: what follows ``data_``. text: the block with its header. line: where that begins in the file, from 1."""

    name: str
    text: str
    line: int = 1


def decode(data: bytes) -> str:
    """UTF-8 with or without a byte order mark, else Latin-1, which reads any bytes."""
    try:
        return data.decode("utf-8").removeprefix(_BOM)
    except UnicodeDecodeError:
        return data.decode("latin-1")


def split_blocks(text: str) -> list[Block]:
    """One block per ``data_`` header; those without cell and sites are dropped where another has them.

    A text without any header is one block without a name, for reading to refuse. Headers count at the beginning of a
    line only, and not within a semicolon text field or a comment. What precedes the first header goes with it. Raises
    Rejected(TOO_LARGE) above MAX_BLOCKS blocks.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    blocks: list[Block] = []
    structures: list[Block] = []
    for count, block in enumerate(_blocks(text), 1):
        if count > MAX_BLOCKS:
            raise Rejected(
                Reason.TOO_LARGE, f"the file has more than {MAX_BLOCKS:,} data blocks, the limit of one file."
            )
        (structures if _STRUCTURE.search(block.text) else blocks).append(block)
    return structures or blocks


def _blocks(text: str) -> Iterator[Block]:
    """Cut at each header; the first block begins where the text does."""
    begin, line, name = 0, 1, None
    for found_name, position in _headers(text):
        if name is not None:
            yield Block(name, text[begin:position], line)
            line += text.count("\n", begin, position)
            begin = position
        name = found_name
    yield Block(name or "", text[begin:], line)


def _headers(text: str) -> Iterator[tuple[str, int]]:
    """Name and position of each header outside text fields, which a semicolon at a line's start begins and ends."""
    in_field = False
    for match in _HEADER_OR_FIELD.finditer(text):
        if match[1]:
            in_field = not in_field
        elif not in_field:
            yield match[2], match.start()
