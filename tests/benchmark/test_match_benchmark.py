"""The benchmark of matching runs, and its figures fit together; nothing here is about speed."""

import numpy as np
import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher
from servers import answers

from benchmark import match
from benchmark.allotropes import allotropes, polytypes
from benchmark.stored_fingerprints import Stock
from validation.fingerprint import Fingerprint
from validation.matching import find_duplicates
from validation.reduction import primitive

pytestmark = pytest.mark.slow  # two databases are filled and searched: a minute of CI

# By the number of layers: International Tables for Crystallography C, 9.2.1.
POLYTYPES = {2: 1, 3: 1, 4: 1, 5: 1, 6: 2, 7: 3, 8: 6, 9: 7, 10: 16, 11: 21, 12: 43}


@pytest.fixture(scope="module")
def figures():
    return match.measure(quick=True, full=False, say=lambda line: None)


def _suffixes():
    return ("_sqlite", "") if answers("PostgreSQL", 5432) else ("_sqlite",)


def test_every_figure_has_a_meaning(figures):
    assert set(figures) <= set(match.MEANINGS)


def test_stored_twins_are_found_on_each_database(figures):
    for suffix in _suffixes():
        assert figures[f"stored{suffix}"] == match.QUICK.stored[-1]
        assert figures[f"stored_twins_found{suffix}"] >= figures[f"stored_twins{suffix}"] > 0
        assert figures[f"structures_per_s_per_core{suffix}"] > 0
        assert 0 < figures[f"look_up_share{suffix}"] < 1


def test_nothing_is_missed_or_merged_in_a_small_run(figures):
    for prefix, count in (("", match.QUICK.pairs), ("twin_", match.QUICK.twin_pairs)):
        assert figures[f"{prefix}pairs_at_limit"] == count
        assert 0 < figures[f"{prefix}matching_pairs"] < count
        assert figures[f"{prefix}missed_pairs"] == figures[f"{prefix}false_merges"] == 0
    assert figures["groups_differ_unexplained"] == 0
    assert figures["allotropes_distinct"] == figures["allotropes"] == match.QUICK.allotropes


def test_there_are_as_many_polytypes_as_are_known_and_each_is_one_of_its_own():
    made = list(polytypes())

    assert {n: sum(len(one) == n for one in made) for n in POLYTYPES} == POLYTYPES
    few = made[:20]
    assert find_duplicates(few) == [None] * 20
    assert len(StructureMatcher(0.05, 0.1, 5.0).group_structures([one.to_structure() for one in few])) == 20
    assert all(len(primitive(one)) == len(one) or len(one) == 3 for one in few)


def test_the_same_seed_makes_the_same_allotropes():
    one, other = allotropes(30, seed=4), allotropes(30, seed=4)

    assert [crystal.content_hash for crystal in one] == [crystal.content_hash for crystal in other]
    assert len({crystal.content_hash for crystal in one}) == 30


def test_stored_rows_have_the_crystals_that_they_are_of():
    crystals = [primitive(crystal) for crystal in match.bases(25)]
    stock = Stock(crystals, [Fingerprint.of(crystal) for crystal in crystals], 1000)
    rows = list(stock.rows(300))

    assert [owner for owner, _ in rows] == list(range(1000, 1300))
    for owner, fingerprint in rows:
        crystal = stock.crystal(owner)
        assert fingerprint.key == f"{crystal.formula}:{len(crystal)}"
    for owner, fingerprint in rows[: stock.twins]:
        assert fingerprint.distance_to(Fingerprint.of(stock.crystal(owner))) < 1e-2
    assert np.mean([len(stock.crystal(owner)) for owner, _ in rows]) > 1
