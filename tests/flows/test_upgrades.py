"""Databases that older code made are migrated to the tables, indexes and constraints of a new one."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from platform_of import ROOT
from servers import postgres_database

OLDER = Path(__file__).with_name("older.py")
SQUASHED = "0019_rows_by_the_million"  # the last that the squashed migration replaces
_ON_SQLITE = "SELECT type, name, tbl_name, sql FROM sqlite_master"
_ON_POSTGRES = (
    "SELECT table_name, column_name, data_type, is_nullable, column_default, is_identity, character_maximum_length "
    "FROM information_schema.columns WHERE table_schema = 'public'",
    "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid), condeferrable, condeferred "
    "FROM pg_constraint WHERE connamespace = 'public'::regnamespace",
    "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
    "SELECT relname, relkind, reloptions FROM pg_class WHERE relnamespace = 'public'::regnamespace",
)


class Database:
    """A data folder with its own SQLite, or with a database on the server."""

    def __init__(self, folder: Path, url: str | None) -> None:
        inherited = {key: value for key, value in os.environ.items() if key not in ("BROKER_URL", "DATABASE_URL")}
        self._file, self._url = folder / "db.sqlite3", url
        self._environment = {**inherited, "DATA_DIR": str(folder), **({"DATABASE_URL": url} if url else {})}

    def do(self, *command: str) -> str:
        done = subprocess.run(
            [sys.executable, *command], cwd=ROOT, env=self._environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def rows(self, query: str) -> list[tuple]:
        if self._url is None:
            with closing(sqlite3.connect(self._file)) as connection:
                return connection.execute(query).fetchall()
        with psycopg.connect(self._url) as connection:
            return connection.execute(query).fetchall()

    def schema(self) -> set[tuple]:
        """What it consists of; columns in any order, since one that came later stands last."""
        if self._url is None:
            with closing(sqlite3.connect(self._file)) as connection:
                return {(*row[:3], _parts(row[3])) for row in connection.execute(_ON_SQLITE)}
        with psycopg.connect(self._url) as connection:
            rows = [row for query in _ON_POSTGRES for row in connection.execute(query).fetchall()]
        return {tuple(frozenset(part) if isinstance(part, list) else part for part in row) for row in rows}


def _parts(statement: str | None) -> frozenset[str]:
    """Columns and constraints: what the outermost commas part."""
    parts, depth = [""], 0
    for letter in (statement or "").replace('"', ""):
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 1:
            parts.append("")
        else:
            parts[-1] += letter
    head, _, first = parts[0].partition("(")
    return frozenset(part.strip().removesuffix(")") for part in (head, first, *parts[1:]))


@pytest.fixture(params=["sqlite", "postgresql"])
def make(request, tmp_path):
    """Makes databases, all on the same server."""
    if request.param == "sqlite":
        yield lambda name: Database(tmp_path / name, None)
        return
    with postgres_database() as older, postgres_database() as newer:
        yield lambda name: Database(tmp_path / name, {"older": older, "newer": newer}[name])


@pytest.mark.slow
@pytest.mark.parametrize("stands_at", ["0010_symmetry", "0013_atom_steps", SQUASHED])
def test_whatever_a_database_stood_at_it_becomes_what_a_new_one_is(make, stands_at):
    older, newer = make("older"), make("newer")
    older.do(str(OLDER), stands_at)

    older.do("manage.py", "migrate")
    newer.do("manage.py", "migrate")

    assert older.schema() == newer.schema()
    assert "No planned migration operations" in older.do("manage.py", "migrate", "--plan")


@pytest.mark.slow
def test_wishes_to_withdraw_are_given_the_season_of_their_candidate(make):
    older = make("older")
    older.do(str(OLDER), "0021_dumps_that_rest")

    older.do("manage.py", "migrate")

    found = older.rows(
        "SELECT w.season_id = c.season_id, s.slug, c.arrival, w.done_at IS NULL "
        "FROM philately_withdrawal w JOIN philately_candidate c ON c.id = w.candidate_id "
        "JOIN philately_season s ON s.id = c.season_id ORDER BY w.id"
    )
    assert [(bool(same), slug, arrival, bool(waits)) for same, slug, arrival, waits in found] == [
        (True, "first", 1, False),
        (True, "first", 2, True),
        (True, "second", 1, False),
        (True, "second", 2, True),
    ]


@pytest.mark.slow
def test_one_that_has_all_that_is_squashed_is_not_touched(make):
    older = make("older")
    older.do(str(OLDER), SQUASHED)

    planned = older.do("manage.py", "migrate", "philately", "0001_squashed_0019", "--plan")

    assert "No planned migration operations" in planned
