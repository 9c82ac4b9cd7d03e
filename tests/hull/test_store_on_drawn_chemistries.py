"""On any chemistry that is drawn, a hull that is kept is the one that would be built afresh, in whatever order."""

import random

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
from hull_oracle import AGREEMENT_EV_PER_ATOM, ENERGIES, chemistries, distance, examples, filled, formulas
from hypothesis import given
from hypothesis import strategies as st

from hull.entries import Entry, Formula
from hull.store import LP_TOLERANCE, STABLE_TOLERANCE, EventKind, HullStore

SAME = pytest.approx
thorough = examples(60)


def symbols_of(entries):
    return sorted({symbol for entry in entries for symbol in entry.formula.elements})


@thorough
@given(chemistries())
def test_every_distance_is_that_of_a_freshly_built_phase_diagram(entries):
    store = filled(entries)

    for entry in entries:
        expected = distance(entry, entries)
        assert store.e_above_hull(entry.entry_id) == SAME(expected, abs=AGREEMENT_EV_PER_ATOM)
        assert store.entry_position(entry.entry_id).e_above_hull == store.e_above_hull(entry.entry_id)


@thorough
@given(chemistries())
def test_an_arrival_is_measured_against_everything_before_it(entries):
    references = [
        Entry(1000 + number, Formula.of({symbol: 1}), 0.5) for number, symbol in enumerate(symbols_of(entries))
    ]
    store = filled(references)

    for number, entry in enumerate(entries):
        before = references + entries[:number]
        others = [other for other in before if other.formula != entry.formula]

        position = store.insert(entry).on_arrival

        assert position.e_above_hull_on_arrival == SAME(distance(entry, before), abs=AGREEMENT_EV_PER_ATOM)
        assert position.e_above_hull == SAME(max(0.0, position.e_above_hull_on_arrival), abs=AGREEMENT_EV_PER_ATOM)
        if entry.formula.is_element:
            assert position.decomposition_energy is None
        else:
            assert position.decomposition_energy == SAME(distance(entry, others), abs=AGREEMENT_EV_PER_ATOM)


@thorough
@given(chemistries(), st.randoms(use_true_random=False))
def test_no_answer_depends_on_the_order_of_arrival(entries, dice):
    shuffled = random.Random(dice.random()).sample(entries, len(entries))

    assert_same_store(filled(entries), filled(shuffled))


@thorough
@given(chemistries(referenced=False), st.randoms(use_true_random=False))
def test_no_answer_depends_on_the_order_where_references_lack_or_come_late(entries, dice):
    shuffled = random.Random(dice.random()).sample(entries, len(entries))

    assert_same_store(filled(entries), filled(shuffled))


@thorough
@given(chemistries())
def test_decomposition_energy_is_the_distance_to_a_hull_of_all_other_compositions(entries):
    store = filled(entries)

    for entry in entries:
        if entry.formula.is_element:
            continue
        others = [other for other in entries if other.formula != entry.formula]
        position = store.entry_position(entry.entry_id)
        assert position.decomposition_energy == SAME(distance(entry, others), abs=AGREEMENT_EV_PER_ATOM)


@thorough
@given(chemistries())
def test_decompositions_balance_atoms_and_energies(entries):
    store = filled(entries)
    known = {entry.entry_id: entry for entry in entries}

    for entry in entries:
        position = store.entry_position(entry.entry_id)
        mixed = sum(part * known[phase].energy_per_atom for phase, part in position.decomposition)
        assert mixed + position.e_above_hull == SAME(entry.energy_per_atom, abs=2 * LP_TOLERANCE)
        for symbol, fraction in entry.formula.fractions.items():
            inside = sum(part * known[phase].formula.fractions.get(symbol, 0) for phase, part in position.decomposition)
            assert inside == SAME(fraction, abs=1e-9)


@thorough
@given(chemistries())
def test_potentials_lie_below_every_other_composition_and_touch_the_hull(entries):
    store = filled(entries)

    assert_points_agree_with_entries(store)
    assert_planes_support_the_hull(store)


