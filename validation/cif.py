"""One data block of a CIF becomes a crystal, or a sentence that says why not.

gemmi reads; the guards here are for what it lets through. The block may come from anybody.
"""

from __future__ import annotations

import re

import gemmi
import numpy as np
from numpy.typing import NDArray

from hull.entries import ATOMIC_NUMBER
from validation.crystal import Crystal
from validation.rules import Reason, Rejected, Rules
from validation.symmetry import MERGE_ANG, Operations, read_operations

_MAX_CELL_FACTOR = 8  # a conventional cell or a small supercell may hold this many times the atoms of a primitive one
_LENGTHS_ANG = (0.5, 1000.0)
_ANGLES_DEG = (1.0, 179.0)
_MIN_FILLING = 1e-3  # volume over the product of the lengths
_MAX_FRACTION = 1000.0  # cells away from the origin
_OCCUPANCY_TOLERANCE = 1e-3
_ERROR_PLACE = re.compile(r"^string:(\d+)(?::(\d+))?(?:\(\d+\))?(?: in [^:]*)?:?\s*")
_CHARGED_SYMBOL = re.compile(r"([A-Za-z]{1,2})(?:[0-9.]*[+-]?|[+-][0-9.]*)")
_LEADING_LETTERS = re.compile(r"[A-Za-z]+")
_AXES = ("x", "y", "z")


def read_block(text: str, rules: Rules, *, first_line: int = 1) -> Crystal:
    """The whole unit cell that one data block describes, its symmetry expanded.

    first_line: where the block begins in its file, for the line numbers in sentences. Raises Rejected.
    """
    block = _parse(text, rules, first_line)
    lattice = _lattice(block)
    numbers, frac = _listed_sites(block, rules)
    operations = read_operations(block, lattice)
    if not operations.is_trivial:
        numbers, frac = _expanded(numbers, frac, operations, lattice, rules)
    crystal = Crystal.of(lattice, frac, numbers)
    _refuse_shared_places(crystal)
    return crystal


def _parse(text: str, rules: Rules, first_line: int) -> gemmi.cif.Block:
    size = len(text.encode("utf-8", "replace"))
    if size > rules.max_text_bytes:
        detail = f"the text has {size:,} bytes; at most {rules.max_text_bytes:,} are allowed for one structure."
        raise Rejected(Reason.TOO_LARGE, detail)
    _refuse_other_formats(text)
    try:
        document = gemmi.cif.read_string(text.encode("ascii", "replace").decode("ascii"))  # CIF 1.1 is ASCII
    except (RuntimeError, ValueError) as error:
        raise Rejected(Reason.UNREADABLE, _located(str(error), first_line)) from error
    if len(document) != 1:
        raise Rejected(Reason.UNREADABLE, f"the text has {len(document)} data blocks where one is read at a time.")
    return document[0]


def _refuse_other_formats(text: str) -> None:
    start = text.lstrip("\ufeff \t\r\n")
    if not start:
        raise Rejected(Reason.NOT_CIF, "the file is empty; a CIF begins with a line like 'data_NaCl'.")
    if "\0" in text:
        raise Rejected(Reason.NOT_CIF, "the file has NUL bytes and looks like a binary file; a CIF is plain text.")
    if re.match(r"<(?:!doctype|html|head|body|\?xml)", start, re.IGNORECASE):
        raise Rejected(
            Reason.NOT_CIF, "the file looks like HTML, perhaps the page around the download; please send CIF."
        )
    if not re.search(r"^[ \t]*data_", text, re.IGNORECASE | re.MULTILINE):
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
    lengths = [_cell_number(block, f"_cell_length_{axis}", _LENGTHS_ANG, "Å") for axis in "abc"]
    angles = [_cell_number(block, f"_cell_angle_{name}", _ANGLES_DEG, "degrees") for name in ("alpha", "beta", "gamma")]
    cos_a, cos_b, cos_c = np.round(np.cos(np.radians(angles)), 15)  # 90 degrees are exactly 90
    sin_c = np.sqrt(1.0 - cos_c**2)
    filling = 1.0 - cos_a**2 - cos_b**2 - cos_c**2 + 2.0 * cos_a * cos_b * cos_c
    if not filling > _MIN_FILLING**2:
        given = ", ".join(f"{angle:g}" for angle in angles)
        raise Rejected(Reason.BAD_CELL, f"no cell with a volume has the angles {given} degrees.")
    a, b, c = lengths
    tilt = (cos_a - cos_b * cos_c) / sin_c
    rows = [[a, 0.0, 0.0], [b * cos_c, b * sin_c, 0.0], [c * cos_b, c * tilt, c * np.sqrt(filling) / sin_c]]
    return np.array(rows, dtype=np.float64)


