"""Relaxation of one crystal by one judge: cell and positions free, judged by force norm and stress."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from validation.crystal import Crystal
from validation.potentials import Judge
from validation.rules import RelaxationSettings

MIN_VOLUME_PER_ATOM_ANG3 = 2.0  # diamond, the densest solid an atom, has 5.7; below 2 neighbour lists explode
MAX_VOLUME_CHANGE = 4.0  # a cell that swells or shrinks by this factor has evaporated or collapsed
MAX_ENERGY_EV_PER_ATOM = 1000.0
MAX_FORCE_EV_PER_ANG = 10_000.0


class Stopped(StrEnum):
    """Why a relaxation ended."""

    CONVERGED = "converged"
    MAX_STEPS = "max_steps"
    EXPLODED = "exploded"


class TimeLimitExceeded(Exception):
    """A relaxation took longer than its limit in seconds: a matter of this machine, so no verdict on the crystal."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Relaxation:
    """What the judge made of a crystal. forces: eV/Å, shape (n, 3). stress: eV/Å³, ASE's Voigt order, shape (6,).

    history: one row a step, (energy in eV/atom, largest force norm in eV/Å, largest stress component in eV/Å³).
    note: says what exploded, empty otherwise.
    """

    initial_hash: str
    crystal: Crystal
    energy_per_atom: float  # eV/atom
    forces: NDArray[np.float64]
    stress: NDArray[np.float64]
    fmax_ev_per_ang: float
    smax_ev_per_ang3: float
    steps: int
    stopped: Stopped
    history: NDArray[np.float32]
    seconds: float
    note: str = ""


def displaced(crystal: Crystal, distance_ang: float) -> Crystal:
    """Every atom moved by ``distance_ang`` in a direction that the content hash alone decides.

    A symmetric start can be a saddle point: cubic BaTiO3 "converges" at step 0, 13 meV/atom above the rhombohedral one.
    """
    if distance_ang == 0 or len(crystal) == 1:
        return crystal
    directions = np.random.default_rng(int(crystal.content_hash, 16)).normal(size=(len(crystal), 3))
    directions *= distance_ang / np.linalg.norm(directions, axis=1, keepdims=True)
    moved = crystal.cart_coords + directions
    return Crystal.of(crystal.lattice, moved @ np.linalg.inv(crystal.lattice), crystal.numbers)


def relax(
    crystal: Crystal,
    judge: Judge,
    settings: RelaxationSettings,
    *,
    time_limit_s: float | None = None,
    on_step: Callable[[int], None] | None = None,
) -> Relaxation:
    """Relax cell and positions until the largest force norm and stress component are below the settings' limits.

    on_step is called with the number of steps done before each evaluation; what it raises ends the relaxation.
    Raises TimeLimitExceeded between two evaluations; what the calculator itself raises goes through.
    """
    from ase.filters import FrechetCellFilter  # late: ASE's optimisers take half a second to import
    from ase.optimize import FIRE

    started = time.monotonic()
    atoms = displaced(crystal, settings.displacement_ang).to_atoms()
    atoms.calc = judge.calculator
    if settings.optimiser != "FIRE":
        raise ValueError(f"there is no optimiser {settings.optimiser!r} here, only FIRE")
    optimiser = FIRE(FrechetCellFilter(atoms), logfile=None)
    optimiser.initialize()
    start_volume = atoms.get_volume()
    history: list[tuple[float, float, float]] = []
    steps = 0
    while True:
        if on_step is not None:
            on_step(steps)
        if time_limit_s is not None and time.monotonic() - started > time_limit_s:
            raise TimeLimitExceeded(f"not finished after {time_limit_s:g} s and {steps} steps")
        state = _evaluate(atoms, start_volume)
        history.append((state.energy_per_atom, state.fmax, state.smax))
        stopped = _verdict(state, steps, settings)
        if stopped is not None:
            break
        optimiser.step()
        steps += 1
    return Relaxation(
        initial_hash=crystal.content_hash,
        crystal=Crystal.from_atoms(atoms),
        energy_per_atom=state.energy_per_atom,
        forces=state.forces,
        stress=state.stress,
        fmax_ev_per_ang=state.fmax,
        smax_ev_per_ang3=state.smax,
        steps=steps,
        stopped=stopped,
        history=np.array(history, dtype=np.float32),
        seconds=time.monotonic() - started,
        note=state.explosion,
    )


@dataclass(frozen=True, eq=False)
class _State:
    energy_per_atom: float
    forces: NDArray[np.float64]
    stress: NDArray[np.float64]
    fmax: float
    smax: float
    explosion: str


def _evaluate(atoms: Any, start_volume: float) -> _State:
    """Energy, forces and stress, unless the cell is already beyond what a judge may be asked."""
    volume = atoms.get_volume()
    if explosion := _cell_explosion(volume, start_volume, len(atoms)):
        nothing = np.zeros((len(atoms), 3))
        return _State(float("nan"), nothing, np.zeros(6), float("nan"), float("nan"), explosion)
    energy = float(atoms.get_potential_energy()) / len(atoms)
    forces = np.asarray(atoms.get_forces(), dtype=np.float64)
    stress = np.asarray(atoms.get_stress(), dtype=np.float64)
    fmax = float(np.sqrt((forces**2).sum(axis=1)).max())
    smax = float(np.abs(stress).max())
    return _State(energy, forces, stress, fmax, smax, _number_explosion(energy, fmax, smax))


def _cell_explosion(volume: float, start_volume: float, n_atoms: int) -> str:
    if not np.isfinite(volume) or volume / n_atoms < MIN_VOLUME_PER_ATOM_ANG3:
        return f"the cell collapsed to {volume / n_atoms:.2f} Å³ an atom (limit {MIN_VOLUME_PER_ATOM_ANG3:g})"
    change = volume / start_volume
    if not 1 / MAX_VOLUME_CHANGE <= change <= MAX_VOLUME_CHANGE:
        return f"the volume changed by a factor of {change:.2f} (limit {MAX_VOLUME_CHANGE:g} either way)"
    return ""


def _number_explosion(energy_per_atom: float, fmax: float, smax: float) -> str:
    if not np.isfinite([energy_per_atom, fmax, smax]).all():
        return "energy, forces or stress are not finite"
    if abs(energy_per_atom) > MAX_ENERGY_EV_PER_ATOM:
        return f"the energy reached {energy_per_atom:.1f} eV/atom (limit {MAX_ENERGY_EV_PER_ATOM:g})"
    if fmax > MAX_FORCE_EV_PER_ANG:
        return f"a force reached {fmax:.0f} eV/Å (limit {MAX_FORCE_EV_PER_ANG:g})"
    return ""


def _verdict(state: _State, steps: int, settings: RelaxationSettings) -> Stopped | None:
    if state.explosion:
        return Stopped.EXPLODED
    if state.fmax <= settings.fmax_ev_per_ang and state.smax <= settings.smax_ev_per_ang3:
        return Stopped.CONVERGED
    return Stopped.MAX_STEPS if steps >= settings.max_steps else None
