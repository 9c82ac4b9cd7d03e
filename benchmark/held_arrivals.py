"""How far real crystals lower the hull when they arrive one after the other: what the rule on arrival looks at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from hull.reference import Release
from validation.crystal import Crystal
from validation.placing import Arrival, Fold
from validation.rules import Rules
from validation.verdicts import Verdict

_NEVER_EV_PER_ATOM = 1e6
_NOT_PLACED = (Verdict.REJECTED, Verdict.UNDEFINED)


def on_arrival(finds: Iterable[tuple[Crystal, float]], release: Release, rules: Rules) -> Iterator[float]:
    """eV/atom of each find that a season places, duplicates included, in the order of the finds; negative where it
    lowers the hull. No find is held, so all that were placed are in the hull that the next one meets.

    finds: relaxed crystals with their energies, eV/atom on the release's scale.
    """
    fold = Fold.on(release, _holding_nothing(rules))
    for number, (crystal, energy) in enumerate(finds, start=1):
        outcome = fold.place(_arrival(number, crystal, energy))
        distance = outcome.position.e_above_hull_on_arrival
        if outcome.verdict not in _NOT_PLACED and distance is not None:
            yield distance


def _arrival(number: int, crystal: Crystal, energy: float) -> Arrival:
    return Arrival(number, 1, crystal.formula, energy, lambda: crystal)


def _holding_nothing(rules: Rules) -> Rules:
    return replace(
        rules,
        held_below_reference_ev_per_atom=_NEVER_EV_PER_ATOM,
        held_formation_energy_ev_per_atom=-_NEVER_EV_PER_ATOM,
        held_on_arrival_ev_per_atom=-_NEVER_EV_PER_ATOM,
    )
