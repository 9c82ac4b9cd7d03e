"""What the storage holds for nobody: left by processes that were killed between the storage and the database."""

import logging
import time
from collections.abc import Iterator
from datetime import timedelta

from django.core.files.storage import default_storage
from django.utils import timezone

from philately.domain import dry_runs, files, offered_dumps
from philately.models import Batch, DryRun, Season
from philately.storage import storage

log = logging.getLogger(__name__)

_EVERY_S = 3600.0
_ABANDONED_S = 86_400.0  # between a file and its row there are seconds
_tidied_at: float | None = None


def tidy_when_due() -> bool:
    """Once an hour of this process; says whether it was time."""
    global _tidied_at
    if _tidied_at is not None and time.monotonic() - _tidied_at < _EVERY_S:
        return False
    _tidied_at = time.monotonic()
    tidy()
    return True


def tidy() -> None:
    """Raises StorageFault."""
    if removed := storage().remove_unfinished(older_than_s=_ABANDONED_S):
        log.info("%s files that nobody finished storing were removed", removed)
    for name in list(_abandoned_dry_runs()):
        log.info("%s belongs to no dry run and is removed", name)
        files.delete(name)
    for season in Season.objects.order_by("pk"):
        offered_dumps.remove_superseded(season)
        if offered_dumps.forget_lost(season):
            log.warning("the dump of %s is not in the storage; it is made again", season)


def _abandoned_dry_runs() -> Iterator[str]:
    tables = f"{dry_runs.FOLDER}/tables/"
    for name in storage().names_below(dry_runs.FOLDER):
        if name.startswith(tables):
            number = name.removeprefix(tables).partition("/")[0]
            known = DryRun.objects.filter(pk=number).exists()
        else:
            known = any(model.objects.filter(stored_as=name).exists() for model in (DryRun, Batch))
        if not known and _is_old(name):
            yield name


def _is_old(name: str) -> bool:
    try:
        return default_storage.get_modified_time(name) < timezone.now() - timedelta(seconds=_ABANDONED_S)
    except FileNotFoundError:  # another sweeper removed it
        return False
