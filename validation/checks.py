"""What a crystal must satisfy before and after its relaxation.

Cheap checks come first, and those that bound the work of the later ones come before them: elements, volume, density,
number of atoms, aspect ratio, and only then anything about pairs of atoms.
"""

from __future__ import annotations

import numpy as np

from hull.entries import SYMBOLS
from validation.crystal import Crystal
from validation.element_data import ATOMIC_VOLUME_ANG3, atomic_masses, covalent_radii
from validation.lattices import elongation
from validation.neighbours import ReducedCell, bonded_directions, closest_contact
from validation.reduction import LOOSE_SYMPREC_ANG, primitive
from validation.rules import Reason, Rejected, Rules

__all__ = ["check_initial", "check_relaxed", "primitive", "site_name"]

_GRAMS_PER_CM3 = 1.66053906660  # of 1 g/mol per Å³
_COUNTABLE_CELLS = 8  # a cell with more than this times the allowed atoms is refused without looking for a smaller one


def check_initial(crystal: Crystal, rules: Rules, known_elements: frozenset[str]) -> None:
    """Raise Rejected where the crystal breaks a rule that holds before relaxation.

    known_elements: symbols that the judge was trained on. Atoms and the aspect ratio are counted in the primitive cell;
    where the given cell is too large, so are the sites that a sentence names.
    """
    _check_elements(crystal, rules, known_elements)
    _check_volume_per_atom(crystal, rules)
    _check_density(crystal, rules)
    counted, cell = _in_countable_cell(crystal, rules)
    _check_distances(counted, cell, rules.min_distance_ratio)
    _check_bulk(counted, cell, rules)


def check_relaxed(initial: Crystal, relaxed: Crystal, rules: Rules) -> None:
    """Raise Rejected where the relaxed crystal breaks a rule; ``initial`` is what the relaxation started from.

    Raises ValueError when the two do not have the same atoms: that would be a mistake of ours.
    """
    if not np.array_equal(np.sort(initial.numbers), np.sort(relaxed.numbers)):
        raise ValueError(f"a relaxation keeps its atoms: {len(initial)} went in and {len(relaxed)} others came out")
    if not (np.isfinite(relaxed.lattice).all() and np.isfinite(relaxed.frac_coords).all()):
        raise Rejected(Reason.EXPLODED, "the relaxation left the range of numbers: the cell or a site is not finite.")
    _check_volume_per_atom(relaxed, rules)
    _check_volume_ratio(relaxed, rules)
    _check_density(relaxed, rules)
    cell = ReducedCell.of(relaxed)
    _check_aspect_ratio(cell, rules)
    _check_distances(relaxed, cell, rules.min_distance_ratio_relaxed)
    _check_bulk(relaxed, cell, rules)


def site_name(crystal: Crystal, index: int) -> str:
    """``site 3 (O)`` for the site with index 2."""
    return f"site {index + 1} ({crystal.symbols[index]})"


def _check_elements(crystal: Crystal, rules: Rules, known_elements: frozenset[str]) -> None:
    if not len(crystal):
        raise Rejected(Reason.NO_ATOMS, "the structure has no atoms; at least 1 is needed.", value=0, limit=1)
    present = {SYMBOLS[number - 1] for number in set(crystal.numbers.tolist())}
    if len(present) > rules.max_elements:
        raise Rejected(
            Reason.TOO_MANY_ELEMENTS,
            f"the structure has {len(present)} elements; at most {rules.max_elements} are allowed.",
            value=len(present),
            limit=rules.max_elements,
        )
    refused = {symbol for symbol in present if _why_refused(symbol, rules, known_elements)}
    if refused:
        index = next(index for index, symbol in enumerate(crystal.symbols) if symbol in refused)
        why = _why_refused(crystal.symbols[index], rules, known_elements)
        detail = f"{site_name(crystal, index)} is an element that {why}."
        raise Rejected(Reason.ELEMENT_NOT_ALLOWED, detail, sites=(index + 1,))


def _why_refused(symbol: str, rules: Rules, known_elements: frozenset[str]) -> str:
    """Empty where the element is allowed."""
    if symbol in rules.excluded_elements:
        return f"this season leaves out ({', '.join(rules.excluded_elements)})"
    if symbol not in known_elements or symbol not in ATOMIC_VOLUME_ANG3:
        return "this season's judge does not know"
    return ""


