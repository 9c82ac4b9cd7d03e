"""Relaxations that a release is made of: what came out of each, and how far it is carried on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from validation.crystal import Crystal
from validation.element_data import ATOMIC_VOLUME_ANG3
from validation.relaxation import Relaxation, Stopped, TimeLimitExceeded
from validation.rules import RelaxationSettings

ATTEMPT_LIMIT_S = 3600.0  # only what hangs; how busy a machine is must not decide


class Startable(Protocol):
    """One relaxation to do: a frozen dataclass, so that it is a key and goes into a work file.

    prototype: its label. continuations: how often a relaxation that ran out of steps goes on. cost: in no unit, for
    expected times only.
    """

    @property
    def prototype(self) -> str: ...
    @property
    def continuations(self) -> int: ...
    @property
    def cost(self) -> float: ...
    def __hash__(self) -> int: ...
    def start(self) -> Crystal: ...
    def why_refused(self, relaxed: Crystal, cutoff_ang: float) -> str:
        """Why a cell that converged is not to be kept, empty where nothing speaks against it."""


TaskT = TypeVar("TaskT", bound=Startable)


@dataclass(frozen=True, kw_only=True)
class Attempt(Generic[TaskT]):
    """What a task came to. refused: why it cannot be a reference, empty where it can."""

    task: TaskT
    n_atoms: int
    energy_per_atom: float | None  # eV/atom; None where there is no finite one
    volume_ratio: float  # of the last cell to the tabulated volume
    steps: int
    stopped: str
    refused: str
    seconds: float
    crystal: bytes  # packed, as it was left


def attempt_of(task: TaskT, done: Relaxation, *, steps: int, seconds: float, cutoff_ang: float) -> Attempt[TaskT]:
    """What a relaxation makes of a task. steps, seconds: of all that was done for it; cutoff_ang: the judge's."""
    if done.stopped is Stopped.CONVERGED or _within_a_seasons_limits(done):
        refused = task.why_refused(done.crystal, cutoff_ang)
    else:
        refused = done.note or f"not converged in {steps} steps"
    return Attempt(
        task=task,
        n_atoms=len(done.crystal),
        energy_per_atom=done.energy_per_atom if math.isfinite(done.energy_per_atom) else None,
        volume_ratio=volume_ratio(done.crystal),
        steps=steps,
        stopped=done.stopped.value,
        refused=refused,
        seconds=round(seconds, 2),
        crystal=done.crystal.pack(),
    )


def overdue(task: TaskT, error: TimeLimitExceeded) -> Attempt[TaskT]:
    """Of a relaxation that took too long."""
    start = task.start()
    return Attempt(
        task=task,
        n_atoms=len(start),
        energy_per_atom=None,
        volume_ratio=volume_ratio(start),
        steps=0,
        stopped="time_limit",
        refused=str(error),
        seconds=ATTEMPT_LIMIT_S,
        crystal=start.pack(),
    )


def may_go_on(task: Startable, done: Relaxation, before: int) -> bool:
    """Whether a relaxation that ran out of steps goes on from where it stopped. before: how often it did already.

    Stiff molecules that turn against each other take thousands of steps: no start of solid N2 ends within 500 by
    TensorNet.
    """
    return before < task.continuations and done.stopped is Stopped.MAX_STEPS and not _within_a_seasons_limits(done)


def _within_a_seasons_limits(done: Relaxation) -> bool:
    """A molecular crystal can be too soft for the tight limits; a season would have taken it as converged."""
    season = RelaxationSettings()
    return (
        done.stopped is Stopped.MAX_STEPS
        and done.fmax_ev_per_ang <= season.fmax_ev_per_ang
        and done.smax_ev_per_ang3 <= season.smax_ev_per_ang3
    )


def volume_ratio(crystal: Crystal) -> float:
    """Of a cell to the sum of its elements' tabulated volumes."""
    return crystal.volume / sum(ATOMIC_VOLUME_ANG3[symbol] for symbol in crystal.symbols)
