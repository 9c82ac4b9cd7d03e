"""How far real crystals lower the hull when they arrive one after the other: what the rule on arrival looks at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass, replace

from hull.reference import Release
from hull.store import Position
from validation.crystal import Crystal
from validation.placing import Arrival, Fold
from validation.rules import Rules
from validation.verdicts import Verdict

_NEVER_EV_PER_ATOM = 1e6
_NOT_PLACED = (Verdict.REJECTED, Verdict.UNDEFINED)


@dataclass(frozen=True, slots=True)
class Arrived:
    """distance: eV/atom, signed, negative where it lowers the hull. among_compounds: whether the hull at its
    composition is of compounds alone; else an element stands for compounds that nobody knows."""

    distance: float
    among_compounds: bool


def on_arrival(finds: Iterable[tuple[Crystal, float]], release: Release, rules: Rules) -> Iterator[Arrived]:
    """Each find that a season places, duplicates included, in the order of the finds. None is held, so all that were
    placed are in the hull that the next one meets.

    finds: relaxed crystals with their energies, eV/atom on the release's scale.
    """
    fold = Fold.on(release, _holding_nothing(rules))
    elements = {phase.number for phase in release.phases if phase.formula.is_element}
    for number, (crystal, energy) in enumerate(finds, start=1):
        outcome = fold.place(_arrival(number, crystal, energy))
        if outcome.phase is not None and crystal.formula.is_element:
            elements.add(outcome.phase)
        distance = outcome.position.e_above_hull_on_arrival
        if outcome.verdict not in _NOT_PLACED and distance is not None:
            yield Arrived(distance, _among_compounds(outcome.position, elements))


def _among_compounds(position: Position, elements: Set[int]) -> bool:
    """Its own composition's phase counts, where that is the hull there."""
    distance, others = position.e_above_hull_on_arrival, position.decomposition_energy
    if distance is not None and others is not None and distance > others:
        return True
    return not any(entry in elements for entry, _ in position.decomposition)


def _arrival(number: int, crystal: Crystal, energy: float) -> Arrival:
    return Arrival(number, 1, crystal.formula, energy, lambda: crystal)


def _holding_nothing(rules: Rules) -> Rules:
    return replace(
        rules,
        held_below_reference_ev_per_atom=_NEVER_EV_PER_ATOM,
        held_formation_energy_ev_per_atom=-_NEVER_EV_PER_ATOM,
        held_on_arrival_ev_per_atom=-_NEVER_EV_PER_ATOM,
    )
