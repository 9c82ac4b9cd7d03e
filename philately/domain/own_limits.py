"""Quotas raised or lowered, for a season or for one participant of it."""

from collections.abc import Mapping

from django.db import transaction

from philately.domain.audit_log import About, Deed, record
from philately.domain.organisers import DeedRefused, refuse_strangers, refuse_without_reason
from philately.domain.quotas import NAMES, limits_of
from philately.models import MemberLimits, Membership, Season, User
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
        before = limits_of(season, member)
        row = season if member is None else MemberLimits.objects.get_or_create(member=member)[0]
        stored = {name: getattr(row, name) for name in changes}
        if all(stored[name] == value for name, value in changes.items()):
            return {}
        for name, value in changes.items():
            setattr(row, name, value)
        row.save(update_fields=list(changes))
        after = limits_of(season, member)
        moved = {name: (getattr(before, name), getattr(after, name)) for name in changes}
        moved = {name: values for name, values in moved.items() if values[0] != values[1]}
        if any(now < then for then, now in moved.values()):
            refuse_without_reason(reason)
        about, told = About(season=season, member=member), {"before": stored, "after": dict(changes)}
        record(Deed.QUOTA, about, by=by, reason=reason, parameters=told)
    return moved
