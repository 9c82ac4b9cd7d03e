"""SQLite's write-ahead log begins again, also where somebody reads all the time; and never against a reader."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connection

from philately.domain import write_ahead
from philately.domain.sweep import sweep
from philately.models import User

pytestmark = [
    pytest.mark.skipif(connection.vendor != "sqlite", reason="the log is SQLite's"),
    pytest.mark.django_db(transaction=True),
]


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The log of the database, long."""
    monkeypatch.setattr(write_ahead, "LONG_BYTES", 1)
    User.objects.create_user("ann")
    return Path(f"{connection.settings_dict['NAME']}-wal")


@pytest.fixture
def other() -> Iterator[sqlite3.Connection]:
    """Another process's."""
    opened = sqlite3.connect(connection.settings_dict["NAME"])
    yield opened
    opened.close()


def test_a_long_log_is_written_back_and_cut_off_by_the_sweeper(log: Path, other: sqlite3.Connection) -> None:
    assert log.stat().st_size > 0

    sweep()

    assert log.stat().st_size == 0
    assert other.execute("SELECT username FROM philately_user").fetchall() == [("ann",)]


def test_a_short_log_is_left_alone(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write_ahead, "LONG_BYTES", 10**9)
    length = log.stat().st_size

    assert not write_ahead.keep_short()

    assert log.stat().st_size == length > 0


def test_whoever_reads_what_is_older_goes_on_reading_it(log: Path, other: sqlite3.Connection) -> None:
    other.execute("BEGIN")
    seen = other.execute("SELECT username FROM philately_user").fetchall()
    User.objects.create_user("bob")

    assert not write_ahead.keep_short()

    assert log.stat().st_size > 0
    assert other.execute("SELECT username FROM philately_user").fetchall() == seen == [("ann",)]
    other.rollback()
    assert write_ahead.keep_short()
    assert log.stat().st_size == 0
    assert User.objects.count() == 2


def test_writers_are_as_patient_as_before(log: Path) -> None:
    def patience() -> int:
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA busy_timeout")
            return int(cursor.fetchone()[0])

    before = patience()

    assert write_ahead.keep_short()

    assert patience() == before == 60_000
