"""Points: what a find is worth to whom, as an append-only ledger.

Points for the hull are provisional until a round closes; a find that leaves the hull before then loses them by a
correction. What is written is never changed.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum

from validation.rules import Points


class PointsFor(StrEnum):
    UNIQUE = "unique"
    METASTABLE = "metastable"
    STABLE = "stable"
    FIRST_OF_SYSTEM = "first_of_system"
    DETHRONED = "dethroned"
    DETHRONED_FIRST = "dethroned_first"
    BACK_ON_HULL = "back_on_hull"


@dataclass(frozen=True, slots=True)
class Award:
    """One entry of the ledger. member and candidate are ids of whoever keeps them."""

    member: int
    candidate: int
    phase: int
    formula: str
    points: float
    reason: PointsFor
    provisional: bool


PUTS_ON_HULL = frozenset({PointsFor.STABLE, PointsFor.BACK_ON_HULL})
_HULL_CREDIT = {
    PointsFor.STABLE: 1,
    PointsFor.BACK_ON_HULL: 1,
    PointsFor.DETHRONED: -1,
}
_SYSTEM_CREDIT = {PointsFor.FIRST_OF_SYSTEM: 1, PointsFor.DETHRONED_FIRST: -1}


@dataclass(slots=True)
class Ledger:
    """What has been awarded so far, as far as later awards depend on it; a fold over the awards."""

    points: Points
    unique: Counter[tuple[int, str]] = field(default_factory=Counter)  # (member, formula) → awards
    metastable: set[tuple[int, str]] = field(default_factory=set)
    on_hull: Counter[int] = field(default_factory=Counter)  # phase → 1 while its finder holds the points
    first_of_system: Counter[int] = field(default_factory=Counter)

    def record(self, find: Find, reason: PointsFor) -> None:
        """Take an entry into account: one that is being made, or one read back from where it is kept."""
        if reason is PointsFor.UNIQUE:
            self.unique[find.member, find.formula] += 1
        elif reason is PointsFor.METASTABLE:
            self.metastable.add((find.member, find.formula))
        elif reason in _HULL_CREDIT:
            self.on_hull[find.phase] += _HULL_CREDIT[reason]
        else:
            self.first_of_system[find.phase] += _SYSTEM_CREDIT[reason]

    def for_unique(self, find: Find) -> list[Award]:
        """A valid structure that nobody had: at most so many a formula and member."""
        if self.unique[find.member, find.formula] >= self.points.unique_per_formula:
            return []
        return self._made(find, self.points.unique, PointsFor.UNIQUE, provisional=False)

    def for_metastable(self, find: Find) -> list[Award]:
        """Within the metastable limit of the hull: once a formula and member."""
        if (find.member, find.formula) in self.metastable:
            return []
        return self._made(find, self.points.metastable, PointsFor.METASTABLE, provisional=False)

    def for_stable(self, find: Find, *, first_of_system: bool) -> list[Award]:
        awards = self._made(find, self.points.stable, PointsFor.STABLE, provisional=True)
        if first_of_system:
            awards += self._made(find, self.points.first_of_system, PointsFor.FIRST_OF_SYSTEM, provisional=True)
        return awards

    def for_dethroned(self, find: Find) -> list[Award]:
        """Corrections for a find that left the hull, if its finder holds points for it."""
        awards: list[Award] = []
        if self.on_hull[find.phase] > 0:
            awards += self._made(find, -self.points.stable, PointsFor.DETHRONED, provisional=True)
        if self.first_of_system[find.phase] > 0:
            awards += self._made(find, -self.points.first_of_system, PointsFor.DETHRONED_FIRST, provisional=True)
        return awards

    def for_return(self, find: Find) -> list[Award]:
        """A find that came onto the hull after its arrival: refined, or restored by a withdrawal."""
        if self.on_hull[find.phase] > 0:
            return []
        return self._made(find, self.points.stable, PointsFor.BACK_ON_HULL, provisional=True)

    def _made(self, find: Find, points: float, reason: PointsFor, *, provisional: bool) -> list[Award]:
        self.record(find, reason)
        return [Award(find.member, find.candidate, find.phase, find.formula, points, reason, provisional)]


@dataclass(frozen=True, slots=True)
class Find:
    """Whose find a phase is. formula: reduced, as a string."""

    member: int
    candidate: int
    phase: int
    formula: str
