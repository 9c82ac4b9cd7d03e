"""Slices of batches come into the queue in fair turns, late, and a large upload holds up nobody's small one."""

import time
from itertools import groupby
from types import SimpleNamespace

import pytest
from driving import submit
from facts import Killed, before_statement, kill, let_expire

from philately.domain import fair_share, intake, parse, quotas, readings
from philately.domain.fair_share import has_room, next_batch
from philately.domain.intake import is_waited_for, read_batches
from philately.domain.readings import Reading
from philately.domain.withdrawals import ask, end_release
from philately.models import Batch, Candidate, Lock, Membership, Season, Shard
from philately.states import BatchState, CandidateState

S = CandidateState


@pytest.fixture(autouse=True)
def _small_slices(settings):
    settings.SHARD_SIZE, settings.RELEASE_AHEAD = 2, 4


def _texts(count, name="a"):
    """Structures that cannot be read, which is quick."""
    return {f"{name}{number:03}.cif": f"data_{name}{number}\n_cell_length_a 1\n" for number in range(count)}


def _served(season):
    """Workers take everything that is in the queue."""
    Shard.objects.update(state="parsed")
    return Candidate.objects.filter(season=season, state=S.RECEIVED).update(state=S.SET_ASIDE)


def _order(season):
    """Whose slices came one after the other."""
    rows = Candidate.objects.filter(season=season).order_by("arrival")
    batches = rows.values_list("shard", "batch__owner__user__username")
    return [owner for (_, owner), _ in groupby(batches)]


def _drain(season):
    _served(season)
    while is_waited_for(season.pk):
        read_batches(season.pk)
        _served(season)


def test_no_more_is_released_than_keeps_workers_busy_and_the_rest_when_they_ask_for_it(participant):
    season = participant.season
    batch = submit(participant, _texts(9))

    assert read_batches(season.pk) == 0
    batch.refresh_from_db()
    assert (batch.state, batch.n_found, batch.n_counted, batch.n_released) == (BatchState.UPLOADED, 9, 9, 4)
    assert not is_waited_for(season.pk)
    assert read_batches(season.pk) == 0
    assert batch.candidates.count() == 4

    Candidate.objects.filter(arrival__lte=1).update(state=S.SET_ASIDE)
    assert is_waited_for(season.pk)
    read_batches(season.pk)
    assert batch.candidates.count() == 6
    _drain(season)
    batch.refresh_from_db()
    assert (batch.state, batch.n_released, batch.attempts) == (BatchState.READ, 9, 0)
    assert list(batch.candidates.order_by("arrival").values_list("arrival", flat=True)) == list(range(1, 10))


def test_more_is_released_where_workers_have_more_in_hand(participant, settings):
    season = participant.season
    submit(participant, _texts(30))
    read_batches(season.pk)
    assert Candidate.objects.count() == 4

    Candidate.objects.update(state=S.RELAXING, lease="gpu", lease_until="2100-01-01T00:00Z")
    read_batches(season.pk)

    assert Candidate.objects.count() == 4 + 8
    shard = Shard.objects.order_by("pk").last()
    Shard.objects.filter(pk=shard.pk).update(lease="reader", lease_until="2100-01-01T00:00Z")
    read_batches(season.pk)
    assert Candidate.objects.count() == 4 + 12


def test_a_small_batch_comes_after_one_slice_of_a_large_one_that_is_being_released(participant, join_as):
    season = participant.season
    submit(participant, _texts(40))
    for _ in range(3):
        read_batches(season.pk)
        _served(season)
    last = Season.objects.get().next_arrival

    small = submit(join_as("ben"), _texts(3, "b"))
    read_batches(season.pk)
    _served(season)
    read_batches(season.pk)

    assert max(small.candidates.values_list("arrival", flat=True)) <= last + 3 + 2


def test_participants_have_as_much_each_however_many_batches_they_make_of_it(participant, join_as):
    season = participant.season
    ben = join_as("ben")
    for number in range(10):
        submit(ben, _texts(2, f"b{number}"))
    submit(participant, _texts(20))
    _drain(season)

    first = list(Candidate.objects.order_by("arrival").values_list("batch__owner__user__username", flat=True))[8:32]
    assert abs(first.count("ann") - first.count("ben")) <= 4
    assert sorted(first) != first


