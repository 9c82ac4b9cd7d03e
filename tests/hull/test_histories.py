"""Any history of arrivals, lowerings, withdrawals and returns, in batches or not, leads where its entries lead."""

import random
from collections import Counter

import pytest
from hull_checks import (
    assert_events_are_the_difference,
    assert_moved_is_what_changed,
    assert_planes_support_the_hull,
    assert_points_agree_with_entries,
    assert_same_store,
    close,
    points_of,
)
from hull_oracle import AGREEMENT_EV_PER_ATOM, chemistries, distance, effort, examples, filled
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from hull.entries import BadEnergy, DuplicateEntry, Entry, Formula, MixedScales, UnknownEntry
from hull.store import EventKind, HullStore

SYMBOLS = ("O", "Li", "Fe", "S", "Na")
FORMULAS = st.dictionaries(st.sampled_from(SYMBOLS), st.integers(1, 3), min_size=1, max_size=4).map(Formula.of)
STEPS = st.integers(-10, 2).map(lambda step: step / 4)
HAIRS = st.sampled_from([0.0, 0.0, 2.0**-40, -(2.0**-36), 2.0**-33, -(2.0**-30), 2.0**-27, -(2.0**-23)])
ENERGIES = st.one_of(STEPS, st.builds(lambda step, hair: step + hair, STEPS, HAIRS))
IDS = st.one_of(st.integers(0, 30), st.sampled_from([-1, -(2**63), 2**63 - 1, 2**32, -(2**31)]))
PICKS = st.integers(0, 10**6)


class History(RuleBasedStateMachine):
    """A store beside the plain dictionary of what it should hold."""

    def __init__(self):
        super().__init__()
        self.store = HullStore("test")
        self.kept, self.gone = {}, {}
        self.stable = set()  # by the events alone

    @initialize(symbols=st.one_of(st.just(SYMBOLS), st.sets(st.sampled_from(SYMBOLS))), energy=ENERGIES)
    def references(self, symbols, energy):
        self._insert_all([Entry(100 + SYMBOLS.index(one), Formula.of({one: 1}), energy) for one in sorted(symbols)])

    @rule(number=IDS, formula=FORMULAS, energy=ENERGIES)
    def insert(self, number, formula, energy):
        entry = Entry(number, formula, energy)
        if number in self.kept:
            self._refuses(DuplicateEntry, lambda: self.store.insert(entry))
            return
        foretold = self.store.position(formula, energy)
        insertion = self._change(lambda: self.store.insert(entry), EventKind.STABLE, entry)
        assert insertion.on_arrival == foretold
        self.kept[number] = entry

    @rule(arrivals=st.lists(st.tuples(IDS, FORMULAS, ENERGIES), max_size=6, unique_by=lambda one: one[0]))
    def insert_many(self, arrivals):
        batch = [Entry(*arrival) for arrival in arrivals]
        if any(entry.entry_id in self.kept for entry in batch):
            self._refuses(DuplicateEntry, lambda: self.store.insert_many(batch))
        else:
            self._insert_all(batch)

    @precondition(lambda self: self.gone)
    @rule(pick=PICKS)
    def bring_back(self, pick):
        entry = self.gone.pop(self._chosen(self.gone, pick))
        if entry.entry_id not in self.kept:
            self._change(lambda: self.store.insert(entry), EventKind.STABLE, entry)
            self.kept[entry.entry_id] = entry

    @precondition(lambda self: self.kept)
    @rule(pick=PICKS)
    def withdraw(self, pick):
        entry = self.kept[self._chosen(self.kept, pick)]
        self._change(lambda: self.store.withdraw(entry.entry_id), EventKind.RESTORED, entry)
        self.gone[entry.entry_id] = self.kept.pop(entry.entry_id)

    @precondition(lambda self: self.kept)
    @rule(pick=PICKS, drop=st.sampled_from([0.0, 2.0**-36, 2.0**-30, 2.0**-20, 0.25, 1.0]))
    def lower(self, pick, drop):
        old = self.kept[self._chosen(self.kept, pick)]
        entry = Entry(old.entry_id, old.formula, old.energy_per_atom - drop)
        self._change(lambda: self.store.lower(old.entry_id, entry.energy_per_atom), EventKind.STABLE, entry)
        self.kept[entry.entry_id] = entry

    @rule(pick=PICKS, formula=FORMULAS)
    def mistakes(self, pick, formula):
        self._refuses(UnknownEntry, lambda: self.store.withdraw(77))
        self._refuses(UnknownEntry, lambda: self.store.lower(77, -1.0))
        twins = [Entry(77, formula, -9.0), Entry(77, formula, -9.5)]
        self._refuses(DuplicateEntry, lambda: self.store.insert_many(twins))
        self._refuses(MixedScales, lambda: self.store.insert_many(twins[:1], scale="another"))
        if self.kept:
            old = self.kept[self._chosen(self.kept, pick)]
            self._refuses(BadEnergy, lambda: self.store.lower(old.entry_id, old.energy_per_atom + 0.25))
            self._refuses(BadEnergy, lambda: self.store.lower(old.entry_id, float("nan")))
            self._refuses(DuplicateEntry, lambda: self.store.insert_many([*twins[:1], old]))

    @invariant()
    def planes_and_points(self):
        assert len(self.store) == len(self.kept)
        assert all(number in self.store for number in self.kept)
        assert self.stable == set(self.store.stable_entries())
        assert_points_agree_with_entries(self.store)
        assert_planes_support_the_hull(self.store)

    def teardown(self):
        entries = list(self.kept.values())
        random.Random(len(entries)).shuffle(entries)
        assert_same_store(self.store, filled(entries))
        symbols = {entry.formula.elements[0] for entry in entries if entry.formula.is_element}
        for entry in entries:
            if symbols.issuperset(entry.formula.elements):
                theirs = distance(entry, entries)
                assert abs(self.store.e_above_hull(entry.entry_id) - theirs) <= AGREEMENT_EV_PER_ATOM
            else:
                assert self.store.e_above_hull(entry.entry_id) is None

    def _insert_all(self, batch):
        points = points_of(self.store)
        insertions = self.store.insert_many(batch)
        assert len(insertions) == len(batch)
        for insertion in insertions:
            self._fold(insertion.events)
        after = points_of(self.store)
        changed = {formula for formula in points.keys() | after.keys() if points.get(formula) != after.get(formula)}
        assert changed <= {formula for insertion in insertions for formula in insertion.moved}
        self.kept |= {entry.entry_id: entry for entry in batch}

    def _change(self, change, came, entry):
        stable, points = self.store.stable_entries(), points_of(self.store)
        result = change()
        assert_events_are_the_difference(result.events, stable, self.store.stable_entries(), came)
        assert_moved_is_what_changed(result.moved, points, points_of(self.store))
        for event in result.events:
            own_arrival = event.entry_id == entry.entry_id and event.kind is EventKind.STABLE
            assert event.by == (None if own_arrival else entry.entry_id)
        self._fold(result.events)
        return result

    def _fold(self, events):
        for event in events:
            (self.stable.discard if event.kind is EventKind.DETHRONED else self.stable.add)(event.entry_id)

    def _refuses(self, error, change):
        points, stable = points_of(self.store), self.store.stable_entries()
        with pytest.raises(error):
            change()
        assert (points_of(self.store), self.store.stable_entries()) == (points, stable)
        assert len(self.store) == len(self.kept)
        assert 77 not in self.store

    @staticmethod
    def _chosen(entries, pick):
        return sorted(entries)[pick % len(entries)]


