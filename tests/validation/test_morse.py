"""The Morse potential of tests and benchmarks against ASE's own, finite differences, and invariances."""

import numpy as np
import pytest
from ase.calculators.morse import MorsePotential

from tests.validation.validation_crystals import crystal, permuted, rattled, rotated, shifted, supercell
from validation.canary import check
from validation.crystal import Crystal
from validation.element_data import ATOMIC_VOLUME_ANG3, covalent_radii
from validation.evaluation import Batch, CellTooFlat
from validation.flight import Relaxed, relax_batch
from validation.judges.ase_evaluator import AseEvaluator
from validation.judges.judge import UnknownJudge
from validation.judges.morse import INNER, OUTER, STEEPNESS, depth_ev, minimum_ang
from validation.potentials import load_judge
from validation.relaxation import Stopped, relax
from validation.rules import RelaxationSettings, Rules

STEP = 2e-5  # Å, or strain
SLOPE = 1e-6  # eV/Å, eV/Å³, and relative: what a difference over two such steps leaves
ROUNDING = 1e-11  # relative, of sums in another order
SOME = [rattled(crystal(name), 0.1) for name in ("CsCl", "perovskite", "tellurium", "corundum", "bcc")]


@pytest.fixture(scope="module")
def judge():
    return load_judge("morse")


@pytest.fixture(scope="module")
def evaluator(judge):
    return judge.batched


def batch_of(*crystals):
    first = np.cumsum([0, *map(len, crystals)])
    numbers = np.concatenate([one.numbers for one in crystals])
    positions = np.concatenate([one.cart_coords for one in crystals])
    return Batch(first, numbers, positions, np.stack([one.lattice for one in crystals]), tuple(range(len(crystals))))


def of(evaluator, *crystals):
    return evaluator.evaluate(batch_of(*crystals))


def close(found, expected):
    return found == pytest.approx(expected, rel=ROUNDING, abs=ROUNDING)


@pytest.mark.parametrize("start", SOME, ids=lambda one: str(one.formula))
def test_forces_and_stresses_are_slopes_of_the_energy(evaluator, start):
    found = of(evaluator, start)

    for atom in range(0, len(start), 3):
        for axis in range(3):
            moves = np.zeros_like(start.cart_coords)
            moves[atom, axis] = STEP
            ends = [_moved(start, sign * moves) for sign in (1, -1)]
            assert found.forces[atom, axis] == pytest.approx(-_slope(evaluator, ends), rel=SLOPE, abs=SLOPE)
    for row, column in ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2)):
        strain = np.zeros((3, 3))
        strain[row, column] = strain[column, row] = STEP if row == column else STEP / 2
        ends = [
            Crystal.of(start.lattice @ (np.eye(3) + sign * strain), start.frac_coords, start.numbers)
            for sign in (1, -1)
        ]
        assert found.stresses[0, row, column] == pytest.approx(
            _slope(evaluator, ends) / start.volume, rel=SLOPE, abs=SLOPE
        )
    assert (found.stresses[0] == found.stresses[0].T).all()


def _moved(start, moves):
    return Crystal.of(start.lattice, start.frac_coords + moves @ np.linalg.inv(start.lattice), start.numbers)


def _slope(evaluator, ends):
    up, down = of(evaluator, *ends).energies
    return (up - down) / (2 * STEP)


@pytest.mark.parametrize("distance_of_minimum", [0.8, 1.4999, 1.5001, 1.7, 1.9999, 2.0001])
def test_the_slope_is_right_where_the_step_begins_and_ends(evaluator, distance_of_minimum):
    """A row of atoms so far apart that each sees its two neighbours in the row and no others."""
    radius = covalent_radii()[29]
    apart = distance_of_minimum * minimum_ang(radius, radius)

    def row(length):
        return Crystal.of(np.diag([length, 30.0, 30.0]), [[0, 0, 0]], [29])

    found = of(evaluator, row(apart))

    slope = _slope(evaluator, [row(apart + STEP), row(apart - STEP)])
    assert found.stresses[0, 0, 0] * 30.0 * 30.0 == pytest.approx(slope, abs=1e-6)


