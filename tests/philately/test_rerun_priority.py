"""What an organiser has done again goes before what is new, every second time, and each claim is a look at an index."""

import pytest
from ase.build import bulk
from django.db import connection
from driving import season_on
from facts import add_batch, add_candidate, add_shard, bells

from philately.domain import parse
from philately.domain.parse import parse_next, shards_of_reruns, shards_waiting
from philately.domain.relax import CandidateQueue
from philately.domain.seasons import join
from philately.models import Shard
from philately.states import CandidateState, ShardState

S = CandidateState


def _helping(queue, n=2):
    """Claims the next few; returns their arrival numbers."""
    keys = list(queue.in_order().values_list("pk", flat=True)[:n])
    return [candidate.arrival for candidate in queue.claim(keys, "token")]


@pytest.fixture
def waiting(participant):
    """Six that are new, and after them four that are done again."""
    for number in range(10):
        add_candidate(participant, bulk("Cu"), state=S.PARSED, is_rerun=number >= 6)


def test_every_second_helping_is_of_what_is_done_again(participant, waiting):
    queue = CandidateQueue(participant.season.scale_id)

    assert [_helping(queue) for _ in range(5)] == [[7, 8], [1, 2], [9, 10], [3, 4], [5, 6]]
    assert not _helping(queue)


def test_however_many_are_done_again_new_ones_are_relaxed_meanwhile(participant):
    for number in range(20):
        add_candidate(participant, bulk("Cu"), state=S.PARSED, is_rerun=number < 16)
    queue = CandidateQueue(participant.season.scale_id)

    helpings = [_helping(queue) for _ in range(10)]

    assert helpings[:5] == [[1, 2], [17, 18], [3, 4], [19, 20], [5, 6]]
    assert [arrival for helping in helpings for arrival in sorted(helping)][8:] == [*range(5, 17)]


def test_seasons_on_one_scale_take_turns(participant, emt_release_file):
    other = season_on(emt_release_file, slug="second", name="Second")
    there = join(other, participant.user)
    for _ in range(4):
        add_candidate(participant, bulk("Cu"), state=S.PARSED)
        add_candidate(there, bulk("Cu"), state=S.PARSED)
    queue = CandidateQueue(participant.season.scale_id)

    seasons = []
    for _ in range(4):
        keys = list(queue.in_order().values_list("pk", flat=True)[:2])
        seasons.append({one.season_id for one in queue.claim(keys, "token")}.pop())

    assert sorted(seasons[:2]) == sorted([participant.season_id, other.pk])
    assert seasons[:2] == seasons[2:]


@pytest.fixture
def shards(participant):
    """Three of new structures, then one of what is done again."""
    found = []
    for number in range(4):
        shard = add_shard(add_batch(participant), state=ShardState.WAITING)
        add_candidate(participant, bulk("Cu"), state=S.RECEIVED, shard=shard, is_rerun=number == 3)
        found.append(shard.pk)
    return found


def test_shards_of_what_is_done_again_are_rung_for_first(participant, shards):
    assert shards_of_reruns(participant.season_id) == [shards[3]]
    assert shards_waiting(participant.season) == [shards[3], *shards[:3]]


def test_of_two_bells_one_is_answered_for_what_is_done_again_and_the_other_rings_anew(
    participant, shards, monkeypatch, django_capture_on_commit_callbacks
):
    monkeypatch.setattr(parse, "_n_turns", 0)
    bells("parse")

    with django_capture_on_commit_callbacks(execute=True):
        assert parse_next(shards[0])

    assert Shard.objects.get(pk=shards[3]).state == ShardState.PARSED
    assert Shard.objects.get(pk=shards[0]).state == ShardState.WAITING
    assert ("parse", shards[0]) in bells("parse")
    assert parse_next(shards[0])
    assert Shard.objects.get(pk=shards[0]).state == ShardState.PARSED


def _plan(rows):
    """How the database would find these, among so many that a scan would be dear."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("ANALYZE philately_candidate")
            for dear in ("seqscan", "bitmapscan", "sort"):  # among forty rows it would not be
                cursor.execute(f"SET LOCAL enable_{dear} = off")
    return rows.explain()


@pytest.mark.parametrize("again", [False, True])
def test_a_claim_is_a_look_at_an_index_that_has_them_in_order(participant, again):
    for number in range(40):
        add_candidate(participant, bulk("Cu"), state=S.PARSED if number % 2 else S.CHECKED, is_rerun=number % 8 == 1)
    queue = CandidateQueue(participant.season.scale_id)
    queue._n_helpings = 0 if again else 1

    plan = _plan(queue.in_order().values_list("pk", "n_atoms", "attempts")[:64])

    assert ("candidate_rerun" if again else "candidate_queue") in plan
    assert "SCAN" not in plan.replace("Index Scan", "")
    assert "TEMP B-TREE" not in plan
    assert "Sort" not in plan
