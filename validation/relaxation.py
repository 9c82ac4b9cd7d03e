"""Relaxation of a crystal by a judge: cell and positions free, judged by force norm and stress.

What a relaxation is, and ``relax``: one crystal by ASE's own optimiser. ``validation.flight`` does the same to many at
once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from validation.crystal import Crystal
from validation.displacement import displacement_rmsd_ang
from validation.evaluation import site_properties
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
    seconds: of the clock; of a batch, its share by atoms. rmsd_ang: how far the atoms moved within the cell from where
    they were submitted, drift removed. volume_change: of the cell, relative to its start, 0 for none. magmoms (μB),
    charges (e): of each atom, (n,), where the judge gives them. note: says what exploded, empty otherwise.
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
    rmsd_ang: float
    volume_change: float
    magmoms: NDArray[np.float64] | None = None
    charges: NDArray[np.float64] | None = None
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

    check_optimiser(settings)
    started = time.monotonic()
    atoms = displaced(crystal, settings.displacement_ang).to_atoms()
    atoms.calc = judge.calculator
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
        stopped = state.verdict(steps, settings)
        if stopped is not None:
            break
        optimiser.step()
        steps += 1
    return relaxation(
        crystal,
        Crystal.from_atoms(atoms),
        state,
        stopped=stopped,
        history=np.array(history, dtype=np.float32),
        seconds=time.monotonic() - started,
    )


def relaxation(
    initial: Crystal,
    final: Crystal,
    state: State,
    *,
    stopped: Stopped,
    history: NDArray[np.float32],
    seconds: float,
) -> Relaxation:
    """The end of a relaxation; ``initial`` is the crystal as it was submitted. history: a row a step."""
    return Relaxation(
        initial_hash=initial.content_hash,
        crystal=final,
        energy_per_atom=state.energy_per_atom,
        forces=state.forces,
        stress=state.stress,
        fmax_ev_per_ang=state.fmax,
        smax_ev_per_ang3=state.smax,
        steps=len(history) - 1,
        stopped=stopped,
        history=history,
        seconds=seconds,
        rmsd_ang=displacement_rmsd_ang(initial, final),
        volume_change=final.volume / initial.volume - 1.0,
        magmoms=state.sites.get("magmoms"),
        charges=state.sites.get("charges"),
        note=state.explosion,
    )


def check_optimiser(settings: RelaxationSettings) -> None:
    """Raises ValueError for one that is not here."""
    if settings.optimiser != "FIRE":
        raise ValueError(f"there is no optimiser {settings.optimiser!r} here, only FIRE")


@dataclass(frozen=True, eq=False)
class State:
    """A crystal between two steps. Units as in Relaxation; explosion says what is out of bounds, empty otherwise."""

    energy_per_atom: float
    forces: NDArray[np.float64]
    stress: NDArray[np.float64]
    fmax: float
    smax: float
    explosion: str
    sites: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        energy: float,
        forces: NDArray[np.float64],
        stress: NDArray[np.float64],
        sites: Mapping[str, NDArray[np.float64]],
    ) -> State:
        """From what a judge said of a cell: eV, eV/Å, eV/Å³ in Voigt order."""
        energy_per_atom = energy / len(forces)
        fmax = float(np.sqrt((forces**2).sum(axis=1)).max())
        smax = float(np.abs(stress).max())
        explosion = number_explosion(energy_per_atom, fmax, smax)
        return cls(energy_per_atom, forces, stress, fmax, smax, explosion, sites)

    @classmethod
    def exploded(cls, n_atoms: int, explosion: str) -> State:
        """Of a cell that no judge was asked about."""
        nan = float("nan")
        return cls(nan, np.zeros((n_atoms, 3)), np.zeros(6), nan, nan, explosion)

    def verdict(self, steps: int, settings: RelaxationSettings) -> Stopped | None:
        """Why it ends after so many steps; None where it goes on."""
        if self.explosion:
            return Stopped.EXPLODED
        if self.fmax <= settings.fmax_ev_per_ang and self.smax <= settings.smax_ev_per_ang3:
            return Stopped.CONVERGED
        return Stopped.MAX_STEPS if steps >= settings.max_steps else None


def _evaluate(atoms: Any, start_volume: float) -> State:
    """Energy, forces and stress, unless the cell is already beyond what a judge may be asked."""
    if explosion := cell_explosion(atoms.get_volume(), start_volume, len(atoms)):
        return State.exploded(len(atoms), explosion)
    energy = float(atoms.get_potential_energy())
    forces = np.asarray(atoms.get_forces(), dtype=np.float64)
    stress = np.asarray(atoms.get_stress(), dtype=np.float64)
    return State.of(energy, forces, stress, site_properties(getattr(atoms.calc, "results", {}), len(atoms)))


def cell_explosion(volume: float, start_volume: float, n_atoms: int) -> str:
    """What is wrong with a cell that no judge may be asked about; volumes in Å³. Empty where nothing is."""
    if not np.isfinite(volume) or volume / n_atoms < MIN_VOLUME_PER_ATOM_ANG3:
        return f"the cell collapsed to {volume / n_atoms:.2f} Å³ an atom (limit {MIN_VOLUME_PER_ATOM_ANG3:g})"
    change = volume / start_volume
    if not 1 / MAX_VOLUME_CHANGE <= change <= MAX_VOLUME_CHANGE:
        return f"the volume changed by a factor of {change:.2f} (limit {MAX_VOLUME_CHANGE:g} either way)"
    return ""


def number_explosion(energy_per_atom: float, fmax: float, smax: float) -> str:
    """What is wrong with a judge's numbers; empty where nothing is."""
    if not np.isfinite([energy_per_atom, fmax, smax]).all():
        return "energy, forces or stress are not finite"
    if abs(energy_per_atom) > MAX_ENERGY_EV_PER_ATOM:
        return f"the energy reached {energy_per_atom:.1f} eV/atom (limit {MAX_ENERGY_EV_PER_ATOM:g})"
    if fmax > MAX_FORCE_EV_PER_ANG:
        return f"a force reached {fmax:.0f} eV/Å (limit {MAX_FORCE_EV_PER_ANG:g})"
    return ""
