"""One child process that reads texts from strangers: started, fed, listened to, and ended with all that it started."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from validation.answers import MAX_ANSWER_BYTES
from validation.child import Limits
from validation.frames import BadFrame, Decoder, Fields

_READ_BYTES = 1 << 18
_PIPE_BYTES = 1 << 18  # some dozens of texts: what does not fit wakes the parent once more
_KEPT_VARIABLES = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH", "TMPDIR", "NUMBA_CACHE_DIR")
_AT_THE_LIMIT = 0.7  # of the memory limit: what a process had when last looked at, and that killed it a moment later


class ChildDied(Exception):
    """A child ended, or did not keep to the protocol; the message says which."""


@dataclass(frozen=True, slots=True)
class End:
    """How a child ended. code: as ``subprocess`` has it, negative for a signal.

    of_memory: by a signal that did not come from here, with the memory nearly used up. A library that does not look
    at what ``malloc`` gives it dies so, instead of raising MemoryError.
    """

    code: int
    of_memory: bool = False

    def __str__(self) -> str:
        if self.code >= 0:
            return f"the reading process ended by itself with exit status {self.code}"
        return f"the reading process was ended by {signal.Signals(-self.code).name}"


class Child:
    """Pipes to a fresh interpreter that runs ``program``; it shares nothing with this process but its user.

    It dies with the thread that starts it (Linux), so start it in one that lasts.
    """

    def __init__(self, program: str, *, time_limit_s: float, memory_limit_bytes: int) -> None:
        limits = Limits(time_limit_s, memory_limit_bytes, os.getpid())
        self._memory_limit_bytes = memory_limit_bytes
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", program, *limits.arguments()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            pipesize=_PIPE_BYTES,
            env=_environment(),
            start_new_session=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self.texts, self.answers = self._process.stdin.fileno(), self._process.stdout.fileno()
        os.set_blocking(self.texts, False)
        os.set_blocking(self.answers, False)
        self._outbox = bytearray()
        self._decoder = Decoder(MAX_ANSWER_BYTES)
        self._mapped_bytes = 0
        self.is_ready = False  # it has loaded what it needs and has given up what it does not

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def has_more_to_send(self) -> bool:
        return bool(self._outbox)

    def send(self, frame: bytes) -> bool:
        """As much of it as the pipe takes now; the rest when ``flush`` is called. Says whether something went that had
        been waiting before."""
        waiting = len(self._outbox)
        self._outbox += frame
        self.flush()
        return len(self._outbox) < waiting + len(frame) and waiting > 0

    def flush(self) -> None:
        with suppress(BlockingIOError, BrokenPipeError):  # a pipe that is broken is noticed where answers are received
            while self._outbox:
                del self._outbox[: os.write(self.texts, self._outbox)]

    def receive(self) -> Iterator[tuple[Fields, bytes]]:
        """The answers that have arrived. Raises ChildDied where there will be no more, BadFrame for what is none."""
        with suppress(BlockingIOError):
            data = os.read(self.answers, _READ_BYTES)
            if not data:
                raise ChildDied("it has ended")
            for fields, blob in self._decoder.feed(data):
                if self.is_ready:
                    yield fields, blob
                elif "ready" not in fields:
                    raise BadFrame("an answer before it was ready")
                self.is_ready = True

    def look_at_memory(self) -> None:
        """Note how much it has now. Afterwards nothing tells: what the kernel keeps as the peak of a process that has
        ended includes that of the process which started it."""
        with suppress(OSError):
            pages = Path(f"/proc/{self.pid}/statm").read_text().split()[0]
            self._mapped_bytes = max(self._mapped_bytes, int(pages) * resource.getpagesize())

    def kill(self) -> End:
        """At once, with all that it started; harmless where it has ended already. Only once."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        code = self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
        return End(code, code < 0 and self._mapped_bytes >= _AT_THE_LIMIT * self._memory_limit_bytes)


def _environment() -> dict[str, str]:
    """No secrets; the modules are found where this process finds them."""
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    return {**kept, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
