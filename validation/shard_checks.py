"""Results from elsewhere, held against what was ordered: a relaxation is made of a row, or refused in a sentence."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from validation.canary import CanaryResult, Expected, standard_of
from validation.crystal import Crystal
from validation.provenance import values_of
from validation.relaxation import Relaxation, State, Stopped, cell_explosion, relaxation
from validation.rules import RelaxationSettings

_HISTORY_TOLERANCE = 1e-6  # relative: a history is float32


class Implausible(ValueError):
    """A row that no relaxation with these settings ends with; the message says why."""


def canary_of(
    provenance: Mapping[str, Any],
    judge: str,
    model: str,
    elements: Collection[str],
    accepted: Mapping[str, Expected] | None,
) -> CanaryResult:
    """What the canary found there, held against what is expected here. Raises Implausible where it is not stated."""
    try:
        found = values_of(provenance["canary"])
        str(provenance["device"]), dict(provenance["versions"])
    except (KeyError, TypeError, ValueError, AttributeError):
        raise Implausible("it does not say by what device, versions and canary it was made") from None
    return standard_of(judge, model, elements, accepted).held_against(found)


def relaxation_of(row: Mapping[str, Any], initial: Crystal, settings: RelaxationSettings) -> Relaxation:
    """What a row of results says of the crystal that was ordered; all that follows from the rest is computed again.

    Raises Implausible: bytes that are no crystal of these atoms or no array of the shape, numbers that are not finite
    or out of bounds, an end that does not follow from forces, stress and steps by the settings.
    """
    try:
        final = _crystal(row["crystal"], initial)
        stopped, steps = Stopped(row["stopped"]), int(row["steps"])
        history = _array(row["history"], "<f4", steps + 1, 3)
        state = _state(row, final, stopped)
        seconds = float(row["seconds"])
    except (TypeError, ValueError) as error:
        raise Implausible(str(error)) from None
    _check_numbers(state, steps, seconds, settings)
    if stopped is not Stopped.EXPLODED:
        _check_cell(initial, final)
        _check_end(state, stopped, steps, settings)
        _check_history(history, state)
    return relaxation(initial, final, state, stopped=stopped, history=history.astype(np.float32), seconds=seconds)


def _crystal(blob: bytes | None, initial: Crystal) -> Crystal:
    final = Crystal.unpack(blob or b"")
    if not np.array_equal(final.numbers, initial.numbers):
        raise Implausible("its crystal has other atoms, or in another order")
    return final


def _state(row: Mapping[str, Any], final: Crystal, stopped: Stopped) -> State:
    n = len(final)
    forces, stress = _array(row["forces"], "<f8", n, 3), _array(row["stress"], "<f8", 6)
    sites = {
        name: _finite(_array(row[name], "<f8", n), name) for name in ("magmoms", "charges") if row[name] is not None
    }
    if stopped is Stopped.EXPLODED:
        if not row["note"]:
            raise Implausible("it exploded, and does not say how")
        nan = float("nan")
        return State(nan, forces, stress, nan, nan, str(row["note"]), sites)
    energy = float(row["energy_per_atom"])
    return replace(State.of(energy * n, forces, stress, sites), energy_per_atom=energy)  # to the last bit


def _check_numbers(state: State, steps: int, seconds: float, settings: RelaxationSettings) -> None:
    if not 0 <= steps <= settings.max_steps:
        raise Implausible(f"{steps} steps are none of 0 to {settings.max_steps}")
    if not 0 <= seconds < math.inf:
        raise Implausible(f"it took {seconds} s")


def _check_cell(initial: Crystal, final: Crystal) -> None:
    _finite(final.lattice, "its cell")
    _finite(final.frac_coords, "its sites")
    if problem := cell_explosion(final.volume, initial.volume, len(initial)):
        raise Implausible(f"{problem}, and it did not explode")


def _check_end(state: State, stopped: Stopped, steps: int, settings: RelaxationSettings) -> None:
    if state.explosion:
        raise Implausible(f"{state.explosion}, and it did not explode")
    verdict = state.verdict(steps, settings)
    if verdict is not stopped:
        goes = "it would go on" if verdict is None else f"that is {verdict.value}"
        raise Implausible(
            f"it stopped as {stopped.value} after {steps} steps with a largest force of {state.fmax:.4g} eV/Å and a "
            f"largest stress of {state.smax:.4g} eV/Å³; {goes}"
        )


def _check_history(history: NDArray[np.float32], state: State) -> None:
    _finite(history, "its history")
    last = np.array([state.energy_per_atom, state.fmax, state.smax])
    if not np.allclose(history[-1], last, rtol=_HISTORY_TOLERANCE, atol=_HISTORY_TOLERANCE):
        raise Implausible("its history ends elsewhere than its energy, forces and stress")


def _array(data: bytes | None, kind: str, *shape: int) -> NDArray[Any]:
    """Raises Implausible where it is not there or has another shape."""
    width, count = np.dtype(kind).itemsize, math.prod(shape)
    if data is None or len(data) != width * count:
        there = "nothing" if data is None else f"{len(data)} bytes"
        raise Implausible(f"{there} where {' × '.join(map(str, shape))} numbers of {width} bytes are expected")
    return np.frombuffer(data, kind).reshape(shape).copy()


def _finite(values: NDArray[Any], what: str) -> NDArray[Any]:
    if not np.isfinite(values).all():
        raise Implausible(f"{what}: not every number is finite")
    return values
