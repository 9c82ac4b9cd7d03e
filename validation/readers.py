"""Phase 1 of texts from strangers, in child processes that are killed when a text hangs or takes too much memory."""

from __future__ import annotations

import math
import select
import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from types import TracebackType

from validation.answers import Read, Terms, Text
from validation.children import Child
from validation.rules import Rules
from validation.seats import ReadingLimits, Seat, Task

_CHUNK_TEXTS = 32  # sent at a time, as soon as a child has no more than so many left
_CHUNK_BYTES = 1 << 18
_LOOK_AHEAD = 128  # texts a child that may be under way or done before the first of them is
_COLLECTED_S = 0.01  # answers come together: to wake up for each costs more than to understand it
_LOOK_EVERY_S = 0.005  # at a child that reads what another one died of


class Readers(AbstractContextManager["Readers"]):
    """Children that are kept from call to call. Not for several threads at once; children end with their thread.

    program: the module that children run; anything else than ``validation.child`` is for tests.
    """

    def __init__(
        self,
        rules: Rules,
        known_elements: frozenset[str],
        *,
        n_children: int = 1,
        limits: ReadingLimits | None = None,
        with_space_group: bool = False,
        with_fingerprints: bool = False,
        program: str = "validation.child",
    ) -> None:
        self._terms = Terms(rules, known_elements, with_space_group, with_fingerprints)
        self._seats = [Seat(program, limits or ReadingLimits()) for _ in range(n_children)]
        self._is_reading = False

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all children. Reading again starts others."""
        for seat in self._seats:
            seat.leave()

    def pids(self) -> list[int]:
        """Of the children that live."""
        return [seat.child.pid for seat in self._seats if seat.child is not None]

    def read(
        self, texts: Iterable[Text], *, rules: Rules | None = None, known_elements: frozenset[str] | None = None
    ) -> Generator[Read]:
        """One result a text, in order; texts are taken as there is room for them. Raises CannotRead.

        rules, known_elements: instead of those given before, from now on. A text that does not end in time, or takes
        too much memory, is a Rejected like any other; one at which a child dies is read again in a fresh child, alone,
        and is a Fault where that dies, too. One iterator at a time: a second raises RuntimeError.
        """
        if self._is_reading:
            raise RuntimeError("these readers are still reading something else")
        old = self._terms
        known_elements = old.known_elements if known_elements is None else known_elements
        self._terms = replace(old, rules=rules or old.rules, known_elements=known_elements)
        self._is_reading = True
        try:
            yield from self._results(_Source(texts))
        finally:
            self._is_reading = False
            self._abandon()

    def _results(self, source: _Source) -> Iterator[Read]:
        done: dict[int, Read] = {}
        following = 0  # number of the next result
        while True:
            self._fill(source, up_to=following + _LOOK_AHEAD * len(self._seats))
            if source.is_exhausted and not any(seat.tasks for seat in self._seats):
                return
            self._let_answers_collect()
            done.update(self._turn())
            while following in done:
                yield done.pop(following)
                following += 1

    def _fill(self, source: _Source, *, up_to: int) -> None:
        """Give texts with numbers below ``up_to`` to whom they run out, and let everybody work."""
        for seat in sorted(self._seats, key=lambda seat: len(seat.tasks)):
            if len(seat.tasks) <= _CHUNK_TEXTS:
                seat.tasks.extend(source.chunk(min(_CHUNK_TEXTS, up_to - source.taken)))
            seat.work(self._terms)

    def _let_answers_collect(self) -> None:
        """Late answers make no text late: a child that has answered is never out of time."""
        if all(seat.can_be_left_alone for seat in self._seats):
            time.sleep(_COLLECTED_S)

    def _turn(self) -> list[tuple[int, Read]]:
        """Wait until a child answers, takes more text or is late."""
        seats = [(seat, seat.child) for seat in self._seats if seat.child is not None]
        events = _wait([child for _, child in seats], self._patience_s())
        done: list[tuple[int, Read]] = []
        for seat, child in seats:
            if seat.is_suspicious:
                child.look_at_memory()
            if child.texts in events:
                seat.tell()
            if child.answers in events:
                done += seat.listen()
            if seat.time_left_s <= 0:
                done += seat.out_of_time()
        return done

    def _patience_s(self) -> float:
        """How long nobody needs to be looked at."""
        return min(_LOOK_EVERY_S if seat.is_suspicious else seat.time_left_s for seat in self._seats)

    def _abandon(self) -> None:
        """What nobody waits for any more is not read."""
        for seat in self._seats:
            seat.tasks.clear()
            if seat.sent:
                seat.leave()


class _Source:
    """Texts with their numbers, from 0, taken a few at a time."""

    def __init__(self, texts: Iterable[Text]) -> None:
        self._texts = iter(texts)
        self.taken = 0
        self.is_exhausted = False

    def chunk(self, n_texts: int) -> list[Task]:
        """At most so many; fewer where they are long or there are no more."""
        tasks: list[Task] = []
        size = 0
        while len(tasks) < n_texts and size < _CHUNK_BYTES and not self.is_exhausted:
            text = next(self._texts, None)
            if text is None:
                self.is_exhausted = True
                break
            tasks.append(Task(self.taken, text))
            size += len(text.text)
            self.taken += 1
        return tasks


def _wait(children: list[Child], timeout_s: float) -> dict[int, int]:
    """Events by file number, within the time."""
    poll = select.poll()
    for child in children:
        poll.register(child.answers, select.POLLIN)
        if child.has_more_to_send:
            poll.register(child.texts, select.POLLOUT)
    timeout_ms = None if math.isinf(timeout_s) else math.ceil(max(0.0, timeout_s) * 1000)
    return dict(poll.poll(timeout_ms))
