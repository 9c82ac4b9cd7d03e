"""Whose turn it is: relaxed candidates in order of arrival, as far as everything earlier is settled."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from operator import attrgetter
from typing import NamedTuple

from django.conf import settings
from django.db.models import OuterRef, QuerySet, Subquery

from hull.entries import Formula
from philately.domain.heirs import heirs_of
from philately.domain.recall import relaxed_crystal
from philately.models import Candidate, Decision, Round, Run, Season
from philately.states import SETTLED, CandidateState
from validation.auditing import Heard
from validation.verdicts import Arrival

_OPEN = sorted(set(CandidateState) - SETTLED - {CandidateState.RELAXED})  # what the others wait for

_formula = lru_cache(maxsize=65_536)(Formula.parse)  # the same formulas come again and again


class Waiting(NamedTuple):
    """A relaxed candidate, as much of it as placing needs. energy_per_atom: eV/atom."""

    candidate: int
    arrival: int
    member: int
    formula: str
    energy_per_atom: float
    relaxation: int


@dataclass(frozen=True, slots=True)
class Turn:
    """Who is next, at most a chunk, and how far in the order of arrival that takes the run.

    left_out: those whose turn it is that the run leaves out. heirs: of those of ``waiting`` that are parked
    twins of such. then: the arrival number of a decision or a round's close that comes right after these, or
    after some more chunks of such.
    """

    waiting: tuple[Waiting, ...]
    left_out: tuple[Waiting, ...]
    heirs: frozenset[int]
    passed_to: int
    then: int | None = None

    def before(self, candidate: int) -> "Turn":
        """As much of it as comes before one of ``waiting``."""
        (arrival,) = (one.arrival for one in self.waiting if one.candidate == candidate)
        waiting = tuple(one for one in self.waiting if one.arrival < arrival)
        left_out = tuple(one for one in self.left_out if one.arrival < arrival)
        heirs = self.heirs & {one.candidate for one in waiting}
        return Turn(waiting, left_out, heirs, arrival - 1)


def turn_of(run: Run, *, again: bool = False, size: int | None = None) -> Turn:
    """The next candidates of a run in a handful of queries, none of which reads further than the chunk reaches.

    again: what is placed already has its turn as well, which is for a run that is not official. size: of the chunk.
    """
    size = size or settings.PLACE_CHUNK
    states = (CandidateState.RELAXED, CandidateState.PLACED) if again else (CandidateState.RELAXED,)
    horizon, first_open, occasion = look_ahead(run)
    is_clear = occasion is not None and (first_open is None or first_open > occasion)
    if horizon is None:
        return Turn((), (), frozenset(), run.placed_to, occasion if is_clear else None)
    after = Candidate.objects.filter(season_id=run.season_id, arrival__gt=run.placed_to).order_by("arrival")
    if occasion is not None:
        after = after.filter(arrival__lt=occasion)
    ready = after.filter(arrival__lte=horizon) if first_open is None else after.filter(arrival__lt=first_open)
    found = tuple(waiting_of(ready.filter(state__in=states)[:size]))
    if len(found) == size:
        ready = ready.filter(arrival__lte=found[-1].arrival)
    excluded, heirs = _left_out(run, found), heirs_of(run, ready)
    waiting = [one for one in found if one.candidate not in excluded]
    left_out = tuple(one for one in found if one.candidate in excluded)
    if heirs:
        waiting = sorted([*waiting, *waiting_of(ready.filter(pk__in=heirs))], key=attrgetter("arrival"))
    last = found[-1].arrival if len(found) == size else ready.values_list("arrival", flat=True).last()
    passed_to = run.placed_to if last is None else last
    return Turn(tuple(waiting), left_out, frozenset(heirs), passed_to, occasion if is_clear else None)


def _left_out(run: Run, found: Sequence[Waiting]) -> frozenset[int]:
    """Keys of those that the run leaves out."""
    if not found:
        return frozenset()
    between = run.exclusions.filter(candidate__arrival__range=(found[0].arrival, found[-1].arrival))
    return frozenset(between.values_list("candidate", flat=True)) & {one.candidate for one in found}


def waiting_of(candidates: QuerySet[Candidate]) -> Iterator[Waiting]:
    """Of relaxed candidates, in the order of the query."""
    rows = candidates.values_list(
        "pk", "arrival", "batch__owner", "relaxation__formula", "relaxation__energy_per_atom", "relaxation"
    )
    return map(Waiting._make, rows.iterator(chunk_size=2000))


def arrival_of(waiting: Waiting, heard: Mapping[int, Mapping[str, Heard]] | None = None) -> Arrival:
    """As the fold takes it. heard: what auditors said, by relaxation and auditor."""
    return Arrival(
        waiting.candidate,
        waiting.member,
        _formula(waiting.formula),
        waiting.energy_per_atom,
        partial(relaxed_crystal, waiting.candidate),
        waiting.relaxation,
        (heard or {}).get(waiting.relaxation, {}),
    )


def frontier(run: Run) -> tuple[int | None, int | None]:
    """Arrival numbers after what is placed: the last, and the first that is still under way."""
    last, first_open, _ = look_ahead(run)
    return last, first_open


def look_ahead(run: Run) -> tuple[int | None, int | None, int | None]:
    """The same, and that of the next decision or round's close, before which all that has a lower number is committed.

    One statement, so that what arrives or moves on meanwhile is not passed over; and one look into the index a state,
    however many candidates wait.
    """
    after = Candidate.objects.filter(season=OuterRef("pk"), arrival__gt=run.placed_to)
    last = _arrival(after.order_by("-arrival"))
    firsts = (_arrival(after.filter(state=state).order_by("arrival")) for state in _OPEN)
    ahead = {"season": OuterRef("pk"), "arrival__gt": run.placed_to}
    decision, round = (_arrival(rows.objects.filter(**ahead).order_by("arrival")) for rows in (Decision, Round))
    found = Season.objects.values_list(last, decision, round, *firsts).get(pk=run.season_id)
    return found[0], _least(found[3:]), _least(found[1:3])


def _arrival(rows: QuerySet[Candidate] | QuerySet[Decision] | QuerySet[Round]) -> Subquery:
    return Subquery(rows.values("arrival")[:1])


def _least(arrivals: Iterable[int | None]) -> int | None:
    return min((arrival for arrival in arrivals if arrival is not None), default=None)
