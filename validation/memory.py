"""What a fold knows of what was placed before: all of it, or as much as the arrivals at hand can ask for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from hull.entries import Formula
from validation.crystal import Crystal
from validation.fingerprint import Fingerprint, Limits
from validation.matching import least_distance
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
    structure: int | None = None  # of the representative, as ``Fits`` has it


@dataclass(frozen=True, slots=True)
class Fits:
    """What is known beforehand of which relaxed structures match. Structures are named by numbers.

    fingerprints: of those that have any. results: of the fits that were made, the lower number first.
    """

    limits: Limits | None = None
    fingerprints: Mapping[int, tuple[Fingerprint, ...]] = field(default_factory=dict)
    results: Mapping[tuple[int, int], bool] = field(default_factory=dict)

    def is_open(self, a: int | None, b: int | None) -> bool:
        """Whether the two still have to be fitted: they are near each other for all that is known, and nobody did."""
        if a is None or b is None or a not in self.fingerprints or b not in self.fingerprints:
            return True
        return self._pair(a, b) not in self.results and self._distance(a, b) is not None

    def distance(self, a: int | None, b: int | None) -> float | None:
        """Between the fingerprints of two that are not open; None where they do not match."""
        assert a is not None and b is not None
        return self._distance(a, b) if self.results.get(self._pair(a, b), False) else None

    def _distance(self, a: int, b: int) -> float | None:
        assert self.limits is not None  # whoever gives fingerprints gives limits
        return least_distance(self.fingerprints[a], self.fingerprints[b], self.limits)

    @staticmethod
    def _pair(a: int, b: int) -> tuple[int, int]:
        return min(a, b), max(a, b)


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
    fits: Fits = field(default_factory=Fits)

    @classmethod
    def whole(cls, points: Points) -> Memory:
        """One that is given everything from the first phase on: a formula that it does not have is new."""
        return cls(Ledger(points), phases=defaultdict(list))

    def keep(self, phase: KeptPhase) -> None:
        self.phases[phase.formula].append(phase)
        self.finds[phase.number] = phase.find
