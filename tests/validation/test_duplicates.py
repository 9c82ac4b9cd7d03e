"""Duplicates among many: first come first kept, whatever stands in front of the matcher."""

import numpy as np
import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher

from benchmark.allotropes import allotropes, packings
from benchmark.pairs import disguised
from tests.validation.validation_crystals import crystal, mirrored, permuted, prototypes, rotated, shifted, supercell
from validation.crystal import Crystal
from validation.fingerprint import Limits
from validation.gathered import Gathered
from validation.matching import Description, find_duplicates, is_match, least_distance
from validation.rules import Rules

RULES = Rules()
NAMES = sorted(prototypes())


def stretched(start, by):
    return Crystal.of(start.lattice @ np.diag([1.0, 1.0, 1.0 + by]), start.frac_coords, start.numbers)


def test_the_first_to_come_is_the_original():
    start, other = crystal("rutile"), crystal("quartz")

    assert find_duplicates([start, other, rotated(start), shifted(other), supercell(start, 1, 1, 2)]) == [
        *(None, None, 0, 1, 0)
    ]
    assert find_duplicates([]) == []


def test_a_duplicate_is_no_original():
    near, between, far = (stretched(crystal("rutile"), by) for by in (0.0, 0.06, 0.12))
    assert is_match(near, between, RULES.duplicate) and is_match(between, far, RULES.duplicate)
    assert not is_match(near, far, RULES.duplicate)

    assert find_duplicates([near, between, far]) == [None, 0, None]
    assert find_duplicates([between, near, far]) == [None, 0, 0]


def test_of_several_originals_the_nearest_is_named_and_of_equally_near_ones_the_earliest():
    near, between, far = (stretched(crystal("rutile"), by) for by in (0.0, 0.07, 0.12))

    assert find_duplicates([near, far, between]) == [None, None, 1]
    assert find_duplicates([far, near, between]) == [None, None, 0]


def test_energies_beyond_the_window_keep_structures_apart():
    start = crystal("CsCl")
    copies = [start, rotated(start), shifted(start), mirrored(start)]

    assert find_duplicates(copies, energies_per_atom=[-1.0, -1.0101, -1.0099, -1.02]) == [None, None, 0, 1]
    assert find_duplicates(copies, energies_per_atom=[-1.0, -1.2, -1.4, -1.6], window_ev_per_atom=0.3) == [
        *(None, 0, None, 2)
    ]
    assert find_duplicates(copies) == [None, 0, 0, 0]


def test_other_tolerances_give_other_duplicates():
    start = crystal("rocksalt")

    assert find_duplicates([start, stretched(start, 0.04)]) == [None, 0]
    assert find_duplicates([start, stretched(start, 0.04)], tolerances=RULES.twin) == [None, None]


def test_progress_is_told_after_every_structure():
    told = []

    find_duplicates([crystal(name) for name in NAMES[:4]], on_progress=lambda done, total: told.append((done, total)))

    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


@pytest.mark.parametrize("seed", range(3))
def test_copies_in_a_crowd_of_one_formula_are_found_and_nothing_else(seed):
    dice = np.random.default_rng(seed)
    crowd = allotropes(60, seed)
    copied = dice.choice(60, size=15, replace=False).tolist()

    found = find_duplicates([*crowd, *(disguised(crowd[number], dice) for number in copied)])

    assert found == [None] * 60 + copied


def test_groups_are_those_of_pymatgen():
    dice = np.random.default_rng(0)
    starts = [*(crystal(name) for name in NAMES), *allotropes(20)]
    given = [*starts, *(disguised(start, dice) for start in starts[::2]), *(permuted(start) for start in starts[::3])]
    structures = [start.to_structure() for start in given]

    found = find_duplicates(given)
    groups = StructureMatcher(0.05, 0.1, 5.0).group_structures(structures)

    ours = {}
    for number, original in enumerate(found):
        ours.setdefault(number if original is None else original, set()).add(number)
    number_of = {id(structure): number for number, structure in enumerate(structures)}
    theirs = {frozenset(number_of[id(one)] for one in group) for group in groups}
    assert {frozenset(group) for group in ours.values()} == theirs


def test_what_is_gathered_is_searched_as_one_by_one():
    limits = Limits.of(RULES.duplicate)
    crystals = [one for one, _ in zip(packings(np.random.default_rng(3), (3, 5)), range(120), strict=False)]
    descriptions = [Description.of(one, RULES.duplicate) for one in crystals]
    gathered = Gathered(RULES.duplicate)
    for number, description in enumerate(descriptions[:100]):
        gathered.add(number, description.fingerprints)

    pairs = 0
    for description in descriptions[100:]:
        found = dict(gathered.near(description.fingerprints))
        expected = {
            number: distance
            for number, other in enumerate(descriptions[:100])
            if (distance := least_distance(description.fingerprints, other.fingerprints, limits)) is not None
        }
        assert found == pytest.approx(expected, rel=1e-4)
        pairs += len(found)
    assert pairs > 0
