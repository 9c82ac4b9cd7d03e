"""A release, crystals and arrivals whose energies are made up, in round numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache

from hull.entries import Formula
from hull.reference import Coverage, ReferencePhase, Release, Vector
from validation.crystal import Crystal
from validation.placing import Arrival, Fold
from validation.rules import Rules

ANN, BEN = 1, 2
RULES = Rules()
REFERENCES = {"Na": -1.0, "Cl": -2.0, "K": -1.0}  # eV/atom; with NaCl the ideal mixture has -1.5


@cache
def plain_crystal(formula: str) -> Crystal:
    """One simple crystal a formula, so that whatever is near in energy matches."""
    amounts = dict(Formula.parse(formula).amounts)
    numbers = [number for number, amount in amounts.items() for _ in range(amount)]
    places = [(index / len(numbers), 0.5 * (index % 2), 0.5 * (index % 2)) for index in range(len(numbers))]
    return Crystal.of([[3.0 * len(numbers), 0, 0], [0, 4, 0], [0, 0, 4]], places, numbers)


@cache
def other_crystal(formula: str) -> Crystal:
    """A layered arrangement that matches nothing above."""
    plain = plain_crystal(formula)
    return Crystal.of([[3, 0, 0], [1, 3, 0], [0, 0, 4.0 * len(plain)]], plain.frac_coords[:, ::-1], plain.numbers)


def release_of(coverage: Coverage = Coverage.ELEMENTS, compounds: Iterable[tuple[str, float]] = ()) -> Release:
    phases = [
        ReferencePhase(
            number,
            Formula.parse(formula),
            energy,
            _three(_vectors(plain_crystal(formula).lattice)),
            _vectors(plain_crystal(formula).cart_coords),
            plain_crystal(formula).symbols,
            "made up",
        )
        for number, (formula, energy) in enumerate([*REFERENCES.items(), *compounds], 1)
    ]
    return Release("made up", coverage, {}, "scale", tuple(phases))


def _vectors(rows: object) -> tuple[Vector, ...]:
    return tuple((float(x), float(y), float(z)) for x, y, z in rows)  # type: ignore[attr-defined]


def _three(rows: tuple[Vector, ...]) -> tuple[Vector, Vector, Vector]:
    first, second, third = rows
    return first, second, third


def arrival_of(
    candidate: int,
    energy_per_atom: float,
    *,
    formula: str = "ClNa",
    member: int = ANN,
    crystal: Callable[[str], Crystal] = plain_crystal,
) -> Arrival:
    return Arrival(candidate, member, Formula.parse(formula), energy_per_atom, lambda: crystal(formula))


OPENED_AT_ONCE = (arrival_of(1, -1.6),)
OPENED_BY_REFINEMENT = (
    arrival_of(1, -1.501),  # below the elements, but by less than makes it stable
    arrival_of(2, -1.5015, crystal=other_crystal),
    arrival_of(3, -1.508),
)


def energy_of(fold: Fold, number: int) -> float:
    return next(p.energy_per_atom for phases in fold.memory.phases.values() for p in phases if p.number == number)
