"""A hull that is kept, by hand: what comes, goes or is lowered, what that does to others, and what is refused."""

import random

import pytest
from hull_checks import assert_same_store
from hull_oracle import filled

from hull.entries import BadEnergy, DuplicateEntry, Entry, Formula, MixedScales, UnknownElement, UnknownEntry
from hull.store import LP_TOLERANCE, STABLE_TOLERANCE, Event, EventKind, HullStore

SAME = pytest.approx
A, B, AB, A3B, AB3 = (Formula.parse(text) for text in ("Li", "O", "LiO", "Li3O", "LiO3"))
ELEMENTS = [Entry(1, A, -1.0), Entry(2, B, -2.0)]  # the straight line at Li:O = 1:1 lies at -1.5 eV/atom


def test_a_new_vertex_raises_the_distance_of_what_it_undercuts_and_dethrones_it():
    store = filled([*ELEMENTS, Entry(3, A3B, -1.6)])

    insertion = store.insert(Entry(4, AB, -3.5))

    assert insertion.on_arrival.e_above_hull == 0.0
    assert insertion.on_arrival.e_above_hull_on_arrival == SAME(-3.5 - (-1.6 * 2 / 3 - 2.0 / 3))
    assert insertion.on_arrival.decomposition == ((2, SAME(1 / 3)), (3, SAME(2 / 3)))
    assert insertion.events == (Event(EventKind.STABLE, 4), Event(EventKind.DETHRONED, 3, by=4))
    assert store.e_above_hull(3) == SAME(-1.6 - (-1.0 - 3.5) / 2)
    assert store.stable_entries() == [1, 2, 4]


def test_a_phase_exactly_on_the_line_is_no_vertex_but_stands_at_zero():
    store = filled([*ELEMENTS, Entry(3, AB, -1.5)])

    assert store.e_above_hull(3) == SAME(0.0, abs=LP_TOLERANCE)
    assert store.stable_entries() == [1, 2]
    assert store.entry_position(3).decomposition == ((1, SAME(0.5)), (2, SAME(0.5)))


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_of_two_phases_that_hardly_undercut_each_other_neither_is_a_vertex_whoever_came_first(order):
    third, twice = Formula.parse("Li2O"), Formula.parse("LiO2")
    pair = [Entry(3, third, -1.2e-10), Entry(4, twice, -1.2e-10)]

    store = filled([Entry(1, A, 0.0), Entry(2, B, 0.0), *(pair[index] for index in order)])

    assert store.stable_entries() == [1, 2]


def test_a_finely_sampled_flat_bowl_keeps_its_true_depth_in_any_order():
    bowl = [Entry(10 + n, Formula.of({"Li": n, "O": 97 - n}), 3e-11 * n * (n - 97)) for n in range(1, 97)]
    everything = [Entry(1, A, 0.0), Entry(2, B, 0.0), *bowl]
    shuffled = random.Random(4).sample(everything, len(everything))

    store, other = filled(everything), filled(shuffled)

    assert_same_store(store, other)
    deepest = store.point(Formula.of({"Li": 48, "O": 49}))
    assert deepest.hull_energy == SAME(3e-11 * 48 * -49, abs=1e-9)
    assert all(store.e_above_hull(entry.entry_id) <= STABLE_TOLERANCE for entry in everything)


def test_a_stable_phase_decomposes_into_itself_and_its_polymorph_into_it():
    store = filled([*ELEMENTS, Entry(3, AB, -3.0), Entry(4, AB, -2.9)])

    stable, polymorph = store.entry_position(3), store.entry_position(4)

    assert stable.decomposition == polymorph.decomposition == ((3, 1.0),)
    assert stable.e_above_hull == 0.0
    assert stable.decomposition_energy == SAME(-1.5)
    assert polymorph.e_above_hull == SAME(0.1)
    assert polymorph.decomposition_energy == SAME(-1.4)
    assert stable.e_above_hull_on_arrival == SAME(-0.1)


def test_of_polymorphs_of_one_energy_the_smaller_id_is_stable_whoever_came_first():
    store = filled([*ELEMENTS, Entry(4, AB, -3.0)])

    insertion = store.insert(Entry(3, AB, -3.0))

    assert insertion.events == (Event(EventKind.STABLE, 3), Event(EventKind.DETHRONED, 4, by=3))
    assert insertion.moved == (AB,)
    assert store.e_above_hull(3) == store.e_above_hull(4) == 0.0


def test_a_polymorph_above_the_lowest_moves_nothing():
    store = filled([*ELEMENTS, Entry(3, AB, -3.0)])

    insertion = store.insert(Entry(4, AB, -2.5))

    assert insertion.events == insertion.moved == ()
    assert store.e_above_hull(4) == SAME(0.5)


def test_without_a_reference_every_distance_is_undefined_and_the_element_named():
    store = filled([Entry(1, A, -1.0), Entry(3, AB, -3.0)])

    position = store.entry_position(3)

    assert position.missing == ("O",)
    assert position.e_above_hull is position.e_above_hull_on_arrival is position.decomposition_energy is None
    assert position.decomposition == position.chemical_potentials == ()
    assert store.e_above_hull(3) is None
    assert store.point(AB).hull_energy is None
    assert not store.point(AB).is_vertex
    assert store.position(Formula.parse("FeO"), -1.0).missing == ("Fe", "O")
    assert store.position(B, -2.0).missing == ("O",)


