"""``find_duplicates`` and pymatgen's ``StructureMatcher.group_structures`` on the same structures, in one run."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from pymatgen.analysis.structure_matcher import StructureMatcher

from benchmark.counting import Counted
from benchmark.pairs import disguised, pair
from validation import matching
from validation.crystal import Crystal
from validation.matching import find_duplicates
from validation.rules import Tolerances

_MAX_ATOMS = 50  # pymatgen takes seconds for the largest
_SHARE = 4  # one in so many has a copy, and one a neighbour at the limit

Group = frozenset[int]


def beside_pymatgen(crystals: Sequence[Crystal], count: int, tolerances: Tolerances) -> dict[str, float]:
    """Figures of at most ``count`` structures: crystals, copies described in another way, and neighbours."""
    given = _with_copies([crystal for crystal in crystals if len(crystal) <= _MAX_ATOMS], count, tolerances)
    structures = [crystal.to_structure() for crystal in given]
    matcher = StructureMatcher(
        ltol=tolerances.ltol, stol=tolerances.stol, angle_tol=tolerances.angle_tol, scale=tolerances.scale
    )
    find_duplicates(given[:2], tolerances=tolerances)  # so that everything is compiled
    started = time.process_time()
    number_of = {id(structure): number for number, structure in enumerate(structures)}
    theirs = [[number_of[id(member)] for member in group] for group in matcher.group_structures(structures)]
    theirs_s = time.process_time() - started
    with Counted(matching, "may_fit") as searches, Counted(matching, "confirmed") as fits:
        started = time.process_time()
        found = find_duplicates(given, tolerances=tolerances)
        ours_s = time.process_time() - started
    differ = _differing(theirs, found)
    return {
        "compared": len(given),
        "speedup_over_group_structures": theirs_s / ours_s,
        "groups": len(theirs),
        "groups_differ": len(differ),
        "groups_differ_unexplained": sum(not _explained(given, found, number, tolerances) for number in differ),
        "fits_per_structure": fits.calls / len(given),
        "searches_per_structure": searches.calls / len(given),
    }


def _with_copies(crystals: Sequence[Crystal], count: int, tolerances: Tolerances) -> list[Crystal]:
    """In random order."""
    dice = np.random.default_rng(0)
    chosen = [crystals[place] for place in dice.permutation(len(crystals))][: 2 * count // 3]
    copies = [disguised(crystal, dice) for crystal in chosen[::_SHARE]]
    pairs = [pair([crystal], tolerances, (1, number)) for number, crystal in enumerate(chosen[1::_SHARE])]
    given = [*chosen, *copies, *(two.b for two in pairs if two is not None)]
    return [given[place] for place in dice.permutation(len(given))]


def _differing(theirs: Sequence[Sequence[int]], found: Sequence[int | None]) -> list[int]:
    """Numbers of the structures whose groups have other members."""
    ours: dict[int, list[int]] = defaultdict(list)
    for number, original in enumerate(found):
        ours[number if original is None else original].append(number)
    here, there = _groups_of(list(ours.values())), _groups_of(theirs)
    return [number for number in sorted(here) if here[number] != there[number]]


def _groups_of(groups: Sequence[Sequence[int]]) -> dict[int, Group]:
    return {number: frozenset(group) for group in groups for number in group}


def _explained(crystals: Sequence[Crystal], found: Sequence[int | None], number: int, tolerances: Tolerances) -> bool:
    """Whether each member of the structure's group here fits the group's first one by pymatgen, in either direction,
    on the cells that it reduces to; groups differ then by direction, order or reduction, not by what matches."""
    original = found[number]
    if original is None:
        return True  # it is its members that are explained
    one, other = (matching.Description.of(crystals[index], tolerances) for index in (number, original))
    matcher = StructureMatcher(
        ltol=tolerances.ltol,
        stol=tolerances.stol,
        angle_tol=tolerances.angle_tol,
        scale=tolerances.scale,
        primitive_cell=False,
    )
    pairs = [(a.to_structure(), b.to_structure()) for a in one.cells for b in other.cells]
    return any(matcher.fit(a, b) or matcher.fit(b, a) for a, b in pairs)
