"""A backup is restored elsewhere: a database of some moment, and the files of a later one."""

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest
from ase.build import bulk
from django.conf import settings as project_settings
from django.db import connection
from driving import cif, first_texts, ordered_alloy, run_all, submit

from philately.domain.dumps import refresh
from philately.queries.dumps import latest_dump

SCRIPT = Path(__file__).with_name("restored.py")
LATER = {"Ag3Pt.cif": cif(ordered_alloy("Ag", "Pt", lattice_ang=4.0)), "Ni.cif": cif(bulk("Ni"))}
OTHERS = {"Ni3Pd.cif": cif(ordered_alloy("Ni", "Pd", lattice_ang=3.6))}
WRITTEN_MEANWHILE = 20


def back_up_database(path):
    """By the document's statement, while another connection writes sessions."""
    operations = (project_settings.BASE_DIR / "docs" / "operations.md").read_text()
    [statement] = re.findall(r'^sqlite3 data/db\.sqlite3 "(.+?)"', operations, re.M)
    opened = [sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None) for _ in range(2)]
    reader, writer = opened
    numbers = iter(range(WRITTEN_MEANWHILE))

    def write():
        for number in islice(numbers, 1):
            row = (f"written-meanwhile-{number}", "", "2027-01-01")
            writer.execute("INSERT INTO django_session (session_key, session_data, expire_date) VALUES (?, ?, ?)", row)
        return 0

    reader.set_progress_handler(write, 100)  # steps of SQLite's machine
    reader.execute(statement.replace("philately.sqlite3", str(path)))
    for one in opened:
        one.close()


def sessions_in(database):
    opened = sqlite3.connect(database)
    (rows,) = opened.execute("SELECT count(*) FROM django_session").fetchone()
    opened.close()
    return rows


def restored(folder, **asked):
    """What a process on the restored installation tells."""
    own = {"DATA_DIR": str(folder), "DATABASE_URL": f"sqlite:///{folder}/db.sqlite3", "BROKER_URL": "memory://"}
    done = subprocess.run(
        [sys.executable, str(SCRIPT)],
        env={**os.environ, **own},
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.django_db(transaction=True)
def test_an_older_database_with_newer_files_is_whole_and_goes_on(season, participant, settings, tmp_path):
    if connection.vendor != "sqlite":
        pytest.skip("the backup here is SQLite's")
    submit(participant, first_texts())
    run_all(season)
    refresh(season.pk)
    offered = latest_dump(season)
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    back_up_database(folder / "db.sqlite3")
    assert sessions_in(folder / "db.sqlite3") < sessions_in(connection.settings_dict["NAME"]) == WRITTEN_MEANWHILE
    lost = submit(participant, LATER)  # lost with the database; its files are not
    run_all(season)
    refresh(season.pk)
    shutil.copytree(settings.MEDIA_ROOT, folder / "files")
    shutil.rmtree(folder / "files" / offered.stored_in)  # replaced and removed since

    told = restored(folder, texts=LATER, others=OTHERS)

    assert told["found"] == told["found_after"] == []
    assert len(told["before"]) == len(first_texts())
    assert told["other"] == lost.pk  # the number that the lost batch had, whose shards are in the storage
    assert told["states"] == ["read", "read", "read"]
    files = [row[0] for row in told["after"]]
    assert files == [*first_texts(), *OTHERS, *LATER]
    assert {row[1] for row in told["after"]} == {"placed", "rejected", "parked"}
    assert (told["offered"], told["made"]) == (False, True)
