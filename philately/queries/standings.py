"""The leaderboard of a season's official run."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from django.db import connection
from django.db.models import Count, Exists, OuterRef, Q, QuerySet, Sum

from hull.store import STABLE_TOLERANCE
from philately.models import Batch, Candidate, HullPoint, Membership, Phase, Placement, Run, ScoreEntry, Season
from philately.queries import blind
from philately.queries.remembered import remembered
from philately.queries.seasons import View
from philately.states import CandidateState, PhaseStatus, Role
from validation.placing import Verdict

_PHASE, _POINT, _CANDIDATE, _BATCH = (model._meta.db_table for model in (Phase, HullPoint, Candidate, Batch))
_FINDS = f"""
    SELECT batch.owner_id, COUNT(*),
        COALESCE(SUM(CASE WHEN phase.energy_per_atom - point.ground <= %s THEN 1 ELSE 0 END), 0),
        COALESCE(SUM(CASE WHEN phase.energy_per_atom - point.ground <= %s THEN 1 ELSE 0 END), 0)
    FROM {_PHASE} phase
    JOIN {_CANDIDATE} candidate ON candidate.id = phase.first_candidate_id
    JOIN {_BATCH} batch ON batch.id = candidate.batch_id
    LEFT JOIN (
        SELECT formula, CASE WHEN hull_energy < lowest_energy THEN hull_energy ELSE lowest_energy END AS ground
        FROM {_POINT} WHERE run_id = %s AND (hull_energy IS NOT NULL OR is_vertex)
    ) point ON point.formula = phase.formula
    WHERE phase.run_id = %s AND phase.status = %s
    GROUP BY batch.owner_id
