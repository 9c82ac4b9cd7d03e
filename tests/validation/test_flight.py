"""Batches against single crystals and against ASE's optimiser, and everything that ends a relaxation."""

import dataclasses
from functools import cache

import numpy as np
import pytest

from tests.validation.validation_crystals import permuted, rotated, supercell
from validation import batch_limit
from validation.crystal import Crystal
from validation.evaluation import Evaluation, OutOfMemory, expected_pairs_of
from validation.flight import Failed, Flight, Relaxed, UnknownElement, relax_batch
from validation.judges.ase_evaluator import AseEvaluator
from validation.potentials import load_judge
from validation.relaxation import Stopped, TimeLimitExceeded, relax
from validation.rules import RelaxationSettings

ROUNDING = 1e-9  # of lengths in Å and energies in eV/atom, in double precision
ENERGY_TOLERANCE_EV_PER_ATOM = 1e-4
SETTINGS = RelaxationSettings(fmax_ev_per_ang=0.1, smax_ev_per_ang3=0.005)  # ASE's EMT takes its time
ALL_AT_ONCE = 10**9


@cache
def emt():
    return load_judge("emt")


def alloy(seed):
    """One to four atoms of EMT's metals in a distorted fcc cell."""
    rng = np.random.default_rng(seed)
    size = 1 + seed % 4
    cell = (16.5 * size) ** (1 / 3) * (np.eye(3) + 0.04 * rng.normal(size=(3, 3)))
    sites = np.array([[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])[:size]
    return Crystal.of(cell, sites + 0.01 * rng.normal(size=(size, 3)), rng.choice([13, 28, 29, 46, 47, 79], size))


def relaxed(crystals, settings=SETTINGS, judge=None, pairs_at_once=ALL_AT_ONCE, **options):
    """By place in the list."""
    ended = relax_batch(enumerate(crystals), judge or emt(), settings, pairs_at_once=pairs_at_once, **options)
    return {end.key: end for end in ended}


@pytest.fixture(scope="module")
def six():
    crystals = [alloy(seed) for seed in range(6)]
    return crystals, relaxed(crystals)


def test_every_crystal_of_a_batch_takes_the_steps_of_ases_own_optimiser(six):
    crystals, ended = six
    for place, crystal in enumerate(crystals):
        alone, found = relax(crystal, emt(), SETTINGS), ended[place].relaxation

        assert (found.stopped, found.steps, found.initial_hash) == (alone.stopped, alone.steps, alone.initial_hash)
        assert found.history == pytest.approx(alone.history, abs=1e-6)
        assert found.crystal.lattice == pytest.approx(alone.crystal.lattice, abs=ROUNDING)
        assert found.crystal.cart_coords == pytest.approx(alone.crystal.cart_coords, abs=ROUNDING)
        assert found.energy_per_atom == pytest.approx(alone.energy_per_atom, abs=ROUNDING)
        assert found.forces == pytest.approx(alone.forces, abs=ROUNDING)
        assert found.stress == pytest.approx(alone.stress, abs=ROUNDING)
        assert found.rmsd_ang == pytest.approx(alone.rmsd_ang, abs=ROUNDING)
        assert found.volume_change == pytest.approx(alone.volume_change, abs=ROUNDING)


def test_what_else_is_aboard_and_in_which_order_changes_not_a_bit(six):
    crystals, ended = six

    backwards = relaxed(crystals[::-1])
    one_by_one = relaxed(crystals, pairs_at_once=1)

    for place in range(len(crystals)):
        expected = ended[place].relaxation.crystal.pack()
        assert backwards[len(crystals) - 1 - place].relaxation.crystal.pack() == expected
        assert one_by_one[place].relaxation.crystal.pack() == expected


def test_each_end_is_told_when_it_happens_and_the_source_is_read_as_there_is_room():
    asked = []

    def source():
        for seed in range(4):
            asked.append(seed)
            yield seed, alloy(seed)

    told = [(end.key, len(asked)) for end in relax_batch(source(), emt(), SETTINGS, pairs_at_once=1)]

    assert [key for key, _ in told] == [0, 1, 2, 3]
    assert told[0][1] < 4


@pytest.mark.parametrize("change", [rotated, permuted, lambda crystal: supercell(crystal, 2, 1, 1)])
def test_turning_permuting_and_repeating_a_cell_do_not_change_its_energy(change):
    tight = RelaxationSettings(fmax_ev_per_ang=0.005, smax_ev_per_ang3=1e-4, displacement_ang=0)

    ended = relaxed([alloy(2), change(alloy(2))], tight)

    assert ended[1].relaxation.energy_per_atom == pytest.approx(
        ended[0].relaxation.energy_per_atom, abs=ENERGY_TOLERANCE_EV_PER_ATOM
    )


class Moody:
    """Around a potential: it refuses what it is told to. seen: sizes of the batches that it was given."""

    pairs_at_once = ALL_AT_ONCE
    potential_s = 0.0

    def __init__(self, refuse):
        self._inner, self._refuse, self.seen = AseEvaluator(emt().calculator), refuse, []

    def evaluate(self, batch):
        self.seen.append(len(batch))
        self._refuse(batch)
        return self._inner.evaluate(batch)

    def forget(self, keys):
        self._inner.forget(keys)


def moody(refuse):
    return dataclasses.replace(emt(), batched=Moody(refuse))


def test_a_batch_too_large_for_the_memory_is_halved_and_nobody_is_lost(six):
    crystals, expected = six

    def small_memory(batch):
        if len(batch.numbers) > 6:
            raise OutOfMemory(f"no room for {len(batch.numbers)} atoms")

    judge = moody(small_memory)
    ended = relaxed(crystals, judge=judge, pairs_at_once=None)

    assert {place: end.relaxation.crystal.pack() for place, end in ended.items()} == {
        place: end.relaxation.crystal.pack() for place, end in expected.items()
    }
    refusals = sum(size == 6 for size in judge.batched.seen)
    assert refusals == 1  # then it asks for less


def test_when_the_memory_is_free_again_batches_grow_to_what_they_were(monkeypatch):
    """As if something else had the device's memory for twelve evaluations."""
    monkeypatch.setattr(batch_limit, "FIRST_PATIENCE", 2)
    crystals = [alloy(1 + 4 * seed) for seed in range(12)]  # of two atoms each
    few = RelaxationSettings(fmax_ev_per_ang=1e-9, max_steps=30)
    four = round(4 * max(expected_pairs_of(one, emt().cutoff_ang) for one in crystals))
    taken = iter(range(12))

    def shared_memory(batch):
        if next(taken, None) is not None and len(batch) > 1:
            raise OutOfMemory(f"no room for {len(batch)} crystals")

    judge = moody(shared_memory)
    ended = relaxed(crystals, few, judge=judge, pairs_at_once=four)
    undisturbed = relaxed(crystals, few, pairs_at_once=four)

    sizes = judge.batched.seen
    assert sizes[0] >= 4
    assert max(sizes[10:20]) == 1
    assert max(sizes[20:]) >= 4
    assert set(ended) == set(range(12))
    for place, end in ended.items():
        assert end.relaxation.crystal.pack() == undisturbed[place].relaxation.crystal.pack()


def test_a_crystal_that_alone_is_too_large_for_the_memory_fails_and_the_others_do_not():
    def no_room_for_four(batch):
        if (batch.counts == 4).any():
            raise OutOfMemory("no room")

    ended = relaxed([alloy(seed) for seed in range(4)], judge=moody(no_room_for_four), pairs_at_once=None)

    assert isinstance(ended[3].error, OutOfMemory)
    assert all(isinstance(ended[place], Relaxed) for place in range(3))


def test_what_the_potential_raises_about_one_crystal_ends_that_one(six):
    crystals, expected = six

    def gold_is_refused(batch):
        if 79 in batch.numbers:
            raise ArithmeticError("no gold today")

    ended = relaxed(crystals, judge=moody(gold_is_refused), pairs_at_once=None)

    for place, crystal in enumerate(crystals):
        if "Au" in crystal.elements:
            assert isinstance(ended[place].error, ArithmeticError)
        else:
            assert ended[place].relaxation.crystal.pack() == expected[place].relaxation.crystal.pack()
    assert {isinstance(end, Failed) for end in ended.values()} == {True, False}


def test_numbers_that_are_no_numbers_end_their_crystal_only(six):
    crystals, expected = six

    class Nan(Moody):
        def evaluate(self, batch):
            found = super().evaluate(batch)
            energies = np.where(np.array(batch.keys) == 4, np.nan, found.energies)
            return Evaluation(energies, found.forces, found.stresses)

    judge = dataclasses.replace(emt(), batched=Nan(lambda batch: None))
    ended = relaxed(crystals, judge=judge)

    assert ended[4].relaxation.stopped is Stopped.EXPLODED
    assert ended[4].relaxation.note == "energy, forces or stress are not finite"
    assert ended[4].relaxation.steps == 0
    assert ended[5].relaxation.crystal.pack() == expected[5].relaxation.crystal.pack()


def test_a_collapsed_cell_explodes_before_the_judge_is_asked():
    tiny = Crystal.of(0.9 * np.eye(3), [[0, 0, 0], [0.5, 0.5, 0.5]], [29, 29])

    ended = relaxed([alloy(1), tiny])

    assert ended[1].relaxation.stopped is Stopped.EXPLODED
    assert "collapsed to 0.36 Å³ an atom" in ended[1].relaxation.note
    assert np.isnan(ended[1].relaxation.history).all()
    assert ended[0].relaxation.stopped is Stopped.CONVERGED


def test_a_crystal_that_flies_apart_is_told_from_one_that_converges():
    squeezed = Crystal.of(1.45 * np.eye(3), [[0, 0, 0]], [79])  # 3 Å³ an atom, and gold wants 17

    ended = relaxed([squeezed, alloy(0)])

    assert ended[0].relaxation.stopped is Stopped.EXPLODED
    assert "the volume changed by a factor of" in ended[0].relaxation.note
    assert ended[1].relaxation.stopped is Stopped.CONVERGED


def test_an_element_that_the_judge_does_not_know_fails_by_its_name():
    salt = Crystal.of(4 * np.eye(3), [[0, 0, 0], [0.5, 0.5, 0.5]], [55, 17])

    ended = relaxed([salt, alloy(0)])

    assert isinstance(ended[0].error, UnknownElement)
    assert "does not know Cl, Cs" in str(ended[0].error)
    assert isinstance(ended[1], Relaxed)


def test_steps_are_counted_for_each_crystal_from_where_it_came_aboard():
    few = RelaxationSettings(fmax_ev_per_ang=1e-9, max_steps=4)
    flight = Flight(emt(), few, pairs_at_once=ALL_AT_ONCE)
    flight.add("early", alloy(1))
    assert flight.step() == []
    flight.add("late", alloy(2))

    ended = [[(end.key, end.relaxation.steps) for end in flight.step()] for _ in range(5)]

    assert ended == [[], [], [], [("early", 4)], [("late", 4)]]
    assert flight.unfinished == []


def test_a_stop_ends_it_between_two_steps_with_the_rest_unfinished():
    steps = iter(range(100))
    flight_ended = list(
        relax_batch([(seed, alloy(seed)) for seed in range(3)], emt(), SETTINGS, stop=lambda: next(steps) >= 5)
    )

    assert flight_ended == []
    assert next(steps) == 6


def test_who_is_dropped_is_not_heard_of_again(six):
    crystals, expected = six
    flight = Flight(emt(), SETTINGS, pairs_at_once=ALL_AT_ONCE)
    for place, crystal in enumerate(crystals[:3]):
        flight.add(place, crystal)
    flight.step()

    flight.drop([1])

    ended = {end.key: end for _ in iter(lambda: bool(flight.unfinished), False) for end in flight.step()}
    assert set(ended) == {0, 2}
    assert ended[2].relaxation.crystal.pack() == expected[2].relaxation.crystal.pack()


def test_room_is_what_those_aboard_and_those_who_wait_leave():
    crystals = [alloy(seed) for seed in range(4)]
    pairs = [expected_pairs_of(one, emt().cutoff_ang) for one in crystals]
    whole = 1 + int(sum(pairs[:3]))
    flight = Flight(emt(), SETTINGS, pairs_at_once=whole)
    seen = [flight.room]
    for place, crystal in enumerate(crystals):
        flight.add(place, crystal)
        seen.append(flight.room)
    flight.step()  # three come aboard
    seen.append(flight.room)
    for place in (1, 3):
        flight.drop([place])
        seen.append(flight.room)

    left = [whole - sum(pairs[:count]) for count in (0, 1, 2, 3, 4, 4)]
    assert seen == pytest.approx([*left, left[-1] + pairs[1], left[-1] + pairs[1] + pairs[3]])


def test_a_time_limit_counts_a_crystals_own_share():
    ended = relaxed([alloy(1), alloy(3)], time_limit_s=0.0)

    assert all(isinstance(end.error, TimeLimitExceeded) for end in ended.values())


def test_an_unknown_optimiser_is_refused():
    with pytest.raises(ValueError, match="BFGS"):
        Flight(emt(), RelaxationSettings(optimiser="BFGS"))
