from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest
from hull_oracle import examples
from hypothesis import given
from hypothesis import strategies as st
from rational_oracle import exact_minimum

from hull.simplex import NoReference, Solution, minimise

EXACT_EV_PER_ATOM = 1e-9


def cheapest_by_trying_every_basis(columns, energies, target):
    best = np.inf
    for basis in combinations(range(len(columns)), len(target)):
        matrix = columns[list(basis)].T
        if abs(np.linalg.det(matrix)) < 1e-9:
            continue
        fractions = np.linalg.solve(matrix, target)
        if (fractions > -1e-12).all():
            best = min(best, float(fractions @ energies[list(basis)]))
    return best


@st.composite
def programmes(draw):
    dimension = draw(st.integers(1, 4))
    amounts = draw(
        st.lists(st.lists(st.integers(0, 4), min_size=dimension, max_size=dimension).filter(any), max_size=7)
    )
    columns = np.array([*np.eye(dimension).tolist(), *amounts], dtype=float)
    columns /= columns.sum(axis=1, keepdims=True)
    energy = st.one_of(st.integers(-8, 2).map(lambda step: step / 4), st.floats(-3, 1))
    energies = np.array(draw(st.lists(energy, min_size=len(columns), max_size=len(columns))))
    target = np.array(draw(st.lists(st.integers(1, 5), min_size=dimension, max_size=dimension)), dtype=float)
    order = np.array(draw(st.permutations(range(len(columns)))))
    return columns[order], energies[order], target / target.sum()


@examples(150)
@given(programmes())
def test_the_optimum_is_the_best_of_all_bases(programme):
    solution = minimise(*programme)

    assert solution.optimum == pytest.approx(cheapest_by_trying_every_basis(*programme), abs=EXACT_EV_PER_ATOM)


@examples(150)
@given(programmes())
def test_a_solution_proves_itself_by_mixture_and_duals(programme):
    columns, energies, target = programme

    solution = minimise(columns, energies, target)

    assert (solution.fractions >= 0).all()
    assert solution.fractions @ columns[solution.basis] == pytest.approx(target, abs=EXACT_EV_PER_ATOM)
    assert solution.fractions @ energies[solution.basis] == pytest.approx(solution.optimum, abs=EXACT_EV_PER_ATOM)
    assert solution.duals @ target == pytest.approx(solution.optimum, abs=EXACT_EV_PER_ATOM)
    assert (energies - columns @ solution.duals).min() >= -EXACT_EV_PER_ATOM


@st.composite
def exact_programmes(draw):
    """Up to nine elements, ties, cells of thousands of atoms: columns and target as fractions, energies in 1/64 eV."""
    dimension = draw(st.integers(1, 9))
    counts = st.sampled_from(draw(st.sampled_from([[0, 0, 1, 1, 2, 3, 5], [0, 0, 1, 7, 197, 200, 9999]])))
    row = st.lists(counts, min_size=dimension, max_size=dimension).filter(any)
    amounts = np.eye(dimension, dtype=int).tolist() + draw(st.lists(row, max_size=20))
    columns = [tuple(Fraction(count, sum(counts)) for count in counts) for counts in amounts]
    energy = st.integers(*draw(st.sampled_from([(0, 0), (-2, 0), (-200, 100)]))).map(lambda step: Fraction(step, 64))
    energies = draw(st.lists(energy, min_size=len(columns), max_size=len(columns)))
    wanted = draw(st.lists(st.integers(1, 6), min_size=dimension, max_size=dimension))
    return columns, energies, tuple(Fraction(count, sum(wanted)) for count in wanted)


@examples(150)
@given(exact_programmes())
def test_the_optimum_is_that_of_rational_arithmetic(programme):
    columns, energies, target = programme

    solution = minimise(np.array(columns, float), np.array(energies, float), np.array(target, float))

    assert solution.optimum == pytest.approx(float(exact_minimum(columns, energies, target)[0]), rel=0, abs=1e-11)


def test_numbers_may_lie_in_memory_as_they_like_and_stay_as_they_are():
    columns, energies, target = [[1, 0], [0, 1], [0.5, 0.5], [0.25, 0.75]], [0, 0, -1, -1], [0.75, 0.25]
    expected = minimise(columns, energies, target)
    wide = np.zeros((8, 4))
    wide[::2, ::2] = columns
    layouts = [np.asfortranarray(columns), wide[::2, ::2], np.array(columns, np.float32), np.array(columns)[::-1][::-1]]

    for layout in layouts:
        layout.flags.writeable = False
        solution = minimise(layout, np.array(energies, np.int64), tuple(target))
        assert solution.optimum == expected.optimum
        assert solution.basis.tolist() == expected.basis.tolist()


def test_a_compound_between_two_elements_splits_into_its_neighbours():
    columns = [[1.0, 0.0], [0.0, 1.0], [0.5, 0.5], [0.25, 0.75]]

    solution: Solution = minimise(columns, [0.0, 0.0, -1.0, -0.1], [0.75, 0.25])

    assert solution.optimum == pytest.approx(-0.5)
    assert sorted(solution.basis.tolist()) == [0, 2]
    assert solution.duals == pytest.approx([0.0, -2.0])


def test_the_lowest_of_several_references_counts():
    solution = minimise([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], [-1.0, -3.0, -1.0], [0.5, 0.5])

    assert solution.optimum == pytest.approx(-2.0)


def test_thousands_of_ties_come_to_an_end():
    amounts = np.array([[i, j, 20 - i - j] for i in range(21) for j in range(21 - i)], dtype=float)

    solution = minimise(amounts / 20, np.zeros(len(amounts)), [0.3, 0.3, 0.4])

    assert solution.optimum == pytest.approx(0.0, abs=EXACT_EV_PER_ATOM)


def test_large_energies_cost_no_precision_that_matters():
    columns = [[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]]

    solution = minimise(columns, [-900.0, -900.0, -900.25], [0.25, 0.75])

    assert solution.optimum == pytest.approx(-900.125, abs=EXACT_EV_PER_ATOM)


def test_an_element_without_a_reference_is_named_and_not_guessed():
    with pytest.raises(NoReference, match="1"):
        minimise([[1.0, 0.0], [0.5, 0.5]], [0.0, -1.0], [0.5, 0.5])
