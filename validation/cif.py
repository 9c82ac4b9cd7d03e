"""One data block of a CIF becomes a crystal, or a sentence that says why not.

gemmi reads, and pymatgen what gemmi cannot; the guards here are for what they let through. The block may come from
anybody.
"""

from __future__ import annotations

import math
import re

import gemmi
import numpy as np
from gemmi.cif import as_number, is_null
from numpy.typing import NDArray

from validation.cif_sites import listed_sites
from validation.crystal import Crystal
from validation.lenient import lenient_block
from validation.orbits import multiplicities, orbits
from validation.rules import Reason, Rejected, Rules
from validation.sites import (
    ANGLES_DEG,
    LENGTHS_ANG,
    are_flat,
    refuse_shared_places,
    refuse_too_long,
    refuse_too_many,
    rounded_cosine,
    upright_cell,
)
from validation.symmetry import Operations, read_operations

_ERROR_PLACE = re.compile(r"^string:(\d+)(?::(\d+))?(?:\(\d+\))?(?: in [^:]*)?:?\s*")
_HTML = re.compile(r"<(?:!doctype|html|head|body|\?xml)", re.IGNORECASE)
_HEADER = re.compile(r"^[ \t]*data_", re.IGNORECASE | re.MULTILINE)
_CELL_LENGTHS = ("_cell_length_a", "_cell_length_b", "_cell_length_c")
_CELL_ANGLES = ("_cell_angle_alpha", "_cell_angle_beta", "_cell_angle_gamma")


def read_block(text: str, rules: Rules, *, first_line: int = 1) -> Crystal:
    """The whole unit cell that one data block describes, its symmetry expanded.

    first_line: where the block begins in its file, for the line numbers in sentences. Raises Rejected.
    """
    block = _parse(text, rules, first_line)
    lattice = _lattice(block)
    numbers, frac = listed_sites(block, rules)
    operations = read_operations(block, lattice)
    if not operations.is_trivial:
        numbers, frac = _expanded(numbers, frac, operations, lattice, rules)
    crystal = Crystal.of(lattice, frac, numbers)
    refuse_shared_places(crystal)
    return crystal


def _parse(text: str, rules: Rules, first_line: int) -> gemmi.cif.Block:
    refuse_too_long(text, rules)
    _refuse_other_formats(text)
    ascii_text = text if text.isascii() else text.encode("ascii", "replace").decode("ascii")  # CIF 1.1 knows no more
    try:
        document = gemmi.cif.read_string(ascii_text)
    except (RuntimeError, ValueError) as error:
        block = lenient_block(ascii_text)
        if block is None:
            raise Rejected(Reason.UNREADABLE, _located(str(error), first_line)) from error
        return block
    if len(document) != 1:
        raise Rejected(Reason.UNREADABLE, f"the text has {len(document)} data blocks where one is read at a time.")
    return document[0]


def _refuse_other_formats(text: str) -> None:
    start = text.lstrip("\ufeff \t\r\n")
    if not start:
        raise Rejected(Reason.NOT_CIF, "the file is empty; a CIF begins with a line like 'data_NaCl'.")
    if "\0" in text:
        raise Rejected(Reason.NOT_CIF, "the file has NUL bytes and looks like a binary file; a CIF is plain text.")
    if _HTML.match(start):
        raise Rejected(
            Reason.NOT_CIF, "the file looks like HTML, perhaps the page around the download; please send CIF."
        )
    if not _HEADER.search(text):
        raise Rejected(Reason.NOT_CIF, "the file has no line that begins with 'data_', so it is no CIF.")


def _located(message: str, first_line: int) -> str:
    """gemmi's message with the line counted in the whole file."""
    place = _ERROR_PLACE.match(message)
    if place is None:
        return f"the text is no valid CIF: {message[:200]}."
    line = int(place[1]) + first_line - 1
    return f"line {line} is no valid CIF: {message[place.end() :][:200].rstrip('.')}."


def _lattice(block: gemmi.cif.Block) -> NDArray[np.float64]:
    """Å, shape (3, 3): a along x, b in the xy plane."""
    lengths = [_cell_number(block, tag, LENGTHS_ANG, "Å") for tag in _CELL_LENGTHS]
    angles = [_cell_number(block, tag, ANGLES_DEG, "degrees") for tag in _CELL_ANGLES]
    cosines = [rounded_cosine(math.cos(math.radians(angle))) for angle in angles]
    if are_flat(cosines):
        given = ", ".join(f"{angle:g}" for angle in angles)
        raise Rejected(Reason.BAD_CELL, f"no cell with a volume has the angles {given} degrees.")
    return upright_cell(lengths, cosines)


def _cell_number(block: gemmi.cif.Block, tag: str, limits: tuple[float, float], unit: str) -> float:
    value = block.find_value(tag)
    if value is None or is_null(value):
        raise Rejected(Reason.BAD_CELL, f"the cell is incomplete: {tag} has no value.")
    number, (low, high) = float(as_number(value)), limits  # 5.64(1) is 5.64; nan where it is no number
    if not low < number < high:
        detail = f"{tag} is {value[:40]}; it must be a number from {low:g} to {high:g} {unit}."
        raise Rejected(Reason.BAD_CELL, detail, value=number, limit=high if number >= high else low)
    return number


def _expanded(
    numbers: NDArray[np.int64],
    frac: NDArray[np.float64],
    operations: Operations,
    lattice: NDArray[np.float64],
    rules: Rules,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Every site of the cell. How many there will be is known, and refused, before they are separated."""
    count = multiplicities(frac, operations.rotations, operations.translations, lattice).sum()
    refuse_too_many(round(count), rules, what="sites fill the cell")
    sites, expanded = orbits(frac, operations.rotations, operations.translations, lattice)
    return numbers[sites], expanded
