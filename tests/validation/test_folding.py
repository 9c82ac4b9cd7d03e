"""The cell that pymatgen's matcher reduces a crystal to is found as pymatgen finds it, site by site."""

import numpy as np
import pytest
from pymatgen.core import Lattice

from benchmark.pairs import times
from tests.validation.validation_crystals import crystal, prototypes, rattled, rotated, supercell
from validation.crystal import Crystal
from validation.folding import matcher_cell
from validation.matcher_lattice import matcher_lattice
from validation.reduction import primitive

NAMES = sorted(prototypes())
SAME = 1e-9
CUBIC = {
    "primitive": np.eye(3),
    "face-centred": np.ones((3, 3)) - np.eye(3),
    "body-centred": np.ones((3, 3)) - 2 * np.eye(3),
    "hexagonal": np.array([[1, 0, 0], [-0.5, 0.75**0.5, 0], [0, 0, 1.6]]),
    "long": np.array([[1, 0, 0], [-0.52, 0.85, 0], [0.51, 0.3, 12.0]]),
}


def by_pymatgen(start):
    niggli = start.to_structure().get_reduced_structure(reduction_algo="niggli")
    return Crystal.from_structure(niggli.get_primitive_structure(tolerance=0.25))


def are_same(one, other):
    """Vectors, order of sites and positions; not whether a position is 0 or 1."""
    if one.numbers.tolist() != other.numbers.tolist() or not np.allclose(one.lattice, other.lattice, atol=SAME):
        return False
    apart = one.frac_coords - other.frac_coords
    return np.abs(apart - np.round(apart)).max() < SAME


def skewed(lattice, dice):
    """The same lattice, or one with so many points fewer, from other vectors."""
    for _ in range(4):
        matrix = np.eye(3)
        matrix[tuple(dice.permutation(3)[:2])] = dice.integers(-2, 3)
        lattice = matrix @ lattice
    return np.diag(dice.integers(1, 3, size=3)) @ lattice


def nearly_periodic(seed):
    """A supercell whose cells differ by up to half an ångström, of any shape, turned."""
    dice = np.random.default_rng(seed)
    start = primitive(crystal(NAMES[seed % len(NAMES)]))
    counts = dice.permutation([1, 1, int(dice.integers(2, 5))])
    matrix = np.diag(counts) + np.tril(dice.integers(0, 2, size=(3, 3)), -1)
    return rotated(rattled(times(start, matrix), dice.choice([0.0, 0.05, 0.15, 0.3]), seed), seed)


@pytest.mark.parametrize("strain", [0.0, 1e-7, 3e-6, 1e-5, 1e-4, 1e-2])
@pytest.mark.parametrize("shape", CUBIC)
def test_of_several_equally_good_reduced_cells_it_is_the_one_that_pymatgen_takes(shape, strain):
    for seed in range(12):
        dice = np.random.default_rng(seed)
        turn, _ = np.linalg.qr(dice.normal(size=(3, 3)))
        start = skewed(3.7 * CUBIC[shape] @ (np.eye(3) + strain * dice.normal(size=(3, 3))), dice) @ turn

        expected = Lattice(start).get_niggli_reduced_lattice().matrix

        np.testing.assert_allclose(matcher_lattice(start), expected, atol=SAME)


def test_a_lattice_that_is_reduced_already_is_returned_as_it_is():
    start = matcher_lattice(crystal("quartz").lattice)

    assert matcher_lattice(start) is start


@pytest.mark.parametrize("name", NAMES)
def test_a_crystal_is_reduced_as_by_pymatgen(name):
    for start in (crystal(name), rotated(crystal(name)), supercell(crystal(name), 2, 1, 1)):
        assert are_same(matcher_cell(start), by_pymatgen(start))


def test_nearly_periodic_supercells_are_folded_as_by_pymatgen_or_not_at_all():
    starts = [nearly_periodic(seed) for seed in range(260)]

    found = [matcher_cell(start) for start in starts]

    assert not [
        n for n, (start, cell) in enumerate(zip(starts, found, strict=True)) if not are_same(cell, by_pymatgen(start))
    ]
    assert 60 < sum(len(cell) < len(start) for start, cell in zip(starts, found, strict=True)) < 200


def test_what_is_folded_is_folded_again():
    start = supercell(primitive(crystal("CsCl")), 2, 2, 3)

    assert len(matcher_cell(start)) == 2
    assert are_same(matcher_cell(start), by_pymatgen(start))


def test_neighbours_nearer_than_the_tolerance_are_not_taken_for_one_site():
    start = Crystal.of(np.diag([4.0, 4.0, 4.0]), [[0, 0, 0], [0.05, 0, 0], [0.5, 0.5, 0.5], [0.55, 0.5, 0.5]], [29] * 4)

    assert are_same(matcher_cell(start), by_pymatgen(start))
    assert len(matcher_cell(start)) == 2
