"""Who may do organisers' deeds, and what is refused to everybody."""

from philately.models import Season, User
from philately.queries.permissions import is_staff, rights_in


class DeedRefused(Exception):
    """The deed is not done, and nothing has changed; the message says why."""


def refuse_strangers(by: User, season: Season | None = None) -> None:
    """Raises DeedRefused where the user neither organises the season nor belongs to the staff, who alone may do what
    concerns the whole installation."""
    if is_staff(by):
        return
    if season is None:
        raise DeedRefused(f"{by} does not belong to the staff")
    if not (by.is_active and rights_in(season, by).organises):
        raise DeedRefused(f"{by} neither organises {season} nor belongs to the staff")


def refuse_without_reason(reason: str) -> None:
    """Raises DeedRefused."""
    if not reason.strip():
        raise DeedRefused("say why; the reason is kept, and shown to whom it concerns")


def refuse_frozen(season: Season) -> None:
    """Raises DeedRefused."""
    if season.frozen_at is not None:
        raise DeedRefused(f"{season} is frozen since {season.frozen_at:%Y-%m-%d %H:%M} UTC; re-open it first")
