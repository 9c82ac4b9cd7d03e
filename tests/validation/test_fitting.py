"""The compiled search lets through all that pymatgen's matcher matches, and little else."""

import numpy as np
import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher
from scipy.optimize import linear_sum_assignment

from benchmark.allotropes import packings
from benchmark.pairs import pair
from tests.validation.validation_crystals import crystal, mirrored, permuted, prototypes, rotated
from validation.fitting import _assignment, may_fit
from validation.reduction import primitive, reduced
from validation.rules import Rules

RULES = Rules()
NAMES = sorted(prototypes())


def matcher(tolerances):
    return StructureMatcher(
        ltol=tolerances.ltol,
        stol=tolerances.stol,
        angle_tol=tolerances.angle_tol,
        scale=tolerances.scale,
        primitive_cell=True,
    )


def pymatgen_fits(a, b, tolerances):
    """On these very cells, in one direction and in the other."""
    one, other = a.to_structure(), b.to_structure()
    fit = matcher(tolerances).fit
    return fit(one, other, skip_structure_reduction=True), fit(other, one, skip_structure_reduction=True)


def pairs(tolerances, count):
    starts = [primitive(crystal(name)) for name in NAMES]
    for seed in range(count):
        two = pair(starts, tolerances, (3, seed))
        if two is not None and not two.noisy:
            a, b = reduced(two.a), primitive(two.b)
            if len(a) == len(b):
                yield a, reduced(b)


@pytest.mark.parametrize("tolerances", [RULES.twin, RULES.duplicate], ids=["twins", "duplicates"])
def test_both_directions_agree_with_pymatgen_at_the_limit(tolerances):
    judged = [(may_fit(a, b, tolerances), pymatgen_fits(a, b, tolerances)) for a, b in pairs(tolerances, 260)]

    found = [here for either, _ in judged for here in either]
    expected = [there for _, either in judged for there in either]

    assert all(here for here, there in zip(found, expected, strict=True) if there)  # nothing is missed
    assert sum(found) <= sum(expected) + 0.02 * len(expected)
    assert 0.2 < np.mean(expected) < 0.95  # it is the limit


def test_random_crystals_do_not_fit_one_another():
    starts = [crystal for crystal, _ in zip(packings(np.random.default_rng(0), (6, 7)), range(12), strict=False)]

    for number, one in enumerate(starts):
        for other in starts[:number]:
            assert may_fit(reduced(one), reduced(other), RULES.duplicate) == (False, False)
            assert pymatgen_fits(one, other, RULES.duplicate) == (False, False)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("change", [rotated, permuted, mirrored])
def test_a_crystal_fits_upon_itself_however_it_lies(name, change):
    start = reduced(primitive(crystal(name)))

    assert may_fit(start, reduced(change(start)), RULES.twin) == (True, True)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 13, 40])
def test_sites_are_paired_at_the_least_total_cost(size):
    dice = np.random.default_rng(size)
    for _ in range(20):
        costs = dice.random((size, size)) * dice.choice([1.0, 1e4], size=(size, size))
        partners = _assignment(costs)
        rows, columns = linear_sum_assignment(costs)
        assert sorted(partners.tolist()) == list(range(size))
        assert costs[np.arange(size), partners].sum() == pytest.approx(costs[rows, columns].sum())


def test_forbidden_pairs_are_avoided_where_they_can_be():
    costs = np.full((4, 4), 1e9)
    costs[[0, 1, 2, 3], [2, 0, 3, 1]] = 1.0

    assert _assignment(costs).tolist() == [2, 0, 3, 1]
