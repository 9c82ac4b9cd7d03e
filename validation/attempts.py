"""Relaxations of an element in one prototype: what is tried, what came out, and why an outcome is refused."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from validation.crystal import Crystal
from validation.element_data import ATOMIC_VOLUME_ANG3, covalent_radii
from validation.elements_table import LARGE_CELL_ATOMS, LARGE_CELL_FACTORS, START_FACTORS, prototypes_of
from validation.neighbours import Pairs, neighbour_pairs, periodic_directions
from validation.potentials import Judge
from validation.prototypes import prototype
from validation.relaxation import Relaxation, Stopped, TimeLimitExceeded, relax
from validation.rules import RelaxationSettings, Rules

# Tighter than any season's, so that the reference is not what limits a distance to the hull; same scale all the same.
ELEMENT_SETTINGS = RelaxationSettings(fmax_ev_per_ang=0.01, smax_ev_per_ang3=0.0002, max_steps=500)
VOLUME_RATIO_RANGE = (0.5, 2.0)  # of the tabulated volume; beyond, a judge has collapsed or evaporated the element
BOND_TO_RADII = 1.3  # Cs in its metal is 1.1 times its covalent diameter from its neighbours
CONTINUATIONS = 5
ATTEMPT_LIMIT_S = 3600.0  # only what hangs; how busy a machine is must not decide

NO_NEIGHBOUR = "no neighbour within"


@dataclass(frozen=True, slots=True, order=True)
class Task:
    """One relaxation to do. start_factor: volume at the start over the tabulated one."""

    element: str
    prototype: str
    start_factor: float

    def start(self) -> Crystal:
        return prototype(self.prototype).crystal(self.element, self.start_factor * ATOMIC_VOLUME_ANG3[self.element])


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """What a task came to. refused: why it cannot be a reference, empty where it can."""

    task: Task
    n_atoms: int
    energy_per_atom: float | None  # eV/atom; None where there is no finite one
    volume_ratio: float  # of the last cell to the tabulated volume
    steps: int
    stopped: str
    refused: str
    seconds: float
    crystal: bytes  # packed, as it was left


def tasks_for(elements: Iterable[str]) -> tuple[Task, ...]:
    """Every prototype of every element from each start; an element without a tabulated volume has none."""
    return tuple(
        Task(element, label, factor)
        for element in sorted(elements)
        if element in ATOMIC_VOLUME_ANG3
        for label in prototypes_of(element)
        for factor in (START_FACTORS if len(prototype(label)) < LARGE_CELL_ATOMS else LARGE_CELL_FACTORS)
    )


def attempt(task: Task, judge: Judge, settings: RelaxationSettings) -> Attempt:
    """Relax one task's start. What the judge raises goes through; taking too long is an outcome."""
    start = task.start()
    try:
        done, steps = _relaxed(start, judge, settings)
    except TimeLimitExceeded as error:
        return Attempt(
            task=task,
            n_atoms=len(start),
            energy_per_atom=None,
            volume_ratio=task.start_factor,
            steps=0,
            stopped="time_limit",
            refused=str(error),
            seconds=ATTEMPT_LIMIT_S,
            crystal=start.pack(),
        )
    if done.stopped is Stopped.CONVERGED or _within_a_seasons_limits(done):
        refused = why_refused(done.crystal, judge.cutoff_ang)
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


def why_refused(crystal: Crystal, cutoff_ang: float) -> str:
    """Why a converged cell is no reference: it collapsed, evaporated, fell apart, or an atom of it sees no other.

    A season refuses submissions that fall apart; a reference made of layers in vacuum would be one that none may match.
    """
    ratio, (low, high) = volume_ratio(crystal), VOLUME_RATIO_RANGE
    if not low <= ratio <= high:
        return f"volume {ratio:.2f} of the tabulated one, outside {low:g} to {high:g}"
    bond_ang = bond_limit_ang(crystal)
    pairs = neighbour_pairs(crystal, max(cutoff_ang, bond_ang))
    seen = pairs.distances <= cutoff_ang
    alone = set(range(len(crystal))) - {*pairs.first[seen].tolist(), *pairs.second[seen].tolist()}
    if alone:
        return f"{len(alone)} of {len(crystal)} atoms have {NO_NEIGHBOUR} {cutoff_ang:g} Å"
    short = pairs.distances <= bond_ang
    bonds = Pairs(pairs.first[short], pairs.second[short], pairs.offsets[short], pairs.distances[short])
    connected, directions = periodic_directions(len(crystal), bonds)
    if not connected or directions < 3:
        shape = ("clusters", "chains", "layers", "pieces")[directions]
        return f"falls apart into {shape} with no bond of up to {bond_ang:.2g} Å between them"
    return ""


def bond_limit_ang(crystal: Crystal) -> float:
    """The season's bond length, or more for atoms so large that even their metals have longer ones (Rb, Cs)."""
    return max(Rules().bond_length_ang, BOND_TO_RADII * 2.0 * float(covalent_radii()[crystal.numbers].max()))


def _relaxed(start: Crystal, judge: Judge, settings: RelaxationSettings) -> tuple[Relaxation, int]:
    """The relaxation and all its steps; where they do not suffice it goes on from where it stopped, a few times.

    Stiff molecules that turn against each other take thousands of steps: no start of solid N2 ends within 500 by
    TensorNet.
    """
    done = relax(start, judge, settings, time_limit_s=ATTEMPT_LIMIT_S)
    steps = done.steps
    for _ in range(CONTINUATIONS):
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
    """Of an element's cell to the tabulated volume."""
    return crystal.volume / sum(ATOMIC_VOLUME_ANG3[symbol] for symbol in crystal.symbols)
