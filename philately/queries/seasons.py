"""Seasons, and who may see what of them."""

from dataclasses import dataclass

from django.contrib.auth.models import AnonymousUser
from django.db.models import Count, IntegerField, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.utils import timezone

from philately.models import Candidate, Membership, Season, User
from philately.queries.steps import Step, steps_of
from philately.states import FINAL, Role, Visibility


@dataclass(frozen=True, slots=True)
class View:
    """What somebody may see of a season. veiled: others' structures and finds are hidden from them for now."""

    season: Season
    members: frozenset[int]  # their own memberships
    organises: bool
    veiled: bool

    def shows(self, member: int | None) -> bool:
        """Whether they may see what this member found; None stands for the release."""
        return not self.veiled or member is None or member in self.members


def view_of(season: Season, user: User | AnonymousUser) -> View:
    """One query, none for a visitor without an account."""
    roles: dict[int, str] = {}
    if user.pk is not None:
        roles = dict(Membership.objects.filter(season=season, user=user.pk).values_list("pk", "role"))
    organises = user.is_staff or Role.ORGANISER in roles.values()
    return View(season, frozenset(roles), organises, is_blind(season) and not organises)


def is_blind(season: Season) -> bool:
    """Blind until the season closes."""
    closed = season.frozen_at is not None or (season.closes_at is not None and timezone.now() >= season.closes_at)
    return season.visibility == Visibility.BLIND and not closed


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


def queue_of(season: Season) -> Queue:
    """One query."""
    counts = dict(
        Candidate.objects.filter(season=season).order_by("state").values_list("state").annotate(n=Count("pk"))
    )
    total = sum(counts.values())
    return Queue(steps_of(counts), total, total - sum(counts.get(state, 0) for state in FINAL))
