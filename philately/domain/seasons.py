"""Opening a season."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.conf import settings
from django.core.validators import slug_re
from django.db import transaction

from philately.domain import auditors
from philately.domain.audit_log import About, Deed, record
from philately.domain.runs import open_run
from philately.models import Membership, Release, Season, User
from philately.queries import clock
from philately.states import Role, Visibility
from validation.rules import Rules


class SeasonRefused(Exception):
    """A season cannot be opened like this; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeasonPlan:
    """What an organiser decides before a season opens."""

    slug: str
    name: str
    release: Release
    auditors: Sequence[Release] = ()  # of second judges, each on its own scale
    rules: Rules = field(default_factory=Rules)
    description: str = ""
    visibility: str = Visibility.OPEN
    opens_at: datetime | None = None
    closes_at: datetime | None = None


def open_season(plan: SeasonPlan) -> Season:
    """Create the season and its official run. Raises SeasonRefused."""
    if not slug_re.match(plan.slug):
        raise SeasonRefused(f"{plan.slug!r} cannot stand in an address; letters, digits, - and _ can")
    opens_at = plan.opens_at or clock.now()
    if plan.closes_at is not None and plan.closes_at <= opens_at:
        raise SeasonRefused(f"it would close on {plan.closes_at:%Y-%m-%d %H:%M} UTC, before it opens")
    if Season.objects.filter(slug=plan.slug).exists():
        raise SeasonRefused(f"there is a season {plan.slug!r} already")
    with transaction.atomic():
        season = Season.objects.create(
            slug=plan.slug,
            name=plan.name,
            description=plan.description,
            scale=plan.release.scale,
            rules=plan.rules.to_json(),
            visibility=plan.visibility,
            data_licence=settings.DATA_LICENCE,
            opens_at=opens_at,
            closes_at=plan.closes_at,
        )
        season.official_run = open_run(season, plan.release, plan.rules)
        try:
            auditors.name(season.official_run, plan.auditors)
        except auditors.AuditorRefused as refusal:
            raise SeasonRefused(str(refusal)) from refusal
        season.save(update_fields=["official_run"])
        told = {"release": plan.release.name, "scale": season.scale.digest, "rules_digest": plan.rules.digest()}
        record(Deed.CREATE_SEASON, About(season=season), by=None, parameters=told)
    return season


def join(season: Season, user: User, role: str = Role.PARTICIPANT) -> Membership:
    """The user's membership, made where it is new. Anybody may take part; another role is somebody's deed."""
    with transaction.atomic():
        member, is_new = Membership.objects.get_or_create(season=season, user=user, role=role)
        if is_new and role != Role.PARTICIPANT:
            told = {"user": user.username, "role": role}
            record(Deed.GIVE_ROLE, About(season=season, member=member), by=None, parameters=told)
    return member
