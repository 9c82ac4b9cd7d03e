"""What keeps the platform from drowning: with a full disk or an endless queue it says so before it takes a byte."""

import logging
from pathlib import Path

from django.conf import settings
from django.core.files.storage import FileSystemStorage, storages
from django.db.models import F, Sum

from philately.domain.refusals import Overloaded
from philately.models import Batch, Candidate, Season
from philately.queries.disks import space
from philately.queries.efforts import IN_LINE
from philately.states import BatchState

log = logging.getLogger(__name__)

_DISK_RETRY_S = 600
_QUEUE_RETRY_S = 3600


def overload_of(season: Season) -> Overloaded | None:
    """Why no upload would be accepted now, for whoever is about to choose a file."""
    try:
        refuse_full_disk(0)
        refuse_long_queue(season)
    except Overloaded as refusal:
        return refusal
    return None


def refuse_full_disk(n_bytes: int) -> None:
    """Raises Overloaded where so many bytes more would leave less than STORAGE_FLOOR_BYTES free.

    Storage elsewhere than in a local folder has no end that could be seen from here.
    """
    for folder in _folders():
        free, _ = space(folder)
        if free - n_bytes < settings.STORAGE_FLOOR_BYTES:
            log.error("uploads are refused: %s has %s bytes left", folder, f"{free:,}")
            raise Overloaded(
                "there is too little room on our disks for this file; nothing of your quota is used up, please try "
                "again later",
                retry_after_s=_DISK_RETRY_S,
            )


def refuse_long_queue(season: Season) -> None:
    """Raises Overloaded where QUEUE_LIMIT structures wait to be relaxed, released or not."""
    limit = settings.QUEUE_LIMIT
    if limit and queue_length(season, at_most=limit) >= limit:
        raise Overloaded(
            f"{limit:,} structures wait to be relaxed in this season, which is as many as may; nothing of your quota "
            "is used up, please try again later",
            retry_after_s=_QUEUE_RETRY_S,
        )


def queue_length(season: Season, *, at_most: int) -> int:
    """Structures that wait to be relaxed, and those that were found and are not released; counted no further than
    needed. Two queries."""
    unreleased = Batch.objects.filter(season=season, state=BatchState.UPLOADED)
    n_unreleased = unreleased.aggregate(n=Sum(F("n_found") - F("n_released")))["n"] or 0
    in_line = Candidate.objects.filter(season=season, state__in=IN_LINE)[:at_most].count()
    return max(0, n_unreleased) + in_line


def _folders() -> list[Path]:
    """Where an upload would be written. A disk may be asked twice."""
    folders, storage = [Path(settings.STAGING_DIR)], storages["default"]
    if isinstance(storage, FileSystemStorage):
        folders.append(Path(storage.location))
    return folders
