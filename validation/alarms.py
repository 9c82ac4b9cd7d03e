"""Limits in seconds on what the main thread does, by the clock's signal."""

from __future__ import annotations

import faulthandler
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

Handler = Callable[[int, FrameType | None], None] | signal.Handlers

_STDERR = 2
_TO_TELL_S = 1.0  # between the stack that is written and the end


@contextmanager
def alarm(seconds: float, handler: Handler) -> Iterator[None]:
    """Let ``handler`` have SIGALRM after so many seconds, unless the block has ended by then; main thread only."""
    previous = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


@contextmanager
def killed_after(seconds: float) -> Iterator[None]:
    """End this process by SIGALRM unless the block has ended by then; main thread only, and not one in another.

    For what hangs in compiled code, which no exception and no handler in Python reaches; so no sentence can be said
    either, but where it hangs is written to standard error.
    """
    faulthandler.dump_traceback_later(seconds, file=_STDERR)
    try:
        with alarm(seconds + _TO_TELL_S, signal.SIG_DFL):
            yield
    finally:
        faulthandler.cancel_dump_traceback_later()
