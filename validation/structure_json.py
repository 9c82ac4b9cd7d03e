"""One JSON object as pymatgen's ``Structure.as_dict()`` gives it becomes a crystal, or a sentence that says why not.

Only numbers and symbols are taken from it; nothing that it names is imported or called. It may come from anybody.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from validation.crystal import Crystal
from validation.rules import Reason, Rejected, Rules
from validation.sites import (
    crystal_of,
    element_symbol,
    refuse_cell,
    refuse_coordinates,
    refuse_partial_occupancy,
    refuse_too_long,
    refuse_too_many,
    site_name,
)

_CLASSES = ("Structure", "IStructure")


def read_document(text: str, rules: Rules, *, first_line: int = 1) -> Crystal:
    """first_line: where the object begins in its file, for the line numbers in sentences. Raises Rejected."""
    refuse_too_long(text, rules)
    document = _parsed(text, first_line)
    _refuse_other_objects(document)
    sites = document["sites"]
    if not sites:
        raise Rejected(Reason.NO_ATOMS, "the structure lists no sites; at least 1 is needed.")
    refuse_too_many(len(sites), rules)
    vectors = _vectors(document["lattice"])
    symbols = [_symbol(site, index) for index, site in enumerate(sites)]
    frac = np.array([_fractions(site, index, symbols[index]) for index, site in enumerate(sites)])
    refuse_coordinates(frac, symbols, site_name)
    return crystal_of(vectors, frac, symbols)


def _parsed(text: str, first_line: int) -> dict[str, Any]:
    try:
        document = json.loads(text, object_pairs_hook=_unique)
    except json.JSONDecodeError as error:
        what = error.msg.removesuffix(" at")
        detail = f"line {error.lineno + first_line - 1} is no valid JSON: {what} at column {error.colno}."
        raise Rejected(Reason.UNREADABLE, detail) from error
    except RecursionError as error:
        raise Rejected(Reason.UNREADABLE, "the JSON is nested too deeply to be a structure.") from error
    except ValueError as error:  # Python's own limit
        detail = "the JSON holds a number that cannot be read: it has more than 4,300 digits."
        raise Rejected(Reason.UNREADABLE, detail) from error
    if not isinstance(document, dict):
        raise _no_structure("it is no object with a lattice and sites")
    return document


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise Rejected(Reason.UNREADABLE, f"the JSON has {twice[:40]!r} twice in one object.")
    return members


def _refuse_other_objects(document: dict[str, Any]) -> None:
    kind = document.get("@class", "Structure")
    if kind not in _CLASSES:
        raise _no_structure(f"its @class is {str(kind)[:40]!r}")
    if not isinstance(document.get("lattice"), dict) or not isinstance(document.get("sites"), list):
        raise _no_structure(
            "it has no lattice and no list of sites" if "sites" not in document else "it has no lattice"
        )


def _no_structure(why: str) -> Rejected:
    return Rejected(Reason.UNREADABLE, f"this JSON is no pymatgen Structure: {why}; Structure.as_dict() makes one.")


def _vectors(lattice: dict[str, Any]) -> NDArray[np.float64]:
    """Å, shape (3, 3), one cell vector a row."""
    rows = lattice.get("matrix")
    if not isinstance(rows, list) or len(rows) != 3 or not all(isinstance(row, list) and len(row) == 3 for row in rows):
        raise Rejected(Reason.BAD_CELL, "the lattice has no matrix of 3 × 3 numbers.")
    if lattice.get("pbc", [True] * 3) != [True] * 3:
        raise Rejected(Reason.BAD_CELL, "the lattice's pbc is not true in all three directions; a crystal's is.")
    vectors = np.array([[_number(value) for value in row] for row in rows])
    refuse_cell(vectors)
    return vectors


def _symbol(site: object, index: int) -> str:
    species = site.get("species") if isinstance(site, dict) else None
    if not isinstance(species, list) or not all(isinstance(one, dict) for one in species):
        raise Rejected(Reason.UNREADABLE, f"site {index + 1} has no list of species.")
    if len(species) != 1:
        detail = f"site {index + 1} has {len(species)} species; every site must be fully occupied by one element."
        raise Rejected(Reason.DISORDERED, detail)
    written = species[0].get("element")
    symbol = element_symbol(written) if isinstance(written, str) else None
    if symbol is None:
        raise Rejected(Reason.UNKNOWN_ELEMENT, f"site {index + 1} is of {str(written)[:40]!r}, which names no element.")
    refuse_partial_occupancy(site_name(index, symbol), _number(species[0].get("occu", 1)), (index + 1,))
    return symbol


def _fractions(site: dict[str, Any], index: int, symbol: str) -> Sequence[float]:
    written = site.get("abc")
    if not isinstance(written, list) or len(written) != 3:
        raise Rejected(
            Reason.BAD_COORDINATES, f"{site_name(index, symbol)} has no 'abc', a list of 3 fractions of the cell."
        )
    return [_number(value) for value in written]


def _number(value: object) -> float:
    """NaN for what is no number, infinity for one that is too large."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.inf
