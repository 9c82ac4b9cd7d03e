"""Uploads are read in turns: a large one holds up nobody's small one, whoever's fault and whoever is killed."""

import time
from itertools import groupby
from types import SimpleNamespace

import pytest
from driving import submit
from facts import Killed, let_expire
from uploading import owners_in_order, unreadable

from philately.domain import parse, readings
from philately.domain.intake import read_batches
from philately.domain.readings import Reading
from philately.models import Batch, Candidate, Lock
from philately.states import BatchState, CandidateState

S = CandidateState


@pytest.fixture(autouse=True)
def _small_slices(settings):
    settings.SHARD_SIZE, settings.RELEASE_AHEAD = 2, 4


@pytest.fixture
def turns(monkeypatch):
    """Which batch was read, shard after shard."""
    seen = []
    turn = Reading.turn

    def watched(self, hold):
        seen.append(self.batch.pk)
        return turn(self, hold)

    monkeypatch.setattr(Reading, "turn", watched)
    return seen


def test_a_small_upload_is_read_while_a_large_one_is_unpacked(participant, join_as, turns):
    large = submit(participant, unreadable(40))
    small = submit(join_as("ben"), unreadable(3, "b"))

    read_batches(participant.season_id)

    assert turns[:4] == [large.pk, small.pk, large.pk, small.pk]
    assert owners_in_order(participant.season)[0] == "ben"


def test_one_that_arrives_meanwhile_is_read_in_the_next_round(participant, join_as, turns):
    large = submit(participant, unreadable(40))
    arrived = []

    def meanwhile(at_work):
        if len(turns) == 3:
            arrived.append(submit(join_as("ben"), unreadable(3, "b")))

    read_batches(participant.season_id, between=meanwhile)

    assert turns[:7] == [large.pk] * 4 + [arrived[0].pk, large.pk, arrived[0].pk]


def test_one_s_own_small_upload_is_read_beside_one_s_large_one(participant, turns):
    large = submit(participant, unreadable(40))
    small = submit(participant, unreadable(3, "s"))

    read_batches(participant.season_id)

    assert turns[:4] == [large.pk, small.pk, large.pk, small.pk]


def test_told_to_stop_it_gives_back_what_it_did_not_finish_and_no_attempt_counts(participant, turns):
    batch = submit(participant, unreadable(40))

    for _ in range(5):
        before = len(turns)
        read_batches(participant.season_id, stop=lambda before=before: len(turns) >= before + 2)

    batch.refresh_from_db()
    assert (batch.state, batch.attempts, batch.n_found) == (BatchState.UPLOADED, 0, 4)
    assert not Candidate.objects.exists()


def test_while_it_reads_the_worker_parses_in_between(participant, join_as):
    season = participant.season
    submit(join_as("ben"), unreadable(3, "b"))
    submit(participant, unreadable(40))

    def between(at_work):
        parse.parse_a_little(season.pk, at_work)

    read_batches(season.pk, between=between)

    assert Candidate.objects.filter(batch__owner__user__username="ben", state=S.REJECTED).count() == 3


def test_an_upload_that_cannot_be_read_does_not_hold_up_others(participant, join_as):
    bad = submit(join_as("ben"), unreadable(3, "b"))
    Batch.objects.filter(pk=bad.pk).update(stored_as="nowhere")
    good = submit(participant, unreadable(3))

    with pytest.raises(FileNotFoundError):
        read_batches(participant.season_id)

    good.refresh_from_db()
    assert good.state == BatchState.READ


def test_what_may_have_killed_its_reader_twice_is_read_alone(participant, join_as, turns):
    suspect = submit(join_as("ben"), unreadable(6, "b"))
    Batch.objects.filter(pk=suspect.pk).update(attempts=2)
    other = submit(participant, unreadable(6))

    read_batches(participant.season_id)

    alone = [pk for pk, _ in groupby(turns)]
    assert alone in ([suspect.pk, other.pk], [other.pk, suspect.pk])


def test_a_reader_that_is_killed_further_on_each_time_sets_nothing_aside(participant):
    batch = submit(participant, unreadable(20))

    def die_after(rounds):
        seen = []

        def between(at_work):
            seen.append(1)
            if len(seen) == rounds:
                raise Killed

        return between

    for rounds in range(1, 8):
        with pytest.raises(Killed):
            read_batches(participant.season_id, between=die_after(rounds))
        let_expire(Lock.objects.all())
    read_batches(participant.season_id)

    batch.refresh_from_db()
    assert batch.n_counted == 20


def test_a_reader_that_is_killed_at_the_same_place_each_time_sets_the_batch_aside(participant, monkeypatch):
    batch = submit(participant, unreadable(20))

    def die(self, hold):
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(Reading, "turn", die)
        for _ in range(3):
            with pytest.raises(Killed):
                read_batches(participant.season_id)
            let_expire(Lock.objects.all())
    read_batches(participant.season_id)

    batch.refresh_from_db()
    assert (batch.state, batch.attempts) == (BatchState.SET_ASIDE, 3)
    assert "organiser" in batch.problem


def test_the_limit_on_reading_does_not_count_the_turns_of_others(participant, settings, monkeypatch):
    settings.UPLOAD_LIMIT_S = 60.0
    batch = submit(participant, unreadable(6))
    ahead_s = [0.0]
    monkeypatch.setattr(readings, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + ahead_s[0]))

    def an_hour(at_work):
        ahead_s[0] += 3600

    read_batches(participant.season_id, between=an_hour)

    batch.refresh_from_db()
    assert batch.n_counted == 6
    assert ahead_s[0] >= 2 * 3600
