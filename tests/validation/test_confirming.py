"""pymatgen's search says what pymatgen's ``fit`` says."""

import numpy as np
import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher

from benchmark.pairs import pair
from tests.validation.validation_crystals import crystal, mirrored, permuted, prototypes, rattled, rotated
from validation.confirming import confirmed
from validation.crystal import Crystal
from validation.matching import Description, turned_cells
from validation.reduction import primitive, reduced
from validation.rules import Rules

RULES = Rules()
NAMES = sorted(prototypes())


def fit(a, b, tolerances):
    matcher = StructureMatcher(tolerances.ltol, tolerances.stol, tolerances.angle_tol, scale=tolerances.scale)
    return matcher.fit(a.to_structure(), b.to_structure(), skip_structure_reduction=True)


@pytest.mark.parametrize("tolerances", [RULES.duplicate, RULES.twin], ids=["duplicates", "twins"])
def test_cells_at_the_limit_fit_where_they_do_by_pymatgen(tolerances):
    starts = [primitive(crystal(name)) for name in NAMES]
    pairs = [two for seed in range(25) if (two := pair(starts, tolerances, (7, seed))) is not None]
    described = [
        (Description.of(two.a, tolerances).cells[0], Description.of(two.b, tolerances).cells[0]) for two in pairs
    ]
    asked = [(a, one) for a, b in described for one in (b, *turned_cells(b)[:2]) if len(a) == len(b)]

    found = [(confirmed(a, b, tolerances), confirmed(b, a, tolerances)) for a, b in asked]

    assert found == [(fit(a, b, tolerances), fit(b, a, tolerances)) for a, b in asked]
    assert 0.1 * len(found) < sum(one for one, _ in found) < 0.95 * len(found)


@pytest.mark.parametrize("name", NAMES)
def test_order_hand_and_volume_count_as_they_do_for_pymatgen(name):
    start = reduced(primitive(crystal(name)))
    swollen = Crystal.of(start.lattice * 1.03, start.frac_coords, start.numbers)

    for other in (permuted(start), mirrored(start), rotated(start), swollen, rattled(start, 0.1)):
        for tolerances in (RULES.duplicate, RULES.twin):
            assert confirmed(start, other, tolerances) == fit(start, other, tolerances)


def test_the_sites_of_one_element_need_not_stand_together():
    start = primitive(crystal("quartz"))
    mixed = Crystal.of(
        start.lattice, start.frac_coords[[0, 3, 1, 4, 2, 5, 6, 7, 8]], start.numbers[[0, 3, 1, 4, 2, 5, 6, 7, 8]]
    )
    wrong = Crystal.of(start.lattice, start.frac_coords, np.roll(start.numbers, 1))

    assert confirmed(start, mixed, RULES.duplicate)
    assert not confirmed(start, wrong, RULES.duplicate)
