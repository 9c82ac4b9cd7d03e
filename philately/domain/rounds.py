"""Rounds: what is provisional ends at the close, and what is on the hull then is paid.

A close is a fact with an arrival number, like an organiser's decision (``decisions``): each run pays when everything
that arrived before is placed, for the hull of that moment.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby

from django.db import transaction
from django.db.models import Case, Max, Sum, Value, When
from django.db.models.functions import Now

from philately.broker import ring
from philately.domain.amendments import write_awards
from philately.domain.arrivals import next_arrivals
from philately.domain.audit_log import SWEEPER, About, Deed, record
from philately.domain.organisers import DeedRefused, refuse_frozen, refuse_strangers
from philately.domain.recall import ledger_of
from philately.models import HullPoint, Membership, Round, Run, ScoreEntry, Season, User
from validation.placing import Fold
from validation.rules import Rules
from validation.scoring import PROVISIONAL_CREDIT, Award, Find, PointsFor

_CHUNK = 1000  # finds settled at a time


@dataclass(frozen=True, slots=True)
class Payment:
    """What a round's close is to one participant. ended: provisional points that are not paid."""

    name: str
    finds: int  # that are paid for
    paid: float
    ended: float


def close(season: Season, *, by: User, reason: str = "", even_if_quiet: bool = False) -> Round | None:
    """Close the round in hand now; None where nothing has come in since the last one closed. Raises DeedRefused.

    even_if_quiet: also where points became provisional by something else, such as a withdrawal.
    """
    refuse_strangers(by, season)
    with transaction.atomic():
        season = _locked(season.pk)
        refuse_frozen(season)
        if not (has_news(season) or (even_if_quiet and _owes(season))):
            return None
        return _close(season, Round(season=season, by=by, reason=reason), by=by)


def plan(season: Season, at: datetime, *, by: User, reason: str = "") -> Round:
    """Let the sweeper close a round at a moment that is still to come. Raises DeedRefused."""
    refuse_strangers(by, season)
    with transaction.atomic():
        season = _locked(season.pk)
        refuse_frozen(season)
        if at <= _database_now(season):
            raise DeedRefused(f"{at:%Y-%m-%d %H:%M} UTC is past, and what arrived since is placed; close it now")
        planned, is_new = Round.objects.get_or_create(
            season=season, planned_for=at, defaults={"by": by, "reason": reason}
        )
        if is_new:
            told = {"at": at.isoformat()}
            record(Deed.PLAN_ROUND, About(season=season), by=by, reason=reason, parameters=told)
    return planned


def close_when_due(season_id: int) -> int:
    """For the sweeper: close what was planned and, where the season's rounds last so many days, the one that is over by
    now; says how many were closed."""
    planned = Round.objects.filter(season=season_id, number=None)
    if not (planned.exists() or Season.objects.filter(pk=season_id, round_days__isnull=False).exists()):
        return 0
    with transaction.atomic():
        season = _locked(season_id)
        if season.frozen_at is not None:
            return 0
        due = list(Round.objects.filter(season=season, number=None, planned_for__lte=Now()).order_by("planned_for"))
        boundary = _boundary(season)
        if boundary is not None and not Round.objects.filter(season=season, planned_for=boundary).exists():
            due.append(Round(season=season, planned_for=boundary))
        closed = 0
        for one in due:
            if has_news(season):
                _close(season, one, by=one.by)
                season.refresh_from_db(fields=["next_arrival"])
                closed += 1
            elif one.pk is not None:
                one.delete()  # nothing came in, so there is nothing to close
    return closed


def has_news(season: Season) -> bool:
    """Whether anything arrived, or was decided, since the last round closed."""
    last = Round.objects.filter(season=season).aggregate(last=Max("arrival"))["last"] or 0
    return season.next_arrival > last + 1


def pay(run: Run, fold: Fold, round: Round) -> None:
    """Settle what is provisional in a run, when the round's turn comes. Belongs into a transaction that holds the run's
    row."""
    for awards in _settled(run):
        write_awards(run, awards, fold.memory, round=round)


def preview(run: Run) -> list[Payment]:
    """What a close would be to each participant if everything that arrived were placed as it is now."""
    return _payments(award for awards in _settled(run) for award in awards)


def payments(run: Run, round: Round) -> list[Payment]:
    """What a close was to each participant in a run; empty before its turn has come."""
    rows = ScoreEntry.objects.filter(run=run, round=round).order_by("number").select_related("phase")
    return _payments(
        Award(row.member_id, row.candidate_id, 0, row.formula, row.points, PointsFor(row.reason), row.provisional)
        for row in rows
    )


