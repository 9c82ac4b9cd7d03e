"""One door for state: compare and set, and nothing is committed without the token."""

import pytest
from ase.build import bulk
from django.db.models import F
from facts import add_candidate, before_statement, let_expire
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from philately.domain.transitions import IllegalMove, claim, fail, move, renew, say
from philately.models import Candidate, CandidateDetail, Membership
from philately.states import CandidateState, Stage

S = CandidateState


@pytest.fixture
def waiting(participant):
    return [add_candidate(participant, bulk("Cu"), state=S.PARSED) for _ in range(3)]


def _held(token):
    return set(Candidate.objects.filter(lease=token).values_list("pk", flat=True))


def test_two_claimers_never_hold_the_same_candidate(waiting):
    ids = [candidate.pk for candidate in waiting]
    first = claim(ids[:2], S.PARSED, S.RELAXING)
    second = claim(ids, S.PARSED, S.RELAXING)

    assert _held(first) == set(ids[:2])
    assert _held(second) == set(ids[2:])


def test_a_claim_that_comes_between_reading_and_claiming_wins(waiting):
    ids = [candidate.pk for candidate in waiting]
    tokens = []

    with before_statement(1, lambda: tokens.append(claim(ids, S.PARSED, S.RELAXING))):
        tokens.append(claim(ids, S.PARSED, S.RELAXING))

    assert _held(tokens[0]) == set(ids)
    assert _held(tokens[1]) == set()


def test_several_helpings_are_claimed_under_one_token_and_what_is_written_with_them(waiting):
    ids = [candidate.pk for candidate in waiting]
    token = claim(ids[:1], S.PARSED, S.RELAXING, attempts=F("attempts") + 1)

    assert claim(ids[1:], S.PARSED, S.RELAXING, token=token) == token

    assert _held(token) == set(ids)
    assert list(Candidate.objects.order_by("pk").values_list("attempts", flat=True)) == [1, *[0] * len(ids[1:])]


def test_what_was_taken_over_cannot_be_renewed_or_failed_by_the_one_before(waiting):
    ids = [candidate.pk for candidate in waiting]
    token = claim(ids, S.PARSED, S.RELAXING)
    old = Candidate.objects.get(pk=ids[0])
    move(Candidate.objects.filter(pk__in=ids), S.RELAXING, S.PARSED)
    new = claim(ids, S.PARSED, S.RELAXING)

    assert renew(token) == 0
    assert not fail(old, Stage.RELAX, RuntimeError("too late"), token=token)
    assert _held(new) == set(ids)
    assert CandidateDetail.objects.get(pk=old.pk).sentence == ""


def test_renewing_prolongs_everything_that_a_claim_still_holds(waiting):
    ids = [candidate.pk for candidate in waiting]
    token = claim(ids, S.PARSED, S.RELAXING)
    let_expire(Candidate.objects.filter(lease=token))
    before = Candidate.objects.get(pk=ids[1]).lease_until
    move(Candidate.objects.filter(pk=ids[0]), S.RELAXING, S.PARSED)

    assert renew(token) == 2
    assert Candidate.objects.get(pk=ids[1]).lease_until > before


def test_a_move_says_how_many_it_moved_and_lets_go_of_the_lease(waiting):
    ids = [candidate.pk for candidate in waiting]
    claim(ids[:2], S.PARSED, S.RELAXING)

    assert move(Candidate.objects.filter(pk__in=ids), S.RELAXING, S.PARSED) == 2
    assert not Candidate.objects.exclude(lease=None, lease_until=None).exists()


def test_an_edge_that_is_none_is_our_mistake_and_changes_nothing(waiting):
    with pytest.raises(IllegalMove, match="parsed → placed"):
        move(Candidate.objects.all(), S.PARSED, S.PLACED)

    assert set(Candidate.objects.values_list("state", flat=True)) == {S.PARSED}


def test_a_failure_keeps_type_message_attempt_and_stage(waiting):
    token = claim([waiting[0].pk], S.PARSED, S.RELAXING, attempts=1)
    candidate = Candidate.objects.get(pk=waiting[0].pk)

    assert fail(candidate, Stage.RELAX, ValueError("no such cell"), token=token)

    candidate.refresh_from_db()
    assert (candidate.state, candidate.failed_in, candidate.attempts) == (S.FAILED, Stage.RELAX, 1)
    assert CandidateDetail.objects.get(pk=candidate.pk).sentence == "attempt 1 failed: ValueError: no such cell"


def test_a_sentence_holds_nothing_that_a_database_refuses(waiting):
    say(waiting[0].pk, "a null \0, half a pair \ud800 and much more" + "." * 3000)

    sentence = CandidateDetail.objects.get(pk=waiting[0].pk).sentence
    assert sentence.startswith("a null \ufffd, half a pair ? and")
    assert len(sentence) == 2000


class Candidates(RuleBasedStateMachine):
    """Workers that claim, finish, fail or die, in any order, on a few candidates."""

    member: Membership

    def __init__(self):
        super().__init__()
        Candidate.objects.all().delete()
        self.ids = [add_candidate(self.member, bulk("Cu"), state=S.PARSED).pk for _ in range(2)]
        self.held: dict[str, list[int]] = {}
        self.done: list[int] = []

    @rule()
    def claim_all(self):
        token = claim(self.ids, S.PARSED, S.RELAXING)
        self.held[token] = sorted(_held(token))
        assert not any(_held(other) & _held(token) for other in self.held if other != token)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def finish_one(self, data):
        token = data.draw(st.sampled_from(sorted(self.held)))
        for pk in self.held[token][:1]:
            mine = Candidate.objects.filter(pk=pk, lease=token)
            self.done += [pk] * move(mine, S.RELAXING, S.REJECTED, reason="NOT_CONVERGED")

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def fail_one(self, data):
        token = data.draw(st.sampled_from(sorted(self.held)))
        for candidate in Candidate.objects.filter(lease=token)[:1]:
            assert fail(candidate, Stage.RELAX, RuntimeError("ours"), token=token)

    @rule()
    def all_die_and_are_swept(self):
        move(Candidate.objects.filter(pk__in=self.ids), S.RELAXING, S.FAILED, failed_in=Stage.RELAX)
        move(Candidate.objects.filter(pk__in=self.ids), S.FAILED, S.PARSED, failed_in="")

    @invariant()
    def nothing_is_finished_twice(self):
        assert len(self.done) == len(set(self.done))

    @invariant()
    def what_is_finished_stays(self):
        states = Candidate.objects.filter(pk__in=self.done).values_list("state", flat=True)
        assert set(states) <= {S.REJECTED}


def test_whatever_workers_do_nothing_is_held_by_two_or_finished_twice(participant):
    Candidates.member = participant

    run_state_machine_as_test(
        Candidates,
        settings=settings(max_examples=10, stateful_step_count=10, deadline=None, suppress_health_check=[*HealthCheck]),
    )
