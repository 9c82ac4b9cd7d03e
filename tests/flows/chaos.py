"""A season that is disturbed while it runs: what is done to it, and how long it takes to go on."""

import os
import random
import signal
import sqlite3
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from own_servers import wait_until
from platform_of import ROOT, Platform, platform

from benchmark.season_crystals import archive

WORKERS = ("parse", "relax-1", "relax-2", "place", "sweep")
ELEMENTS = ("Ag", "Al", "Au", "Cu", "Mg", "Nb", "Pd", "Pt", "Ti", "Zr")  # few, so that much of it meets again
FINAL = {"placed", "rejected", "parked"}  # what may become of these structures when nothing of ours is lost
MEMBERS = ("anna", "boris", "clara")
PATIENCE_S = 90.0
DEED_S = 3600.0  # ten thousand structures in one process
WAVE_S = 1.0  # about as long as an upload of some dozen structures is under way
_STATES = "SELECT state, count(*) FROM philately_candidate GROUP BY state"


@dataclass(slots=True)
class Disturbed:
    """A platform with a season, what was handed in so far, and what was done to it."""

    running: Platform
    dice: random.Random
    count: int = 0
    recoveries: list[tuple[str, float]] = field(default_factory=list)

    def submit(self, *counts: int) -> None:
        """An upload each, of members in turn."""
        for number in counts:
            member = MEMBERS[self.count % len(MEMBERS)]
            file = self.running.log.with_name(f"{self.count}.zip")
            file.write_bytes(archive(number, ELEMENTS, spoilt=True, skip=self.count))
            self.running.driver("submit", str(file), member, timeout_s=DEED_S)
            self.count += number

    def result(self) -> dict:
        return dict(self.running.driver("result", "storage", timeout_s=DEED_S))

    def states(self) -> dict[str, int]:
        """How many candidates are in which state; nothing while the database does not answer."""
        url = self.running.environment.get("DATABASE_URL")
        try:
            if url is not None:
                with psycopg.connect(url, connect_timeout=2) as connection:
                    return dict(connection.execute(_STATES).fetchall())
            file = Path(self.running.environment["DATA_DIR"]) / "db.sqlite3"
            with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=10)) as connection:
                return dict(connection.execute(_STATES).fetchall())
        except (psycopg.OperationalError, sqlite3.OperationalError):
            return {}

    def done(self) -> int:
        return sum(number for state, number in self.states().items() if state in FINAL)

    def wait_for(self, number: int) -> None:
        """Until so many structures are done."""
        patience_s = PATIENCE_S + number / 2  # two a second on the busiest of machines
        try:
            wait_until(lambda: self.done() >= number, patience_s, f"{number} of {self.count} done")
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.states()}\n{self.running.last_lines()}") from None

    def wave(self, count: int, what: str, disturb: Callable[[], object]) -> None:
        """Hand so many in, disturb their way at a moment drawn by chance, and wait until they are done."""
        before = sum(self.states().values())
        self.submit(count)
        wait_until(lambda: sum(self.states().values()) > before, PATIENCE_S, "an upload is read")
        time.sleep(self.dice.uniform(0.0, WAVE_S))
        disturb()
        began = time.monotonic()
        self.wait_for(self.count)
        self.recoveries.append((what, time.monotonic() - began))

    def kill_one(self) -> None:
        """``kill -9`` a worker drawn by chance: all of it, or one of its processes."""
        pids = self.running.children(self.dice.choice(WORKERS))
        if pids and self.dice.random() < 0.5:
            pids = [self.dice.choice(pids)]
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@contextmanager
def season(folder: Path, *, seed: int = 1, **environment: str) -> Iterator[Disturbed]:
    """A platform with a season on the Morse potential; it is not started yet."""
    with platform(folder, **environment) as running:
        running.driver("prepare", "morse", *ELEMENTS)
        yield Disturbed(running, random.Random(seed))


def finished(disturbed: Disturbed) -> dict:
    """Its result, once all is done and the platform has ended in good order; nothing may be left lying about."""
    disturbed.wait_for(disturbed.count)
    assert disturbed.running.stop() == 0
    return disturbed.result()


def assert_nothing_lost_or_doubled(result: dict, expected: dict, count: int) -> None:
    """Each structure once and in one final state, and everything that was decided equal to the bit."""
    assert [row[0] for row in result["candidates"]] == list(range(1, count + 1))
    assert {row[1] for row in result["candidates"]} <= FINAL
    placed = [row[0] for row in result["candidates"] if row[1] == "placed"]
    assert [row[0] for row in result["placements"]] == placed
    for what in expected:
        assert result[what] == expected[what], what


_CLOCKS = '''"""A clock of its own for each worker of this platform, moved while it runs: tests/flows/chaos.py."""

import mmap
import os
import struct
import sys
import time
from datetime import datetime, timezone

_ROLES = ("parse@", "relax-1@", "relax-2@", "place@", "sweep")
_command = " ".join(sys.orig_argv)
_mine = next((number for number, role in enumerate(_ROLES) if role in _command), None)

if _mine is not None:
    import django.utils.timezone

    with open(os.environ["CLOCKS"], "rb") as _file:
        _shifts = mmap.mmap(_file.fileno(), 0, prot=mmap.PROT_READ)
    _time, _time_ns = time.time, time.time_ns

    def _shift():
        return struct.unpack_from("<d", _shifts, 8 * _mine)[0]

    time.time = lambda: _time() + _shift()
    time.time_ns = lambda: _time_ns() + int(1e9 * _shift())
    django.utils.timezone.now = lambda: datetime.fromtimestamp(time.time(), timezone.utc)
'''


class Clocks:
    """Moves the clocks of each worker while they run: Python's ``time`` and what Django takes for now."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "clocks"
        self._folder.mkdir(parents=True)
        (self._folder / "sitecustomize.py").write_text(_CLOCKS)
        self._file = self._folder / "shifts"
        self._file.write_bytes(bytes(8 * len(WORKERS)))

    @property
    def environment(self) -> dict[str, str]:
        return {"PYTHONPATH": str(self._folder), "CLOCKS": str(self._file)}

    def move(self, *hours: float) -> None:
        """Of parse, relax-1, relax-2, place and sweep."""
        assert len(hours) == len(WORKERS)
        with self._file.open("r+b") as file:
            file.write(struct.pack(f"<{len(hours)}d", *(3600.0 * one for one in hours)))


@contextmanager
def small_disk(folder: Path, n_bytes: int) -> Iterator[Path]:
    """A file system of its own in memory, soon full. Raises PermissionError where none can be mounted."""
    folder.mkdir(parents=True, exist_ok=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={n_bytes},mode=0777", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        raise PermissionError(mounted.stderr.strip())
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def manage(running: Platform, *arguments: str, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
    """A command of the platform."""
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=running.environment,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
