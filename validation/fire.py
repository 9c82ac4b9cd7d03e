"""A step of FIRE for many crystals at once, cell and positions free: ASE's, in the same order of operations.

The optimiser is that of ``ase.optimize.FIRE`` (Bitzek et al., Phys. Rev. Lett. 97, 170201, 2006; doi
10.1103/PhysRevLett.97.170201), the variables are those of ``ase.filters.FrechetCellFilter``: the positions in the
undeformed cell and n × log F, F being the deformation. Each crystal has a time step, a mixing and a count of its own
and is computed by itself, so that what it does not depend on what else is in flight. docs/adr/0011 says why this is not
TorchSim's.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

_START_DT, _MAX_DT = 0.1, 1.0
_MAX_STEP = 0.2  # of the norm over all variables of a crystal
_WAIT = 5  # steps downhill before the time step grows
_GROW, _SHRINK = 1.1, 0.5
_START_MIXING, _MIXING_DECAY = 0.1, 0.99
_TAYLOR_NORM, _TAYLOR_TERMS = 0.25, 12  # 0.25¹³ / 13! is 2e-18
_MAX_HALVINGS = 64

_Floats = NDArray[np.float64]
_Ints = NDArray[np.int64]

FIRE_STATE = np.dtype([("dt", "f8"), ("mixing", "f8"), ("downhill", "i8"), ("moving", "?")])


def new_state(count: int) -> NDArray[Any]:
    """Of ``count`` crystals that have not moved yet, dtype FIRE_STATE."""
    state = np.zeros(count, dtype=FIRE_STATE)
    state["dt"], state["mixing"] = _START_DT, _START_MIXING
    return state


@numba.njit(cache=True, error_model="numpy")
def deformations(logs: _Floats) -> _Floats:
    """exp of matrices, shape (b, 3, 3)."""
    found = np.empty_like(logs)
    nothing = np.zeros((3, 3))
    for crystal in range(len(logs)):
        found[crystal] = _exp_and_derivative(logs[crystal], nothing)[0]
    return found


@numba.njit(cache=True, error_model="numpy")
def derivative_of_exp(matrix: _Floats, direction: _Floats) -> _Floats:
    """The Fréchet derivative of exp at a 3 × 3 matrix (Higham, Functions of Matrices, 2008, eq. 10.15)."""
    return _exp_and_derivative(matrix, direction)[1]


@numba.njit(cache=True, error_model="numpy")
def step(
    first: _Ints,
    forces: _Floats,
    stresses: _Floats,
    volumes: _Floats,
    deformed: _Floats,
    places: _Floats,
    logs: _Floats,
    velocities: _Floats,
    log_velocities: _Floats,
    state: NDArray[Any],
) -> None:
    """Move every crystal by one step, in place.

    first: (b + 1,), where a crystal's atoms begin. forces: eV/Å, (n, 3). stresses: eV/Å³, (b, 3, 3). volumes: Å³, (b,).
    deformed: exp of the logs. places: Å, (n, 3), positions in the undeformed cell, moved. logs: (b, 3, 3), moved.
    velocities and log_velocities: of these, the latter × the number of atoms; changed. state: FIRE_STATE, changed.
    """
    for crystal in range(len(first) - 1):
        lower, upper = first[crystal], first[crystal + 1]
        count = upper - lower
        grown, own = deformed[crystal], state[crystal]
        pull = _times(forces[lower:upper], grown)
        cell_pull = _cell_force(stresses[crystal], volumes[crystal], logs[crystal]) / count
        velocity, cell_velocity = velocities[lower:upper], log_velocities[crystal]
        if own.moving:
            _steer(pull, cell_pull, velocity, cell_velocity, own)
        own.moving = True
        velocity += own.dt * pull
        cell_velocity += own.dt * cell_pull
        length = own.dt * np.sqrt((velocity**2).sum() + (cell_velocity**2).sum())
        scale = own.dt * (_MAX_STEP / length if length > _MAX_STEP else 1.0)
        places[lower:upper] += scale * velocity
        logs[crystal] += scale * cell_velocity / count


@numba.njit(cache=True, error_model="numpy")
def _steer(pull: _Floats, cell_pull: _Floats, velocity: _Floats, cell_velocity: _Floats, own: Any) -> None:
    """Turn the velocity towards the force while it goes downhill, else stop."""
    power = (pull * velocity).sum() + (cell_pull * cell_velocity).sum()
    if power > 0.0:
        speed = np.sqrt((velocity**2).sum() + (cell_velocity**2).sum())
        turn = own.mixing / np.sqrt((pull**2).sum() + (cell_pull**2).sum()) * speed
        keep = 1.0 - own.mixing
        velocity[:] = keep * velocity + turn * pull
        cell_velocity[:] = keep * cell_velocity + turn * cell_pull
        if own.downhill > _WAIT:
            own.dt = min(own.dt * _GROW, _MAX_DT)
            own.mixing *= _MIXING_DECAY
        own.downhill += 1
    else:
        velocity[:] = 0.0
        cell_velocity[:] = 0.0
        own.mixing = _START_MIXING
        own.dt *= _SHRINK
        own.downhill = 0


@numba.njit(cache=True, error_model="numpy")
def _cell_force(stress: _Floats, volume: float, log: _Floats) -> _Floats:
    """-dE/d(log F), eV, (3, 3): the adjoint of exp's derivative on -V σ F⁻ᵀ."""
    turned = np.ascontiguousarray(log.T)
    shrunk, _ = _exp_and_derivative(-turned, turned)
    return _exp_and_derivative(turned, -volume * _times(stress, shrunk))[1]


@numba.njit(cache=True, error_model="numpy")
def _exp_and_derivative(matrix: _Floats, direction: _Floats) -> tuple[_Floats, _Floats]:
    """Taylor's series of a pair (value, derivative), the argument halved until it is small and the result squared."""
    norm = np.sqrt((matrix**2).sum())
    halvings = 0
    while norm > _TAYLOR_NORM and halvings < _MAX_HALVINGS:
        norm /= 2.0
        halvings += 1
    x, dx = matrix / 2.0**halvings, direction / 2.0**halvings
    term, dterm = np.eye(3), np.zeros((3, 3))
    total, dtotal = np.eye(3), np.zeros((3, 3))
    for order in range(1, _TAYLOR_TERMS + 1):
        dterm = (_times(dterm, x) + _times(term, dx)) / order
        term = _times(term, x) / order
        total += term
        dtotal += dterm
    for _ in range(halvings):
        dtotal = _times(dtotal, total) + _times(total, dtotal)
        total = _times(total, total)
    return total, dtotal


@numba.njit(cache=True, error_model="numpy")
def _times(left: _Floats, right: _Floats) -> _Floats:
    """Of (n, 3) and (3, 3), without BLAS, whose call costs more than the product."""
    found = np.zeros((len(left), 3))
    for row in range(len(left)):
        for column in range(3):
            for inner in range(3):
                found[row, column] += left[row, inner] * right[inner, column]
    return found
