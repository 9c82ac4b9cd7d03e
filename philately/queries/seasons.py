"""Seasons, and who may see what of them."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from django.contrib.auth.models import AnonymousUser
from django.db.models import Count

from philately.models import Candidate, Membership, Season, User
from philately.queries import clock
from philately.queries.permissions import rights_in
from philately.queries.remembered import remembered
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
    return season.visibility == Visibility.BLIND and season.frozen_at is None and not is_closed(season)


def is_closed(season: Season) -> bool:
    """By the database's clock; one small query where the season has an end."""
    return season.closes_at is not None and clock.now() >= season.closes_at


@dataclass(frozen=True, slots=True)
class SeasonRow:
    """A season on the first page. as_of: when it was counted, None where that was just now."""

    season: Season
    n_participants: int
    n_structures: int
    as_of: datetime | None


def seasons_with_counts() -> list[SeasonRow]:
    """Newest first, with ``scale`` and ``official_run__release``; three queries."""
    counts = remembered("seasons", _counts)
    seasons = Season.objects.select_related("scale", "official_run__release").order_by("-opens_at", "-pk")
    return [SeasonRow(season, *counts.figure.get(season.pk, (0, 0)), counts.as_of) for season in seasons]


def _counts() -> dict[int, tuple[int, int]]:
    """Participants and structures, by season."""
    members = Membership.objects.filter(role=Role.PARTICIPANT).order_by("season")
    participants = dict(members.values_list("season").annotate(n=Count("pk")))
    structures = dict(Candidate.objects.order_by("season").values_list("season").annotate(n=Count("pk")))
    seasons = participants.keys() | structures.keys()
    return {season: (participants.get(season, 0), structures.get(season, 0)) for season in seasons}


@dataclass(frozen=True, slots=True)
class Queue:
    """How many structures of a season are at which step."""

    steps: tuple[Step, ...]
    total: int
    waiting: int  # not final yet
    as_of: datetime | None  # when it was counted, where that was not just now


def queue_of(season: Season, *, of: Collection[int] | None = None) -> Queue:
    """One query. of: memberships whose structures alone are counted, and kept apart."""
    whose = "all" if of is None else ",".join(map(str, sorted(of)))
    kept = remembered(f"queue:{season.pk}:{whose}", partial(_states_of, season.pk, of))
    counts, total = kept.figure, sum(kept.figure.values())
    waiting = total - sum(counts.get(state, 0) for state in FINAL)
    return Queue(steps_of(counts), total, waiting, kept.as_of)


def _states_of(season_id: int, of: Collection[int] | None) -> dict[str, int]:
    """Candidates by state, counted in an index."""
    candidates = Candidate.objects.filter(season=season_id)
    if of is not None:
        candidates = candidates.filter(batch__owner__in=of)
    return dict(candidates.order_by("state").values_list("state").annotate(n=Count("state")))