def _cell_number(block: gemmi.cif.Block, tag: str, limits: tuple[float, float], unit: str) -> float:
    values = block.find_values(tag)
    if not len(values) or gemmi.cif.is_null(values[0]):
        raise Rejected(Reason.BAD_CELL, f"the cell is incomplete: {tag} has no value.")
    number, (low, high) = _number(values[0]), limits
    if not low < number < high:
        raise Rejected(
            Reason.BAD_CELL, f"{tag} is {values[0][:40]}; it must be a number from {low:g} to {high:g} {unit}."
        )
    return number


def _listed_sites(block: gemmi.cif.Block, rules: Rules) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Atomic numbers and fractional coordinates of the sites as listed, each a full atom."""
    columns = {axis: block.find_values(f"_atom_site_fract_{axis}") for axis in _AXES}
    n_sites = len(columns["x"])
    _refuse_missing_sites(block, n_sites)
    if n_sites > _MAX_CELL_FACTOR * rules.max_atoms:
        raise _too_many(n_sites, "sites are listed", rules)
    if any(len(columns[axis]) != n_sites for axis in _AXES):
        raise Rejected(Reason.BAD_COORDINATES, "x, y and z of the sites are not listed in the same number.")
    symbols = _symbols(block, n_sites)
    _refuse_disorder(block, symbols)
    frac = np.array([[_number(value) for value in columns[axis]] for axis in _AXES]).T
    wrong = np.argwhere(~(np.abs(frac) <= _MAX_FRACTION))
    if len(wrong):
        site, axis = (int(index) for index in wrong[0])
        detail = (
            f"{_site(site, symbols[site])} has {_AXES[axis]} = {columns[_AXES[axis]][site][:40]}; "
            f"fractional coordinates are numbers from {-_MAX_FRACTION:g} to {_MAX_FRACTION:g}."
        )
        raise Rejected(Reason.BAD_COORDINATES, detail)
    return np.array([ATOMIC_NUMBER[symbol] for symbol in symbols], dtype=np.int64), frac


def _refuse_missing_sites(block: gemmi.cif.Block, n_sites: int) -> None:
    if n_sites:
        return
    if any(len(block.find_values(f"_atom_site_{tag}")) for tag in ("label", "type_symbol", "Cartn_x", "fract_y")):
        detail = "the sites have no fractional coordinates; _atom_site_fract_x, _y and _z are needed."
        raise Rejected(Reason.BAD_COORDINATES, detail)
    raise Rejected(Reason.NO_ATOMS, "the structure lists no sites; at least 1 in an _atom_site loop is needed.")


def _symbols(block: gemmi.cif.Block, n_sites: int) -> list[str]:
    types = [gemmi.cif.as_string(value) for value in block.find_values("_atom_site_type_symbol")]
    labels = [gemmi.cif.as_string(value) for value in block.find_values("_atom_site_label")]
    symbols = []
    for index in range(n_sites):
        kind = types[index] if len(types) == n_sites else ""
        label = labels[index] if len(labels) == n_sites else ""
        symbol = _symbol_of_type(kind) if kind else _symbol_of_label(label)
        if symbol is None:
            written = (kind or label or "nothing")[:40]
            detail = f"site {index + 1} is called {written!r}, which names no element."
            raise Rejected(Reason.UNKNOWN_ELEMENT, detail)
        symbols.append(symbol)
    return symbols


def _symbol_of_type(text: str) -> str | None:
    """``O2-``, ``Fe3+``, ``O-2`` or ``FE`` → the element's symbol."""
    charged = _CHARGED_SYMBOL.fullmatch(text.strip())
    return _element(charged[1]) if charged else None


