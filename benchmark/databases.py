"""Throw-away databases, and processes that measure on them: nobody's own data are touched."""

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

POSTGRES = "postgresql://postgres@127.0.0.1:5432/postgres"  # where a throw-away database is made

Figures = dict[str, float]


class Failed(RuntimeError):
    """The process that measured ended with an error; it is on stderr."""


def on_each(measured: Callable[[str, str | None], Figures], say: Callable[[str], None]) -> Figures:
    """What ``measured`` finds on SQLite, and on PostgreSQL where BENCHMARK_POSTGRES_URL names a server, or one answers
    on the usual port. It is given the name of the database and, for PostgreSQL, its URL."""
    figures = measured("sqlite", None)
    server = os.environ.get("BENCHMARK_POSTGRES_URL", POSTGRES)
    try:
        with _database(server) as url:
            figures |= measured("postgresql", url)
    except psycopg.OperationalError as error:
        say(f"PostgreSQL is not measured: {str(error).strip().splitlines()[0]}")
    return figures


def in_a_process(module: str, *arguments: str, url: str | None, **environment: str) -> Figures:
    """The figures that ``python -m module`` prints as JSON, on a data folder of its own. Raises Failed."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        command = [sys.executable, "-m", module, *arguments]
        child = subprocess.run(
            command, env={**_environment(folder, url), **environment}, stdout=subprocess.PIPE, text=True, check=False
        )
    if child.returncode:
        raise Failed(f"{' '.join(command)} ended with {child.returncode}")
    found: Figures = json.loads(child.stdout)
    return found


def _environment(folder: str, url: str | None) -> dict[str, str]:
    """Of this project's variables only those of the measurement."""
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
