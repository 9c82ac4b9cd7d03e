"""What a crystal must satisfy before and after its relaxation.

Cheap checks come first, and those that bound the work of the later ones come before them: elements, volume, density,
number of atoms, aspect ratio, and only then anything about pairs of atoms.
"""

from __future__ import annotations

import numpy as np

from validation.crystal import Crystal
from validation.element_data import ATOMIC_VOLUME_ANG3, atomic_masses, covalent_radii
from validation.neighbours import Pairs, neighbour_pairs, periodic_directions
from validation.reduction import LOOSE_SYMPREC_ANG, aspect_ratio, primitive
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
    counted = _in_countable_cell(crystal, rules)
    pairs = _bonds(counted, rules, rules.min_distance_ratio)
    _check_distances(counted, pairs, rules.min_distance_ratio)
    _check_bulk(counted, pairs, rules)


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
    _check_aspect_ratio(relaxed, rules)
    pairs = _bonds(relaxed, rules, rules.min_distance_ratio_relaxed)
    _check_distances(relaxed, pairs, rules.min_distance_ratio_relaxed)
    _check_bulk(relaxed, pairs, rules)


def site_name(crystal: Crystal, index: int) -> str:
    """``site 3 (O)`` for the site with index 2."""
    return f"site {index + 1} ({crystal.symbols[index]})"


def _check_elements(crystal: Crystal, rules: Rules, known_elements: frozenset[str]) -> None:
    if not len(crystal):
        raise Rejected(Reason.NO_ATOMS, "the structure has no atoms; at least 1 is needed.")
    if len(set(crystal.symbols)) > rules.max_elements:
        raise Rejected(
            Reason.TOO_MANY_ELEMENTS,
            f"the structure has {len(set(crystal.symbols))} elements; at most {rules.max_elements} are allowed.",
        )
    for index, symbol in enumerate(crystal.symbols):
        if symbol in rules.excluded_elements:
            excluded = ", ".join(rules.excluded_elements)
            detail = f"{site_name(crystal, index)} is an element that this season leaves out ({excluded})."
            raise Rejected(Reason.ELEMENT_NOT_ALLOWED, detail)
        if symbol not in known_elements or symbol not in ATOMIC_VOLUME_ANG3:
            detail = f"{site_name(crystal, index)} is an element that this season's judge does not know."
            raise Rejected(Reason.ELEMENT_NOT_ALLOWED, detail)


def _check_volume_per_atom(crystal: Crystal, rules: Rules) -> None:
    volume, limit = crystal.volume / len(crystal), rules.min_volume_per_atom_ang3
    if not volume >= limit:
        raise Rejected(Reason.VOLUME, f"the cell has {volume:.3g} Å³ an atom; at least {limit:g} Å³ are needed.")


def _check_density(crystal: Crystal, rules: Rules) -> None:
    density = float(atomic_masses()[crystal.numbers].sum()) * _GRAMS_PER_CM3 / crystal.volume
    limit = rules.max_density_g_per_cm3
    if not density <= limit:
        raise Rejected(Reason.DENSITY, f"the density is {density:.1f} g/cm³; at most {limit:g} g/cm³ are allowed.")


def _check_volume_ratio(relaxed: Crystal, rules: Rules) -> None:
    expected = sum(ATOMIC_VOLUME_ANG3[symbol] for symbol in relaxed.symbols)
    ratio, (low, high) = relaxed.volume / expected, rules.volume_ratio_range
    if not low <= ratio <= high:
        detail = (
            f"the relaxed cell has {ratio:.2f} times the volume of its elements ({expected:.1f} Å³); "
            f"{low:g} to {high:g} times are allowed."
        )
        raise Rejected(Reason.VOLUME, detail)


def _in_countable_cell(crystal: Crystal, rules: Rules) -> Crystal:
    """The crystal itself where it is small and compact enough, else its primitive cell, which must be."""
    if len(crystal) <= rules.max_atoms and aspect_ratio(crystal.lattice) <= rules.max_aspect_ratio:
        return crystal
    counted = crystal
    if len(crystal) <= _COUNTABLE_CELLS * rules.max_atoms:
        counted = primitive(crystal)
        if len(counted) > rules.max_atoms:
            counted = primitive(crystal, symprec_ang=LOOSE_SYMPREC_ANG)
    if len(counted) > rules.max_atoms:
        detail = f"the primitive cell has {len(counted)} atoms; at most {rules.max_atoms} are allowed."
        raise Rejected(Reason.TOO_MANY_ATOMS, detail)
    _check_aspect_ratio(counted, rules)
    return counted


def _check_aspect_ratio(crystal: Crystal, rules: Rules) -> None:
    ratio, limit = aspect_ratio(crystal.lattice), rules.max_aspect_ratio
    if not ratio <= limit:
        detail = (
            f"the longest vector of the reduced cell is {ratio:.3g} times the shortest; at most {limit:g} is allowed."
        )
        raise Rejected(Reason.ASPECT_RATIO, detail)


def _bonds(crystal: Crystal, rules: Rules, distance_ratio: float) -> Pairs:
    """All pairs within reach of either rule about distances."""
    closest = 2.0 * distance_ratio * float(covalent_radii()[crystal.numbers].max())
    return neighbour_pairs(crystal, max(rules.bond_length_ang, closest))


def _check_distances(crystal: Crystal, pairs: Pairs, min_ratio: float) -> None:
    if not len(pairs.distances):
        return
    radii = covalent_radii()[crystal.numbers]
    sums = radii[pairs.first] + radii[pairs.second]
    worst = int(np.argmin(pairs.distances / sums))
    if not pairs.distances[worst] >= min_ratio * sums[worst]:
        first, second = int(pairs.first[worst]), int(pairs.second[worst])
        other = "its own image" if first == second else site_name(crystal, second)
        detail = (
            f"{site_name(crystal, first)} is {pairs.distances[worst]:.2f} Å from {other}; "
            f"at least {min_ratio * sums[worst]:.2f} Å are needed ({min_ratio:g} times their covalent radii)."
        )
        raise Rejected(Reason.OVERLAPPING_ATOMS, detail)


def _check_bulk(crystal: Crystal, pairs: Pairs, rules: Rules) -> None:
    bonded = pairs.distances <= rules.bond_length_ang
    bonds = Pairs(pairs.first[bonded], pairs.second[bonded], pairs.offsets[bonded], pairs.distances[bonded])
    connected, directions = periodic_directions(len(crystal), bonds)
    limit = f"bonds of up to {rules.bond_length_ang:g} Å must connect all atoms in three directions."
    if not connected:
        raise Rejected(Reason.NOT_BULK, f"the atoms fall apart into pieces that no bond connects; {limit}")
    if directions < 3:
        shape = ("a cluster", "a chain", "a slab")[directions]
        raise Rejected(Reason.NOT_BULK, f"the atoms form {shape}, bonded in {directions} of 3 directions; {limit}")
