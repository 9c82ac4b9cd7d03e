"""The engine of a build: tasks are relaxed one after the other or in processes, each outcome handed out at once."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any

from validation.attempts import Attempt, TaskT, attempt
from validation.potentials import Judge, load_judge
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
    thread each; raises ValueError where they load another one.
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
    if workers <= 1:
        yield from (attempt(task, judge, settings) for task in tasks)
        return
    spawn = multiprocessing.get_context("spawn")  # torch does not survive a fork
    pool = ProcessPoolExecutor(
        workers, mp_context=spawn, initializer=_load, initargs=(judge.name, judge.model, judge.weights_sha256)
    )
    try:
        for future in as_completed([pool.submit(_attempt, task, settings) for task in tasks]):
            yield future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


_loaded: Judge | None = None  # of this worker process


def _load(name: str, model: str, weights_sha256: str) -> None:
    global _loaded
    threading.Thread(target=_end_with_the_build, daemon=True).start()
    judge = load_judge(name, model, threads=1)
    if judge.weights_sha256 != weights_sha256:
        raise ValueError(f"{name} {model} loads other weights ({judge.weights_sha256}) than those of the build")
    _loaded = judge


def _end_with_the_build() -> None:
    """Workers hold their own queue open, so they would wait for ever where the build was killed."""
    build_process = multiprocessing.parent_process()
    if build_process is not None:
        build_process.join()
        os._exit(1)


def _attempt(task: TaskT, settings: RelaxationSettings) -> Attempt[TaskT]:
    if _loaded is None:
        raise RuntimeError("this worker process has loaded no judge")
    return attempt(task, _loaded, settings)
