"""Whose turn it is: relaxed candidates in order of arrival, as far as everything earlier is settled."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from operator import attrgetter
from typing import NamedTuple

from django.conf import settings
from django.db.models import OuterRef, QuerySet, Subquery

from hull.entries import Formula
from philately.domain.heirs import heirs_of
from philately.domain.recall import relaxed_crystal
from philately.models import Candidate, Run, Season
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
    twins of such.
    """

    waiting: tuple[Waiting, ...]
    left_out: tuple[Waiting, ...]
    heirs: frozenset[int]
    passed_to: int

    def before(self, candidate: int) -> "Turn":
        """As much of it as comes before one of ``waiting``."""
        (arrival,) = (one.arrival for one in self.waiting if one.candidate == candidate)
        waiting = tuple(one for one in self.waiting if one.arrival < arrival)
        left_out = tuple(one for one in self.left_out if one.arrival < arrival)
        return Turn(waiting, left_out, self.heirs & {one.candidate for one in waiting}, arrival - 1)


def turn_of(run: Run, *, again: bool = False, size: int | None = None) -> Turn:
    """The next candidates of a run in a handful of queries, none of which reads further than the chunk reaches.

    again: what is placed already has its turn as well, which is for a run that is not official. size: of the chunk.
    """
    size = size or settings.PLACE_CHUNK
    states = (CandidateState.RELAXED, CandidateState.PLACED) if again else (CandidateState.RELAXED,)
    horizon, first_open = frontier(run)
    if horizon is None:
        return Turn((), (), frozenset(), run.placed_to)
    after = Candidate.objects.filter(season_id=run.season_id, arrival__gt=run.placed_to).order_by("arrival")
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
    return Turn(tuple(waiting), left_out, frozenset(heirs), run.placed_to if last is None else last)


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
    """Arrival numbers after what is placed: the last, and the first that is still under way.

    One statement, so that what arrives or moves on meanwhile is not passed over; and one look into the index a state,
    however many candidates wait.
    """
    after = Candidate.objects.filter(season=OuterRef("pk"), arrival__gt=run.placed_to)
    last = _arrival(after.order_by("-arrival"))
    firsts = (_arrival(after.filter(state=state).order_by("arrival")) for state in _OPEN)
    horizon, *found = Season.objects.values_list(last, *firsts).get(pk=run.season_id)
    return horizon, min((arrival for arrival in found if arrival is not None), default=None)


def _arrival(candidates: QuerySet[Candidate]) -> Subquery:
    return Subquery(candidates.values("arrival")[:1])
