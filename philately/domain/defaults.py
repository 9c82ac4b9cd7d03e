"""What a fresh installation starts with: the built-in release and a practice season on it."""

from pathlib import Path

from django.conf import settings

from philately.domain.releases import import_release
from philately.domain.seasons import SeasonPlan, open_season
from philately.models import Season

BUILT_IN_RELEASE = Path(settings.BASE_DIR) / "reference" / "chgnet-elements.parquet"


def ensure_practice_season() -> Season:
    """The built-in release and, where there is no season at all, one to practise in."""
    release, _ = import_release(BUILT_IN_RELEASE)
    season = Season.objects.order_by("pk").first()
    return season or open_season(
        SeasonPlan(
            slug="practice",
            name="Practice season",
            release=release,
            description="Judged by CHGNet against the elements alone: distances are optimistic, points for practice.",
        )
    )
