"""Relaxations in several processes, one thread each: on a CPU they do more for a potential than its threads do.

Each process loads the judge for itself and keeps a flight of its own; structures are handed out as there is room, and
each result comes back when it is finished.
"""

from __future__ import annotations

import contextlib
import multiprocessing
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from types import TracebackType
from typing import Self

from validation.crystal import Crystal
from validation.evaluation import OutOfMemory, expected_pairs_of
from validation.flight import Ended, Failed, Flight, Relaxed, UnknownElement
from validation.potentials import Judge, load_judge
from validation.relaxation import TimeLimitExceeded
from validation.rules import RelaxationSettings

_POLL_S = 0.2  # between two looks at ``stop``
_END_S = 10.0  # a process is given to end by itself


class ProcessDied(Exception):
    """A process ended while it had this structure aboard: killed for its memory, perhaps, or by the structure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Duty:
    """What every process of a crew does; sent to it, so it holds names and no weights.

    identity: what the judge that it loads must have, of ``Judge.identity``.
    """

    judge: str
    model: str
    settings: RelaxationSettings
    identity: Mapping[str, str] = field(default_factory=dict)
    pairs_at_once: int | None = None
    time_limit_s: float | None = None

    def load(self) -> Judge:
        """Raises ValueError for another judge than is asked for, and what loading raises."""
        judge = load_judge(self.judge, self.model, threads=1)
        found = judge.identity()
        for name, wanted in self.identity.items():
            if found.get(name) != wanted:
                raise ValueError(f"{self.judge} {self.model}: {name} is {found.get(name)}, asked for is {wanted}")
        return judge


@dataclass(frozen=True, slots=True)
class _NotLoaded:
    """Why a process cannot do its duty."""

    why: str


@dataclass(frozen=True, slots=True)
class _Room:
    """What a process asks for: structures with so many neighbours within the cutoff."""

    pairs: float
    cutoff_ang: float


@dataclass(slots=True, eq=False)
class _Member:
    """A process, what it has in hand by key, and what it asked for and was not given yet."""

    process: SpawnProcess
    line: Connection
    holds: set[Hashable] = field(default_factory=set)
    asked: _Room | None = None


class Crew:
    """Processes that have loaded a judge, for as long as it is entered. size: how many, one a core at most."""

    def __init__(self, duty: Duty, size: int) -> None:
        self._duty, self._size = duty, size
        self._context = multiprocessing.get_context("spawn")  # a fork after torch has computed hangs
        self._members: list[_Member] = []

    def __enter__(self) -> Self:
        self._members = [self._recruit() for _ in range(self._size)]
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for member in self._members:
            member.line.close()  # which it takes as its end
        for member in self._members:
            member.process.join(_END_S)
            member.process.kill()
            member.process.join()
        self._members = []

    def relax(
        self, source: Iterable[tuple[Hashable, Crystal]], *, stop: Callable[[], bool] = lambda: False
    ) -> Iterator[Ended]:
        """As ``validation.flight.relax_batch``. A process that dies is replaced; what it had in hand is Failed.

        Once ``stop`` is true, or where the caller goes no further, the crew is to be left: it has work in hand still.
        Raises RuntimeError where that was not done, ProcessDied where a process cannot even load the judge.
        """
        if any(member.holds for member in self._members):
            raise RuntimeError("this crew was stopped with work in hand")
        coming = iter(source)
        more = True
        while not stop():
            more = more and self._hand_out(coming)
            if not more and not any(member.holds for member in self._members):
                return
            for line in wait([member.line for member in self._members], _POLL_S):
                yield from self._heard(next(member for member in self._members if member.line is line))

    def _hand_out(self, coming: Iterator[tuple[Hashable, Crystal]]) -> bool:
        """Give to whoever asked; says whether there may be more."""
        for member in self._members:
            if member.asked is None:
                continue
            helping = list(_helping(coming, member.asked))
            if not helping:
                return False
            member.holds.update(key for key, _ in helping)
            member.asked = None
            member.line.send(helping)
        return True

    def _heard(self, member: _Member) -> Iterator[Ended]:
        try:
            said = member.line.recv()
        except (EOFError, ConnectionError):
            yield from self._replaced(member)
            return
        if isinstance(said, _NotLoaded):
            raise ProcessDied(f"the judge cannot be loaded: {said.why}")
        if isinstance(said, _Room):
            member.asked = said
        else:
            member.holds.discard(said.key)
            yield said

    def _replaced(self, member: _Member) -> Iterator[Ended]:
        member.line.close()
        member.process.join()
        self._members[self._members.index(member)] = self._recruit()
        code = member.process.exitcode
        if not member.holds:
            raise ProcessDied(f"a process of the crew ended with status {code} and nothing in hand")
        for key in member.holds:
            yield Failed(key, ProcessDied(f"its process ended with status {code}"))

    def _recruit(self) -> _Member:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(self._duty, theirs), daemon=True)
        process.start()
        theirs.close()
        return _Member(process, ours)


def _helping(coming: Iterator[tuple[Hashable, Crystal]], room: _Room) -> Iterator[tuple[Hashable, Crystal]]:
    """As many as there is room for, and one that has to wait."""
    left = room.pairs
    while left >= 0 and (pair := next(coming, None)) is not None:
        left -= expected_pairs_of(pair[1], room.cutoff_ang)
        yield pair


def _serve(duty: Duty, line: Connection) -> None:
    """What a process does: asks for structures while it has room, and says each end; ends when its line does."""
    try:
        judge = duty.load()
    except Exception as error:  # noqa: BLE001 - whatever a loader raises, whoever asked for the crew is told
        line.send(_NotLoaded(f"{type(error).__name__}: {error}"))
        return
    flight = Flight(judge, duty.settings, pairs_at_once=duty.pairs_at_once, time_limit_s=duty.time_limit_s)
    asked = False
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            if flight.hungry and not asked:
                line.send(_Room(flight.room, judge.cutoff_ang))
                asked = True
            if line.poll(0 if flight.unfinished else None):
                for key, crystal in line.recv():
                    flight.add(key, crystal)
                asked = False
            for ended in flight.step():
                line.send(_sendable(ended))


def _sendable(ended: Ended) -> Ended:
    """What a potential raises may not survive the way; its type and message do."""
    if isinstance(ended, Relaxed) or isinstance(ended.error, _OURS):
        return ended
    return Failed(ended.key, RuntimeError(f"{type(ended.error).__name__}: {ended.error}"))


_OURS = (UnknownElement, TimeLimitExceeded, OutOfMemory)
