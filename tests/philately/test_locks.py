"""Named locks: one holder, who loses what he does not prolong."""

import threading
import time
from datetime import timedelta

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.utils import timezone
from facts import let_expire

from philately.domain.locks import LockLost, lock, stand_by, within_reach
from philately.models import Lock

pytestmark = pytest.mark.django_db


def test_one_holds_and_others_get_none():
    with lock("place:1") as first, lock("place:1") as second, lock("place:2") as other:
        assert first is not None
        assert second is None
        assert other is not None


def test_who_got_none_takes_nothing_from_the_holder():
    with lock("place:1") as hold:
        with lock("place:1"):
            pass
        hold.confirm()


def test_it_is_free_again_after_use_and_after_an_error():
    with pytest.raises(ValueError, match="oops"), lock("place:1"):
        raise ValueError("oops")

    with lock("place:1") as hold:
        assert hold is not None


def test_a_lock_that_ran_out_is_taken_over_and_its_holder_told():
    with lock("place:1") as dead:
        let_expire(Lock.objects.all())
        with lock("place:1") as heir:
            assert heir is not None
            with pytest.raises(LockLost):
                dead.confirm()
            heir.confirm()

    assert Lock.objects.get().token == ""


def test_a_holder_that_lost_its_lock_does_not_free_its_heir_s():
    with lock("place:1"):
        let_expire(Lock.objects.all())
        heir = lock("place:1")
        heir.__enter__()

    with lock("place:1") as third:
        assert third is None
    heir.__exit__(None, None, None)


def test_confirming_prolongs():
    with lock("place:1") as hold:
        let_expire(Lock.objects.all())
        before = Lock.objects.get().until
        hold.confirm()
        assert Lock.objects.get().until > before


def test_keeping_writes_only_when_a_quarter_of_the_time_is_over(settings, django_assert_num_queries):
    with lock("place:1") as hold:
        with django_assert_num_queries(0):
            hold.keep()
        settings.SEQUENCER_LEASE_S = 0
        with django_assert_num_queries(2 if connection.vendor == "postgresql" else 1):
            hold.keep()


@pytest.mark.parametrize(("name", "setting"), [("place:1", "SEQUENCER_LEASE_S"), ("twins:1", "LEASE_S")])
def test_the_sequencer_s_lease_is_its_own(settings, name, setting):
    settings.LEASE_S = settings.SEQUENCER_LEASE_S = 1000
    setattr(settings, setting, 50)

    with lock(name):
        left = Lock.objects.get().until - timezone.now()

    assert 40 < left.total_seconds() <= 50


def _ends_in(seconds):
    Lock.objects.update(until=Now() + timedelta(seconds=seconds))


def test_one_stands_by_for_nothing_where_the_holder_lives(settings):
    settings.SEQUENCER_LEASE_S = 100
    with lock("place:1"):
        started = time.monotonic()
        assert not stand_by("place:1")

        _ends_in(60)  # it prolonged its lock not long ago
        assert not stand_by("place:1")
    assert time.monotonic() - started < 1


def test_one_stands_by_for_nothing_where_the_lock_is_free():
    assert stand_by("place:1")
    with lock("place:1"):
        pass
    assert stand_by("place:1")


def test_one_stands_by_until_the_lease_of_a_silent_holder_has_run_out(settings):
    settings.SEQUENCER_LEASE_S = 10
    with lock("place:1"):
        _ends_in(0.6)
        started = time.monotonic()

        assert within_reach("place:1")
        assert stand_by("place:1")
        assert 0.3 < time.monotonic() - started < 2
        with lock("place:1") as heir:
            assert heir is not None


@pytest.mark.django_db(transaction=True)
def test_a_lock_is_kept_during_one_long_step_and_a_holder_in_doubt_that_lives_keeps_it(settings):
    settings.SEQUENCER_LEASE_S = 1
    with lock("place:1") as hold:
        _ends_in(0.4)
        assert not stand_by("place:1")

        time.sleep(1.5)  # the long step

        assert not within_reach("place:1")
        hold.confirm()


@pytest.mark.django_db(transaction=True)
def test_a_holder_that_hangs_loses_its_lock(settings):
    settings.SEQUENCER_LEASE_S, settings.LEASE_S = 0.5, 0.2
    with lock("place:1"):
        time.sleep(0.6)
        assert stand_by("place:1")


@pytest.mark.django_db(transaction=True)
def test_of_many_threads_at_once_one_gets_it():
    start, got, let_go = threading.Barrier(6), [], threading.Event()

    def attempt():
        try:
            start.wait()
            with lock("place:1") as hold:
                got.append(hold is not None)
                if hold is not None:
                    let_go.wait(20)
        finally:
            connection.close()

    threads = [threading.Thread(target=attempt) for _ in range(6)]
    for thread in threads:
        thread.start()
    while len(got) < 6 and any(thread.is_alive() for thread in threads):
        if sum(not mine for mine in got) == 5:
            break
        threads[0].join(0.02)
    let_go.set()
    for thread in threads:
        thread.join()

    assert sorted(got) == [False] * 5 + [True]
