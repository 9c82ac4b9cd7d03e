"""One structure's text in any of the formats becomes a crystal."""

from __future__ import annotations

from validation.blocks import Format
from validation.cif import read_block
from validation.crystal import Crystal
from validation.extxyz import read_frame
from validation.rules import Rules
from validation.structure_json import read_document

_READERS = {Format.CIF: read_block, Format.EXTXYZ: read_frame, Format.JSON: read_document}


def read_structure(text: str, rules: Rules, *, format: Format = Format.CIF, first_line: int = 1) -> Crystal:
    """The whole cell that a block describes. first_line: where the block begins in its file, for the line numbers in
    sentences. Raises Rejected."""
    return _READERS[format](text, rules, first_line=first_line)
