"""Relaxations that a release is made of: what came out of each, and how far it is carried on."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Generic, Protocol, TypeVar

from validation.crystal import Crystal
from validation.element_data import ATOMIC_VOLUME_ANG3
from validation.potentials import Judge
from validation.relaxation import Relaxation, Stopped, TimeLimitExceeded, relax
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


def attempt(task: TaskT, judge: Judge, settings: RelaxationSettings) -> Attempt[TaskT]:
    """Relax one task's start. What the judge raises goes through; taking too long is an outcome."""
    start = task.start()
    try:
        done, steps = _relaxed(start, judge, settings, task.continuations)
    except TimeLimitExceeded as error:
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
    if done.stopped is Stopped.CONVERGED or _within_a_seasons_limits(done):
        refused = task.why_refused(done.crystal, judge.cutoff_ang)
    else:
        refused = done.note or f"not converged in {steps} steps"
    return Attempt(
        task=task,
        n_atoms=len(start),
        energy_per_atom=done.energy_per_atom if math.isfinite(done.energy_per_atom) else None,
        volume_ratio=volume_ratio(done.crystal),
        steps=steps,
        stopped=done.stopped.value,
        refused=refused,
        seconds=round(done.seconds, 2),
        crystal=done.crystal.pack(),
    )


def _relaxed(start: Crystal, judge: Judge, settings: RelaxationSettings, continuations: int) -> tuple[Relaxation, int]:
    """The relaxation and all its steps; where they do not suffice it goes on from where it stopped, a few times.

    Stiff molecules that turn against each other take thousands of steps: no start of solid N2 ends within 500 by
    TensorNet.
    """
    done = relax(start, judge, settings, time_limit_s=ATTEMPT_LIMIT_S)
    steps = done.steps
    for _ in range(continuations):
        if done.stopped is not Stopped.MAX_STEPS or _within_a_seasons_limits(done):
            break
        onward = replace(settings, displacement_ang=0.0)
        done = relax(done.crystal, judge, onward, time_limit_s=ATTEMPT_LIMIT_S)
        steps += done.steps
    return done, steps


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
