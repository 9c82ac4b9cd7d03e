"""Smaller cells are found in all supercells, exact and noisy, and none where there is none."""

from itertools import product

import numpy as np
import pytest
import spglib

from benchmark.pairs import times
from tests.validation.validation_crystals import crystal, permuted, prototypes, rattled, rotated, shifted, supercell
from validation.crystal import Crystal
from validation.fingerprint import Fingerprint
from validation.reduction import LOOSE_SYMPREC_ANG, SYMPREC_ANG, primitive, reduced
from validation.rules import Rules
from validation.translations import may_fold, smallest_cell

NAMES = sorted(prototypes())
SAME = 1e-5
DUPLICATE = Rules().duplicate


def smallest(name):
    return primitive(crystal(name))


def hermite_forms(determinant):
    """Every supercell of so many cells, once."""
    for a, b, c in product(range(1, determinant + 1), repeat=3):
        if a * b * c == determinant:
            for d, e, f in product(range(a), range(a), range(b)):
                yield np.array([[a, 0, 0], [d, b, 0], [e, f, c]])


def n_primitive(start):
    """As spglib has it."""
    found = spglib.find_primitive((start.lattice, start.frac_coords, start.numbers), symprec=SYMPREC_ANG)
    return len(found[2])


def alike(one, other):
    a, b = Fingerprint.of(one), Fingerprint.of(other)
    return a.key == b.key and a.distance_to(b) < SAME and a.lattice_distance_to(b) < SAME


@pytest.mark.parametrize("name", NAMES)
def test_the_primitive_cell_of_a_centred_cell_has_as_many_atoms_as_by_spglib(name):
    start = crystal(name)

    found = smallest_cell(start, SYMPREC_ANG)

    assert len(found) == n_primitive(start)
    assert found.volume / len(found) == pytest.approx(start.volume / len(start))


@pytest.mark.parametrize("determinant", [2, 3, 4, 5, 6])
@pytest.mark.parametrize("name", ["CsCl", "bcc", "hcp", "rutile", "quartz"])
def test_every_supercell_of_so_many_cells_is_reduced_to_one(name, determinant):
    start = smallest(name)

    for matrix in hermite_forms(determinant):
        found = smallest_cell(permuted(shifted(times(start, matrix))), SYMPREC_ANG)
        assert len(found) == len(start), matrix
        assert alike(found, start), matrix


@pytest.mark.parametrize("count", [7, 8, 9, 11, 12, 16])
def test_prime_factors_are_taken_out_one_after_the_other(count):
    start = smallest("CsCl")

    assert alike(smallest_cell(supercell(start, count, 1, 1), SYMPREC_ANG), start)


@pytest.mark.parametrize("name", NAMES)
def test_a_primitive_cell_is_returned_as_it_is(name):
    start = smallest(name)

    assert smallest_cell(start, SYMPREC_ANG) is start


@pytest.mark.parametrize("name", NAMES)
def test_the_smaller_cell_keeps_orientation_and_atoms(name):
    start = rotated(supercell(smallest(name), 2, 1, 1))

    found = smallest_cell(start, SYMPREC_ANG)
    whole = start.lattice @ np.linalg.inv(found.lattice)

    np.testing.assert_allclose(whole, np.round(whole), atol=1e-6)
    for position, number in zip(start.cart_coords, start.numbers, strict=True):
        apart = (found.cart_coords[found.numbers == number] - position) @ np.linalg.inv(found.lattice)
        assert np.linalg.norm((apart - np.round(apart)) @ found.lattice, axis=1).min() < 1e-6


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("name", ["rocksalt", "quartz", "perovskite"])
def test_noise_hides_the_cell_from_the_tight_tolerance_and_not_from_the_loose_one(name, seed):
    start = smallest(name)
    noisy = rattled(supercell(start, 2, 2, 1), 0.04, seed)

    assert smallest_cell(noisy, SYMPREC_ANG) is noisy
    found = smallest_cell(noisy, LOOSE_SYMPREC_ANG)
    assert len(found) == len(start)
    assert Fingerprint.of(found).distance_to(Fingerprint.of(start)) < 0.02


@pytest.mark.parametrize("seed", range(8))
def test_no_atom_of_what_is_folded_is_further_than_the_tolerance_from_its_mean(seed):
    start = smallest("rutile")
    noisy = rattled(supercell(start, 3, 1, 1), 0.03 + 0.01 * seed, seed)

    found = smallest_cell(noisy, LOOSE_SYMPREC_ANG)
    worst = 0.0
    for position, number in zip(noisy.cart_coords, noisy.numbers, strict=True):
        apart = (found.cart_coords[found.numbers == number] - position) @ np.linalg.inv(found.lattice)
        worst = max(worst, np.linalg.norm((apart - np.round(apart)) @ found.lattice, axis=1).min())

    assert worst <= LOOSE_SYMPREC_ANG + 1e-9


def test_atoms_of_other_elements_are_not_taken_for_images():
    start = Crystal.of(np.diag([6.0, 3.0, 3.0]), [[0, 0, 0], [0.5, 0, 0]], [29, 79])
    same = Crystal.of(start.lattice, start.frac_coords, [29, 29])

    assert smallest_cell(start, 1.0) is start
    assert len(smallest_cell(same, SYMPREC_ANG)) == 1


@pytest.mark.parametrize("seed", range(40))
def test_where_nothing_may_fold_pymatgen_finds_no_smaller_cell(seed):
    dice = np.random.default_rng(seed)
    start = reduced(
        rattled(times(smallest(NAMES[seed % len(NAMES)]), np.diag([2, 1, 1])), dice.uniform(0.05, 0.6), seed)
    )

    folded = start.to_structure().get_primitive_structure(tolerance=0.25)

    assert may_fold(start, 0.5) or len(folded) == len(start)


def test_what_repeats_exactly_may_fold_and_what_does_not_repeat_may_not():
    assert may_fold(supercell(smallest("quartz"), 2, 1, 1), 0.01)
    assert not may_fold(smallest("quartz"), 0.1)
    assert not may_fold(Crystal.of(np.eye(3) * 3, [[0, 0, 0]], [84]), 1.0)
