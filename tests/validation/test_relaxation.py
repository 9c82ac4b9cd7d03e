"""Relaxation against ASE's own optimiser, and what must not change its outcome."""

import numpy as np
import pytest
from ase.calculators.emt import EMT
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.validation.validation_crystals import rotated, supercell
from validation.crystal import Crystal
from validation.potentials import load_judge
from validation.relaxation import Stopped, TimeLimitExceeded, displaced, relax
from validation.rules import RelaxationSettings

ENERGY_TOLERANCE_EV_PER_ATOM = 1e-4
LENGTH_TOLERANCE_ANG = 0.01
EXACT_TOLERANCE = 1e-9

TIGHT = RelaxationSettings(fmax_ev_per_ang=0.005, smax_ev_per_ang3=0.0001)
LOOSE = RelaxationSettings()


@pytest.fixture(scope="module")
def judge():
    return load_judge("emt")


@pytest.fixture(scope="module")
def relaxed(judge):
    return relax(alloy(), judge, TIGHT)


def alloy():
    """CuAu, layers of each, stretched and with one atom out of place."""
    lattice = np.diag([2.95, 2.95, 3.75])
    return Crystal.of(lattice, [[0.02, 0.01, 0], [0.5, 0.5, 0.48]], [29, 79])


def test_a_relaxation_finds_the_minimum_that_ases_own_optimiser_finds(relaxed):
    atoms = alloy().to_atoms()
    atoms.calc = EMT()
    BFGS(FrechetCellFilter(atoms), logfile=None).run(fmax=1e-3, steps=300)

    assert relaxed.stopped is Stopped.CONVERGED
    assert relaxed.energy_per_atom == pytest.approx(
        atoms.get_potential_energy() / len(atoms), abs=ENERGY_TOLERANCE_EV_PER_ATOM
    )
    assert relaxed.crystal.volume ** (1 / 3) == pytest.approx(atoms.get_volume() ** (1 / 3), abs=LENGTH_TOLERANCE_ANG)


def test_a_converged_relaxation_keeps_both_limits_and_says_what_it_reached(relaxed):
    assert np.linalg.norm(relaxed.forces, axis=1).max() == pytest.approx(relaxed.fmax_ev_per_ang)
    assert np.abs(relaxed.stress).max() == pytest.approx(relaxed.smax_ev_per_ang3)
    assert relaxed.fmax_ev_per_ang <= TIGHT.fmax_ev_per_ang
    assert relaxed.smax_ev_per_ang3 <= TIGHT.smax_ev_per_ang3
    assert relaxed.history.shape == (relaxed.steps + 1, 3)
    assert relaxed.initial_hash == alloy().content_hash


def test_the_same_crystal_relaxes_to_the_same_bytes_twice(judge, relaxed):
    again = relax(alloy(), judge, TIGHT)

    assert again.crystal.pack() == relaxed.crystal.pack()
    assert again.history.tobytes() == relaxed.history.tobytes()


@pytest.mark.parametrize("change", [rotated, lambda crystal: supercell(crystal, 2, 1, 1)], ids=["turned", "doubled"])
def test_the_choice_of_axes_and_of_cell_does_not_change_the_energy(judge, relaxed, change):
    changed = relax(change(alloy()), judge, TIGHT)

    assert changed.stopped is Stopped.CONVERGED
    assert changed.energy_per_atom == pytest.approx(relaxed.energy_per_atom, abs=ENERGY_TOLERANCE_EV_PER_ATOM)


def test_a_relaxation_that_runs_out_of_steps_says_so(judge):
    found = relax(alloy(), judge, RelaxationSettings(fmax_ev_per_ang=1e-6, max_steps=3))

    assert found.stopped is Stopped.MAX_STEPS
    assert found.steps == 3


def test_a_collapsed_cell_explodes_before_the_judge_is_asked(judge):
    tiny = Crystal.of(np.eye(3) * 0.9, [[0, 0, 0], [0.5, 0.5, 0.5]], [29, 29])  # 0.36 Å³ an atom

    found = relax(tiny, judge, LOOSE)

    assert found.stopped is Stopped.EXPLODED
    assert found.steps == 0
    assert "collapsed to 0.36 Å³ an atom" in found.note
    assert np.isnan(found.energy_per_atom)


def test_a_time_limit_ends_a_relaxation_without_a_verdict(judge):
    with pytest.raises(TimeLimitExceeded, match="0 s"):
        relax(alloy(), judge, LOOSE, time_limit_s=0.0)


def test_every_step_is_reported_and_the_listener_can_end_the_relaxation(judge):
    class Cancelled(Exception):
        pass

    seen = []

    def listener(steps):
        seen.append(steps)
        if steps == 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        relax(alloy(), judge, TIGHT, on_step=listener)
    assert seen == [0, 1, 2]


def test_an_unknown_optimiser_is_refused(judge):
    with pytest.raises(ValueError, match="BFGS"):
        relax(alloy(), judge, RelaxationSettings(optimiser="BFGS"))


@settings(max_examples=20, deadline=None)
@given(distance=st.floats(1e-3, 0.1), turn=st.integers(0, 1000))
def test_displacement_moves_every_atom_by_the_same_distance_and_always_the_same_way(distance, turn):
    start = rotated(alloy(), turn)

    moved = displaced(start, distance)

    apart = moved.frac_coords - start.frac_coords
    lengths = np.linalg.norm((apart - np.round(apart)) @ start.lattice, axis=1)
    assert lengths == pytest.approx(np.full(len(start), distance), abs=EXACT_TOLERANCE)
    assert displaced(start, distance).pack() == moved.pack()


def test_displacement_leaves_a_single_atom_and_a_distance_of_zero_alone():
    single = Crystal.of(np.eye(3) * 2.5, [[0, 0, 0]], [29])

    assert displaced(single, 0.02) is single
    assert displaced(start := alloy(), 0.0) is start
