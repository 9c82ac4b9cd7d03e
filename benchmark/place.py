"""The sequencer on a real database, wall time: candidates placed and scored a second, matching and relaxation excluded.

Each database is measured in a process of its own, on a data folder of its own. Candidates of one formula lie so far
apart that none has to be matched with another; about 6 % are stable on arrival. A new run places them all again.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import uuid4

import psycopg

QUICK, USUAL, FULL = 500, 20_000, 1_000_000  # candidates
POSTGRES = "postgresql://postgres@127.0.0.1:5432/postgres"  # where a throw-away database is made

MEANINGS = {
    f"{figure}_{database}": meaning.format(name)
    for database, name in (("sqlite", "SQLite"), ("postgresql", "PostgreSQL"))
    for figure, meaning in (
        ("placed_per_s", "candidates/s of the clock, placed and scored on {}"),
        ("placed_per_s_without_hull", "the same, the time that the hull takes left out"),
        ("hull_share", "of that time, in the hull store"),
        ("new_run_placed_per_s", "candidates/s of the clock, in another run of the season, opening it included"),
        ("cold_start_s", "s of the clock until a sequencer that starts anew places something, its hull from disk"),
        ("placed", "candidates placed"),
        ("stable_share", "of the candidates, stable on arrival"),
    )
}


class Failed(RuntimeError):
    """The process that measured ended with an error; it is on stderr."""


def measure(*, quick: bool, full: bool, say: Callable[[str], None]) -> dict[str, float]:
    """SQLite always; PostgreSQL where BENCHMARK_POSTGRES_URL names a server, or one answers on the usual port.

    Raises Failed.
    """
    count = FULL if full else QUICK if quick else USUAL
    figures = _measured("sqlite", count, None, say)
    server = os.environ.get("BENCHMARK_POSTGRES_URL", POSTGRES)
    try:
        with _database(server) as url:
            figures |= _measured("postgresql", count, url, say)
    except psycopg.OperationalError as error:
        say(f"PostgreSQL is not measured: {str(error).strip().splitlines()[0]}")
    return figures


def _measured(database: str, count: int, url: str | None, say: Callable[[str], None]) -> dict[str, float]:
    """The figures of one process, with the name of the database behind each."""
    say(f"{count:,} candidates on {database}")
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        command = [sys.executable, "-m", "benchmark.place_once", str(count)]
        child = subprocess.run(command, env=_environment(folder, url), stdout=subprocess.PIPE, text=True, check=False)
    if child.returncode:
        raise Failed(f"{' '.join(command)} ended with {child.returncode}")
    found: dict[str, float] = json.loads(child.stdout)
    return {f"{name}_{database}": value for name, value in found.items()}


def _environment(folder: str, url: str | None) -> dict[str, str]:
    """Of this project's variables only those of the measurement: nobody's own data are touched."""
    own = {"DATA_DIR": folder, "DATABASE_URL": url or f"sqlite:///{folder}/db.sqlite3", "BROKER_URL": "memory://"}
    always = {"DJANGO_SETTINGS_MODULE": "philately.settings", "OMP_NUM_THREADS": "1", "LOG_LEVEL": "WARNING"}
    return {**os.environ, **own, **always}


@contextmanager
def _database(server: str) -> Iterator[str]:
    """The URL of a new database on the server, dropped at the end. Raises psycopg.OperationalError."""
    name = f"benchmark_{uuid4().hex[:12]}"
    with psycopg.connect(server, autocommit=True, connect_timeout=3) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    try:
        yield f"{server.rpartition('/')[0]}/{name}"
    finally:
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
