"""The dump that a season offers."""

from collections.abc import Iterable

from philately.models import Dump, Run, Season

MANIFEST = "manifest.json"


def latest_dump(season: Season) -> Dump | None:
    """The newest that is whole; None where there is none yet. One query."""
    return Dump.objects.filter(season=season, whole_at__isnull=False).order_by("-pk").first()


def latest_dumps(seasons: Iterable[Season]) -> dict[int, Dump]:
    """The same of many, by season, those without any left out; one query: what was replaced is soon removed."""
    whole = Dump.objects.filter(season__in=list(seasons), whole_at__isnull=False).order_by("pk")
    return {dump.season_id: dump for dump in whole}


def shows(dump: Dump, run: Run) -> bool:
    """Whether it is of this run as it is now."""
    return bool(dump.manifest["run"] == state_of(run))


def state_of(run: Run) -> dict[str, int]:
    """How far a run is, as manifests have it."""
    return {"number": run.number, "placed_to": run.placed_to, "log_position": run.log_position}
