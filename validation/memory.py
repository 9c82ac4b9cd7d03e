"""What a fold knows of what was placed before: all of it, or as much as the arrivals at hand can ask for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from hull.entries import Formula
from validation.crystal import Crystal
from validation.rules import Points
from validation.scoring import Find, Ledger


@dataclass(slots=True)
class KeptPhase:
    """find is None for a phase of the release; in_hull is False while held."""

    number: int
    formula: Formula
    energy_per_atom: float
    crystal: Callable[[], Crystal]
    find: Find | None
    in_hull: bool


@dataclass(slots=True)
class Memory:
    """Phases by formula, whose finds the phases of the log are, the ledger, and the chemical systems with a compound
    found stable, here or in the release.

    A formula or a phase that a partial memory was not given is a KeyError, never new: see ``whole`` for the other kind.
    """

    ledger: Ledger
    systems: set[str] = field(default_factory=set)
    phases: dict[Formula, list[KeptPhase]] = field(default_factory=dict)
    finds: dict[int, Find | None] = field(default_factory=dict)

    @classmethod
    def whole(cls, points: Points) -> Memory:
        """One that is given everything from the first phase on: a formula that it does not have is new."""
        return cls(Ledger(points), phases=defaultdict(list))

    def keep(self, phase: KeptPhase) -> None:
        self.phases[phase.formula].append(phase)
        self.finds[phase.number] = phase.find
