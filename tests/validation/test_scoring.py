"""The ledger: what is awarded depends on what was awarded before, and on nothing else."""

from __future__ import annotations

import pytest

from validation.rules import Points
from validation.scoring import Award, Find, Ledger, PointsFor

ANN, BEN = 1, 2


def _find(phase: int, *, member: int = ANN, formula: str = "ClNa") -> Find:
    return Find(member=member, candidate=100 + phase, phase=phase, formula=formula)


def _summary(awards: list[Award]) -> list[tuple[PointsFor, float]]:
    return [(award.reason, award.points) for award in awards]


@pytest.fixture
def ledger() -> Ledger:
    return Ledger(Points())


def test_unique_structures_count_up_to_five_a_formula_and_member(ledger: Ledger) -> None:
    mine = [ledger.for_unique(_find(phase)) for phase in range(7)]
    other_formula = ledger.for_unique(_find(8, formula="CsCl"))
    other_member = ledger.for_unique(_find(9, member=BEN))

    assert [len(awards) for awards in mine] == [1, 1, 1, 1, 1, 0, 0]
    assert _summary(other_formula) == _summary(other_member) == [(PointsFor.UNIQUE, 1.0)]


def test_a_metastable_structure_counts_once_a_formula_and_member(ledger: Ledger) -> None:
    first, second = ledger.for_metastable(_find(1)), ledger.for_metastable(_find(2))
    other_member = ledger.for_metastable(_find(3, member=BEN))

    assert _summary(first) == _summary(other_member) == [(PointsFor.METASTABLE, 3.0)]
    assert second == []


def test_points_for_the_hull_are_provisional_and_those_for_being_valid_are_not(ledger: Ledger) -> None:
    hull = ledger.for_stable(_find(1), first_of_system=True)
    other = ledger.for_unique(_find(1)) + ledger.for_metastable(_find(1))

    assert _summary(hull) == [(PointsFor.STABLE, 10.0), (PointsFor.FIRST_OF_SYSTEM, 5.0)]
    assert all(award.provisional for award in hull)
    assert not any(award.provisional for award in other)


def test_a_dethroned_find_loses_what_it_holds_and_only_once(ledger: Ledger) -> None:
    ledger.for_stable(_find(1), first_of_system=True)

    first, second = ledger.for_dethroned(_find(1)), ledger.for_dethroned(_find(1))

    assert _summary(first) == [(PointsFor.DETHRONED, -10.0), (PointsFor.DETHRONED_FIRST, -5.0)]
    assert second == []


def test_a_find_that_never_held_points_loses_none(ledger: Ledger) -> None:
    assert ledger.for_dethroned(_find(1)) == []


def test_a_correction_names_the_find_that_loses(ledger: Ledger) -> None:
    ledger.for_stable(_find(1, member=BEN), first_of_system=False)

    (correction,) = ledger.for_dethroned(_find(1, member=BEN))

    assert (correction.member, correction.candidate, correction.phase) == (BEN, 101, 1)


def test_a_find_back_on_the_hull_gets_its_points_again_but_never_twice(ledger: Ledger) -> None:
    ledger.for_stable(_find(1), first_of_system=False)
    while_there = ledger.for_return(_find(1))
    ledger.for_dethroned(_find(1))

    back, again = ledger.for_return(_find(1)), ledger.for_return(_find(1))
    gone = ledger.for_dethroned(_find(1))

    assert while_there == again == []
    assert _summary(back) == [(PointsFor.BACK_ON_HULL, 10.0)]
    assert _summary(gone) == [(PointsFor.DETHRONED, -10.0)]


def test_a_ledger_that_read_its_awards_back_goes_on_as_the_one_that_made_them(ledger: Ledger) -> None:
    awards = ledger.for_unique(_find(1)) + ledger.for_stable(_find(1), first_of_system=True)
    awards += ledger.for_metastable(_find(2)) + ledger.for_dethroned(_find(1)) + ledger.for_return(_find(3))
    read_back = Ledger(Points())

    for award in awards:
        read_back.record(_find(award.phase), award.reason)

    assert read_back.unique == ledger.unique
    assert read_back.metastable == ledger.metastable
    assert read_back.on_hull == ledger.on_hull
    assert read_back.first_of_system == ledger.first_of_system


def test_a_close_ends_what_is_provisional_and_pays_for_what_is_on_the_hull(ledger: Ledger) -> None:
    given = [
        *ledger.for_stable(_find(1), first_of_system=True),
        *ledger.for_stable(_find(2, formula="CsCl"), first_of_system=False),
    ]

    on_hull = ledger.for_close(_find(1), on_hull=True)
    off_hull = ledger.for_close(_find(2, formula="CsCl"), on_hull=False)

    assert _summary(on_hull)[2:] == [(PointsFor.PAID, 10.0), (PointsFor.PAID_FIRST, 5.0)]
    assert _summary(off_hull) == [(PointsFor.SETTLED, -10.0)]
    assert sum(award.points for award in (*given, *on_hull, *off_hull) if award.provisional) == 0
    assert not any(award.provisional for award in on_hull[2:])
    assert ledger.for_close(_find(1), on_hull=True) == []


def test_what_was_paid_is_not_dethroned_and_its_formula_earns_nothing_more_for_the_hull(ledger: Ledger) -> None:
    ledger.for_stable(_find(1), first_of_system=False)
    ledger.for_close(_find(1), on_hull=True)

    assert ledger.for_dethroned(_find(1)) == ledger.for_still_metastable(_find(1)) == ledger.for_return(_find(1)) == []
    assert ledger.for_stable(_find(2), first_of_system=False) == []
    assert _summary(ledger.for_metastable(_find(2))) == [(PointsFor.METASTABLE, 3.0)]
    assert _summary(ledger.for_stable(_find(3, member=BEN), first_of_system=False)) == [(PointsFor.STABLE, 10.0)]


def test_what_was_paid_is_taken_back_by_a_withdrawal_and_may_be_earned_again(ledger: Ledger) -> None:
    given = [*ledger.for_stable(_find(1), first_of_system=True), *ledger.for_close(_find(1), on_hull=True)]

    taken = ledger.for_withdrawn(_find(1), [award.reason for award in given])

    assert _summary(taken) == [(PointsFor.WITHDRAWN_PAID, -10.0), (PointsFor.WITHDRAWN_PAID_FIRST, -5.0)]
    assert sum(award.points for award in (*given, *taken)) == 0
    assert _summary(ledger.for_stable(_find(2), first_of_system=False)) == [(PointsFor.STABLE, 10.0)]


def test_a_ledger_that_is_read_back_awards_as_the_one_that_wrote_it(ledger: Ledger) -> None:
    finds = {award.phase: _find(award.phase) for award in ledger.for_stable(_find(1), first_of_system=True)}
    entries = [*ledger.for_close(finds[1], on_hull=True)]
    read = Ledger(Points())
    for reason in (PointsFor.STABLE, PointsFor.FIRST_OF_SYSTEM, *(entry.reason for entry in entries)):
        read.record(finds[1], reason)

    assert read == ledger
