"""Keeps child processes running: starts them, restarts those that die, ends them all when told to."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import FrameType

log = logging.getLogger(__name__)

_PR_SET_PDEATHSIG = 1
_STEADY_S = 30.0  # a child that lived this long may be restarted at once


@dataclass(slots=True)
class Child:
    """One process to keep running. stop_s: how long it may take to end before it is killed."""

    name: str
    command: Sequence[str]
    stop_s: float = 10.0
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    restarts: int = 0
    start_at: float = 0.0


@dataclass(slots=True)
class Supervisor:
    """Runs until ``stop`` is called or SIGTERM or SIGINT arrives."""

    children: list[Child]
    environment: Mapping[str, str]
    stopping: bool = field(default=False, init=False)

    def run(self) -> None:
        """Start everything and watch it; returns when all children have ended."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._told)
        while not self.stopping:
            for child in self.children:
                self._watch(child)
            time.sleep(0.2)
        self._end()

    def _told(self, signum: int, frame: FrameType | None) -> None:
        self.stopping = True

    def _watch(self, child: Child) -> None:
        now = time.monotonic()
        if child.process is not None:
            code = child.process.poll()
            if code is None:
                return
            _end_group(child.process, signal.SIGKILL)  # what a killed parent left behind
            child.restarts = 0 if now - child.started > _STEADY_S else child.restarts + 1
            wait = min(30.0, 0.5 * 2 ** min(child.restarts, 6)) if child.restarts > 1 else 0.0
            log.warning("%s ended with %s and is started again in %.1f s", child.name, code, wait)
            child.process, child.start_at = None, now + wait
        if now >= child.start_at:
            child.process, child.started = self._start(child), now

    def _start(self, child: Child) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            child.command, env=dict(self.environment), start_new_session=True, preexec_fn=_die_with_parent
        )

    def _end(self) -> None:
        """Ask every child to end, then insist."""
        running = [child for child in self.children if child.process is not None]
        for child in running:
            assert child.process is not None
            if child.process.poll() is None:
                child.process.terminate()
        for child in running:
            assert child.process is not None
            try:
                child.process.wait(timeout=child.stop_s)
            except subprocess.TimeoutExpired:
                log.warning("%s did not end within %.0f s and is killed", child.name, child.stop_s)
            _end_group(child.process, signal.SIGKILL)
            child.process.wait()


def _die_with_parent() -> None:
    """Linux ends the child when the supervisor itself is killed, so that no worker outlives it unseen."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _end_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Signal everything in the child's process group; it may be gone already."""
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return