def test_structures_are_what_is_shared_and_not_slices(participant, join_as, settings):
    """One sends thousands of batches of one structure, the other a large one."""
    season, ben = participant.season, join_as("ben")
    submit(participant, _texts(16))
    for number in range(8):
        submit(ben, _texts(1, f"b{number}"))
    _drain(season)

    owners = list(Candidate.objects.order_by("arrival").values_list("batch__owner__user__username", flat=True))
    while_both = owners[4 : 4 + 12]
    assert abs(while_both.count("ann") - while_both.count("ben")) <= 4


def test_the_batches_of_one_participant_take_turns(participant):
    season = participant.season
    large = submit(participant, _texts(20))
    read_batches(season.pk)
    _served(season)
    small = submit(participant, _texts(4, "s"))
    for _ in range(3):
        read_batches(season.pk)
        _served(season)

    assert small.candidates.count() == 4
    assert large.candidates.count() < 14


def test_who_was_away_has_saved_up_nothing(participant, join_as):
    season = participant.season
    submit(participant, _texts(40))
    for _ in range(8):
        read_batches(season.pk)
        _served(season)
    submit(join_as("ben"), _texts(30, "b"))
    _drain(season)

    order = _order(season)
    first_of_ben = order.index("ben")
    assert "ann" in order[first_of_ben + 1 : first_of_ben + 5]


def test_whose_turn_it_is_follows_from_rows_alone(participant, join_as):
    season = participant.season
    submit(participant, _texts(12))
    submit(join_as("ben"), _texts(12, "b"))
    read_batches(season.pk)
    _served(season)

    assert next_batch(season.pk) == next_batch(season.pk)
    assert has_room(season.pk)
    everything = list(Batch.objects.values_list("pk", flat=True))
    assert next_batch(season.pk, without=everything) is None


def test_killed_at_any_statement_the_account_and_the_order_are_those_of_an_undisturbed_release(
    participant, join_as, settings
):
    settings.MAX_ATTEMPTS = 1000
    season, ben = participant.season, join_as("ben")
    submit(participant, _texts(8))
    submit(ben, _texts(8, "b"))
    number = 0
    while is_waited_for(season.pk):
        number += 7  # a step is some thirty statements: it is killed everywhere
        try:
            with before_statement(1 + number % 60, kill):
                read_batches(season.pk)
        except Killed:
            let_expire(Lock.objects.all())
        if not has_room(season.pk):
            _served(season)

    assert number > 30
    assert list(Candidate.objects.order_by("arrival").values_list("arrival", flat=True)) == list(range(1, 17))
    served, clock = _account(season)
    assert dict(Membership.objects.values_list("user__username", "served")) == served
    assert Season.objects.get().served == clock
    assert list(Batch.objects.values_list("n_released", flat=True)) == [8, 8]


def _account(season):
    """As it follows from the slices in order of their release: who has been served how much, and the clock."""
    served, clock = {"ann": 0, "ben": 0}, 0
    for shard in Shard.objects.filter(batch__season=season).order_by("pk"):
        owner = shard.batch.owner.user.username
        clock = max(served[owner], clock)
        served[owner] = clock + shard.candidates.count()
    return served, clock


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
    large = submit(participant, _texts(40))
    small = submit(join_as("ben"), _texts(3, "b"))

    read_batches(participant.season_id)

    assert turns[:4] == [large.pk, small.pk, large.pk, small.pk]
    assert _order(participant.season)[0] == "ben"


def test_one_that_arrives_meanwhile_is_read_in_the_next_round(participant, join_as, turns):
    large = submit(participant, _texts(40))
    arrived = []

    def meanwhile(at_work):
        if len(turns) == 3:
            arrived.append(submit(join_as("ben"), _texts(3, "b")))

    read_batches(participant.season_id, between=meanwhile)

    assert turns[:7] == [large.pk] * 4 + [arrived[0].pk, large.pk, arrived[0].pk]


def test_one_s_own_small_upload_is_read_beside_one_s_large_one(participant, turns):
    large = submit(participant, _texts(40))
    small = submit(participant, _texts(3, "s"))

    read_batches(participant.season_id)

    assert turns[:4] == [large.pk, small.pk, large.pk, small.pk]


def test_told_to_stop_it_gives_back_what_it_did_not_finish_and_no_attempt_counts(participant, turns):
    batch = submit(participant, _texts(40))

    for _ in range(5):
        before = len(turns)
        read_batches(participant.season_id, stop=lambda before=before: len(turns) >= before + 2)

    batch.refresh_from_db()
    assert (batch.state, batch.attempts, batch.n_found) == (BatchState.UPLOADED, 0, 4)
    assert not Candidate.objects.exists()


