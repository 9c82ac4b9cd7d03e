"""What a fresh installation starts with: a built-in release and a practice season on it."""

from pathlib import Path

from django.conf import settings

from hull.reference import Coverage
from philately.domain.releases import import_release
from philately.domain.seasons import SeasonPlan, open_season
from philately.models import Season

_FOLDER = Path(settings.BASE_DIR) / "reference"
BUILT_IN = {
    Coverage.ELEMENTS: (_FOLDER / "chgnet-elements.parquet", "the elements alone"),
    Coverage.PROTOTYPES: (_FOLDER / "chgnet-prototypes.parquet", "the elements and compounds of common prototypes"),
}


def ensure_practice_season(coverage: Coverage = Coverage.PROTOTYPES) -> Season:
    """The built-in release and, where there is no season at all, one to practise in. Raises KeyError for ``full``."""
    path, what = BUILT_IN[coverage]
    release, _ = import_release(path)
    season = Season.objects.order_by("pk").first()
    return season or open_season(
        SeasonPlan(
            slug="practice",
            name="Practice season",
            release=release,
            description=f"Judged by CHGNet against {what}: distances are optimistic, points for practice.",
        )
    )
