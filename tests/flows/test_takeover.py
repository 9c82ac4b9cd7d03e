"""Two sequencers on one database: the second takes over when the first dies, and the rows are the same to the bit."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from platform_of import DRIVER, ROOT
from servers import postgres_database

SEQUENCER = Path(__file__).with_name("sequencer.py")
COUNT, CHUNK = 40, 8
LEASE_S = 2.0
PLACING_S = 8.0  # for a cold process to take the run up and place everything, on a machine that is busy


class Surroundings:
    """An environment with one database, and the sequencers that run in it."""

    def __init__(self, folder: Path, database_url: str | None = None) -> None:
        inherited = {key: value for key, value in os.environ.items() if key not in ("BROKER_URL", "DATABASE_URL")}
        own = {"DATA_DIR": str(folder), "SEQUENCER_LEASE_S": str(LEASE_S), "PLACE_CHUNK": str(CHUNK)}
        own["HULL_SNAPSHOT_EVERY"] = str(CHUNK + 3)  # so that there is one, and rows that came later
        self.environment = {**inherited, **own, "OMP_NUM_THREADS": "1", "BROKER_URL": "memory://"}
        if database_url is not None:
            self.environment["DATABASE_URL"] = database_url
        self.running: list[subprocess.Popen[bytes]] = []

    def start(self, *deed: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen([sys.executable, str(SEQUENCER), *deed], cwd=ROOT, env=self.environment)
        self.running.append(process)
        return process

    def do(self, *deed: str) -> None:
        assert self.start(*deed).wait(timeout=60) == 0

    def result(self) -> dict:
        command = [sys.executable, str(DRIVER), "result"]
        return json.loads(subprocess.run(command, env=self.environment, capture_output=True, check=True).stdout)

    def end(self) -> None:
        for process in self.running:
            if process.poll() is None:
                process.kill()
                process.wait()


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A data folder with candidates to be placed."""
    folder = tmp_path_factory.mktemp("prepared") / "data"
    Surroundings(folder).do("prepare", str(COUNT))
    return folder


@pytest.fixture(scope="module")
def undisturbed(prepared, tmp_path_factory):
    with _copy(prepared, tmp_path_factory.mktemp("undisturbed") / "data") as alone:
        alone.do("place", "60")
        result = alone.result()
    assert len(result["placements"]) == COUNT
    assert {row[1] for row in result["log"]} >= {"stable", "dethroned"}
    return result


@pytest.fixture(scope="module")
def prepared_postgres(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepared-postgres") / "data"
    with postgres_database() as url:
        Surroundings(folder, url).do("prepare", str(COUNT))
        yield url.rsplit("/", 1)[1]


@contextmanager
def _copy(prepared: Path, folder: Path):
    surroundings = Surroundings(shutil.copytree(prepared, folder))
    try:
        yield surroundings
    finally:
        surroundings.end()


@pytest.fixture(params=["sqlite", "postgresql"])
def surroundings(request, tmp_path, prepared):
    if request.param == "sqlite":
        with _copy(prepared, tmp_path / "data") as own:
            yield own
        return
    with postgres_database(request.getfixturevalue("prepared_postgres")) as url:
        own = Surroundings(tmp_path / "data", url)
        try:
            yield own
        finally:
            own.end()


def _wait_until_stopped(process: subprocess.Popen[bytes]) -> None:
    """It stops itself where it was told to."""
    _, status = os.waitpid(process.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)


# in the middle of its third chunk; in its second transaction
@pytest.mark.parametrize(
    "stop_itself", [("computing", 2 * CHUNK + 3), pytest.param(("writing", 2), marks=pytest.mark.slow)]
)
def test_a_second_sequencer_goes_on_within_the_lease_of_one_that_was_killed(surroundings, undisturbed, stop_itself):
    first = surroundings.start("stop_itself", *map(str, stop_itself))
    _wait_until_stopped(first)
    second = surroundings.start("place", "60")
    first.kill()
    first.wait()

    killed = time.monotonic()
    assert second.wait(timeout=60) == 0

    assert time.monotonic() - killed < LEASE_S + PLACING_S
    assert surroundings.result() == undisturbed


@pytest.mark.parametrize("surroundings", [pytest.param("sqlite", marks=pytest.mark.slow), "postgresql"], indirect=True)
def test_one_that_was_suspended_and_wakes_up_after_it_lost_the_lock_commits_nothing(surroundings, undisturbed):
    first = surroundings.start("stop_itself", "computing", str(2 * CHUNK + 3))
    _wait_until_stopped(first)
    surroundings.do("place", "60")
    assert surroundings.result() == undisturbed

    first.send_signal(signal.SIGCONT)

    assert first.wait(timeout=60) == 0
    assert surroundings.result() == undisturbed


@pytest.mark.parametrize("surroundings", ["postgresql"], indirect=True)
def test_one_that_was_suspended_inside_its_transaction_is_shut_out_by_the_server(surroundings, undisturbed):
    first = surroundings.start("stop_itself", "writing", "2")
    _wait_until_stopped(first)
    surroundings.do("place", "60")

    first.send_signal(signal.SIGCONT)

    assert first.wait(timeout=60) != 0  # its session is gone
    assert surroundings.result() == undisturbed


@pytest.mark.parametrize("surroundings", ["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)], indirect=True)
def test_an_audit_finds_nothing_at_whatever_moment_of_placing_it_reads(surroundings):
    surroundings.environment["PLACE_CHUNK"] = "1"

    surroundings.do("audit", "60")
