"""Entries as arrays: the same hull, the same numbers and the same refusals as one by one."""

import dataclasses

import numpy as np
import pytest
from hull_checks import assert_planes_support_the_hull, assert_same_store, close, points_of
from hull_oracle import chemistries, examples, filled
from hypothesis import given
from hypothesis import strategies as st

from hull.arrays import EntryArrays
from hull.entries import BadEntryId, Entry, Formula, HullError, MixedScales, UnknownEntry
from hull.store import EventKind, HullStore

LI, OXYGEN, LIO = (Formula.parse(text) for text in ("Li", "O", "LiO"))
KINDS = (EventKind.STABLE, EventKind.DETHRONED)  # by their number in EVENT_ARRAY
ENTRIES = [Entry(1, LI, -1.0), Entry(2, OXYGEN, -2.0), Entry(3, LIO, -3.0), Entry(4, Formula.parse("FeO"), -2.5)]


def arrays_of(entries, *, factor=1):
    """factor: times the reduced amounts."""
    made = EntryArrays(
        np.array([entry.entry_id for entry in entries], np.int64),
        np.zeros((len(entries), 9), np.uint8),
        np.zeros((len(entries), 9), np.int32),
        np.array([entry.energy_per_atom for entry in entries], np.float64),
    )
    for row, entry in enumerate(entries):
        for column, (number, amount) in enumerate(entry.formula.amounts):
            made.atomic_numbers[row, column], made.amounts[row, column] = number, amount * factor
    return made


def none_for_nan(numbers):
    return [None if np.isnan(number) else float(number) for number in numbers]


@examples(60)
@given(chemistries(referenced=False), st.data())
def test_slices_of_arrays_equal_the_entries_one_by_one(entries, data):
    one_by_one, sliced = HullStore("test"), HullStore("test")
    place = 0

    while place < len(entries):
        batch = entries[place : place + data.draw(st.integers(1, len(entries)))]
        place += len(batch)
        before = points_of(sliced)
        singles = [one_by_one.insert(entry) for entry in batch]
        insertion = sliced.insert_arrays(arrays_of(batch, factor=data.draw(st.integers(1, 3))), scale="test")

        for name in ("e_above_hull_on_arrival", "decomposition_energy"):
            expected = [getattr(single.on_arrival, name) for single in singles]
            assert none_for_nan(getattr(insertion, name)) == [close(number) for number in expected]
        for number, single in enumerate(singles):
            mine = insertion.events[insertion.events["step"] == number]
            expected = [(KINDS.index(event.kind), event.entry_id) for event in single.events]
            assert mine[["kind", "entry_id"]].tolist() == expected
        assert np.array_equal(insertion.events, np.sort(insertion.events))
        after = points_of(sliced)
        changed = [one for one in before.keys() | after.keys() if before.get(one) != after.get(one)]
        assert insertion.n_moved >= len(changed)

    assert_same_store(one_by_one, sliced)
    assert_planes_support_the_hull(sliced)


@examples(40)
@given(chemistries(referenced=False), chemistries(referenced=False))
def test_distances_are_the_positions_of_the_same_questions_and_change_nothing(entries, questions):
    store = filled(entries)
    points = points_of(store)

    distances = store.distances(arrays_of(questions, factor=2))

    positions = [store.position(entry.formula, entry.energy_per_atom) for entry in questions]
    for name in ("e_above_hull", "e_above_hull_on_arrival", "decomposition_energy"):
        expected = [close(getattr(position, name)) for position in positions]
        assert none_for_nan(getattr(distances, name)) == expected
    assert points_of(store) == points


@examples(40)
@given(chemistries(referenced=False))
def test_look_ups_of_many_are_the_look_ups_of_each(entries):
    store = filled(entries)
    ids = [entry.entry_id for entry in entries] * 2

    found = store.stored_e_above_hull(np.array(ids, np.int64))

    assert none_for_nan(found) == [store.e_above_hull(number) for number in ids]


@examples(60)
@given(st.booleans().flatmap(lambda referenced: chemistries(referenced=referenced)), st.data())
def test_positions_of_many_are_the_positions_of_each_to_the_last_bit(entries, data):
    store = filled(entries)
    ids = data.draw(st.lists(st.sampled_from([entry.entry_id for entry in entries]), max_size=20))

    found = store.entry_positions(np.array(ids, np.int64))

    expected = [store.entry_position(number) for number in ids]
    assert none_for_nan(found.e_above_hull) == [position.e_above_hull for position in expected]
    assert none_for_nan(found.decomposition_energy) == [position.decomposition_energy for position in expected]
    assert found.n_parts.tolist() == [len(position.decomposition) for position in expected]
    parts = zip(found.part_ids.tolist(), found.part_fractions.tolist(), strict=True)
    assert list(parts) == [part for position in expected for part in position.decomposition]


