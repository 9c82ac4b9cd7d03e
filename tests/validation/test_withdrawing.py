"""Taking structures out of a fold: the hull is the one without them, and one change is told as one."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hull.entries import Entry, Formula
from hull.reference import Coverage, ReferencePhase, Release
from hull.store import HullStore
from validation.crystal import Crystal
from validation.history import History
from validation.placing import Arrival, Change, Verdict
from validation.rules import Points, Rules
from validation.scoring import Find, Ledger, PointsFor
from validation.withdrawing import Remains, Representative, change_hull, remains_of

FORMULAS = ("Na", "Cl", "ClNa", "ClNa2", "ClNa3", "Cl2Na")


def _crystal(formula: str) -> Crystal:
    numbers = [number for number, amount in Formula.parse(formula).amounts for _ in range(amount)]
    places = [(index / len(numbers), 0.5 * (index % 2), 0.5 * (index % 2)) for index in range(len(numbers))]
    return Crystal.of([[3.0 * len(numbers), 0, 0], [0, 4, 0], [0, 0, 4]], places, numbers)


def _release() -> Release:
    def phase(number: int, formula: str, energy: float) -> ReferencePhase:
        cell = _crystal(formula)
        a, b, c = (tuple(map(float, row)) for row in cell.lattice)
        sites = tuple(tuple(map(float, row)) for row in cell.cart_coords)
        return ReferencePhase(number, Formula.parse(formula), energy, (a, b, c), sites, cell.symbols, "made up")  # type: ignore[arg-type]

    return Release("made up", Coverage.ELEMENTS, {}, "scale", (phase(1, "Na", -1.0), phase(2, "Cl", -2.0)))


def _arrival(candidate: int, energy: float, formula: str = "ClNa") -> Arrival:
    return Arrival(candidate, candidate, Formula.parse(formula), energy, _of(formula))


def _of(formula: str) -> Callable[[], Crystal]:
    return lambda: _crystal(formula)


def _store(entries: dict[int, tuple[str, float]]) -> HullStore:
    store = HullStore("scale")
    store.insert_many(Entry(number, Formula.parse(formula), energy) for number, (formula, energy) in entries.items())
    return store


def _points(store: HullStore) -> list[tuple[str, float | None, float, int, bool]]:
    return [
        (
            str(point.formula),
            pytest.approx(point.hull_energy, abs=1e-12) if point.hull_energy is not None else None,
            point.lowest_energy,
            point.lowest_entry,
            point.is_vertex,
        )
        for point in store.points()
    ]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(FORMULAS[2:]), st.integers(-40, 5)), min_size=1, max_size=8),
    st.integers(0, 7),
    st.one_of(st.none(), st.integers(-40, 10)),
)
def test_a_changed_entry_leaves_the_hull_of_the_entries_and_its_events_are_the_difference(
    found: list[tuple[str, int]], index: int, after: int | None
) -> None:
    entries = {1: ("Na", -1.0), 2: ("Cl", -2.0)}
    entries |= {number: (formula, -1.5 + 0.01 * energy) for number, (formula, energy) in enumerate(found, 3)}
    number = 3 + index % len(found)
    formula, before = entries[number]
    store = _store(entries)
    stable = set(store.stable_entries())
    energy = None if after is None else -1.5 + 0.01 * after
    remains = None if energy is None else Remains(None, Representative(None, energy), in_hull=True)

    log, moved = change_hull(store, number, Formula.parse(formula), before, remains)

    rebuilt = _store({**entries, number: (formula, energy)} if energy is not None else _without(entries, number))
    assert _points(store) == _points(rebuilt)
    came = {item.phase for item in log if item.kind is Change.RESTORED}
    left = {item.phase for item in log if item.kind is Change.DETHRONED}
    assert (came, left) == (set(store.stable_entries()) - stable, stable - set(store.stable_entries()))
    assert not log or before != energy
    assert {formula for formula, *_ in _differences(_store(entries), store)} <= {str(formula) for formula in moved}


def _differences(before: HullStore, after: HullStore) -> list[tuple[object, ...]]:
    """Points of compositions that moved, came or are gone."""
    old, new = _points(before), _points(after)
    return [point for point in old if point not in new] + [point for point in new if point not in old]


def _without(entries: dict[int, tuple[str, float]], number: int) -> dict[int, tuple[str, float]]:
    return {other: entry for other, entry in entries.items() if other != number}


A, B, C = (Representative(number, energy) for number, energy in ((1, -0.10), (2, -0.12), (3, -0.11)))


@pytest.mark.parametrize(
    ("lost", "lowest", "others", "expected"),
    [
        (A, A, [], None),
        (A, B, [B, C], (2, 2)),
        (B, B, [A, C], (1, 3)),
        (A, A, [B, C], (2, 2)),
        (C, B, [A, B], (1, 2)),
    ],
)
def test_a_phase_is_its_earliest_remaining_finder_s_at_the_lowest_remaining_energy(lost, lowest, others, expected):
    remains = remains_of(lost.candidate, 1, lowest, others, in_hull=True)

    assert (remains and (remains.first.candidate, remains.lowest.candidate)) == expected


def test_a_history_goes_on_as_if_what_was_withdrawn_had_never_been():
    history, plain = History(_release(), Rules()), History(_release(), Rules())
    history.place(_arrival(1, -1.7))
    history.place(_arrival(2, -1.705))
    history.place(_arrival(3, -1.66, "ClNa2"))
    for candidate in (1, 2, 3):
        history.withdraw(candidate)

    again, first = (one.place(_arrival(4, -1.703)) for one in (history, plain))

    assert (again.verdict, again.position) == (first.verdict, first.position)
    assert again.verdict is Verdict.STABLE
    assert [str(p.formula) for p in history.fold.hull.points()] == [str(p.formula) for p in plain.fold.hull.points()]


def test_a_release_s_phase_has_its_own_energy_again():
    history = History(_release(), Rules())
    refined = history.place(_arrival(1, -1.008, "Na"))
    assert refined.verdict is Verdict.REFINED

    history.withdraw(1)

    assert history.place(_arrival(2, -1.001, "Na")).verdict is Verdict.DUPLICATE
    assert history.fold.hull.point(Formula.parse("Na")).lowest_energy == -1.0


def test_what_a_find_was_given_is_taken_back_once_and_makes_room_for_others():
    ledger, find = Ledger(Points(unique_per_formula=1)), Find(1, 1, 1, "ClNa")
    given = [*ledger.for_unique(find), *ledger.for_metastable(find), *ledger.for_return(find)]
    assert ledger.for_unique(Find(1, 2, 2, "ClNa")) == []

    taken = ledger.for_withdrawn(find, [award.reason for award in given])

    assert sum(award.points for award in (*given, *taken)) == 0
    assert ledger.for_withdrawn(find, [award.reason for award in (*given, *taken)]) == []
    assert [award.reason for award in ledger.for_unique(Find(1, 2, 2, "ClNa"))] == [PointsFor.UNIQUE]
    assert ledger.for_dethroned(find) == []


def test_a_history_lets_in_what_was_held_once_and_takes_it_out_again():
    history, plain = History(_release(), Rules()), History(_release(), Rules())
    assert history.place(_arrival(1, -1.05, "Na")).verdict is Verdict.HELD
    without = [str(point) for point in plain.fold.hull.points()]
    assert [str(point) for point in history.fold.hull.points()] == without

    for _ in range(2):
        history.accept(1)
    history.accept(99)

    assert history.fold.hull.point(Formula.parse("Na")).lowest_energy == -1.05
    assert history.place(_arrival(2, -1.049, "Na")).verdict is Verdict.DUPLICATE
    for candidate in (1, 2):
        history.withdraw(candidate)
    history.accept(1)
    assert [str(point) for point in history.fold.hull.points()] == without
