"""Celery's pool of processes where its broker has no event loop, as the one on files."""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

log = logging.getLogger(__name__)

_LOOK_EVERY_S = 0.5
_RESTART = 70  # EX_SOFTWARE: whoever started this process starts it again


def end_when_a_child_dies(pool: Any, is_ending: Callable[[], bool]) -> None:
    """Watch Celery's pool in a thread and end this process when one of its children was killed.

    The children of such a pool share one pipe, and whoever waits for work holds its lock. Killed, it keeps the lock for
    ever: its successor waits for that, the worker takes one message more, and nothing ever happens again.
    """
    threading.Thread(target=_watch, args=(pool, is_ending), name="watches the pool", daemon=True).start()


def _watch(pool: Any, is_ending: Callable[[], bool]) -> None:
    known = _pids(pool)
    while not is_ending():
        time.sleep(_LOOK_EVERY_S)
        now = _pids(pool)
        if known - now and not is_ending():
            log.warning("a process of this worker died, and the worker with it: it is to be started again")
            for pid in now:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            os._exit(_RESTART)
        known = now


def _pids(pool: Any) -> set[int]:
    """billiard replaces a process that died within a second; it replaces none that lives. None is left at the end."""
    return {process.pid for process in list(pool._pool._pool)} if pool._pool is not None else set()
