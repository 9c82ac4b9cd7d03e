"""The engine of a build: tasks are relaxed many at once, in one process or several, each outcome given at once."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, cast

from validation.attempts import ATTEMPT_LIMIT_S, Attempt, TaskT, attempt_of, may_go_on, overdue
from validation.crew import Crew, Duty
from validation.crystal import Crystal
from validation.flight import Ended, Failed, relax_batch
from validation.potentials import Judge
from validation.relaxation import TimeLimitExceeded, displaced
from validation.rules import RelaxationSettings


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a build is, after an attempt. remaining_s: expected, from the cost of what is left; None at first."""

    attempt: Attempt[Any]
    done: int
    total: int
    remaining_s: float | None

    def __str__(self) -> str:
        energy = self.attempt.energy_per_atom
        outcome = self.attempt.refused or "sane"
        found = "no energy" if energy is None else f"{energy:.4f} eV/atom"
        left = "" if self.remaining_s is None else f", {self.remaining_s / 60:.1f} min left"
        return f"{self.done}/{self.total} {self.attempt.task}: {found}, {outcome}{left}"


def build(
    tasks: Sequence[TaskT],
    judge: Judge,
    settings: RelaxationSettings,
    *,
    done: Iterable[Attempt[TaskT]] = (),
    record: Callable[[Attempt[TaskT]], None] = lambda attempt: None,
    progress: Callable[[Progress], None] = lambda progress: None,
    workers: int = 1,
) -> tuple[Attempt[TaskT], ...]:
    """An attempt at every task, in their order; the costliest are made first, so that no worker is left alone with one.

    done: attempts of an earlier, broken-off build; they are not repeated. record and progress are called in this
    process, one attempt after the other. workers: above 1, processes that each load the judge anew by its name, one
    thread each. Raises what the judge raises of a structure, ProcessDied for processes that load another judge.
    """
    wanted = set(tasks)
    found = {old.task: old for old in done if old.task in wanted}
    missing = sorted((task for task in tasks if task not in found), key=lambda task: task.cost, reverse=True)
    clock = _Clock(sum(task.cost for task in missing))
    for new in _attempts(missing, judge, settings, workers):
        record(new)
        found[new.task] = new
        progress(Progress(new, len(found), len(tasks), clock.remaining_s(new.task.cost)))
    return tuple(found[task] for task in tasks)


class _Clock:
    def __init__(self, cost: float) -> None:
        self._left, self._spent, self._started = cost, 0.0, time.monotonic()

    def remaining_s(self, cost: float) -> float | None:
        self._left -= cost
        self._spent += cost
        return self._left / self._spent * (time.monotonic() - self._started) if self._spent else None


def _attempts(
    tasks: Sequence[TaskT], judge: Judge, settings: RelaxationSettings, workers: int
) -> Iterator[Attempt[TaskT]]:
    starts = ((key, displaced(task.start(), settings.displacement_ang)) for key, task in enumerate(tasks))
    onward = replace(settings, displacement_ang=0.0)  # they are displaced once, and not where they go on
    with _engine(judge, onward, workers) as relax:
        yield from _rounds(tasks, starts, relax, judge.cutoff_ang)


def _rounds(
    tasks: Sequence[TaskT], starts: Iterable[tuple[int, Crystal]], relax: _Engine, cutoff_ang: float
) -> Iterator[Attempt[TaskT]]:
    """Every relaxation once, then those again that ran out of steps and may go on, until none is left."""
    steps, seconds = Counter[int](), defaultdict[int, float](float)
    for before in count():
        unfinished: list[tuple[int, Crystal]] = []
        for ended in relax(starts):
            key = cast(int, ended.key)
            if isinstance(ended, Failed):
                if not isinstance(ended.error, TimeLimitExceeded):
                    raise ended.error
                yield overdue(tasks[key], ended.error)
                continue
            done = ended.relaxation
            steps[key] += done.steps
            seconds[key] += done.seconds
            if may_go_on(tasks[key], done, before):
                unfinished.append((key, done.crystal))
            else:
                yield attempt_of(tasks[key], done, steps=steps[key], seconds=seconds[key], cutoff_ang=cutoff_ang)
        if not unfinished:
            return
        starts = unfinished


_Engine = Callable[[Iterable[tuple[Hashable, Crystal]]], Iterator[Ended]]


@contextmanager
def _engine(judge: Judge, settings: RelaxationSettings, workers: int) -> Iterator[_Engine]:
    if workers <= 1:
        yield lambda source: relax_batch(source, judge, settings, time_limit_s=ATTEMPT_LIMIT_S)
        return
    duty = Duty(
        judge=judge.name,
        model=judge.model,
        identity=judge.identity(),
        settings=settings,
        time_limit_s=ATTEMPT_LIMIT_S,
    )
    with Crew(duty, workers) as crew:
        yield crew.relax
