"""Seasons, and who may see what of them."""

from collections.abc import Collection
from dataclasses import dataclass

from django.contrib.auth.models import AnonymousUser
from django.db.models import Count, IntegerField, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce

from philately.models import Candidate, Membership, Season, User
from philately.queries import clock
from philately.queries.permissions import rights_in
from philately.queries.steps import Step, steps_of
from philately.states import FINAL, Role, Visibility


@dataclass(frozen=True, slots=True)
class View:
    """What somebody may see of a season. veiled: others' structures and finds are hidden from them for now, and
    whatever tells of them (``queries/blind.py``)."""

    season: Season
    members: frozenset[int]  # their own memberships
    organises: bool
    veiled: bool

    def shows(self, member: int | None) -> bool:
        """Whether they may see what this member found; None stands for the release."""
        return not self.veiled or member is None or member in self.members


def view_of(season: Season, user: User | AnonymousUser) -> View:
    """One query, none for a visitor without an account."""
    rights = rights_in(season, user)
    return View(season, rights.members, rights.organises, is_blind(season) and not rights.organises)


def is_blind(season: Season) -> bool:
    """Blind until the season closes."""
    if season.visibility != Visibility.BLIND or season.frozen_at is not None:
        return False
    return season.closes_at is None or clock.now() < season.closes_at


def _count(rows: QuerySet[Membership] | QuerySet[Candidate]) -> Coalesce:
    counted = rows.filter(season=OuterRef("pk")).order_by().values("season").annotate(n=Count("pk")).values("n")
    return Coalesce(Subquery(counted, output_field=IntegerField()), 0)


def seasons_with_counts() -> QuerySet[Season]:
    """Newest first, with ``n_participants`` and ``n_structures``; one query."""
    return (
        Season.objects.select_related("scale", "official_run__release")
        .annotate(
            n_participants=_count(Membership.objects.filter(role=Role.PARTICIPANT)),
            n_structures=_count(Candidate.objects.all()),
        )
        .order_by("-opens_at", "-pk")
    )


@dataclass(frozen=True, slots=True)
class Queue:
    """How many structures of a season are at which step."""

    steps: tuple[Step, ...]
    total: int
    waiting: int  # not final yet


def queue_of(season: Season, *, of: Collection[int] | None = None) -> Queue:
    """One query. of: memberships whose structures alone are counted."""
    candidates = Candidate.objects.filter(season=season)
    if of is not None:
        candidates = candidates.filter(batch__owner__in=of)
    counts = dict(candidates.order_by("state").values_list("state").annotate(n=Count("pk")))
    total = sum(counts.values())
    return Queue(steps_of(counts), total, total - sum(counts.get(state, 0) for state in FINAL))
