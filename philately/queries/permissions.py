"""Who may see and do what, decided here alone. Pages, deeds and other queries ask these functions.

There are three roles: a *participant* has what they sent, an *organiser* has one season, *staff* have all of them. A
programme that shows an API key is never more than a participant, whoever's key it is: it has no second factor.
"""

from dataclasses import dataclass
from typing import TypeVar

from django.contrib.auth.models import AnonymousUser
from django.db.models import Exists, Model, OuterRef, Q, QuerySet

from philately.models import Batch, Candidate, DryRun, Membership, ResumableUpload, Season, User
from philately.states import Role

Visitor = User | AnonymousUser
_Row = TypeVar("_Row", bound=Model)


def is_staff(user: Visitor) -> bool:
    """Whether all seasons are open to them."""
    return user.is_active and user.is_staff and not _shows_key(user)


@dataclass(frozen=True, slots=True)
class Rights:
    """Of somebody in one season. members: their own memberships; organises: everything of it is open to them."""

    members: frozenset[int]
    organises: bool


def rights_in(season: Season, user: Visitor) -> Rights:
    """One query, none for a visitor without an account."""
    if user.pk is None:
        return Rights(frozenset(), organises=False)
    roles = dict(Membership.objects.filter(season=season, user=user.pk).values_list("pk", "role"))
    organises = is_staff(user) or (Role.ORGANISER in roles.values() and not _shows_key(user))
    return Rights(frozenset(roles), organises)


def batches_for(user: Visitor) -> QuerySet[Batch]:
    """One's own, those of seasons that one organises, for staff all."""
    return Batch.objects.filter(_theirs(user, owner="owner"))


def candidates_for(user: Visitor) -> QuerySet[Candidate]:
    """Those of ``batches_for``."""
    return Candidate.objects.filter(_theirs(user, owner="batch__owner"))


def may_withdraw(user: User, candidates: QuerySet[Candidate]) -> bool:
    """Whether all of these are the user's own, or of seasons that the user organises."""
    return not candidates.exclude(_theirs(user, owner="batch__owner")).exists()


def dry_runs_for(user: Visitor) -> QuerySet[DryRun]:
    """One's own and nobody else's: nothing of them was submitted."""
    return _own(DryRun.objects.all(), user)


def uploads_for(user: Visitor) -> QuerySet[ResumableUpload]:
    """One's own and nobody else's."""
    return _own(ResumableUpload.objects.all(), user)


def _theirs(user: Visitor, *, owner: str) -> Q:
    """Of rows that have a season and, by way of ``owner``, a membership that sent them."""
    if is_staff(user):
        return Q(pk__isnull=False)
    if user.pk is None:
        return Q(pk__in=[])
    mine = Q(**{f"{owner}__user": user.pk})
    return mine if _shows_key(user) else mine | Q(Exists(_organised(user).filter(season=OuterRef("season"))))


def _organised(user: Visitor) -> QuerySet[Membership]:
    return Membership.objects.filter(user=user.pk, role=Role.ORGANISER)


def _own(rows: QuerySet[_Row], user: Visitor) -> QuerySet[_Row]:
    return rows.filter(owner__user=user.pk) if user.pk is not None else rows.none()


def _shows_key(user: Visitor) -> bool:
    return isinstance(user, User) and user.shows_key
