"""The servers that some flows need: they are skipped without, or with REQUIRE_SERVICES=1 fail."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import pytest

HOST = "127.0.0.1"


def answers(name: str, port: int) -> bool:
    """Whether this service answers; with REQUIRE_SERVICES=1 its absence is a failure."""
    with socket.socket() as probe:
        probe.settimeout(2)
        if probe.connect_ex((HOST, port)) == 0:
            return True
    if os.environ.get("REQUIRE_SERVICES") == "1":
        pytest.fail(f"no {name} on port {port}")
    return False


def needs(**ports: int) -> None:
    """Skip without these services; with REQUIRE_SERVICES=1 their absence is a failure."""
    for name, port in ports.items():
        if not answers(name, port):
            pytest.skip(f"no {name} on port {port}")


@contextmanager
def postgres_database(template: str = "template1") -> Iterator[str]:
    """The address of a database of its own, dropped at the end. template: name of the database that it is a copy of."""
    needs(PostgreSQL=5432)
    import psycopg

    server = f"postgresql://{os.environ.get('PGUSER', 'postgres')}@{HOST}:5432"
    name = f"philately_{uuid4().hex[:12]}"
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    try:
        yield f"{server}/{name}"
    finally:
        with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def end_connections(url: str) -> int:
    """End all connections to a database, as a restart of the server does; returns how many there were."""
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        ended = connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
            "AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
        ).fetchall()
    return len(ended)
