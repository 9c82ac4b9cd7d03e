"""A potential can load without a word and still be wrong; a judge shows that it is right before it judges.

An older TensorNet checkpoint loads into a newer matgl and gives NaCl a = 6.40 Å instead of 5.70: elements look fine,
compounds do not. So a few crystals are relaxed at start-up and compared with the values registered for these weights.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping
from dataclasses import dataclass
from pathlib import PurePath

import numpy as np

from hull.entries import SYMBOLS
from validation.crystal import Crystal
from validation.flight import Failed, relax_batch
from validation.potentials import Judge
from validation.relaxation import Relaxation, Stopped
from validation.rules import RelaxationSettings

CANARY_SETTINGS = RelaxationSettings(fmax_ev_per_ang=0.02, smax_ev_per_ang3=0.0002, max_steps=300, displacement_ang=0)
LATTICE_TOLERANCE_ANG = 0.02
ENERGY_TOLERANCE_EV_PER_ATOM = 0.005
START_STRETCH = 1.03
EXPERIMENT_TOLERANCE = 0.05  # relative, of a lattice parameter; GGAs err by 1 to 3 %, the wrong checkpoint by 8 to 13 %


@dataclass(frozen=True, slots=True)
class Expected:
    """A cubic crystal's lattice parameter (Å) and energy (eV/atom; None where only experiment is known)."""

    lattice_ang: float
    energy_per_atom: float | None


@dataclass(frozen=True, slots=True)
class CanaryRow:
    crystal: str
    expected: Expected
    found: Expected
    sings: bool


@dataclass(frozen=True, slots=True)
class CanaryResult:
    """source: what the values were compared with."""

    source: str
    rows: tuple[CanaryRow, ...]

    @property
    def is_known(self) -> bool:
        """Whether it was held against values of these weights, energies included, and not against experiment."""
        return all(row.expected.energy_per_atom is not None for row in self.rows)

    @property
    def passed(self) -> bool:
        return bool(self.rows) and all(row.sings for row in self.rows)

    @property
    def problem(self) -> str:
        """What is wrong; for one that did not pass."""
        if not self.rows:
            return f"it knows the elements of none of the canary's crystals: {', '.join(_CELLS)}"
        broken = "; ".join(_sentence(row) for row in self.rows if not row.sings)
        return f"its numbers are off: {broken} ({self.source})"


class CanaryDied(Exception):
    """The judge does not reproduce what it should; the message names crystal, expected and found value."""

    def __init__(self, judge: Judge, result: CanaryResult) -> None:
        self.result = result
        super().__init__(f"the judge {judge.name} {judge.model} is refused, {result.problem}")


# Measured with matgl 4.1.2 and chgnet 0.4.2 at the settings above, float32; by the model's name, so that other weights
# under the same name are refused.
_REGISTERED: dict[str, dict[str, Expected]] = {
    "chgnet/0.3.0": {
        "NaCl": Expected(5.698, -3.668),
        "MgO": Expected(4.260, -6.314),
        "CsCl": Expected(4.230, -3.548),
    },
    "matgl/TensorNet-MatPES-PBE-v2025.1-PES": {
        "NaCl": Expected(5.696, -3.358),
        "MgO": Expected(4.258, -5.868),
        "CsCl": Expected(4.172, -3.250),
    },
    "matgl/TensorNet-MatPES-r2SCAN-v2025.1-PES": {
        "NaCl": Expected(5.588, -6.851),
        "MgO": Expected(4.199, -7.990),
        "CsCl": Expected(4.138, -17.662),
    },
    "emt/": {
        "Cu": Expected(3.590, -0.007),
        "Au": Expected(4.056, 0.000),
        "Al": Expected(3.994, -0.005),
    },
    "morse/": {
        "NaCl": Expected(5.904, -1.663),
        "CsCl": Expected(3.855, -2.520),
        "Cu": Expected(4.244, -2.351),
    },
}

# Lattice parameters at room temperature: CRC Handbook of Chemistry and Physics, 97th ed., section 12. Compounds first.
_EXPERIMENT = {
    "NaCl": Expected(5.640, None),
    "MgO": Expected(4.211, None),
    "CsCl": Expected(4.123, None),
    "Si": Expected(5.431, None),
    "Cu": Expected(3.615, None),
    "Au": Expected(4.079, None),
    "Al": Expected(4.050, None),
}
_FROM_EXPERIMENT = 3  # crystals at most: they are relaxed whenever a worker starts

_FCC = ((0.0, 0.5, 0.5), (0.5, 0.0, 0.5), (0.5, 0.5, 0.0))
_SC = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
_CELLS = {
    "NaCl": (_FCC, (11, 17)),
    "MgO": (_FCC, (12, 8)),
    "CsCl": (_SC, (55, 17)),
    "Si": (_FCC, (14, 14)),
    "Cu": (_FCC, (29,)),
    "Au": (_FCC, (79,)),
    "Al": (_FCC, (13,)),
}
_DIAMONDS = {"Si"}


