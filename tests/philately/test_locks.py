"""Named locks: one holder, who loses what he does not prolong."""

import threading

import pytest
from django.db import connection
from facts import let_expire

from philately.domain.locks import LockLost, lock
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
        settings.LEASE_S = 0
        with django_assert_num_queries(1):
            hold.keep()


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
