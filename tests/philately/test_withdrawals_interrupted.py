"""Killed, asked in between or without its lock: a withdrawal comes out the same, or is not begun."""

import pytest
from django.db import transaction
from facts import Killed, add_candidate, before_statement, kill, let_expire, rows_of
from stories import STORY, alloy
from withdrawing import check_hull, rows_for, state_of

from philately.domain import place
from philately.domain.place import place_waiting
from philately.domain.withdrawals import ask
from philately.models import Lock, Placement, Withdrawal
from philately.states import CandidateState

S = CandidateState


@pytest.fixture(autouse=True)
def _cold():
    place.forget()


@pytest.mark.parametrize("number", [0, 2, 4])
def test_killed_before_any_statement_it_comes_out_the_same(season, story, number):
    ask(rows_for(story[number]), by=story[number].batch.owner.user)
    with transaction.atomic():
        place_waiting(season.pk)
        expected = rows_of(season.official_run)
        transaction.set_rollback(True)
    statement, alive = 1, False
    while not alive:
        with transaction.atomic():
            place.forget()
            alive = _survives(lambda: place_waiting(season.pk), statement)
            let_expire(Lock.objects.all())
            place_waiting(season.pk)
            assert rows_of(season.official_run) == expected, statement
            transaction.set_rollback(True)
        statement += 2
    assert statement > 30


def test_killed_while_the_wish_is_recorded_it_is_recorded_again(season, story, participant):
    waiting = add_candidate(participant, alloy("Ni", "Pd"), state=S.PARSED)
    mine = [waiting, story[0], story[5]]
    statement, alive = 1, False
    while not alive:
        with transaction.atomic():
            place.forget()
            alive = _survives(lambda: ask(rows_for(*mine), by=participant.user), statement)
            ask(rows_for(*mine), by=participant.user)
            place_waiting(season.pk)
            assert {state_of(one) for one in mine} == {S.WITHDRAWN}, statement
            transaction.set_rollback(True)
        statement += 1
    assert statement > 10


def _survives(deed, statement):
    """Whether a deed ends before the statement at which it is killed."""
    try:
        with before_statement(statement, kill):
            deed()
    except Killed:
        return False
    return True


def test_asked_at_any_moment_of_a_chunk_it_is_out_and_all_others_are_placed(season, join_as):
    """Either it was placed first and was taken out after, or it never was."""
    story = [add_candidate(join_as(name), atoms, energy) for atoms, energy, name in STORY]
    mine = story[-1]
    others = [one.pk for one in story[:-1]]
    with before_statement(0, kill) as seen, transaction.atomic():
        place_waiting(season.pk)
        transaction.set_rollback(True)

    for statement in range(1, len(seen) + 1, 2):
        with transaction.atomic():
            place.forget()
            with before_statement(statement, lambda: ask(rows_for(mine), by=mine.batch.owner.user)):
                place_waiting(season.pk)
            place_waiting(season.pk)
            if not Withdrawal.objects.exists():  # asked inside of the chunk's transaction, which was rolled back
                transaction.set_rollback(True)
                continue
            assert state_of(mine) == S.WITHDRAWN, statement
            assert set(Placement.objects.filter(withdrawn_after=None).values_list("candidate", flat=True)) == set(
                others
            )
            check_hull(season)
            transaction.set_rollback(True)


def test_a_sequencer_that_lost_its_lock_takes_nothing_out(season, story):
    ask(rows_for(story[4]), by=story[4].batch.owner.user)
    before = rows_of(season.official_run)
    for number in range(9, 13):
        place.forget()
        with before_statement(number, lambda: Lock.objects.filter(name__startswith="place").update(token="another")):
            place_waiting(season.pk)
        assert rows_of(season.official_run) == before
        let_expire(Lock.objects.all())

    place_waiting(season.pk)
    assert state_of(story[4]) == S.WITHDRAWN
