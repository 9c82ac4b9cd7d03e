"""Elemental references of a judge, from prototypes alone: every element relaxed in a short list of structures.

What the lowest sane one has is the element's energy on the judge's scale. No downloaded data enters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from validation.building import Progress, build
from validation.element_tasks import ELEMENT_SETTINGS, ElementAttempt, Task, tasks_for
from validation.elements_table import KNOWN_STRUCTURE
from validation.potentials import Judge
from validation.rules import RelaxationSettings

TIE_EV_PER_ATOM = 0.0005  # what the limits of convergence leave of a flat minimum


def build_elements(
    judge: Judge,
    settings: RelaxationSettings = ELEMENT_SETTINGS,
    *,
    tasks: Sequence[Task] | None = None,
    done: Iterable[ElementAttempt] = (),
    record: Callable[[ElementAttempt], None] = lambda attempt: None,
    progress: Callable[[Progress], None] = lambda progress: None,
    workers: int = 1,
) -> tuple[ElementAttempt, ...]:
    """Every attempt at the judge's elements, in the order of the tasks, as ``building.build`` makes them.

    tasks: all of ``tasks_for(judge.elements)`` where None.
    """
    wanted = tuple(tasks) if tasks is not None else tasks_for(judge.elements)
    return build(wanted, judge, settings, done=done, record=record, progress=progress, workers=workers)


def lowest(attempts: Iterable[ElementAttempt]) -> dict[str, ElementAttempt]:
    """The lowest attempt of each element that nothing speaks against, by symbol.

    Of those within TIE_EV_PER_ATOM, the element's known structure, else the smallest cell, else the lowest.
    """
    sane: dict[str, list[tuple[float, ElementAttempt]]] = {}
    for candidate in attempts:
        if not candidate.refused and candidate.energy_per_atom is not None:
            sane.setdefault(candidate.task.element, []).append((candidate.energy_per_atom, candidate))
    return {element: _chosen(rivals) for element, rivals in sane.items()}


def _chosen(rivals: Sequence[tuple[float, ElementAttempt]]) -> ElementAttempt:
    bottom = min(energy for energy, _ in rivals)
    tied = [(energy, rival) for energy, rival in rivals if energy <= bottom + TIE_EV_PER_ATOM]
    return min(tied, key=_preference)[1]


def _preference(rival: tuple[float, ElementAttempt]) -> tuple[bool, int, float, Task]:
    energy, found = rival
    task = found.task
    return KNOWN_STRUCTURE.get(task.element) != task.prototype, found.n_atoms, energy, task
