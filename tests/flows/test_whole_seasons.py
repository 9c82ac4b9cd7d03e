"""A season comes out the same to the bit: whoever is killed in the middle of it, and on whatever servers it runs."""

from functools import cache
from pathlib import Path
from uuid import uuid4

import pytest
from platform_of import platform, submit_alloys
from servers import end_connections, needs

from tests.philately.buckets import bucket_url, make

COUNT, MANY = 24, 200
WORKERS = ("parse", "relax-1", "relax-2", "place", "sweep")


def _result(folder: Path, count: int = COUNT, **environment: str) -> dict:
    with platform(folder, **environment) as running:
        submit_alloys(running, folder, count)
        running.start()
        running.wait_until_final(420)
        assert running.stop() == 0
        return running.driver("result")


def _result_with_kills(folder: Path, count: int) -> dict:
    moments = (("received", 1), ("relaxed", 1), ("placed", count // 8), ("placed", count // 4), ("placed", count // 3))
    with platform(folder) as running:
        submit_alloys(running, folder, count)
        running.start()
        for name, (state, number) in zip(WORKERS, moments, strict=True):
            running.wait_for(state, number)
            running.kill(name)
        running.wait_until_final(420)
        assert running.stop() == 0
        return running.driver("result")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """By the number of structures: the season on SQLite and the filesystem, in which nobody is killed."""
    return cache(lambda count: _result(tmp_path_factory.mktemp("undisturbed"), count))


@pytest.mark.parametrize("count", [COUNT, pytest.param(MANY, marks=pytest.mark.slow)])
def test_a_kill_of_each_worker_changes_nothing(tmp_path, undisturbed, count):
    killed = _result_with_kills(tmp_path, count)

    arrivals = [row[0] for row in killed["candidates"]]
    assert arrivals == list(range(1, count + 1))
    assert {row[1] for row in killed["candidates"]} <= {"placed", "rejected", "parked"}
    assert len(killed["placements"]) == sum(row[1] == "placed" for row in killed["candidates"])
    assert killed == undisturbed(count)


@pytest.mark.parametrize(
    "broker", ["amqp://guest:guest@127.0.0.1:5672//", pytest.param("redis://127.0.0.1:6379/9", marks=pytest.mark.slow)]
)
def test_servers_give_the_same_verdicts_as_the_embedded_defaults(tmp_path, postgres_url, undisturbed, broker):
    needs(**({"RabbitMQ": 5672} if broker.startswith("amqp") else {"Redis": 6379}))
    prefix, bucket = f"test-{uuid4().hex[:8]}-", make(bucket_url())

    result = _result(tmp_path, DATABASE_URL=postgres_url, BROKER_URL=broker, QUEUE_PREFIX=prefix, STORAGE_URL=bucket)

    assert result == undisturbed(COUNT)
    assert not (tmp_path / "data" / "files").exists()


@pytest.mark.slow  # what becomes of one connection is seen in every run, by tests/philately/test_postgres.py
def test_connections_to_the_database_that_end_in_the_middle_change_nothing(tmp_path, postgres_url, undisturbed):
    with platform(tmp_path, DATABASE_URL=postgres_url, STORAGE_URL=make(bucket_url())) as running:
        submit_alloys(running, tmp_path, COUNT)
        running.start()
        for state, number in (("received", 1), ("relaxed", 1), ("placed", 4), ("placed", 10)):
            running.wait_for(state, number)
            assert end_connections(postgres_url) > 0
        running.wait_until_final(420)
        assert running.stop() == 0
        result = running.driver("result")

    assert result == undisturbed(COUNT)
