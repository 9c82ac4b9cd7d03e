"""The same code on PostgreSQL with RabbitMQ or Redis gives the same verdicts as on SQLite with the filesystem."""

import os
import socket
from uuid import uuid4

import pytest
from platform_of import platform, submit_alloys

_HOST = "127.0.0.1"
COUNT = 24


def _needs(**ports: int) -> None:
    """Skip without these services; with REQUIRE_SERVICES=1 their absence is a failure."""
    for name, port in ports.items():
        with socket.socket() as probe:
            probe.settimeout(2)
            if probe.connect_ex((_HOST, port)) == 0:
                continue
        message = f"no {name} on port {port}"
        if os.environ.get("REQUIRE_SERVICES") == "1":
            pytest.fail(message)
        pytest.skip(message)


@pytest.fixture
def postgres_url():
    """A database of its own, dropped at the end."""
    _needs(PostgreSQL=5432)
    import psycopg

    user = os.environ.get("PGUSER", "postgres")
    name = f"philately_{uuid4().hex[:12]}"
    server = f"postgresql://{user}@{_HOST}:5432"
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    yield f"{server}/{name}"
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    return _result(tmp_path_factory.mktemp("sqlite"))


def _result(folder, **environment):
    with platform(folder, **environment) as running:
        submit_alloys(running, folder, COUNT)
        running.start()
        running.wait_until_final(300)
        assert running.stop() == 0
        return running.driver("result")


@pytest.mark.parametrize("broker", ["amqp://guest:guest@127.0.0.1:5672//", "redis://127.0.0.1:6379/9"])
def test_servers_give_the_same_verdicts_as_the_embedded_defaults(tmp_path, postgres_url, expected, broker):
    if broker.startswith("amqp"):
        _needs(RabbitMQ=5672)
    else:
        _needs(Redis=6379)

    assert (
        _result(tmp_path, DATABASE_URL=postgres_url, BROKER_URL=broker, QUEUE_PREFIX=f"test-{uuid4().hex[:8]}-")
        == expected
    )