def test_a_late_reference_defines_what_waited_for_it():
    store = filled([Entry(1, A, -1.0), Entry(3, AB, -3.0), Entry(4, A3B, -1.1)])

    insertion = store.insert(Entry(2, B, -2.0))

    assert insertion.on_arrival.missing == ("O",)
    assert insertion.events == (Event(EventKind.STABLE, 2), Event(EventKind.STABLE, 3, by=2))
    assert insertion.moved == tuple(sorted((B, AB, A3B)))
    assert store.e_above_hull(4) == SAME(-1.1 + 2.0)


def test_an_element_is_measured_against_its_own_lowest_phase():
    store = filled(ELEMENTS)

    position = store.position(A, -0.75)

    assert position.e_above_hull == position.e_above_hull_on_arrival == SAME(0.25)
    assert position.decomposition_energy is None
    assert position.decomposition == ((1, 1.0),)
    assert position.chemical_potentials == (("Li", -1.0),)


def test_a_lower_elemental_reference_lifts_every_compound_of_the_element():
    store = filled([*ELEMENTS, Entry(3, AB, -1.75)])

    insertion = store.insert(Entry(4, B, -3.0))

    assert insertion.events == (
        Event(EventKind.STABLE, 4),
        Event(EventKind.DETHRONED, 2, by=4),
        Event(EventKind.DETHRONED, 3, by=4),
    )
    assert store.e_above_hull(3) == SAME(0.25)


def test_withdrawing_a_vertex_restores_what_it_had_dethroned():
    store = filled([*ELEMENTS, Entry(3, A3B, -1.6), Entry(4, AB, -3.5), Entry(5, AB, -1.9)])

    withdrawal = store.withdraw(4)

    assert withdrawal.events == (
        Event(EventKind.RESTORED, 3, by=4),
        Event(EventKind.RESTORED, 5, by=4),
        Event(EventKind.DETHRONED, 4, by=4),
    )
    assert withdrawal.moved == tuple(sorted((A3B, AB)))
    assert 4 not in store
    assert store.e_above_hull(3) == 0.0


def test_withdrawing_the_last_reference_leaves_its_chemistry_undefined():
    store = filled([*ELEMENTS, Entry(3, AB, -3.0)])

    withdrawal = store.withdraw(2)

    assert withdrawal.events == (Event(EventKind.DETHRONED, 2, by=2), Event(EventKind.DETHRONED, 3, by=2))
    assert store.e_above_hull(3) is None
    assert store.point(B) is None
    assert store.stable_entries() == [1]


def test_lowering_below_the_hull_makes_an_entry_stable_and_keeps_its_id():
    store = filled([*ELEMENTS, Entry(3, AB, -1.0)])

    change = store.lower(3, -3.0)

    assert change.on_arrival.e_above_hull_on_arrival == SAME(-1.5)
    assert change.events == (Event(EventKind.STABLE, 3),)
    assert len(store) == 3
    assert store.lower(3, -3.0).moved == ()


def test_stable_entries_of_a_system_include_its_subsystems_only():
    store = filled(
        [*ELEMENTS, Entry(3, AB, -3.0), Entry(4, Formula.parse("Fe"), 0.0), Entry(5, Formula.parse("FeO"), -9.0)]
    )

    assert store.stable_entries(["O", "Li"]) == [1, 2, 3]
    assert store.stable_entries(["Fe"]) == [4]
    assert store.stable_entries([]) == []
    assert store.stable_entries() == [1, 2, 3, 4, 5]


def test_a_batch_with_one_bad_entry_does_nothing_at_all():
    store = filled(ELEMENTS)

    with pytest.raises(DuplicateEntry):
        store.insert_many([Entry(3, AB, -3.0), Entry(1, AB, -3.0)])
    with pytest.raises(DuplicateEntry):
        store.insert_many([Entry(3, AB, -3.0), Entry(3, A3B, -3.0)])
    with pytest.raises(MixedScales):
        store.insert_many([Entry(3, AB, -3.0)], scale="another")

    assert_same_store(store, filled(ELEMENTS))


def test_energies_of_another_scale_never_enter():
    store = HullStore("test")

    with pytest.raises(MixedScales):
        store.insert(ELEMENTS[0], scale="Test")

    assert len(store) == 0
    assert store.insert(ELEMENTS[0], scale="test").moved == (A,)


@pytest.mark.parametrize("question", ["withdraw", "e_above_hull", "entry_position"])
def test_an_unknown_entry_is_refused_by_name(question):
    with pytest.raises(UnknownEntry):
        getattr(filled(ELEMENTS), question)(7)


def test_energies_that_are_none_or_higher_than_before_are_refused_and_change_nothing():
    store = filled([*ELEMENTS, Entry(3, AB, -3.0)])

    with pytest.raises(BadEnergy):
        store.lower(3, -2.9)
    with pytest.raises(BadEnergy):
        store.lower(3, float("nan"))
    with pytest.raises(BadEnergy):
        store.position(AB, float("inf"))
    with pytest.raises(UnknownEntry):
        store.lower(7, -3.0)
    with pytest.raises(UnknownElement):
        store.stable_entries(["Xx"])

    assert_same_store(store, filled([*ELEMENTS, Entry(3, AB, -3.0)]))
