"""The seat of one child after another: what it is given to read, and what its end says about the text it was at."""

from __future__ import annotations

import math
import signal
import time
from collections import deque
from dataclasses import dataclass, field
from itertools import islice

from validation.answers import Fault, OutOfMemory, Read, Terms, Text, decode_answer, encode_texts
from validation.children import Child, ChildDied, End
from validation.frames import BadFrame, Fields, encode
from validation.rules import Reason, Rejected

DEFAULT_MEMORY_BYTES = 2 << 30
_START_LIMIT_S = 300.0  # after an installation it may have to compile
_WELL_FED = 24  # texts that a child has yet to answer; fewer, and it may soon have nothing to do
_RECYCLED_AFTER = 20_000  # texts; libraries leak


class CannotRead(RuntimeError):
    """Children do not even start; the message says how they end. Nothing is known about any text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingLimits:
    """What one text may cost. memory_bytes: address space of its process, of which libraries take about 0.4 GB."""

    time_s: float = 20.0  # on the clock
    memory_bytes: int = DEFAULT_MEMORY_BYTES

    def too_slow(self) -> Read:
        sentence = f"reading and checking it took longer than {self.time_s:g} s"
        return Read(rejection=Rejected(Reason.TOO_SLOW, sentence))

    def too_large(self) -> Read:
        sentence = f"reading and checking it takes more than {self.memory_bytes:,} bytes of memory, the limit allowed"
        return Read(rejection=Rejected(Reason.TOO_LARGE, sentence))


@dataclass(slots=True)
class Task:
    number: int
    text: Text
    is_suspect: bool = False  # a child died of it, perhaps; it is read once more, alone


@dataclass(slots=True)
class Seat:
    """The place of one child after another. Tasks stay here until they are answered, so none is lost with a child."""

    program: str
    limits: ReadingLimits
    tasks: deque[Task] = field(default_factory=deque)
    child: Child | None = None
    sent: int = 0  # of the tasks, from the first
    answered: int = 0  # by this child
    heard: float = 0.0  # when the first task began, or the child was started
    terms: Terms | None = None  # that this child has

    @property
    def time_left_s(self) -> float:
        """Until the text that the child is at, or its start, has taken too long; endless where it has none."""
        if self.child is None or not self.sent:
            return math.inf
        limit = self.limits.time_s if self.child.is_ready else _START_LIMIT_S
        return self.heard + limit - time.monotonic()

    @property
    def is_suspicious(self) -> bool:
        """Whether a text is read that may have ended a child before."""
        return bool(self.child is not None and self.sent and self.tasks[0].is_suspect)

    @property
    def can_be_left_alone(self) -> bool:
        """Whether the child has nothing to do, or enough for some milliseconds in which nobody need look at it."""
        if self.child is None or not self.sent:
            return True
        fed = self.child.is_ready and not self.child.has_more_to_send and self.sent >= _WELL_FED
        return fed and not self.is_suspicious

    def work(self, terms: Terms) -> None:
        """Send what the child may have; start it where there is none."""
        if self.child is not None and self.answered >= _RECYCLED_AFTER and not self.sent:
            self.leave()
        waiting = self._sendable()
        if not waiting:
            return
        if self.child is None:
            self.child = Child(
                self.program, time_limit_s=self.limits.time_s, memory_limit_bytes=self.limits.memory_bytes
            )
        if self.terms != terms:
            if self.child.send(encode({"terms": terms.fields()})):
                self.heard = time.monotonic()
            self.terms = terms
        went_on = self.child.send(encode_texts(task.text for task in waiting))
        if went_on or not self.sent:  # a text that has not arrived yet has not begun
            self.heard = time.monotonic()
        self.sent += len(waiting)

    def _sendable(self) -> list[Task]:
        if self.answered + self.sent >= _RECYCLED_AFTER:
            return []
        if self.tasks and self.tasks[0].is_suspect:
            return [] if self.sent else [self.tasks[0]]
        return list(islice(self.tasks, self.sent, None))

    def listen(self) -> list[tuple[int, Read]]:
        """Numbers and results of what has been answered, or of the text at which the child ended."""
        if self.child is None:
            return []
        done: list[tuple[int, Read]] = []
        was_ready = self.child.is_ready
        try:
            for fields, blob in self.child.receive():
                done.append(self._answer(fields, blob))
        except OutOfMemory:
            done += self._ran_out_of_memory()
        except (ChildDied, BadFrame) as problem:
            done += self._lost(problem)
        else:
            if not was_ready and self.child.is_ready:
                self.heard = time.monotonic()
        return done

    def tell(self) -> None:
        """Go on sending. A text that has not arrived yet has not begun."""
        if self.child is not None:
            self.child.flush()
            self.heard = time.monotonic()

    def out_of_time(self) -> list[tuple[int, Read]]:
        """End the child; only the text that it is at is lost."""
        assert self.child is not None
        if not self.child.is_ready:
            raise CannotRead(f"a reading process was not ready after {_START_LIMIT_S:g} s")
        self.leave()
        return [self._finish(self.limits.too_slow())]

    def leave(self) -> End | None:
        """End the child, whatever it is at; the next one is sent all tasks again."""
        child, self.child = self.child, None
        self.sent = self.answered = 0
        self.terms = None
        return child.kill() if child is not None else None

    def _answer(self, fields: Fields, blob: bytes) -> tuple[int, Read]:
        if not self.sent:
            raise BadFrame("an answer to no question")
        read = decode_answer(fields, blob)
        self.heard = time.monotonic()
        self.sent -= 1
        self.answered += 1
        return self._finish(read)

    def _finish(self, read: Read) -> tuple[int, Read]:
        return self.tasks.popleft().number, read

    def _ran_out_of_memory(self) -> list[tuple[int, Read]]:
        """The text's fault in a fresh process; else perhaps that of the texts before it."""
        was_fresh = not self.answered
        self.leave()
        if was_fresh:
            return [self._finish(self.limits.too_large())]
        self.tasks[0].is_suspect = True
        return []

    def _lost(self, problem: ChildDied | BadFrame) -> list[tuple[int, Read]]:
        """A child has ended by itself, or is ended because it sends nonsense."""
        child, was_at_work = self.child, self.sent > 0
        end = self.leave()
        assert child is not None
        assert end is not None
        if not child.is_ready:
            raise CannotRead(f"{end}, before it was ready")
        if not was_at_work:
            return []
        if end.code == -signal.SIGXCPU:
            return [self._finish(self.limits.too_slow())]
        if not self.tasks[0].is_suspect:
            self.tasks[0].is_suspect = True
            return []
        if isinstance(problem, BadFrame):
            return [self._finish(_died(f"the reading process broke the protocol: {problem}"))]
        return [self._finish(self.limits.too_large() if end.of_memory else _died(str(end)))]


def _died(message: str) -> Read:
    return Read(fault=Fault(ChildDied.__name__, message))
