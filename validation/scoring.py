"""Points: what a find is worth to whom, as an append-only ledger.

Points for the hull are provisional until a round closes; a find that leaves the hull before then loses them by a
correction. The close takes all that is provisional back and pays for what is on the hull, once a formula and member.
What is paid stays, unless its finder withdraws it. What is written is never changed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
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
    WITHDRAWN_UNIQUE = "withdrawn_unique"  # these four take back what a withdrawn find was given
    WITHDRAWN_METASTABLE = "withdrawn_metastable"
    WITHDRAWN_STABLE = "withdrawn_stable"
    WITHDRAWN_FIRST = "withdrawn_first"
    SETTLED = "settled"  # these two end what was provisional, at a round's close
    SETTLED_FIRST = "settled_first"
    PAID = "paid"  # these two take its place
    PAID_FIRST = "paid_first"
    WITHDRAWN_PAID = "withdrawn_paid"  # these two take back what a withdrawn find was paid
    WITHDRAWN_PAID_FIRST = "withdrawn_paid_first"


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
_UNIQUE_CREDIT = {PointsFor.UNIQUE: 1, PointsFor.WITHDRAWN_UNIQUE: -1}
_METASTABLE_CREDIT = {PointsFor.METASTABLE: 1, PointsFor.WITHDRAWN_METASTABLE: -1}
_HULL_CREDIT = {
    PointsFor.STABLE: 1,
    PointsFor.BACK_ON_HULL: 1,
    PointsFor.DETHRONED: -1,
    PointsFor.WITHDRAWN_STABLE: -1,
    PointsFor.SETTLED: -1,
}
_SYSTEM_CREDIT = {
    PointsFor.FIRST_OF_SYSTEM: 1,
    PointsFor.DETHRONED_FIRST: -1,
    PointsFor.WITHDRAWN_FIRST: -1,
    PointsFor.SETTLED_FIRST: -1,
}
_PAID_CREDIT = {PointsFor.PAID: 1, PointsFor.WITHDRAWN_PAID: -1}
_PAID_FIRST_CREDIT = {PointsFor.PAID_FIRST: 1, PointsFor.WITHDRAWN_PAID_FIRST: -1}
PROVISIONAL_CREDIT = _HULL_CREDIT | _SYSTEM_CREDIT  # of reasons whose points a round's close settles


@dataclass(slots=True)
class Ledger:
    """What has been awarded so far, as far as later awards depend on it; a fold over the awards."""

    points: Points
    unique: Counter[tuple[int, str]] = field(default_factory=Counter)  # (member, formula) → awards
    metastable: Counter[tuple[int, str]] = field(default_factory=Counter)
    on_hull: Counter[int] = field(default_factory=Counter)  # phase → 1 while its finder holds the provisional points
    first_of_system: Counter[int] = field(default_factory=Counter)
    paid: Counter[tuple[int, str]] = field(default_factory=Counter)  # (member, formula) → 1 once a round paid for it
    paid_phases: Counter[int] = field(default_factory=Counter)  # the phases that were paid for

    def record(self, find: Find, reason: PointsFor) -> None:
        """Take an entry into account: one that is being made, or one read back from where it is kept."""
        if reason in _UNIQUE_CREDIT:
            self.unique[find.member, find.formula] += _UNIQUE_CREDIT[reason]
        elif reason in _METASTABLE_CREDIT:
            self.metastable[find.member, find.formula] += _METASTABLE_CREDIT[reason]
        elif reason in _HULL_CREDIT:
            self.on_hull[find.phase] += _HULL_CREDIT[reason]
        elif reason in _SYSTEM_CREDIT:
            self.first_of_system[find.phase] += _SYSTEM_CREDIT[reason]
        elif reason in _PAID_CREDIT:
            self.paid[find.member, find.formula] += _PAID_CREDIT[reason]
            self.paid_phases[find.phase] += _PAID_CREDIT[reason]
        else:
            assert reason in _PAID_FIRST_CREDIT, reason  # nothing that is awarded later depends on these

    def for_unique(self, find: Find) -> list[Award]:
        """A valid structure that nobody had: at most so many a formula and member."""
        if self.unique[find.member, find.formula] >= self.points.unique_per_formula:
            return []
        return self._made(find, self.points.unique, PointsFor.UNIQUE, provisional=False)

    def for_metastable(self, find: Find) -> list[Award]:
        """Within the metastable limit of the hull: once a formula and member."""
        if self.metastable[find.member, find.formula] > 0:
            return []
        return self._made(find, self.points.metastable, PointsFor.METASTABLE, provisional=False)

    def for_still_metastable(self, find: Find) -> list[Award]:
        """The same for a find that left the hull; one that was paid for the hull keeps that instead."""
        return [] if self.paid_phases[find.phase] > 0 else self.for_metastable(find)

    def for_stable(self, find: Find, *, first_of_system: bool) -> list[Award]:
        """On the hull; nothing where an earlier round paid its finder for the formula."""
        if self.paid[find.member, find.formula] > 0:
            return []
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
        if self.on_hull[find.phase] > 0 or self.paid[find.member, find.formula] > 0:
            return []
        return self._made(find, self.points.stable, PointsFor.BACK_ON_HULL, provisional=True)

    def for_close(self, find: Find, *, on_hull: bool) -> list[Award]:
        """A round closes: what is provisional ends, and is paid where the find is on the hull then."""
        holds, is_first = self.on_hull[find.phase] > 0, self.first_of_system[find.phase] > 0
        awards: list[Award] = []
        if holds:
            awards += self._made(find, -self.points.stable, PointsFor.SETTLED, provisional=True)
        if is_first:
            awards += self._made(find, -self.points.first_of_system, PointsFor.SETTLED_FIRST, provisional=True)
        if not (holds and on_hull) or self.paid[find.member, find.formula] > 0:
            return awards
        awards += self._made(find, self.points.stable, PointsFor.PAID, provisional=False)
        if is_first:
            awards += self._made(find, self.points.first_of_system, PointsFor.PAID_FIRST, provisional=False)
        return awards

    def for_withdrawn(self, find: Find, given: Iterable[PointsFor]) -> list[Award]:
        """Corrections for a find whose finder takes it back. given: the reasons of its entries so far."""
        given, worth = list(given), self.points
        awards: list[Award] = []
        for reason, credits, points, provisional in (
            (PointsFor.WITHDRAWN_UNIQUE, _UNIQUE_CREDIT, worth.unique, False),
            (PointsFor.WITHDRAWN_METASTABLE, _METASTABLE_CREDIT, worth.metastable, False),
            (PointsFor.WITHDRAWN_STABLE, _HULL_CREDIT, worth.stable, True),
            (PointsFor.WITHDRAWN_FIRST, _SYSTEM_CREDIT, worth.first_of_system, True),
            (PointsFor.WITHDRAWN_PAID, _PAID_CREDIT, worth.stable, False),
            (PointsFor.WITHDRAWN_PAID_FIRST, _PAID_FIRST_CREDIT, worth.first_of_system, False),
        ):
            if sum(credits.get(entry, 0) for entry in given) > 0:
                awards += self._made(find, -points, reason, provisional=provisional)
        return awards

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
