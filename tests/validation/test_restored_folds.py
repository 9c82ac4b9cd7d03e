"""Folds on drawn arrivals: one made again from what a database keeps goes on as the one that never stopped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hull.entries import Entry, Formula
from hull.reference import Coverage
from hull.store import HullStore
from tests.validation.made_up_arrivals import (
    ANN,
    BEN,
    OPENED_AT_ONCE,
    OPENED_BY_REFINEMENT,
    REFERENCES,
    RULES,
    arrival_of,
    other_crystal,
    plain_crystal,
    release_of,
)
from validation.crystal import Crystal
from validation.placing import Arrival, Fold, Memory, Outcome, Verdict
from validation.rules import Points, Rules
from validation.scoring import PUTS_ON_HULL, Find

ARRIVALS = st.lists(
    st.tuples(
        st.sampled_from(["Cl", "ClNa", "ClNa3", "ClK", "ClCs", "ClKNa"]),
        st.sampled_from([-60, -40, *range(-9, 10), 40, 80]),  # in 1.5 meV/atom, from the mixture of the elements
        st.sampled_from([ANN, BEN]),
        st.sampled_from([plain_crystal, other_crystal]),
    ),
    min_size=2,
    max_size=14,
)


def _energy(formula: str, step: int) -> float:
    fractions = Formula.parse(formula).fractions
    return sum(part * REFERENCES.get(symbol, 0.0) for symbol, part in fractions.items()) + 0.0015 * step


def _restored(fold: Fold, outcomes: Sequence[Outcome], rules: Rules) -> Fold:
    """A new fold from what a database keeps of an old one."""
    kept = [replace(phase) for phases in fold.memory.phases.values() for phase in phases]
    kept.sort(key=lambda phase: phase.number)
    memory = Memory.whole(rules.points)
    memory.systems |= Fold.on(release_of(compounds=[("ClK", -1.51)]), rules).memory.systems & fold.memory.systems
    hull = HullStore(fold.hull.scale)
    for phase in kept:
        memory.keep(phase)
        if phase.in_hull:
            hull.insert(Entry(phase.number, phase.formula, phase.energy_per_atom))
    for award in (award for outcome in outcomes for award in outcome.awards):
        memory.ledger.record(Find(award.member, award.candidate, award.phase, award.formula), award.reason)
        if award.reason in PUTS_ON_HULL:
            memory.systems.add(Formula.parse(award.formula).chemical_system)
    return Fold(fold.grounds, rules, hull, memory, next_number=fold.next_number)


@given(drawn=ARRIVALS, cut=st.floats(0, 1))
@settings(max_examples=40, deadline=None)
def test_a_restored_fold_goes_on_exactly_as_the_one_that_never_stopped(
    drawn: list[tuple[str, int, int, Callable[[str], Crystal]]], cut: float
) -> None:
    arrivals = [
        arrival_of(number, _energy(formula, step), formula=formula, member=member, crystal=crystal)
        for number, (formula, step, member, crystal) in enumerate(drawn, 1)
    ]
    here = round(cut * len(arrivals))
    steady = Fold.on(release_of(compounds=[("ClK", -1.51)]), RULES)
    before = [steady.place(arrival) for arrival in arrivals[:here]]

    restored = _restored(steady, before, RULES)

    assert [restored.place(arrival) for arrival in arrivals[here:]] == [
        steady.place(arrival) for arrival in arrivals[here:]
    ]


@given(drawn=ARRIVALS, deep=st.lists(st.sampled_from([-400, -335, -330, -200]), max_size=4))
@settings(max_examples=40, deadline=None)
def test_a_position_is_that_before_the_arrival_and_what_lowers_the_hull_by_too_much_is_never_accepted(
    drawn: list[tuple[str, int, int, Callable[[str], Crystal]]], deep: list[int]
) -> None:
    fold = Fold.on(release_of(Coverage.FULL, compounds=[("ClK", -1.51)]), RULES)
    drawn = [*drawn, *(("ClNa", step, ANN, other_crystal) for step in deep)]
    for number, (formula, step, member, crystal) in enumerate(drawn, 1):
        arrival = arrival_of(number, _energy(formula, step), formula=formula, member=member, crystal=crystal)
        before = fold.hull.position(arrival.formula, arrival.energy_per_atom)

        outcome = fold.place(arrival)

        on_arrival = before.e_above_hull_on_arrival
        assert outcome.position == before
        if on_arrival is not None and on_arrival < RULES.held_on_arrival_ev_per_atom:
            assert outcome.verdict in (Verdict.HELD, Verdict.DUPLICATE)


@pytest.mark.parametrize("stable", [10.0, 0.0])
@pytest.mark.parametrize("opening", [OPENED_BY_REFINEMENT, OPENED_AT_ONCE], ids=["refined", "at once"])
def test_a_restored_fold_knows_which_systems_are_open(opening: Sequence[Arrival], stable: float) -> None:
    rules = replace(RULES, points=Points(stable=stable, first_of_system=stable / 2))
    steady = Fold.on(release_of(), rules)
    before = [steady.place(arrival) for arrival in opening]

    restored = _restored(steady, before, rules)

    last = arrival_of(9, -1.4, formula="ClNa3")
    outcome = restored.place(last)
    assert outcome.verdict is Verdict.STABLE
    assert outcome == steady.place(last)