class TestHistory(History.TestCase):
    settings = settings(max_examples=120 * effort, stateful_step_count=30, deadline=None)


@examples(40)
@given(chemistries(referenced=False), st.randoms(use_true_random=False))
def test_a_batch_says_what_its_entries_say_one_by_one(entries, dice):
    one_by_one, in_slices = HullStore("test"), HullStore("test")
    singles = [one_by_one.insert(entry) for entry in entries]

    batched, place = [], 0
    while place < len(entries):
        size = dice.randint(1, len(entries))
        batched += in_slices.insert_many(entries[place : place + size])
        place += size

    assert_same_store(one_by_one, in_slices)
    for single, other in zip(singles, batched, strict=True):
        assert single.events == other.events
        assert single.moved == other.moved
        assert single.on_arrival.missing == other.on_arrival.missing
        for name in ("e_above_hull", "e_above_hull_on_arrival", "decomposition_energy"):
            assert getattr(single.on_arrival, name) == close(getattr(other.on_arrival, name))


@examples(40)
@given(chemistries(), st.randoms(use_true_random=False))
def test_withdrawing_everything_but_a_few_in_any_order_leaves_the_hull_of_those_few(entries, dice):
    store = filled(entries)
    order = dice.sample(entries, len(entries))
    few = dice.randint(0, 4)

    for entry in order[few:]:
        store.withdraw(entry.entry_id)

    assert_same_store(store, filled(order[:few]))
    assert_planes_support_the_hull(store)


@examples(25)
@given(chemistries())
def test_taking_an_entry_out_and_putting_it_back_leaves_no_trace(entries):
    store = filled(entries)
    untouched = filled(entries)

    for entry in entries:
        withdrawal = store.withdraw(entry.entry_id)
        insertion = store.insert(entry)
        assert Counter(event.entry_id for event in withdrawal.events) == Counter(
            event.entry_id for event in insertion.events
        )
        assert_same_store(store, untouched)


@examples(25)
@given(chemistries(), st.randoms(use_true_random=False))
def test_sinking_step_by_step_is_arriving_at_the_bottom(entries, dice):
    raised = [Entry(entry.entry_id, entry.formula, entry.energy_per_atom + 4.0) for entry in entries]
    store = filled(raised)

    for divisor in (2.0, 1.0, 0.25, 0.0):
        for entry in dice.sample(entries, len(entries)):
            store.lower(entry.entry_id, entry.energy_per_atom + divisor)

    assert_same_store(store, filled(entries))