"""


@dataclass(frozen=True, slots=True)
class Standing:
    """Of one participant. Finds are phases that they found first, where they sit now; rates are over all submitted."""

    member: int
    name: str
    rank: int
    paid: float  # points that stay
    provisional: float  # points for the hull, until the round closes
    submitted: int
    valid: int  # accepted by the rules, twins and duplicates included
    unique: int
    metastable: int  # on the hull or not far above it
    stable: int

    @property
    def points(self) -> float:
        return self.paid + self.provisional

    @property
    def valid_rate(self) -> float | None:
        return self._rate(self.valid)

    @property
    def unique_rate(self) -> float | None:
        return self._rate(self.unique)

    @property
    def metastable_rate(self) -> float | None:
        return self._rate(self.metastable)

    @property
    def stable_rate(self) -> float | None:
        return self._rate(self.stable)

    def _rate(self, count: int) -> float | None:
        return count / self.submitted if self.submitted else None


@dataclass(frozen=True, slots=True)
class Leaderboard:
    """standings: best first; while the season is veiled to the viewer only their own, as ``_own`` has it, and nothing
    of the run. run and log_position: where the official run stood when counting began. as_of: when that was, None where
    it was just now."""

    standings: tuple[Standing, ...]
    n_participants: int
    veiled: bool
    run: int | None
    log_position: int
    as_of: datetime | None


@dataclass(frozen=True, slots=True)
class _Board:
    """The same for whoever looks."""

    standings: tuple[Standing, ...]
    run: int | None
    log_position: int


def leaderboard(view: View) -> Leaderboard:
    """Six queries. What is counted for a viewer to whom the season is veiled is theirs alone, and kept apart."""
    season, run = view.season, view.season.official_run
    name = f"leaderboard:{season.pk}:{run.pk if run else 0}"
    if view.veiled:
        whose = ",".join(map(str, sorted(view.members)))
        own = remembered(f"{name}:{whose}", partial(_own_board, season, run, view.members))
        standings, n_participants = own.figure
        return Leaderboard(standings, n_participants, True, None, 0, own.as_of)
    kept = remembered(name, partial(_board, season, run))
    board = kept.figure
    return Leaderboard(board.standings, len(board.standings), False, board.run, board.log_position, kept.as_of)


def _board(season: Season, run: Run | None) -> _Board:
    names = names_of(season)
    points = points_of(run)
    finds = _finds(run)
    submitted = _by_member(Candidate.objects.filter(season=season), "batch__owner")
    valid = _by_member(_valid(run), "candidate__batch__owner")
    twins = _by_member(_valid_twins(season), "batch__owner")
    standings: list[Standing] = []
    for member, rank in ranked({member: sum(points.get(member, (0.0, 0.0))) for member in names}, names):
        paid, provisional = points.get(member, (0.0, 0.0))
        unique, metastable, stable = finds.get(member, (0, 0, 0))
        standings.append(
            Standing(
                member=member,
                name=names[member],
                rank=rank,
                paid=paid,
                provisional=provisional,
                submitted=submitted.get(member, 0),
                valid=valid.get(member, 0) + twins.get(member, 0),
                unique=unique,
                metastable=metastable,
                stable=stable,
            )
        )
    return _Board(tuple(standings), run.number if run else None, run.log_position if run else 0)


def _own_board(season: Season, run: Run | None, members: frozenset[int]) -> tuple[tuple[Standing, ...], int]:
    """The rows of these memberships, and how many take part."""
    names = names_of(season)
    return _own(run, {member: name for member, name in names.items() if member in members}), len(names)


def _own(run: Run | None, names: Mapping[int, str]) -> tuple[Standing, ...]:
    """What of one's own standing does not depend on others: how much was sent, accepted and new. The rest is not told
    until the close, and 0 here; nor is what was decided on what the hull, or an auditor, let be held."""
    standings = []
    for member, name in names.items():
        accepted = _accepted(run).filter(candidate__batch__owner=member)
        standings.append(
            Standing(
                member=member,
                name=name,
                rank=0,
                paid=0.0,
                provisional=0.0,
                submitted=Candidate.objects.filter(batch__owner=member).count(),
                valid=accepted.count(),
                unique=accepted.filter(verdict__in=blind.CLASSES).count(),
                metastable=0,
                stable=0,
            )
        )
    return tuple(standings)


def ranked(points: Mapping[int, float], names: Mapping[int, str]) -> list[tuple[int, int]]:
    """(member, rank), best first, then by name; equal points share a rank."""
    order = sorted(names, key=lambda member: (-points[member], names[member]))
    ranks: list[tuple[int, int]] = []
    for place, member in enumerate(order, start=1):
        level = bool(ranks) and points[ranks[-1][0]] == points[member]
        ranks.append((member, ranks[-1][1] if level else place))
    return ranks


def names_of(season: Season) -> dict[int, str]:
    """Participants by membership."""
    return dict(Membership.objects.filter(season=season, role=Role.PARTICIPANT).values_list("pk", "user__username"))


def points_of(run: Run | None) -> dict[int, tuple[float, float]]:
    """Points that stay and provisional ones, by member."""
    rows = (
        ScoreEntry.objects.filter(run=run)
        .order_by("member")
        .values_list("member")
        .annotate(
            paid=Sum("points", filter=Q(provisional=False), default=0.0),
            open=Sum("points", filter=Q(provisional=True), default=0.0),
        )
    )
    return {member: (paid, provisional) for member, paid, provisional in rows}


def _finds(run: Run | None) -> dict[int, tuple[int, int, int]]:
    """Phases on record, those within the metastable limit of the hull and those on it, by first finder.

    Distances as ``positions.with_distance`` has them, by a join: a look at the hull a phase takes ten times as long.
    """
    if run is None:
        return {}
    limits = (run.rules["metastable_ev_per_atom"], STABLE_TOLERANCE)
    with connection.cursor() as cursor:
        cursor.execute(_FINDS, [*limits, run.pk, run.pk, PhaseStatus.ON_RECORD.value])
        return {member: (unique, metastable, stable) for member, unique, metastable, stable in cursor.fetchall()}


def _valid(run: Run | None) -> QuerySet[Placement]:
    return _accepted(run).exclude(phase__status=PhaseStatus.REFUSED)


def _accepted(run: Run | None) -> QuerySet[Placement]:
    """By the rules, whatever an organiser decided on it later."""
    return Placement.objects.filter(run=run, withdrawn_after=None).exclude(verdict=Verdict.REJECTED)


def _valid_twins(season: Season) -> QuerySet[Candidate]:
    """A twin is as valid as the structure that it is the same as.

    Originals are asked for twin by twin, in an index: a list of all that is valid outgrows PostgreSQL's ``work_mem``,
    and is then read again for each twin (minutes, where no other process helps). Heirs are few.
    """
    valid = _valid(season.official_run)
    heirs = valid.filter(candidate__state=CandidateState.PARKED)  # whose original the run leaves out
    alike = Q(Exists(valid.filter(candidate=OuterRef("twin_of")))) | Q(twin_of__in=heirs.values("candidate__twin_of"))
    parked = Candidate.objects.filter(alike, season=season, state=CandidateState.PARKED)
    return parked.exclude(pk__in=heirs.values("candidate"))


def _by_member(rows: QuerySet[Candidate] | QuerySet[Placement], owner: str) -> dict[int, int]:
    return dict(rows.order_by(owner).values_list(owner).annotate(n=Count("pk")))