def test_positions_of_wide_amounts_are_found_among_many():
    wide = Entry(9, Formula.parse("Li500O"), -1.05)
    store = filled([*ENTRIES, wide])

    found = store.entry_positions(np.array([9, 3]))

    for row, number in enumerate((9, 3)):
        assert found.e_above_hull[row] == store.entry_position(number).e_above_hull
        assert found.decomposition_energy[row] == store.entry_position(number).decomposition_energy


def test_a_position_of_an_unknown_entry_is_refused():
    with pytest.raises(UnknownEntry, match="entry 77 "):
        filled(ENTRIES).entry_positions(np.array([1, 77]))


def test_a_withdrawal_after_arrays_is_a_withdrawal_after_entries():
    store, other = HullStore("test"), filled(ENTRIES)
    store.insert_arrays(arrays_of(ENTRIES))

    assert store.withdraw(3) == other.withdraw(3)
    assert_same_store(store, other)


def test_no_entries_are_no_change():
    store = filled(ENTRIES)

    insertion = store.insert_arrays(arrays_of([]))

    assert (len(insertion.e_above_hull_on_arrival), len(insertion.events), insertion.n_moved) == (0, 0, 0)
    assert len(store.distances(arrays_of([])).e_above_hull) == 0
    assert len(store.stored_e_above_hull(np.zeros(0, np.int64))) == 0


GOOD = [Entry(10, LIO, -9.0), Entry(11, Formula.parse("Li2O"), -9.0), Entry(12, LI, -9.0)]
DAMAGE = {
    "an id twice": ("entry_ids", 2, 10),
    "an id that is taken": ("entry_ids", 1, 3),
    "an energy that is not a number": ("energies_per_atom", 2, np.nan),
    "an infinite energy": ("energies_per_atom", 2, -np.inf),
    "an absurd energy": ("energies_per_atom", 2, -1000.5),
    "no element": ("atomic_numbers", (2, 0), 0),
    "an atomic number that is none": ("atomic_numbers", (2, 0), 119),
    "an element twice": ("atomic_numbers", (1, 1), 3),
    "elements that descend": ("atomic_numbers", (1, 0), 9),
    "an element without an amount": ("amounts", (1, 1), 0),
    "an amount without an element": ("amounts", (1, 5), 1),
    "a negative amount": ("amounts", (1, 0), -2),
    "a gap between elements": ("atomic_numbers", (2, 2), 8),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_one_bad_row_spoils_all_of_them(damage):
    store = filled(ENTRIES)
    name, place, value = DAMAGE[damage]
    arrays = arrays_of(GOOD)
    getattr(arrays, name)[place] = value
    if damage == "a gap between elements":
        arrays.amounts[2, 2] = 1

    with pytest.raises(HullError):
        store.insert_arrays(arrays)

    assert_same_store(store, filled(ENTRIES))
    store.insert_arrays(arrays_of(GOOD))
    assert_same_store(store, filled([*ENTRIES, *GOOD]))


@pytest.mark.parametrize("name", ["atomic_numbers", "amounts", "energies_per_atom", "entry_ids"])
def test_arrays_that_do_not_fit_together_are_refused(name):
    store = filled(ENTRIES)
    arrays = arrays_of(GOOD)

    with pytest.raises(ValueError):
        store.insert_arrays(dataclasses.replace(arrays, **{name: getattr(arrays, name)[:-1]}))

    assert_same_store(store, filled(ENTRIES))


def test_another_scale_and_an_unknown_id_are_refused():
    store = filled(ENTRIES)

    with pytest.raises(MixedScales):
        store.insert_arrays(arrays_of(GOOD), scale="another")
    with pytest.raises(UnknownEntry):
        store.stored_e_above_hull(np.array([1, 2, 77], np.int64))

    assert_same_store(store, filled(ENTRIES))


def test_arrays_may_lie_in_memory_as_they_like_and_stay_as_they_are():
    arrays = arrays_of(GOOD * 1)
    strided = EntryArrays(*(np.repeat(getattr(arrays, name), 2, axis=0)[::2] for name in EntryArrays.__slots__))
    for name in EntryArrays.__slots__:
        getattr(strided, name).flags.writeable = False
    store = filled(ENTRIES)

    store.insert_arrays(strided)

    assert_same_store(store, filled([*ENTRIES, *GOOD]))
    assert store.nbytes > 0


@examples(50)
@given(chemistries(referenced=False))
def test_entries_made_arrays_are_the_same_entries(entries):
    one_by_one, together = filled(entries), HullStore("test")

    together.insert_arrays(EntryArrays.of(entries))

    assert list(together.points()) == list(one_by_one.points())
    assert together.stable_entries() == one_by_one.stable_entries()
    assert len(together) == len(entries)


def test_no_entries_are_arrays_too():
    store = HullStore("test")

    store.insert_arrays(EntryArrays.of([]))

    assert len(store) == 0


def test_an_id_that_does_not_fit_makes_no_arrays():
    with pytest.raises(BadEntryId):
        EntryArrays.of([Entry(2**63, Formula.parse("Li"), -1.0)])
