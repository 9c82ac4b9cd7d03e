"""What only thousands of entries show: tables that grow, places that are used again, systems that are full."""

import random

import numpy as np
import pytest
from hull_checks import assert_events_are_the_difference, assert_same_store, doubtful, points_of
from hull_oracle import AGREEMENT_EV_PER_ATOM, effort, filled, pd_entry, reference_of

from hull.entries import Entry, Formula
from hull.snapshot import load, save
from hull.store import STABLE_TOLERANCE, EventKind, HullStore

SYMBOLS = ("Na", "Li", "O", "Fe", "S", "Cl", "Mg", "Al")
N_ENTRIES = 2_000 * min(effort, 4)


def crowd(count, seed):
    """Eight elements, then binary to quinary phases near a curved surface, a third of them polymorphs."""
    dice = random.Random(seed)
    charge = {symbol: dice.uniform(-1.5, 1.5) for symbol in SYMBOLS}
    entries = [Entry(dice.getrandbits(62), Formula.of({symbol: 1}), -dice.uniform(1, 8)) for symbol in SYMBOLS]
    reference = {entry.formula.elements[0]: entry.energy_per_atom for entry in entries}
    formulas = []
    while len(entries) < count:
        if formulas and dice.random() < 0.33:
            formula = dice.choice(formulas)
        else:
            chosen = dice.sample(SYMBOLS, dice.choices([2, 3, 4, 5], [4, 4, 2, 1])[0])
            formula = Formula.of({symbol: dice.randint(1, 6) for symbol in chosen})
            formulas.append(formula)
        parts = formula.fractions
        mean = sum(charge[symbol] * part for symbol, part in parts.items())
        bound = sum((charge[symbol] - mean) ** 2 * part for symbol, part in parts.items())
        energy = sum(reference[symbol] * part for symbol, part in parts.items()) - bound + dice.expovariate(8)
        entries.append(Entry(dice.getrandbits(64) - 2**63, formula, energy))
    assert len({entry.entry_id for entry in entries}) == count
    return entries


def assert_agrees_with_diagrams(store, entries, *, systems, seed):
    dice = random.Random(seed)
    for _ in range(systems):
        everything = Formula.of(dict.fromkeys(dice.sample(SYMBOLS, dice.randint(2, 4)), 1))
        inside = [entry for entry in entries if set(entry.formula.elements) <= set(everything.elements)]
        diagram = reference_of(everything, inside)
        for entry in inside:
            ours, theirs = store.e_above_hull(entry.entry_id), diagram.get_e_above_hull(pd_entry(entry))
            assert abs(ours - theirs) <= AGREEMENT_EV_PER_ATOM
            assert (ours <= STABLE_TOLERANCE) == (theirs <= STABLE_TOLERANCE)