def _close(season: Season, round: Round, *, by: User | None) -> Round:
    """The season's row is locked."""
    last = Round.objects.filter(season=season).aggregate(last=Max("number"))["last"] or 0
    round.number, round.arrival = last + 1, next_arrivals(season.pk)
    round.closed_at = _database_now(season)
    round.save()
    told = {"number": round.number, "arrival": round.arrival}
    about = About(season=season)
    record(Deed.CLOSE_ROUND, about, by=by, who="" if by else SWEEPER, reason=round.reason, outcome=told)
    ring("place", season.pk, queue="place")
    return round


def _locked(season_id: int) -> Season:
    return Season.objects.select_for_update().get(pk=season_id)


def _database_now(season: Season) -> datetime:
    now: datetime = Season.objects.annotate(now=Now()).values_list("now", flat=True).get(pk=season.pk)
    return now


def _boundary(season: Season) -> datetime | None:
    """The last moment at which one of the season's regular rounds was over."""
    if not season.round_days:
        return None
    length = timedelta(days=season.round_days)
    over = (_database_now(season) - season.opens_at) // length
    return season.opens_at + over * length if over > 0 else None


def _owes(season: Season) -> bool:
    """Whether the official run has paid for all rounds that are closed, and has something provisional again."""
    run, last = season.official_run, Round.objects.filter(season=season).aggregate(last=Max("arrival"))["last"] or 0
    return run is not None and run.placed_to >= last and any(_settled(run))


@dataclass(frozen=True, slots=True)
class _Open:
    """A find with points that are provisional."""

    find: Find
    on_hull: bool


def _settled(run: Run) -> Iterator[list[Award]]:
    """What a close settles now, by formula; some finds at a time. All that older closes settled is at zero since."""
    rules = Rules.from_json(run.rules)
    for some in _by_formula(_open_finds(run)):
        finds = _with_hull(run, some)
        ledger = ledger_of(run, [one.find for one in finds], rules)
        awards = [award for one in finds for award in ledger.for_close(one.find, on_hull=one.on_hull)]
        if awards:
            yield awards


def _open_finds(run: Run) -> Sequence[Find]:
    """Whose points are provisional, by formula and phase. Reads what was written after the last close alone."""
    closed = ScoreEntry.objects.filter(run=run, round__isnull=False).order_by("-number")
    last = closed.values_list("number", flat=True).first() or 0
    credits = [When(reason=reason.value, then=Value(credit)) for reason, credit in PROVISIONAL_CREDIT.items()]
    written = ScoreEntry.objects.filter(run=run, number__gt=last, provisional=True)
    rows = (
        written.order_by("formula", "phase__number", "candidate")
        .values_list("member", "candidate", "phase__number", "formula")
        .annotate(credit=Sum(Case(*credits, default=Value(0))))
        .filter(credit__gt=0)
    )
    return [Find(member, candidate, phase, formula) for member, candidate, phase, formula, _ in rows]


def _by_formula(finds: Iterable[Find]) -> Iterator[list[Find]]:
    """Chunks in which every formula is whole, because it is paid for once."""
    chunk: list[Find] = []
    for _, same in groupby(finds, key=lambda find: find.formula):
        chunk += same
        if len(chunk) >= _CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _with_hull(run: Run, finds: Sequence[Find]) -> list[_Open]:
    points = HullPoint.objects.filter(run=run, is_vertex=True, formula__in={find.formula for find in finds})
    lowest = dict(points.values_list("formula", "lowest_phase"))
    return [_Open(find, lowest.get(find.formula) == find.phase) for find in finds]


def _payments(awards: Iterable[Award]) -> list[Payment]:
    paid: dict[int, float] = {}
    settled: dict[int, float] = {}
    finds: dict[int, int] = {}
    for award in awards:
        if award.provisional:
            settled[award.member] = settled.get(award.member, 0.0) - award.points
        else:
            paid[award.member] = paid.get(award.member, 0.0) + award.points
            finds[award.member] = finds.get(award.member, 0) + (award.reason is PointsFor.PAID)
    names = dict(Membership.objects.filter(pk__in=settled).values_list("pk", "user__username"))
    found = [
        Payment(names[member], finds.get(member, 0), paid.get(member, 0.0), points - paid.get(member, 0.0))
        for member, points in settled.items()
    ]
    return sorted(found, key=lambda one: (-one.paid, one.name))
