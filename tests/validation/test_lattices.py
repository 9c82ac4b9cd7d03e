import numpy as np
import pytest
import spglib
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice

from validation.lattices import aspect_ratio, niggli_lattice, reduced_lattice, turns

SAME_LENGTH = 1e-6  # of a length
SHEARS = st.lists(st.integers(-40, 40), min_size=3, max_size=3)
RANDOM = settings(deadline=None, max_examples=200)


def random_lattice(seed):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(3, 3)) * rng.uniform(0.5, 6.0, size=(3, 1)) + np.eye(3)


def sheared(lattice, steps):
    a, b, c = steps
    return np.array([[1, 0, 0], [a, 1, 0], [b, c, 1]]) @ lattice


def is_workable(lattice):
    return abs(np.linalg.det(lattice)) > 1e-2 * np.prod(np.linalg.norm(lattice, axis=1))


def lengths(lattice):
    return np.sort(np.linalg.norm(lattice, axis=1))


@RANDOM
@given(st.integers(0, 10**6))
def test_the_lengths_are_those_of_the_niggli_cell(seed):
    lattice = random_lattice(seed)
    if not is_workable(lattice):
        return

    reduced = reduced_lattice(lattice)

    np.testing.assert_allclose(lengths(reduced), lengths(spglib.niggli_reduce(lattice)), rtol=1e-4)


@RANDOM
@given(st.integers(0, 10**6), SHEARS)
def test_no_three_independent_vectors_of_the_lattice_are_shorter(seed, steps):
    lattice = random_lattice(seed)
    if not is_workable(lattice):
        return
    grid = np.stack(np.meshgrid(*[np.arange(-8, 9)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    every = grid @ reduced_lattice(lattice)
    shortest = every[np.argsort(np.linalg.norm(every, axis=1))][1:]
    found = [shortest[0]]
    for vector in shortest[1:]:
        if np.linalg.matrix_rank([*found, vector], tol=1e-6) > len(found):
            found.append(vector)
        if len(found) == 3:
            break

    reduced = reduced_lattice(sheared(lattice, steps))

    np.testing.assert_allclose(lengths(reduced), lengths(np.array(found)), rtol=SAME_LENGTH)


@RANDOM
@given(st.integers(0, 10**6), SHEARS)
def test_it_is_the_same_lattice_with_the_same_handedness(seed, steps):
    lattice = sheared(random_lattice(seed), steps)
    if not is_workable(random_lattice(seed)):
        return

    whole = reduced_lattice(lattice) @ np.linalg.inv(lattice)

    np.testing.assert_allclose(whole, np.round(whole), atol=1e-4)
    assert np.linalg.det(whole) == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("strength", [10, 10**3, 10**5])
def test_a_shear_of_any_strength_is_undone(strength):
    cubic = 4.0 * np.eye(3)

    ratio = aspect_ratio(sheared(cubic, (strength, -strength + 7, 3 * strength)))

    assert ratio == pytest.approx(1.0, abs=1e-4)


def test_a_cell_and_its_supercell_have_aspect_ratios_of_their_own():
    assert aspect_ratio(np.diag([3.0, 4.0, 30.0])) == pytest.approx(10.0)
    assert aspect_ratio(np.diag([-3.0, 3.0, 3.0])) == pytest.approx(1.0)


@pytest.mark.parametrize(
    "lattice",
    [
        np.zeros((3, 3)),
        np.diag([4.0, 4.0, 0.0]),
        np.full((3, 3), 2.0),
        np.full((3, 3), np.nan),
        np.diag([np.inf, 4.0, 4.0]),
        np.diag([1e308, 1e308, 1e-308]),
        [[4.0, 0.0, 0.0], [4.0, 1e-300, 0.0], [0.0, 0.0, 4.0]],
    ],
)
def test_what_is_no_lattice_is_infinitely_long_and_ends(lattice):
    assert aspect_ratio(np.array(lattice)) == np.inf


@pytest.mark.parametrize("seed", range(30))
def test_the_niggli_cell_is_that_of_pymatgen_also_where_vectors_are_equally_short(seed):
    rng = np.random.default_rng(seed)
    kinds = [Lattice.cubic(4), Lattice.hexagonal(3, 5), Lattice.rhombohedral(5, 60), Lattice.tetragonal(3, 3.0001)]
    lattice = kinds[seed % 5].matrix if seed % 5 < 4 else rng.normal(size=(3, 3)) * 4
    if seed % 2:
        lattice = np.array([[-0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.5, 0.5, -0.5]]) @ lattice
    steps = np.array([[1, rng.integers(-2, 3), rng.integers(-2, 3)], [0, 1, rng.integers(-2, 3)], [0, 0, 1]])

    found = niggli_lattice(steps @ lattice)

    expected = Lattice(steps @ lattice).get_niggli_reduced_lattice()
    assert sorted(Lattice(found).lengths) == pytest.approx(sorted(expected.lengths), abs=1e-6)
    assert sorted(Lattice(found).angles) == pytest.approx(sorted(expected.angles), abs=1e-4)
    assert np.linalg.inv(lattice.T) @ found.T == pytest.approx(np.round(np.linalg.inv(lattice.T) @ found.T), abs=1e-9)


def nearly_equal_vectors(seed):
    """A long cell whose third vector is almost as near to one of two lattice points, described by other vectors."""
    rng = np.random.default_rng(seed)
    lattice = np.array([[3.2, 0.0, 0.0], [1.55, 2.95, 0.0], [0.0, 0.0, 40.0]])
    lattice[2, :2] = 0.5 * lattice[rng.integers(2), :2] + rng.uniform(-0.12, 0.12, size=2)
    steps = np.eye(3, dtype=np.int64)
    steps[tuple(rng.permutation(3)[:2])] = rng.integers(-2, 3)
    return steps @ lattice


def test_what_pymatgen_takes_for_the_reduced_cell_is_it_or_one_of_its_turns():
    others = 0
    for seed in range(60):
        given = nearly_equal_vectors(seed)
        reduced = niggli_lattice(given)

        taken = Lattice(given).get_niggli_reduced_lattice().matrix
        rows = np.round(taken @ np.linalg.inv(reduced)).astype(int)
        known = [np.eye(3), *turns(reduced)]

        assert any((rows == sign * basis).all() for basis in known for sign in (1, -1)), seed
        others += not np.allclose(np.sort(Lattice(taken).angles), np.sort(Lattice(reduced).angles), atol=0.1)
    assert others > 5  # angles by which one could tell them apart
