"""What staff edit in Django's admin, written down."""

from collections.abc import Mapping
from typing import Any

from django.db import transaction

from philately.domain.audit_log import About, Deed, record
from philately.domain.quotas import NAMES
from philately.models import Membership, Season, User

Changes = Mapping[str, tuple[Any, Any]]  # by field: before and after


def hurts(changes: Changes) -> bool:
    """Whether an edit of a season takes something from somebody: an earlier end, or a lower limit of its own."""
    for name, (before, after) in changes.items():
        if name == "closes_at" and after is not None and (before is None or after < before):
            return True
        if name in NAMES and after is not None and (before is None or after < before):
            return True
    return False


def save_season(season: Season, changes: Changes, *, by: User, reason: str) -> None:
    with transaction.atomic():
        season.save()
        record(Deed.EDIT_SEASON, About(season=season), by=by, reason=reason, parameters=_told(changes))


def save_role(member: Membership, changes: Changes, *, by: User) -> None:
    with transaction.atomic():
        member.save()
        told = {"user": member.user.username, "role": member.role, **_told(changes)}
        record(Deed.GIVE_ROLE, About(season=member.season, member=member), by=by, parameters=told)


def save_user(user: User, changes: Changes, *, by: User) -> None:
    """Only who belongs to the staff is written down; the rest is the user's own."""
    with transaction.atomic():
        user.save()
        powers = {name: changes[name] for name in ("is_staff", "is_superuser", "is_active") if name in changes}
        if powers:
            record(Deed.GIVE_ROLE, by=by, parameters={"user": user.username, **_told(powers)})


def _told(changes: Changes) -> dict[str, Any]:
    return {name: {"before": _json(before), "after": _json(after)} for name, (before, after) in changes.items()}


def _json(value: Any) -> Any:
    return value if value is None or isinstance(value, int | float | str) else str(value)
