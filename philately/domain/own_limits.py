"""Quotas raised or lowered, for a season or for one participant of it."""

from collections.abc import Iterable, Mapping

from django.db import transaction

from philately.domain.audit_log import About, Deed, record
from philately.domain.organisers import DeedRefused, refuse_strangers, refuse_without_reason
from philately.domain.quotas import NAMES, limits_of
from philately.models import Membership, Season, User
from philately.states import Role


def participant(season: Season, name: str) -> Membership:
    """Raises DeedRefused."""
    found = Membership.objects.filter(season=season, user__username=name, role=Role.PARTICIPANT).first()
    if found is None:
        raise DeedRefused(f"{season} has no participant {name!r}")
    return found


def change(
    season: Season, changes: Mapping[str, int | None], *, by: User, member: Membership | None = None, reason: str = ""
) -> dict[str, tuple[int, int]]:
    """Set limits of the season or of a participant; None takes one's own away. Returns which of the limits that hold
    then are others than before: name → before, after. Lowering one needs a reason. Raises DeedRefused."""
    refuse_strangers(by, season)
    if unknown := sorted(changes.keys() - set(NAMES)):
        raise DeedRefused(f"there is no limit {', '.join(unknown)}")
    if negative := [name for name, value in changes.items() if value is not None and value < 0]:
        raise DeedRefused(f"{', '.join(negative)}: a limit is at least 0")
    with transaction.atomic():
        season = Season.objects.select_for_update().get(pk=season.pk)
        member = None if member is None else Membership.objects.select_for_update().get(pk=member.pk)
        before = limits_of(season, member)
        stored = _own(season, member, changes)
        if stored == dict(changes):
            return {}
        _store(season, member, changes)
        after = limits_of(season, member)
        moved = {name: (getattr(before, name), getattr(after, name)) for name in changes}
        moved = {name: values for name, values in moved.items() if values[0] != values[1]}
        if any(now < then for then, now in moved.values()):
            refuse_without_reason(reason)
        about, told = About(season=season, member=member), {"before": stored, "after": dict(changes)}
        record(Deed.QUOTA, about, by=by, reason=reason, parameters=told)
    return moved


def _own(season: Season, member: Membership | None, names: Iterable[str]) -> dict[str, int | None]:
    if member is None:
        return {name: getattr(season, name) for name in names}
    return {name: member.own_limits.get(name) for name in names}


def _store(season: Season, member: Membership | None, changes: Mapping[str, int | None]) -> None:
    if member is None:
        for name, value in changes.items():
            setattr(season, name, value)
        season.save(update_fields=list(changes))
        return
    own = {**member.own_limits, **changes}
    member.own_limits = {name: value for name, value in own.items() if value is not None}
    member.save(update_fields=["own_limits"])