def _symbol_of_label(text: str) -> str | None:
    """``Fe1``, ``O1A`` → the element's symbol; the letters before the first digit must be exactly one."""
    letters = _LEADING_LETTERS.match(text.strip())
    return _element(letters[0]) if letters else None


def _element(letters: str) -> str | None:
    symbol = letters.capitalize()
    if symbol == "D":
        return "H"  # deuterium: the same energies
    return symbol if symbol in ATOMIC_NUMBER else None


def _refuse_disorder(block: gemmi.cif.Block, symbols: list[str]) -> None:
    values = block.find_values("_atom_site_occupancy")
    if len(values) != len(symbols):
        return
    for index, value in enumerate(values):
        if gemmi.cif.is_null(value):
            continue  # the dictionary's default is 1
        if not abs(_number(value) - 1.0) <= _OCCUPANCY_TOLERANCE:
            detail = (
                f"{_site(index, symbols[index])} has occupancy {value[:40]}; "
                "every site must be fully occupied (1) by one element."
            )
            raise Rejected(Reason.DISORDERED, detail)


def _expanded(
    numbers: NDArray[np.int64],
    frac: NDArray[np.float64],
    operations: Operations,
    lattice: NDArray[np.float64],
    rules: Rules,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Every site of the cell. How many there will be is known, and refused, before they are separated."""
    images = operations.images(frac)
    stabilisers = (_distances(images, frac[:, None, :], lattice) < MERGE_ANG).sum(axis=1)
    multiplicities = images.shape[1] / np.maximum(stabilisers, 1)
    if multiplicities.sum() > _MAX_CELL_FACTOR * rules.max_atoms:
        raise _too_many(round(multiplicities.sum()), "sites fill the cell", rules)
    orbits = [
        orbit if stabiliser <= 1 else _merged(orbit, lattice)
        for orbit, stabiliser in zip(images, stabilisers, strict=True)
    ]
    return np.repeat(numbers, [len(orbit) for orbit in orbits]), np.concatenate(orbits)


def _merged(orbit: NDArray[np.float64], lattice: NDArray[np.float64]) -> NDArray[np.float64]:
    """One of each group of coinciding images."""
    kept = []
    while len(orbit):
        kept.append(orbit[0])
        orbit = orbit[_distances(orbit, orbit[0], lattice) >= MERGE_ANG]
    return np.array(kept)


def _refuse_shared_places(crystal: Crystal) -> None:
    frac = crystal.frac_coords
    distances = _distances(frac[:, None, :], frac[None, :, :], crystal.lattice)
    np.fill_diagonal(distances, np.inf)
    first, second = np.unravel_index(int(np.argmin(distances)), distances.shape)
    if distances[first, second] < MERGE_ANG:
        names = [f"{crystal.symbols[index]} at {_place(frac[index])}" for index in (first, second)]
        detail = f"{names[0]} and {names[1]} share one place; every site must be occupied by one atom."
        raise Rejected(Reason.DISORDERED, detail)


def _distances(
    first: NDArray[np.float64], second: NDArray[np.float64], lattice: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Å between wrapped differences; exact where it is much smaller than the cell."""
    apart = first - second
    return np.asarray(np.linalg.norm((apart - np.round(apart)) @ lattice, axis=-1))


def _too_many(count: int, what: str, rules: Rules) -> Rejected:
    limit = _MAX_CELL_FACTOR * rules.max_atoms
    detail = f"{count:,} {what}; at most {limit:,} are read, and {rules.max_atoms} in the primitive cell are allowed."
    return Rejected(Reason.TOO_MANY_ATOMS, detail)


def _number(value: str) -> float:
    """NaN where the text is no number; ``5.64(1)`` is 5.64."""
    return float(gemmi.cif.as_number(value))


def _site(index: int, symbol: str) -> str:
    return f"site {index + 1} ({symbol})"


def _place(frac: NDArray[np.float64]) -> str:
    return "(" + ", ".join(f"{value:.4f}" for value in frac) + ")"