def test_thousands_in_batches_with_withdrawals_and_lowerings_between_equal_a_rebuild_and_diagrams(tmp_path):
    dice = random.Random(11)
    waiting, kept, store = crowd(N_ENTRIES, 1), {}, HullStore("test")
    dice.shuffle(waiting)  # references come late, too
    stable = set()

    while waiting:
        size = dice.randint(1, 150)
        batch, waiting = waiting[:size], waiting[size:]
        kept |= {entry.entry_id: entry for entry in batch}
        changes = list(store.insert_many(batch))
        for number in dice.sample(sorted(kept), min(len(kept) // 12, 60)):
            old = kept.pop(number)
            if dice.random() < 0.5:
                changes.append(store.withdraw(number))
            else:
                kept[number] = Entry(number, old.formula, old.energy_per_atom - dice.choice([0.0, 0.01, 0.3]))
                changes.append(store.lower(number, kept[number].energy_per_atom))
        for event in (event for change in changes for event in change.events):
            (stable.discard if event.kind is EventKind.DETHRONED else stable.add)(event.entry_id)

    assert stable == set(store.stable_entries())
    entries = list(kept.values())
    assert_same_store(store, filled(dice.sample(entries, len(entries))))
    missing = set(SYMBOLS) - {entry.formula.elements[0] for entry in entries if entry.formula.is_element}
    for symbol in missing:
        entries.append(Entry(SYMBOLS.index(symbol), Formula.of({symbol: 1}), -1.0))
        store.insert(entries[-1])
    assert_agrees_with_diagrams(store, entries, systems=6, seed=2)
    save(store, tmp_path / "hull", log_position=1)
    assert points_of(load(tmp_path / "hull")[0]) == points_of(store)


def test_a_store_that_was_emptied_is_a_new_store():
    entries = crowd(400, 3)
    store = filled(entries)

    for entry in random.Random(4).sample(entries, len(entries)):
        store.withdraw(entry.entry_id)

    assert (len(store), list(store.points()), store.stable_entries()) == (0, [], [])
    assert all(entry.entry_id not in store for entry in entries)
    store.insert_many(reversed(entries))
    assert_same_store(store, filled(entries))
    assert_agrees_with_diagrams(store, entries, systems=3, seed=5)


def test_one_composition_with_a_thousand_polymorphs_keeps_them_in_order():
    dice = random.Random(6)
    formula = Formula.parse("LiO")
    energies = [dice.randint(-400, 0) / 128 for _ in range(1_000)]  # with ties
    crowded = [Entry(dice.getrandbits(60), formula, energy) for energy in energies]
    elements = [Entry(1, Formula.parse("Li"), 0.0), Entry(2, Formula.parse("O"), 0.0)]
    store = filled([*elements, *crowded])

    for lowest in sorted(crowded, key=lambda entry: (entry.energy_per_atom, entry.entry_id)):
        vertex = lowest.energy_per_atom < 0.0
        assert store.stable_entries() == sorted([1, 2, *([lowest.entry_id] if vertex else [])])
        assert store.point(formula).lowest_entry == lowest.entry_id
        assert store.e_above_hull(lowest.entry_id) == 0.0
        before = store.stable_entries()
        withdrawal = store.withdraw(lowest.entry_id)
        assert_events_are_the_difference(withdrawal.events, before, store.stable_entries(), EventKind.RESTORED)

    assert store.point(formula) is None


def test_one_system_with_a_thousand_compositions_has_the_hull_of_all_of_them():
    dice = random.Random(8)
    formulas = {Formula.of({"Li": n, "Fe": m}) for n in range(1, 41) for m in range(1, 41)}
    energies = {formula: -(dice.random() ** 0.02) * (1 - max(formula.fractions.values()) ** 2) for formula in formulas}
    entries = [Entry(1, Formula.parse("Li"), 0.0), Entry(2, Formula.parse("Fe"), 0.0)]
    entries += [Entry(number, formula, energies[formula]) for number, formula in enumerate(sorted(formulas), start=3)]
    dice.shuffle(entries)

    store = filled(entries)

    assert_same_store(store, filled(entries[::-1]))
    diagram = reference_of(Formula.parse("FeLi"), entries)
    for entry in entries:
        theirs = diagram.get_e_above_hull(pd_entry(entry))
        assert abs(store.e_above_hull(entry.entry_id) - theirs) <= AGREEMENT_EV_PER_ATOM
    assert not any(doubtful(point) for point in store.points())


@pytest.mark.parametrize("step", [1, 2**20, 2**32, 2**52, 2**60 // 7, -(2**32), 1000003])
def test_ids_in_any_pattern_are_found_and_only_these(step):
    """Ids that differ by a power of two fall on the same places of a careless table."""
    formulas = [Formula.parse(text) for text in ("Li", "O", "LiO", "Li2O")]
    numbers = [int(number) for number in np.int64(5) + np.arange(600, dtype=np.int64) * np.int64(step)]
    assert len(set(numbers)) == 600
    entries = [Entry(number, formulas[place % 4], -place / 64) for place, number in enumerate(numbers)]
    store = filled(entries)

    for entry in entries[::3]:
        store.withdraw(entry.entry_id)

    for place, entry in enumerate(entries):
        assert (entry.entry_id in store) == (place % 3 != 0)
    left = [entry for place, entry in enumerate(entries) if place % 3]
    assert_same_store(store, filled(left))
    store.insert_many(entries[::3])
    assert_same_store(store, filled(entries))
