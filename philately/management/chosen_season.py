"""The season that a command is about."""

from django.core.management.base import CommandError

from philately.models import Season


def chosen_season(slug: str | None) -> Season:
    """By its slug, or the only one there is; CommandError with exit status 2 where that is not one."""
    seasons = Season.objects.filter(slug=slug) if slug else Season.objects.all()
    found = list(seasons.select_related("official_run")[:2])
    if len(found) != 1:
        known = ", ".join(Season.objects.values_list("slug", flat=True)) or "none"
        raise CommandError(f"say which season; known are {known}", returncode=2)
    return found[0]