def _check_volume_per_atom(crystal: Crystal, rules: Rules) -> None:
    volume, limit = crystal.volume / len(crystal), rules.min_volume_per_atom_ang3
    if not volume >= limit:
        detail = f"the cell has {volume:.3g} Å³ an atom; at least {limit:g} Å³ are needed."
        raise Rejected(Reason.VOLUME, detail, value=volume, limit=limit)


def _check_density(crystal: Crystal, rules: Rules) -> None:
    density = float(atomic_masses()[crystal.numbers].sum()) * _GRAMS_PER_CM3 / crystal.volume
    limit = rules.max_density_g_per_cm3
    if not density <= limit:
        detail = f"the density is {density:.1f} g/cm³; at most {limit:g} g/cm³ are allowed."
        raise Rejected(Reason.DENSITY, detail, value=density, limit=limit)


def _check_volume_ratio(relaxed: Crystal, rules: Rules) -> None:
    expected = sum(ATOMIC_VOLUME_ANG3[symbol] for symbol in relaxed.symbols)
    ratio, (low, high) = relaxed.volume / expected, rules.volume_ratio_range
    if not low <= ratio <= high:
        detail = (
            f"the relaxed cell has {ratio:.2f} times the volume of its elements ({expected:.1f} Å³); "
            f"{low:g} to {high:g} times are allowed."
        )
        raise Rejected(Reason.VOLUME, detail, value=ratio, limit=high if ratio > high else low)


def _in_countable_cell(crystal: Crystal, rules: Rules) -> tuple[Crystal, ReducedCell]:
    """The crystal itself where it is small and compact enough, else its primitive cell, which must be."""
    if len(crystal) <= rules.max_atoms:
        cell = ReducedCell.of(crystal)
        if elongation(cell.lattice) <= rules.max_aspect_ratio:
            return crystal, cell
    counted = crystal
    if len(crystal) <= _COUNTABLE_CELLS * rules.max_atoms:
        counted = primitive(crystal)
        if len(counted) > rules.max_atoms:
            counted = primitive(crystal, symprec_ang=LOOSE_SYMPREC_ANG)
    if len(counted) > rules.max_atoms:
        detail = f"the primitive cell has {len(counted)} atoms; at most {rules.max_atoms} are allowed."
        raise Rejected(Reason.TOO_MANY_ATOMS, detail, value=len(counted), limit=rules.max_atoms)
    cell = ReducedCell.of(counted)
    _check_aspect_ratio(cell, rules)
    return counted, cell


def _check_aspect_ratio(cell: ReducedCell, rules: Rules) -> None:
    ratio, limit = elongation(cell.lattice), rules.max_aspect_ratio
    if not ratio <= limit:
        detail = (
            f"the longest vector of the reduced cell is {ratio:.3g} times the shortest; at most {limit:g} is allowed."
        )
        raise Rejected(Reason.ASPECT_RATIO, detail, value=ratio, limit=limit)


def _check_distances(crystal: Crystal, cell: ReducedCell, min_ratio: float) -> None:
    contact = closest_contact(cell, covalent_radii()[crystal.numbers], min_ratio)
    if contact is None:
        return
    alone = contact.first == contact.second
    other = "its own image" if alone else site_name(crystal, contact.second)
    detail = (
        f"{site_name(crystal, contact.first)} is {contact.distance:.2f} Å from {other}; "
        f"at least {contact.limit:.2f} Å are needed ({min_ratio:g} times their covalent radii)."
    )
    sites = (contact.first + 1,) if alone else (contact.first + 1, contact.second + 1)
    raise Rejected(Reason.OVERLAPPING_ATOMS, detail, sites=sites, value=contact.distance, limit=contact.limit)


def _check_bulk(crystal: Crystal, cell: ReducedCell, rules: Rules) -> None:
    connected, directions = bonded_directions(
        cell, covalent_radii()[crystal.numbers], bond_ang=rules.bond_length_ang, ratio=rules.bond_radii_ratio
    )
    if connected and directions == 3:
        return
    longer = f", or {rules.bond_radii_ratio:g} times their covalent radii," if rules.bond_radii_ratio else ""
    limit = f"bonds of up to {rules.bond_length_ang:g} Å{longer} must connect all atoms in three directions."
    if not connected:
        detail = f"the atoms fall apart into pieces that no bond connects; {limit}"
        raise Rejected(Reason.NOT_BULK, detail, limit=rules.bond_length_ang)
    shape = ("a cluster", "a chain", "a slab")[directions]
    detail = f"the atoms form {shape}, bonded in {directions} of 3 directions; {limit}"
    raise Rejected(Reason.NOT_BULK, detail, limit=rules.bond_length_ang)
