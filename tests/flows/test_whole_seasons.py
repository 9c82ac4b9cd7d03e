"""A season comes out the same to the bit: whoever is killed in the middle of it, and on whatever servers it runs."""

import json
from functools import cache
from operator import itemgetter
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
def undisturbed_in(tmp_path_factory):
    """The folder, by the number of structures, of seasons in which nobody is killed."""
    return cache(lambda count: tmp_path_factory.mktemp("undisturbed"))


@pytest.fixture(scope="module")
def undisturbed(undisturbed_in):
    """By the number of structures: the season on SQLite and the filesystem, in which nobody is killed."""
    return cache(lambda count: _result(undisturbed_in(count), count, LOG_FORMAT="json", LOG_LEVEL="DEBUG"))


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


def test_the_log_of_all_processes_is_json_and_tells_each_structures_way(undisturbed, undisturbed_in):
    arrivals = [row[0] for row in undisturbed(COUNT)["candidates"]]

    lines = (undisturbed_in(COUNT) / "log").read_text().splitlines()
    records = [json.loads(line) for line in lines if line.startswith("{")]
    others = {line for line in lines if not line.startswith("{")}
    assert others <= {"", "stopped", "worker: Warm shutdown (MainProcess)"}, "what up and Celery say on standard output"
    ways: dict[int, list[str]] = {}
    for record in sorted(records, key=itemgetter("time")):
        if "candidate" in record and record["level"] == "DEBUG":
            assert record["season"]
            assert len(record["task"]) == 36
            ways.setdefault(record["candidate"], []).append(record["message"].split(":")[0].split(" is ")[1])
    assert len(ways) == len(arrivals)
    ends = {way[-1].split(" of ")[0] for way in ways.values()}
    assert ends == {"placed", "rejected", "a twin"}
    assert ["received", "read", "relaxed", "placed"] in ways.values()
