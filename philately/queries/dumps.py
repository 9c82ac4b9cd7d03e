"""The dump that a season offers."""

from philately.models import Dump, Season

MANIFEST = "manifest.json"


def latest_dump(season: Season) -> Dump | None:
    """The newest that is whole; None where there is none yet. One query."""
    return Dump.objects.filter(season=season, whole_at__isnull=False).order_by("-pk").first()