@dataclass(frozen=True, slots=True)
class Standard:
    """What a judge is held against, by crystal. source: whose values they are."""

    source: str
    values: Mapping[str, Expected]

    def held_against(self, found: Mapping[str, Expected]) -> CanaryResult:
        """What was found elsewhere; a crystal that is missing there does not sing."""
        nothing = Expected(float("nan"), None)
        measured = {name: found.get(name, nothing) for name in self.values}
        rows = (
            CanaryRow(name, value, measured[name], _agree(value, measured[name])) for name, value in self.values.items()
        )
        return CanaryResult(self.source, tuple(rows))


def standard_of(
    name: str, model: str, elements: Collection[str], accepted: Mapping[str, Expected] | None = None
) -> Standard:
    """For a judge by name, model and the elements that it knows.

    Registered values; without them those that an organiser accepted for these weights; without these experiment,
    lattice parameters only, with a wide tolerance.
    """
    registered = f"{name}/{PurePath(model).name}"
    if registered in _REGISTERED:
        return Standard(f"registered values of {registered}", _REGISTERED[registered])
    if accepted:
        return Standard("values accepted for these weights", accepted)
    known = [crystal for crystal in _EXPERIMENT if _elements(crystal) <= set(elements)]
    values = {crystal: _EXPERIMENT[crystal] for crystal in known[:_FROM_EXPERIMENT]}
    return Standard(f"experimental lattice parameters, {100 * EXPERIMENT_TOLERANCE:g} %", values)


def check(judge: Judge, accepted: Mapping[str, Expected] | None = None) -> CanaryResult:
    """Relax the canary crystals and compare, see ``standard_of``; raises CanaryDied. Takes a second or two on a CPU."""
    result = sing(judge, accepted)
    if not result.passed:
        raise CanaryDied(judge, result)
    return result


def sing(judge: Judge, accepted: Mapping[str, Expected] | None = None) -> CanaryResult:
    """What ``check`` compares, without the verdict."""
    standard = standard_of(judge.name, judge.model, judge.elements, accepted)
    relaxed = _relaxed(judge, standard.values)
    rows = tuple(_row(name, value, relaxed[name]) for name, value in standard.values.items())
    return CanaryResult(standard.source, rows)


def canary_crystal(name: str, lattice_ang: float) -> Crystal:
    """The primitive cell of a canary crystal with the given cubic lattice parameter."""
    vectors, numbers = _CELLS[name]
    second = (0.25, 0.25, 0.25) if name in _DIAMONDS else (0.5, 0.5, 0.5)
    return Crystal.of(np.array(vectors) * lattice_ang, [(0, 0, 0), second][: len(numbers)], numbers)


def _elements(name: str) -> set[str]:
    return {SYMBOLS[number - 1] for number in _CELLS[name][1]}


def _relaxed(judge: Judge, expected: Mapping[str, Expected]) -> dict[Hashable, Relaxation]:
    """All together, as the judge will be asked; raises what the potential raises."""
    starts = {
        name: canary_crystal(name, value.lattice_ang * START_STRETCH)  # so that the judge has to find its way
        for name, value in expected.items()
    }
    relaxed: dict[Hashable, Relaxation] = {}
    for ended in relax_batch(starts.items(), judge, CANARY_SETTINGS):
        if isinstance(ended, Failed):
            raise ended.error
        relaxed[ended.key] = ended.relaxation
    return relaxed


def _row(name: str, expected: Expected, relaxed: Relaxation) -> CanaryRow:
    cubic = _CELLS[name][0]
    per_unit = abs(np.linalg.det(np.array(cubic)))
    found = Expected(float((relaxed.crystal.volume / per_unit) ** (1 / 3)), relaxed.energy_per_atom)
    return CanaryRow(name, expected, found, relaxed.stopped is Stopped.CONVERGED and _agree(expected, found))


def _agree(expected: Expected, found: Expected) -> bool:
    if expected.energy_per_atom is None:
        return abs(found.lattice_ang / expected.lattice_ang - 1) <= EXPERIMENT_TOLERANCE
    energy = found.energy_per_atom if found.energy_per_atom is not None else float("nan")
    return (
        abs(found.lattice_ang - expected.lattice_ang) <= LATTICE_TOLERANCE_ANG
        and abs(energy - expected.energy_per_atom) <= ENERGY_TOLERANCE_EV_PER_ATOM
    )


def _sentence(row: CanaryRow) -> str:
    text = f"{row.crystal}: expected a = {row.expected.lattice_ang:.3f} Å, found {row.found.lattice_ang:.3f} Å"
    if row.expected.energy_per_atom is not None and row.found.energy_per_atom is not None:
        text += f", expected {row.expected.energy_per_atom:.3f} eV/atom, found {row.found.energy_per_atom:.3f} eV/atom"
    return text