@pytest.mark.parametrize("name", ["bcc", "hcp", "diamond", "tellurium"])
def test_of_one_element_it_is_ases_own_morse_potential(evaluator, name):
    start = rattled(supercell(crystal(name), 2, 1, 1), 0.1)
    radius = covalent_radii()[start.numbers[0]]
    asked = {"epsilon": depth_ev(radius, radius), "r0": minimum_ang(radius, radius), "rho0": STEEPNESS}
    ase = AseEvaluator(MorsePotential(**asked, rcut1=INNER, rcut2=OUTER))

    found, expected = of(evaluator, start), of(ase, start)

    assert close(found.energies, expected.energies)
    assert close(found.forces, expected.forces)
    assert close(found.stresses, expected.stresses)


def test_a_batch_is_its_crystals_one_by_one_to_the_bit(evaluator):
    together = of(evaluator, *SOME)
    backwards = of(evaluator, *reversed(SOME))

    alone = [of(evaluator, one) for one in SOME]

    for found, order in ((together, alone), (backwards, alone[::-1])):
        assert (found.energies == np.concatenate([one.energies for one in order])).all()
        assert (found.forces == np.concatenate([one.forces for one in order])).all()
        assert (found.stresses == np.concatenate([one.stresses for one in order])).all()


@pytest.mark.parametrize("start", SOME, ids=lambda one: str(one.formula))
def test_it_knows_no_origin_orientation_order_or_choice_of_cell(evaluator, start):
    found = of(evaluator, start)

    for same in (shifted(start), rotated(start), permuted(start)):
        assert close(of(evaluator, same).energies, found.energies)
    doubled = of(evaluator, supercell(start, 1, 2, 1))
    assert close(doubled.energies, 2 * found.energies)
    assert close(doubled.stresses, found.stresses)
    skewed = Crystal.of(np.array([[1, 0, 0], [2, 1, 0], [-1, 3, 1]]) @ start.lattice, [[0, 0, 0]], [1])
    other = Crystal.of(skewed.lattice, start.cart_coords @ np.linalg.inv(skewed.lattice), start.numbers)
    assert close(of(evaluator, other).energies, found.energies)


def test_positions_outside_of_the_cell_change_nothing(evaluator):
    start = SOME[1]
    batch = batch_of(start)
    cells = np.random.default_rng(3).integers(-4, 5, size=(len(start), 3))
    out = Batch(batch.first, batch.numbers, batch.positions + cells @ start.lattice, batch.cells, batch.keys)

    assert close(evaluator.evaluate(out).forces, evaluator.evaluate(batch).forces)


def test_it_judges_every_element_that_the_default_rules_allow_and_can_be_checked(judge):
    assert judge.elements == {
        symbol
        for symbol in ATOMIC_VOLUME_ANG3
        if symbol not in Rules().excluded_elements and symbol not in ("Bk", "Cf", "Es")  # without a covalent radius
    }
    assert len(judge.elements) > 85
    with pytest.raises(UnknownJudge, match="no models"):
        load_judge("morse", "better")


def test_its_canary_sings_by_registered_values(judge):
    assert check(judge).is_known


def test_a_cell_that_is_too_flat_ends_alone(judge):
    flat = Crystal.of(np.diag([4.0, 4.0, 1e-9]), [[0, 0, 0]], [29])

    with pytest.raises(CellTooFlat, match="too flat"):
        of(judge.batched, SOME[0], flat)


@pytest.mark.filterwarnings("ignore:logm result may be inaccurate")  # of ASE's filter
def test_a_batch_relaxes_as_ases_optimiser_does_alone(judge):
    settings = RelaxationSettings()
    starts = dict(enumerate(one for one in SOME if len(one) < 10))

    ended = list(relax_batch(starts.items(), judge, settings))

    assert {end.key for end in ended if isinstance(end, Relaxed)} == set(starts)
    for end in ended:
        alone = relax(starts[end.key], judge, settings)
        assert (end.relaxation.stopped, end.relaxation.steps) == (alone.stopped, alone.steps)
        if alone.stopped is Stopped.CONVERGED:
            assert end.relaxation.energy_per_atom == pytest.approx(alone.energy_per_atom, abs=1e-6)


def test_relaxed_in_any_company_a_crystal_comes_out_the_same_to_the_bit(judge):
    def relaxed(starts, **room):
        ended = relax_batch(starts, judge, RelaxationSettings(), **room)
        return {end.key: (end.relaxation.energy_per_atom, end.relaxation.crystal.pack()) for end in ended}

    starts = list(enumerate(SOME))

    together = relaxed(starts)

    assert relaxed(starts[::-1]) == together
    assert relaxed(starts, pairs_at_once=1) == together
