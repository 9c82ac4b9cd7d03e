"""The dump that a season offers."""

from philately.models import Dump, Run, Season
from philately.queries import clock

MANIFEST = "manifest.json"


def latest_dump(season: Season) -> Dump | None:
    """The newest that is whole; None where there is none yet. One query."""
    return Dump.objects.filter(season=season, whole_at__isnull=False).order_by("-pk").first()


def age_s(dump: Dump) -> float:
    """Seconds since it was whole, by the database's clock; one small query."""
    assert dump.whole_at is not None  # nothing else is offered
    return max(0.0, (clock.now() - dump.whole_at).total_seconds())


def shows(dump: Dump, run: Run) -> bool:
    """Whether it is of this run as it is now."""
    return bool(dump.manifest["run"] == state_of(run))


def state_of(run: Run) -> dict[str, int]:
    """How far a run is, as manifests have it."""
    return {"number": run.number, "placed_to": run.placed_to, "log_position": run.log_position}
