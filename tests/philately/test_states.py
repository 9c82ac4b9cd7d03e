"""The machine's edges, and what the database itself refuses."""

import itertools

import pytest
from ase.build import bulk
from django.db import IntegrityError, transaction
from django.utils import timezone
from facts import add_batch, add_candidate, add_shard

from philately.domain.transitions import IllegalMove, move
from philately.models import Batch, Candidate, Membership, Season, Shard
from philately.states import CANDIDATE_EDGES, FINAL, SETTLED, BatchState, CandidateState

S = CandidateState
EDGES = sorted(itertools.product(S, S))


def _dressed(member, state):
    """A candidate in this state with what the state demands, and a dress for any other state."""
    original = add_candidate(member, bulk("Au"), 0.0)
    candidate = add_candidate(member, bulk("Cu"), 0.0, state=S.RECEIVED)
    Candidate.objects.filter(pk=candidate.pk).update(
        state=state, **_leased(state), twin_of=original, reason="TWIN", failed_in="relax"
    )
    return candidate


def _leased(state):
    held = state == S.RELAXING
    return {"lease": "token" if held else None, "lease_until": timezone.now() if held else None}


@pytest.mark.parametrize(("source", "target"), EDGES)
def test_a_candidate_walks_along_the_edges_and_along_nothing_else(participant, source, target):
    candidate = _dressed(participant, source)
    mine = Candidate.objects.filter(pk=candidate.pk)

    if (source, target) in CANDIDATE_EDGES:
        assert move(mine, source, target, **_leased(target)) == 1
    else:
        with pytest.raises(IllegalMove):
            move(mine, source, target, **_leased(target))

    assert mine.get().state == (target if (source, target) in CANDIDATE_EDGES else source)


def test_a_rejection_is_final_but_for_its_owner_and_an_organiser_who_has_it_judged_again():
    assert {target for source, target in CANDIDATE_EDGES if source == S.REJECTED} == {S.WITHDRAWN, S.RECEIVED}


def test_nothing_leads_back_from_placed_or_withdrawn():
    assert {target for source, target in CANDIDATE_EDGES if source == S.PLACED} == {S.WITHDRAWN}
    assert not [target for source, target in CANDIDATE_EDGES if source == S.WITHDRAWN]


def test_every_state_can_be_reached_and_every_open_one_left():
    assert {target for _, target in CANDIDATE_EDGES} | {S.RECEIVED} == set(S)
    assert {source for source, _ in CANDIDATE_EDGES} >= set(S) - FINAL
    assert set(S) >= SETTLED


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"lease": "token"}, id="a lease without relaxing"),
        pytest.param({"lease_until": timezone.now()}, id="an end of a lease without relaxing"),
        pytest.param({"state": S.RELAXING}, id="relaxing without a lease"),
        pytest.param({"state": S.RELAXING, "lease": "token"}, id="a lease without an end"),
        pytest.param({"state": S.REJECTED}, id="a rejection without a reason"),
        pytest.param({"state": S.PARKED}, id="parked without an original"),
        pytest.param({"state": S.RELAXED}, id="relaxed without a relaxation"),
        pytest.param({"state": S.PLACED}, id="placed without a relaxation"),
        pytest.param({"state": S.FAILED}, id="a failure of no stage"),
        pytest.param({"state": "unheard of"}, id="an unknown state"),
    ],
)
def test_the_database_refuses_a_candidate_with(participant, changes):
    candidate = add_candidate(participant, bulk("Cu"), state=S.CHECKED)

    with pytest.raises(IntegrityError), transaction.atomic():
        Candidate.objects.filter(pk=candidate.pk).update(**changes)


def test_the_database_refuses_two_candidates_of_one_arrival(participant):
    first, second = (add_candidate(participant, bulk("Cu"), state=S.CHECKED) for _ in range(2))

    with pytest.raises(IntegrityError), transaction.atomic():
        Candidate.objects.filter(pk=second.pk).update(arrival=first.arrival)


@pytest.mark.parametrize(
    ("model", "changes"),
    [
        (Batch, {"state": "unheard of"}),
        (Batch, {"state": BatchState.REFUSED, "problem": ""}),
        (Shard, {"state": "unheard of"}),
        (Season, {"visibility": "unheard of"}),
        (Membership, {"role": "unheard of"}),
    ],
)
def test_the_database_refuses_other_rows_in_a_state_that_says_nothing(participant, model, changes):
    add_shard(add_batch(participant))

    with pytest.raises(IntegrityError), transaction.atomic():
        model.objects.update(**changes)


def test_the_database_refuses_the_same_bytes_twice_of_one_member_and_takes_them_of_two(participant, join_as):
    add_batch(participant, sha256="a" * 64)
    add_batch(join_as("ben"), sha256="a" * 64)

    with pytest.raises(IntegrityError), transaction.atomic():
        add_batch(participant, sha256="a" * 64)
