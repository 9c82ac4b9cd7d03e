"""Elemental references of a judge, from prototypes alone: every element relaxed in a short list of structures.

What the lowest sane one has is the element's energy on the judge's scale. No downloaded data enters.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass

from validation.attempts import ELEMENT_SETTINGS, Attempt, Task, attempt, tasks_for
from validation.elements_table import KNOWN_STRUCTURE
from validation.potentials import Judge, load_judge
from validation.prototypes import prototype
from validation.rules import RelaxationSettings

TIE_EV_PER_ATOM = 0.0005  # what the limits of convergence leave of a flat minimum


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a build is, after an attempt. remaining_s: expected, from the cost of what is left; None at first."""

    attempt: Attempt
    done: int
    total: int
    remaining_s: float | None

    def __str__(self) -> str:
        task, energy = self.attempt.task, self.attempt.energy_per_atom
        outcome = self.attempt.refused or "sane"
        found = "no energy" if energy is None else f"{energy:.4f} eV/atom"
        left = "" if self.remaining_s is None else f", {self.remaining_s / 60:.1f} min left"
        tried = f"{task.element} {task.prototype} {task.start_factor:g}"
        return f"{self.done}/{self.total} {tried}: {found}, {outcome}{left}"


def build_elements(
    judge: Judge,
    settings: RelaxationSettings = ELEMENT_SETTINGS,
    *,
    tasks: Sequence[Task] | None = None,
    done: Iterable[Attempt] = (),
    record: Callable[[Attempt], None] = lambda attempt: None,
    progress: Callable[[Progress], None] = lambda progress: None,
    workers: int = 1,
) -> tuple[Attempt, ...]:
    """Every attempt at the judge's elements, in the order of the tasks.

    tasks: all of ``tasks_for(judge.elements)`` where None. done: attempts of an earlier, broken-off build; they are not
    repeated. record and progress are called in this process, one attempt after the other. workers: above 1, processes
    that each load the judge anew by its name, one thread each; raises ValueError where they load another one.
    """
    wanted = tuple(tasks) if tasks is not None else tasks_for(judge.elements)
    found = {old.task: old for old in done if old.task in set(wanted)}
    missing = sorted((task for task in wanted if task not in found), key=_cost, reverse=True)
    clock = _Clock(sum(map(_cost, missing)))
    for new in _attempts(missing, judge, settings, workers):
        record(new)
        found[new.task] = new
        progress(Progress(new, len(found), len(wanted), clock.remaining_s(_cost(new.task))))
    return tuple(found[task] for task in wanted)


def lowest(attempts: Iterable[Attempt]) -> dict[str, Attempt]:
    """The lowest attempt of each element that nothing speaks against, by symbol.

    Of those within TIE_EV_PER_ATOM, the element's known structure, else the smallest cell, else the lowest.
    """
    sane: dict[str, list[tuple[float, Attempt]]] = {}
    for candidate in attempts:
        if not candidate.refused and candidate.energy_per_atom is not None:
            sane.setdefault(candidate.task.element, []).append((candidate.energy_per_atom, candidate))
    return {element: _chosen(rivals) for element, rivals in sane.items()}


def _chosen(rivals: Sequence[tuple[float, Attempt]]) -> Attempt:
    bottom = min(energy for energy, _ in rivals)
    tied = [(energy, rival) for energy, rival in rivals if energy <= bottom + TIE_EV_PER_ATOM]
    return min(tied, key=_preference)[1]


def _preference(rival: tuple[float, Attempt]) -> tuple[bool, int, float, Task]:
    energy, found = rival
    task = found.task
    return KNOWN_STRUCTURE.get(task.element) != task.prototype, found.n_atoms, energy, task


class _Clock:
    def __init__(self, cost: float) -> None:
        self._left, self._spent, self._started = cost, 0.0, time.monotonic()

    def remaining_s(self, cost: float) -> float | None:
        self._left -= cost
        self._spent += cost
        return self._left / self._spent * (time.monotonic() - self._started) if self._spent else None


def _cost(task: Task) -> float:
    """Of a relaxation, in no unit; large cells take both longer steps and more of them."""
    n_atoms = len(prototype(task.prototype))
    return 1.0 if n_atoms == 1 else 4.0 + 0.6 * n_atoms


def _attempts(tasks: Sequence[Task], judge: Judge, settings: RelaxationSettings, workers: int) -> Iterator[Attempt]:
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
    judge = load_judge(name, model, threads=1)
    if judge.weights_sha256 != weights_sha256:
        raise ValueError(f"{name} {model} loads other weights ({judge.weights_sha256}) than those of the build")
    _loaded = judge


def _attempt(task: Task, settings: RelaxationSettings) -> Attempt:
    if _loaded is None:
        raise RuntimeError("this worker process has loaded no judge")
    return attempt(task, _loaded, settings)