def test_while_it_reads_the_worker_parses_in_between(participant, join_as):
    season = participant.season
    submit(join_as("ben"), _texts(3, "b"))
    submit(participant, _texts(40))

    def between(at_work):
        parse.parse_a_little(season.pk, at_work)

    read_batches(season.pk, between=between)

    assert Candidate.objects.filter(batch__owner__user__username="ben", state=S.REJECTED).count() == 3


def test_an_upload_that_cannot_be_read_does_not_hold_up_others(participant, join_as):
    bad = submit(join_as("ben"), _texts(3, "b"))
    Batch.objects.filter(pk=bad.pk).update(stored_as="nowhere")
    good = submit(participant, _texts(3))

    with pytest.raises(FileNotFoundError):
        read_batches(participant.season_id)

    good.refresh_from_db()
    assert good.state == BatchState.READ


def test_what_may_have_killed_its_reader_twice_is_read_alone(participant, join_as, turns):
    suspect = submit(join_as("ben"), _texts(6, "b"))
    Batch.objects.filter(pk=suspect.pk).update(attempts=2)
    other = submit(participant, _texts(6))

    read_batches(participant.season_id)

    alone = [pk for pk, _ in groupby(turns)]
    assert alone in ([suspect.pk, other.pk], [other.pk, suspect.pk])


def test_a_reader_that_is_killed_further_on_each_time_sets_nothing_aside(participant):
    batch = submit(participant, _texts(20))

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
    batch = submit(participant, _texts(20))

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
    batch = submit(participant, _texts(6))
    ahead_s = [0.0]
    monkeypatch.setattr(readings, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + ahead_s[0]))

    def an_hour(at_work):
        ahead_s[0] += 3600

    read_batches(participant.season_id, between=an_hour)

    batch.refresh_from_db()
    assert batch.n_counted == 6
    assert ahead_s[0] >= 2 * 3600


def test_room_is_counted_no_further_than_needed(participant, django_assert_max_num_queries):
    with django_assert_max_num_queries(3):
        fair_share.has_room(participant.season_id)
    with django_assert_max_num_queries(5):
        intake.is_waited_for(participant.season_id)


def test_a_batch_that_is_withdrawn_enters_the_queue_no_further(participant):
    season = participant.season
    batch = submit(participant, _texts(9))
    read_batches(season.pk)

    assert end_release(batch, by=participant.user) == 5
    ask(batch.candidates.all(), by=participant.user)
    _served(season)
    read_batches(season.pk)

    batch.refresh_from_db()
    assert (batch.state, batch.n_counted, batch.n_released) == (BatchState.READ, 4, 4)
    assert not is_waited_for(season.pk)
    assert list(batch.candidates.values_list("state", flat=True)) == [S.WITHDRAWN] * 4
    assert end_release(batch, by=participant.user) == 0


def test_withdrawn_at_any_statement_of_a_release_it_is_as_large_as_what_entered(participant):
    for number in range(1, 40, 3):
        batch = submit(participant, _texts(9, f"n{number}-"))
        read_batches(participant.season_id)
        _served(participant.season)
        with before_statement(number, lambda batch=batch: end_release(batch, by=participant.user)):
            read_batches(participant.season_id)
        end_release(batch, by=participant.user)

        batch.refresh_from_db()
        assert batch.state == BatchState.READ
        assert batch.n_counted == batch.n_released == batch.candidates.count()
        _served(participant.season)


def test_what_waits_for_its_turn_uses_quota_and_what_is_withdrawn_does_not(participant):
    batch = submit(participant, _texts(9))
    read_batches(participant.season_id)
    before = quotas.limits_of(participant.season).structures_a_day
    assert before - quotas.quota_left(participant).left.structures_a_day == 9

    end_release(batch, by=participant.user)

    assert before - quotas.quota_left(participant).left.structures_a_day == 4


def test_the_batch_s_page_says_how_many_wait_for_their_turn(client, participant):
    batch = submit(participant, _texts(9))
    client.force_login(participant.user)
    read_batches(participant.season_id)

    page = client.get(f"/batches/{batch.pk}/").content.decode()
    assert "Read: 9 structures, of which 4 are in the queue." in page
    assert "in turns with other participants" in page
    assert "4 of 9 in the queue" in client.get("/batches/").content.decode()
