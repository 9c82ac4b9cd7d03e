"""Slices of batches come into the queue in fair turns, late, and what is withdrawn comes no further."""

import pytest
from driving import submit
from facts import Killed, before_statement, kill, let_expire
from uploading import owners_in_order, unreadable

from philately.domain import fair_share, intake, quotas
from philately.domain.fair_share import has_room, next_batch
from philately.domain.intake import is_waited_for, read_batches
from philately.domain.withdrawals import ask, end_release
from philately.models import Batch, Candidate, Lock, Membership, Season, Shard
from philately.states import BatchState, CandidateState

S = CandidateState


@pytest.fixture(autouse=True)
def _small_slices(settings):
    settings.SHARD_SIZE, settings.RELEASE_AHEAD = 2, 4


def _served(season):
    """Workers take everything that is in the queue."""
    Shard.objects.update(state="parsed")
    return Candidate.objects.filter(season=season, state=S.RECEIVED).update(state=S.SET_ASIDE)


def _drain(season):
    _served(season)
    while is_waited_for(season.pk):
        read_batches(season.pk)
        _served(season)


def test_no_more_is_released_than_keeps_workers_busy_and_the_rest_when_they_ask_for_it(participant):
    season = participant.season
    batch = submit(participant, unreadable(9))

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
    submit(participant, unreadable(30))
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
    submit(participant, unreadable(40))
    for _ in range(3):
        read_batches(season.pk)
        _served(season)
    last = Season.objects.get().next_arrival

    small = submit(join_as("ben"), unreadable(3, "b"))
    read_batches(season.pk)
    _served(season)
    read_batches(season.pk)

    assert max(small.candidates.values_list("arrival", flat=True)) <= last + 3 + 2


def test_participants_have_as_much_each_however_many_batches_they_make_of_it(participant, join_as):
    season = participant.season
    ben = join_as("ben")
    for number in range(10):
        submit(ben, unreadable(2, f"b{number}"))
    submit(participant, unreadable(20))
    _drain(season)

    first = list(Candidate.objects.order_by("arrival").values_list("batch__owner__user__username", flat=True))[8:32]
    assert abs(first.count("ann") - first.count("ben")) <= 4
    assert sorted(first) != first


def test_structures_are_what_is_shared_and_not_slices(participant, join_as, settings):
    """One sends thousands of batches of one structure, the other a large one."""
    season, ben = participant.season, join_as("ben")
    submit(participant, unreadable(16))
    for number in range(8):
        submit(ben, unreadable(1, f"b{number}"))
    _drain(season)

    owners = list(Candidate.objects.order_by("arrival").values_list("batch__owner__user__username", flat=True))
    while_both = owners[4 : 4 + 12]
    assert abs(while_both.count("ann") - while_both.count("ben")) <= 4


def test_the_batches_of_one_participant_take_turns(participant):
    season = participant.season
    large = submit(participant, unreadable(20))
    read_batches(season.pk)
    _served(season)
    small = submit(participant, unreadable(4, "s"))
    for _ in range(3):
        read_batches(season.pk)
        _served(season)

    assert small.candidates.count() == 4
    assert large.candidates.count() < 14


def test_who_was_away_has_saved_up_nothing(participant, join_as):
    season = participant.season
    submit(participant, unreadable(40))
    for _ in range(8):
        read_batches(season.pk)
        _served(season)
    submit(join_as("ben"), unreadable(30, "b"))
    _drain(season)

    order = owners_in_order(season)
    first_of_ben = order.index("ben")
    assert "ann" in order[first_of_ben + 1 : first_of_ben + 5]


def test_whose_turn_it_is_follows_from_rows_alone(participant, join_as):
    season = participant.season
    submit(participant, unreadable(12))
    submit(join_as("ben"), unreadable(12, "b"))
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
    submit(participant, unreadable(8))
    submit(ben, unreadable(8, "b"))
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


def test_room_is_counted_no_further_than_needed(participant, django_assert_max_num_queries):
    with django_assert_max_num_queries(3):
        fair_share.has_room(participant.season_id)
    with django_assert_max_num_queries(5):
        intake.is_waited_for(participant.season_id)


def test_a_batch_that_is_withdrawn_enters_the_queue_no_further(participant):
    season = participant.season
    batch = submit(participant, unreadable(9))
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
        batch = submit(participant, unreadable(9, f"n{number}-"))
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
    batch = submit(participant, unreadable(9))
    read_batches(participant.season_id)
    before = quotas.limits_of(participant.season).structures_a_day
    assert before - quotas.quota_left(participant).left.structures_a_day == 9

    end_release(batch, by=participant.user)

    assert before - quotas.quota_left(participant).left.structures_a_day == 4


def test_the_batch_s_page_says_how_many_wait_for_their_turn(client, participant):
    batch = submit(participant, unreadable(9))
    client.force_login(participant.user)
    read_batches(participant.season_id)

    page = client.get(f"/batches/{batch.pk}/").content.decode()
    assert "Read: 9 structures, of which 4 are in the queue." in page
    assert "in turns with other participants" in page
    assert "4 of 9 in the queue" in client.get("/batches/").content.decode()
