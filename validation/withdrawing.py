"""Taking a placed structure out again: what its phase becomes, what the hull does, whose points change.

Nothing here depends on a database: a run, and a fold in memory that replays one, ask the same functions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from hull.entries import Entry, Formula
from hull.moved import NOTHING_MOVED, Moved
from hull.store import Event, EventKind, HullStore
from validation.rules import Rules
from validation.scoring import Award, Find, Ledger, PointsFor
from validation.verdicts import Change, LogItem


@dataclass(frozen=True, slots=True)
class Representative:
    """A structure that stands for a phase. candidate: None for the release's own. held: an organiser has not decided on
    its energy (eV/atom)."""

    candidate: int | None
    energy_per_atom: float
    held: bool = False


@dataclass(frozen=True, slots=True)
class Remains:
    """What a phase is after one of its structures was taken out. first: whose find it is; none for a phase of the
    release. lowest: whose energy it has."""

    first: Representative | None
    lowest: Representative
    in_hull: bool


@dataclass(frozen=True, slots=True)
class Loss:
    """What the one who withdraws loses. find: what the withdrawn structure was the find of. given: the reasons of the
    points that it was given."""

    owner: int  # member
    find: Find | None = None
    given: tuple[PointsFor, ...] = ()


@dataclass(frozen=True, slots=True)
class Heir:
    """Whose find it is from now on, and where the phase lies afterwards (eV/atom from the hull)."""

    find: Find
    on_hull: bool
    e_above_hull: float


def remains_of(
    lost: int, first: int | None, lowest: Representative, others: Sequence[Representative], *, in_hull: bool
) -> Remains | None:
    """The phase without the candidate ``lost``; None where nobody stands for it any longer.

    first: whose find it was. lowest: whose energy it had. others: who else was placed in it, in order of arrival, the
    release's own structure first.
    """
    proper = [one for one in others if not one.held]
    if not in_hull or not proper:
        # Outside the hull nothing is refined: there a phase has its finder's energy.
        return Remains(others[0], others[0], in_hull=False) if others else None
    of_release = proper[0].candidate is None
    finder = None if of_release else next((one for one in proper if one.candidate == first), proper[0])
    if lowest.candidate == lost:
        lowest = min(proper, key=lambda one: one.energy_per_atom)  # the first of them at equal energies
    return Remains(finder, lowest, in_hull=True)


def change_hull(
    hull: HullStore, number: int, formula: Formula, before: float | None, remains: Remains | None
) -> tuple[tuple[LogItem, ...], Moved]:
    """Give an entry its new energy, or take it out, as one change: what came and left by it, and the compositions whose
    points moved or are gone. before: eV/atom; None where it was not in the hull."""
    after = remains.lowest.energy_per_atom if remains is not None and remains.in_hull else None
    if before == after or before is None:
        return (), NOTHING_MOVED
    change = hull.withdraw(number)
    events, moved = list(change.events), change.moved
    if after is not None:
        again = hull.insert(Entry(number, formula, after))
        events += again.events
        moved |= again.moved
    return tuple(_net(hull, number, events)), moved


def _net(hull: HullStore, by: int, events: Iterable[Event]) -> list[LogItem]:
    """What is different after all of the events: those that came, then those that left."""
    balance: Counter[int] = Counter()
    for event in events:
        balance[event.entry_id] += -1 if event.kind is EventKind.DETHRONED else 1
    came = sorted(number for number, change in balance.items() if change > 0)
    left = sorted(number for number, change in balance.items() if change < 0)
    return [
        *(LogItem(Change.RESTORED, number, _other(by, number)) for number in came),
        *(LogItem(Change.DETHRONED, number, _other(by, number), _above(hull, number)) for number in left),
    ]


def _other(by: int, number: int) -> int | None:
    return None if number == by else by


def _above(hull: HullStore, number: int) -> float | None:
    return hull.e_above_hull(number) if number in hull else None


def settle(
    ledger: Ledger,
    loss: Loss,
    heir: Heir | None,
    log: Iterable[LogItem],
    *,
    finds: Mapping[int, Find | None],
    rules: Rules,
) -> list[Award]:
    """What a withdrawal takes from the one who withdraws, and gives to others. From others it takes nothing: whose find
    leaves the hull with a refinement that was withdrawn keeps what is provisional until the round's close.

    finds: of the phases in the log, as they are afterwards.
    """
    awards = ledger.for_withdrawn(loss.find, loss.given) if loss.find is not None else []
    if heir is not None:
        awards += _begun(ledger, heir, rules)
    for item in log:
        find = finds[item.phase]
        if find is not None and item.kind is Change.RESTORED:
            awards += ledger.for_return(find)
        elif find is not None and find.member == loss.owner:
            awards += ledger.for_dethroned(find)
            if _is_metastable(item.e_above_hull, rules):
                awards += ledger.for_still_metastable(find)
    return awards


def _begun(ledger: Ledger, heir: Heir, rules: Rules) -> list[Award]:
    """The points of a find that is another's from now on."""
    awards = ledger.for_unique(heir.find)
    if heir.on_hull:
        awards += ledger.for_return(heir.find)
    elif _is_metastable(heir.e_above_hull, rules):
        awards += ledger.for_metastable(heir.find)
    return awards


def _is_metastable(e_above_hull: float | None, rules: Rules) -> bool:
    return e_above_hull is not None and e_above_hull <= rules.metastable_ev_per_atom
