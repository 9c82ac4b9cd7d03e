"""A whole platform of its own for a test: processes, data folder, database and broker."""

import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alloys import archive

ROOT = Path(__file__).resolve().parents[2]
DRIVER = Path(__file__).with_name("driver.py")


@dataclass(slots=True)
class Platform:
    """``manage.py up`` without the web server, and what a test does to it."""

    environment: dict[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    obeying: subprocess.Popen[str] | None = None  # the driver
    address: str = ""

    def driver(self, *deed: str, timeout_s: float = 120) -> Any:
        """Do a deed of the driver, which stays the same process; returns what it printed as JSON, if anything."""
        obeying = self.obeying = self.obeying or self._obeying()
        assert obeying.stdin is not None
        assert obeying.stdout is not None
        obeying.stdin.write(json.dumps(deed) + "\n")
        obeying.stdin.flush()
        answers, _, _ = select.select([obeying.stdout], [], [], timeout_s)
        told = obeying.stdout.readline() if answers else ""
        assert told, f"{deed} failed or took {timeout_s:g} s\n{self._complaints.read_text()}\n{self.last_lines()}"
        printed = json.loads(told)
        return json.loads(printed) if printed.strip() else None

    def _obeying(self) -> subprocess.Popen[str]:
        """Starting a driver takes two seconds of a processor, so that one does all deeds."""
        with self._complaints.open("ab") as complaints:
            return subprocess.Popen(
                [sys.executable, str(DRIVER), "obey"],
                env=self.environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=complaints,
                text=True,
            )

    @property
    def _complaints(self) -> Path:
        return self.log.with_name("driver.log")

    def last_lines(self) -> str:
        """The end of what its processes said."""
        return self.log.read_text()[-4000:] if self.log.exists() else ""

    def start(self, *options: str, web: bool = False) -> None:
        """Start it; with the web server also the practice season."""
        without = [] if web else ["--no-web", "--no-season"]
        command = [sys.executable, "manage.py", "up", "--relax-workers", "2", *without, *options]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, env=self.environment, stdout=log, stderr=log)

    def stop(self) -> int:
        """End it as an administrator would; returns its exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)

    def wait_until_final(self, seconds: float) -> dict[str, int]:
        """Wait for every candidate to end; returns how many ended in which state."""
        return self.wait_for("final", 0, seconds)

    def wait_for(self, state: str, at_least: int, seconds: float = 120) -> dict[str, int]:
        """Wait until so many candidates are in this state, or everything is final."""
        return dict(self.driver("wait", state, str(at_least), str(seconds), timeout_s=seconds + 60))

    def children(self, name: str) -> list[int]:
        """Processes of this platform whose command line names this worker: parse, relax-1, place, sweep."""
        assert self.process is not None
        found = []
        for pid in _descendants(self.process.pid):
            try:
                command = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
            except OSError:
                continue
            if any(part == name or part.startswith(f"{name}@") for part in command):
                found.append(pid)
        return found

    def kill(self, name: str) -> list[int]:
        """``kill -9`` a worker with its children; returns the processes that were killed."""
        killed = self.children(name)
        assert killed, f"no process named {name}"
        for pid in killed:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        return killed


def _descendants(pid: int) -> list[int]:
    found = []
    for child in _children_of(pid):
        found += [child, *_descendants(child)]
    return found


def _children_of(pid: int) -> list[int]:
    children: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children += map(int, task.read_text().split())
        except OSError:
            continue
    return children


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def platform(folder: Path, **environment: str) -> Iterator[Platform]:
    """A platform in this folder with short leases; whatever still runs at the end is ended."""
    folder.mkdir(parents=True, exist_ok=True)
    inherited = {key: value for key, value in os.environ.items() if key not in ("BROKER_URL", "DATABASE_URL")}
    settings = {
        "DATA_DIR": str(folder / "data"),
        "LEASE_S": "4",
        "SEQUENCER_LEASE_S": "4",
        "SWEEP_EVERY_S": "0.5",
        "RETRY_AFTER_S": "0.2",
        "SHARD_SIZE": "25",
        "RELAX_CLAIM_ATOMS": "24",
        "OMP_NUM_THREADS": "1",
    }
    running = Platform({**inherited, **settings, **environment}, folder / "log")
    try:
        yield running
    finally:
        if running.obeying is not None:
            running.obeying.kill()
            running.obeying.communicate()
        if running.process is not None and running.process.poll() is None:
            running.stop()


def submit_alloys(running: Platform, folder: Path, count: int) -> None:
    """Prepare a season and hand in so many structures as two batches, the second of which repeats part of the first."""
    running.driver("prepare")
    extra = {"notes.cif": "not a CIF at all", "empty.cif": ""}
    first = count // 3
    for name, packed in (
        ("anna", archive(first - len(extra), extra=extra)),
        ("boris", archive(count - first)),
    ):
        file = folder / f"{name}.zip"
        file.write_bytes(packed)
        running.driver("submit", str(file), name)
