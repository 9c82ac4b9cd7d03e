"""A limit in seconds on what the main thread does, by the clock's signal."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

Handler = Callable[[int, FrameType | None], None] | signal.Handlers


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
