"""The states of many compositions at once are those that are asked for one by one."""

import math

from hull_oracle import ENERGIES, chemistries, examples, filled
from hypothesis import given
from hypothesis import strategies as st

from hull.entries import Entry, Formula
from hull.store import HullPoint, HullStore


def points_in(arrays):
    """As HullStore.points has them; and the systems by formula."""
    columns = (arrays.hull_energies, arrays.lowest_energies, arrays.lowest_entries, arrays.is_vertex)
    rows = zip(arrays.formulas, *(column.tolist() for column in columns), strict=True)
    return sorted(
        (
            HullPoint(Formula.parse(text), None if math.isnan(energy) else energy, *state)
            for text, energy, *state in rows
        ),
        key=lambda point: point.formula.amounts,
    )


@examples(60)
@given(chemistries(referenced=False))
def test_all_states_are_those_that_are_told_one_by_one(entries):
    store = filled(entries)

    arrays = store.point_arrays()

    assert points_in(arrays) == list(store.points())
    assert arrays.chemical_systems == [Formula.parse(text).chemical_system for text in arrays.formulas]
    assert (len(arrays), arrays.gone) == (len(set(arrays.formulas)), [])


@examples(60)
@given(chemistries(referenced=False), st.data())
def test_what_moved_in_a_row_of_changes_has_the_states_that_it_has_after_the_last_of_them(entries, data):
    store, changes = HullStore("test"), []
    for entry in entries:
        changes.append(store.insert(entry).moved)
    for entry in data.draw(st.lists(st.sampled_from(entries), unique=True, max_size=4)):
        lower = min(entry.energy_per_atom, data.draw(ENERGIES))
        is_lowered = data.draw(st.booleans())
        changes.append((store.lower(entry.entry_id, lower) if is_lowered else store.withdraw(entry.entry_id)).moved)
    some = data.draw(st.lists(st.sampled_from(changes), unique_by=id))

    arrays = store.point_arrays(some)

    moved = {formula for one in some for formula in one}
    expected = {formula: store.point(formula) for formula in moved}
    assert points_in(arrays) == sorted(filter(None, expected.values()), key=lambda point: point.formula.amounts)
    assert sorted(arrays.gone) == sorted(str(formula) for formula, point in expected.items() if point is None)


def test_nothing_moved_has_no_states():
    store = HullStore("test")

    assert (len(store.point_arrays()), len(store.point_arrays([]))) == (0, 0)
    assert len(store.point_arrays([store.insert(Entry(1, Formula.parse("Li"), -1.0)).moved])) == 1
    assert len(store.point_arrays([store.lower(1, -1.0).moved])) == 0


def test_amounts_of_any_size_are_written():
    store = HullStore("test")
    for number, text in enumerate(("Li", "O", "Li9999O", "LiO128"), start=1):
        store.insert(Entry(number, Formula.parse(text), -float(number)))

    assert sorted(store.point_arrays().formulas) == ["Li", "Li9999O", "LiO128", "O"]


def test_what_moved_reads_like_a_list_of_formulas():
    store = HullStore("test")
    first, second = (store.insert(Entry(n, Formula.parse(text), -1.0)).moved for n, text in enumerate(("O", "Li"), 1))

    both = first | second

    assert (list(map(str, both)), len(both), str(both[0]), bool(both)) == (["Li", "O"], 2, "Li", True)
    assert both == second | first and both != first and both == (Formula.parse("Li"), Formula.parse("O"))
    assert repr(both) == "Moved(Li, O)" and (both | both) == both
