"""A season that is disturbed while it runs: what is done to it, and how long it takes to go on."""

import math
import os
import random
import signal
import sqlite3
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from own_servers import wait_until
from platform_of import ROOT, Platform, platform

from benchmark.season_crystals import archive

WORKERS = ("parse", "relax-1", "relax-2", "place", "sweep")
ELEMENTS = ("Ag", "Al", "Au", "Cu", "Mg", "Nb", "Pd", "Pt", "Ti", "Zr")  # few, so that much of it meets again
FINAL = {"placed", "rejected", "parked"}  # what may become of these structures when nothing of ours is lost
PATIENCE_S = 120.0
_STATES = "SELECT state, count(*) FROM philately_candidate GROUP BY state"


@dataclass(slots=True)
class Disturbed:
    """A platform with a season of ``count`` structures under way, and what was done to it."""

    running: Platform
    count: int
    dice: random.Random
    recoveries: list[tuple[str, float]] = field(default_factory=list)

    def states(self) -> dict[str, int]:
        """How many candidates are in which state; nothing while the database does not answer."""
        url = self.running.environment.get("DATABASE_URL")
        try:
            if url is not None:
                with psycopg.connect(url, connect_timeout=2) as connection:
                    return dict(connection.execute(_STATES).fetchall())
            file = Path(self.running.environment["DATA_DIR"]) / "db.sqlite3"
            with sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=10) as connection:
                return dict(connection.execute(_STATES).fetchall())
        except (psycopg.OperationalError, sqlite3.OperationalError):
            return {}

    def done(self) -> int:
        return sum(number for state, number in self.states().items() if state in FINAL)

    def wait_for_share(self, share: float) -> None:
        """Until this share of the structures is done."""
        wanted = math.ceil(share * self.count)
        wait_until(lambda: self.done() >= wanted, self._patience(share), f"{wanted} of {self.count} done")

    def _patience(self, share: float) -> float:
        return PATIENCE_S + share * self.count / 2  # two a second on the busiest of machines

    def recovers(self, what: str) -> None:
        """Wait until it goes on after what was done, and remember how long that took."""
        began, before = time.monotonic(), self.done()
        if before < self.count:
            wait_until(lambda: self.done() > max(before, 0), PATIENCE_S, f"it goes on after: {what}")
        self.recoveries.append((what, time.monotonic() - began))

    def kill_one(self) -> None:
        """``kill -9`` a worker drawn by chance: all of it, or one of its processes."""
        name = self.dice.choice(WORKERS)
        pids = self.running.children(name)
        if pids and self.dice.random() < 0.5:
            pids = [self.dice.choice(pids)]
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.recoveries.append((f"kill of {name}", math.nan))

    def kills(self, count: int, *, until_share: float) -> None:
        """So many, spread over what is left up to this share."""
        begins = self.done() / self.count
        for number in range(1, count + 1):
            self.wait_for_share(begins + (until_share - begins) * number / (count + 1))
            self.kill_one()
        self.recovers(f"{count} kills")


Fault = Callable[[Disturbed], None]


@contextmanager
def season(folder: Path, count: int, *, seed: int = 1, **environment: str) -> Iterator[Disturbed]:
    """A platform with two uploads of so many structures together; it is not started yet."""
    with platform(folder, **{"OMP_NUM_THREADS": "1", **environment}) as running:
        running.driver("prepare", "morse", *ELEMENTS)
        for name, (skip, number) in {"anna": (0, count // 3), "boris": (count // 3, count - count // 3)}.items():
            file = folder / f"{name}.zip"
            file.write_bytes(archive(number, ELEMENTS, spoilt=True, skip=skip))
            running.driver("submit", str(file), name)
        yield Disturbed(running, count, random.Random(seed))


def finished(disturbed: Disturbed) -> dict:
    """Its result, once all is done and the platform has ended in good order; nothing may be left lying about."""
    disturbed.wait_for_share(1.0)
    assert disturbed.running.stop() == 0
    return disturbed.running.driver("result", "storage", timeout_s=120 + disturbed.count / 5)


def assert_nothing_lost_or_doubled(result: dict, expected: dict, count: int) -> None:
    """Each structure once and in one final state, and everything that was decided equal to the bit."""
    assert [row[0] for row in result["candidates"]] == list(range(1, count + 1))
    assert {row[1] for row in result["candidates"]} <= FINAL
    placed = [row[0] for row in result["candidates"] if row[1] == "placed"]
    assert [row[0] for row in result["placements"]] == placed
    for what in expected:
        assert result[what] == expected[what], what


_CLOCKS = '''"""A clock of its own for each worker of this platform, moved while it runs: tests/flows/chaos.py."""

import datetime
import mmap
import os
import struct
import sys
import time

_ROLES = ("parse@", "relax-1@", "relax-2@", "place@", "sweep")
_command = " ".join(sys.orig_argv)
_mine = next((number for number, role in enumerate(_ROLES) if role in _command), None)

if _mine is not None:
    with open(os.environ["CLOCKS"], "rb") as _file:
        _shifts = mmap.mmap(_file.fileno(), 0, prot=mmap.PROT_READ)
    _time, _time_ns = time.time, time.time_ns

    def _shift():
        return struct.unpack_from("<d", _shifts, 8 * _mine)[0]

    time.time = lambda: _time() + _shift()
    time.time_ns = lambda: _time_ns() + int(1e9 * _shift())

    class _Kind(type(datetime.datetime)):
        def __instancecheck__(cls, one):
            return isinstance(one, _datetime)

    _datetime = datetime.datetime

    class datetime_(_datetime, metaclass=_Kind):
        @classmethod
        def now(cls, tz=None):
            return _datetime.fromtimestamp(time.time(), tz)

        @classmethod
        def utcnow(cls):
            return _datetime.fromtimestamp(time.time(), datetime.timezone.utc).replace(tzinfo=None)

        @classmethod
        def today(cls):
            return cls.now()

    datetime.datetime = datetime_
'''


class Clocks:
    """Moves the clocks that Python shows to each worker, while they run; C code and other servers keep theirs."""

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