@thorough
@given(chemistries())
def test_stable_entries_are_the_lowest_polymorphs_on_the_hull_of_a_phase_diagram(entries):
    store = filled(entries)
    stable = set(store.stable_entries())

    for entry in entries:
        twins = [other for other in entries if other.formula == entry.formula]
        lowest = min(twins, key=lambda twin: (twin.energy_per_atom, twin.entry_id))
        others = [other for other in entries if other.formula != entry.formula]
        depth = -1.0 if entry.formula.is_element else distance(entry, others)
        if abs(depth) > STABLE_TOLERANCE:  # nearer than this two hulls may call it either way
            assert (entry.entry_id in stable) == (entry is lowest and depth < 0)


@thorough
@given(chemistries(referenced=False))
def test_events_and_moves_of_an_insertion_are_the_difference_that_it_made(entries):
    store = HullStore("test")

    for entry in entries:
        stable, points = store.stable_entries(), points_of(store)
        insertion = store.insert(entry)
        assert_events_are_the_difference(insertion.events, stable, store.stable_entries(), EventKind.STABLE)
        assert_moved_is_what_changed(insertion.moved, points, points_of(store))
        assert all(
            event.by == (None if event.entry_id == entry.entry_id else entry.entry_id) for event in insertion.events
        )


@examples(120)
@given(chemistries(referenced=False), chemistries(), st.data())
def test_any_mix_of_arrivals_withdrawals_and_lowerings_equals_a_rebuild(first, second, data):
    waiting = first + [Entry(entry.entry_id + 100, entry.formula, entry.energy_per_atom) for entry in second]
    store, kept = HullStore("test"), {}

    for _ in range(data.draw(st.integers(1, len(waiting) + 8))):
        stable, points = store.stable_entries(), points_of(store)
        action = data.draw(st.sampled_from(["insert", "insert", "withdraw", "lower"])) if kept else "insert"
        if action == "insert" and waiting:
            entry = waiting.pop()
            kept[entry.entry_id] = entry
            came, change = EventKind.STABLE, store.insert(entry)
        elif action == "lower":
            old = kept[data.draw(st.sampled_from(sorted(kept)))]
            entry = Entry(old.entry_id, old.formula, min(old.energy_per_atom, data.draw(ENERGIES)))
            kept[entry.entry_id] = entry
            came, change = EventKind.STABLE, store.lower(entry.entry_id, entry.energy_per_atom)
        elif kept:
            gone = data.draw(st.sampled_from(sorted(kept)))
            del kept[gone]
            came, change = EventKind.RESTORED, store.withdraw(gone)
        else:
            break
        assert_events_are_the_difference(change.events, stable, store.stable_entries(), came)
        assert_moved_is_what_changed(change.moved, points, points_of(store))

    assert_same_store(store, filled(kept.values()))


@thorough
@given(chemistries(), st.data())
def test_a_question_changes_nothing_and_foretells_the_insertion(entries, data):
    store = filled(entries)
    formula = data.draw(formulas(tuple(symbols_of(entries))))
    energy = data.draw(ENERGIES)
    points = list(store.points())

    position = store.position(formula, energy)

    assert list(store.points()) == points
    assert store.insert(Entry(9999, formula, energy)).on_arrival == position
    now = store.entry_position(9999)
    assert now.e_above_hull == close(position.e_above_hull)
    assert now.e_above_hull_on_arrival == close(position.e_above_hull_on_arrival)
    assert now.decomposition_energy == close(position.decomposition_energy)


def test_nine_elements_agree_with_a_phase_diagram_of_a_smaller_part():
    dice = random.Random(7)
    symbols = ["Li", "Na", "K", "Mg", "Ca", "Al", "Fe", "O", "S"]
    entries = [Entry(number, Formula.of({symbol: 1}), -dice.random()) for number, symbol in enumerate(symbols)]
    for number in range(10, 60):
        chosen = dice.sample(symbols, dice.randint(2, 4))
        entries.append(Entry(number, Formula.of({symbol: dice.randint(1, 4) for symbol in chosen}), -1 - dice.random()))
    store = filled(entries)

    everything = store.position(Formula.of(dict.fromkeys(symbols, 1)), -2.0)

    assert sum(part for _, part in everything.decomposition) == SAME(1.0)
    for entry in entries:
        assert store.e_above_hull(entry.entry_id) == SAME(distance(entry, entries), abs=AGREEMENT_EV_PER_ATOM)
