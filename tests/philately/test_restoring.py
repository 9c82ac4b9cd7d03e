"""A backup is restored elsewhere: a database of some moment, and the files of a later one."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from ase.build import bulk
from django.db import connection
from driving import cif, first_texts, ordered_alloy, run_all, submit

from philately.domain.dumps import refresh
from philately.queries.dumps import latest_dump

SCRIPT = Path(__file__).with_name("restored.py")
LATER = {"Ag3Pt.cif": cif(ordered_alloy("Ag", "Pt", lattice_ang=4.0)), "Ni.cif": cif(bulk("Ni"))}
OTHERS = {"Ni3Pd.cif": cif(ordered_alloy("Ni", "Pd", lattice_ang=3.6))}


def back_up_database(path):
    connection.ensure_connection()
    with sqlite3.connect(path) as copy:
        connection.connection.backup(copy)
    copy.close()


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
