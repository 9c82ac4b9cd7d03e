"""Dumps in the storage: whole before anybody sees them, and there still for those who are reading an older one.

Whoever writes one holds the lock of the season's dumps. A row says in which folder its files will be before the first
of them is stored, so whatever is left by a process that was killed is known and removed.
"""

from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO
from uuid import uuid4

from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from philately.domain import files
from philately.domain.locks import Hold
from philately.models import Dump, Season
from philately.queries.dumps import MANIFEST, latest_dump

_KEPT = timedelta(minutes=15)  # after a newer one took its place: the slowest download goes on for so long


def publish(season: Season, folder: Path, manifest: dict[str, Any], hold: Hold, *, took_s: float) -> Dump:
    """Store a dump's files and offer it from then on. took_s: to write them. Raises LockLost; nothing of it is offered
    then."""
    _remove(Dump.objects.filter(season=season, whole_at=None))
    hold.confirm()
    folder_there = f"dumps/{season.slug}/{uuid4().hex}"
    new = Dump.objects.create(season=season, stored_in=folder_there, manifest=manifest, took_s=took_s)
    try:
        sizes = {path.name: _store(path, new, hold) for path in sorted(folder.iterdir())}
        with transaction.atomic():
            hold.confirm()
            Dump.objects.filter(pk=new.pk).update(files=sizes, whole_at=Now())
    except Exception:
        files.delete_below(new.stored_in)
        raise
    remove_superseded(season)
    new.refresh_from_db()
    return new


def remove_superseded(season: Season) -> None:
    """What a newer one has replaced for a while."""
    whole = Dump.objects.filter(season=season, whole_at__isnull=False)
    for_a_while = whole.filter(whole_at__lt=Now() - _KEPT).order_by("-pk").first()
    if for_a_while is not None:
        _remove(whole.filter(pk__lt=for_a_while.pk))


def forget_lost(season: Season) -> bool:
    """Offer no dump whose files are gone, as after an older database was restored; says whether that was so."""
    offered = latest_dump(season)
    if offered is None or files.exists(f"{offered.stored_in}/{MANIFEST}"):
        return False
    return Dump.objects.filter(pk=offered.pk).delete()[0] > 0


def _store(path: Path, dump: Dump, hold: Hold) -> int:
    with path.open("rb") as file:
        files.put(f"{dump.stored_in}/{path.name}", _Watched(file, hold))  # type: ignore[arg-type]
    return path.stat().st_size


def _remove(dumps: QuerySet[Dump]) -> None:
    """The files first: a row without files is found again, files without a row are not."""
    for dump in dumps:
        files.delete_below(dump.stored_in)
        Dump.objects.filter(pk=dump.pk).delete()


class _Watched:
    """A file whose reader is at work as long as it reads."""

    def __init__(self, file: BinaryIO, hold: Hold) -> None:
        self._file, self._hold = file, hold
        self.seek, self.tell = file.seek, file.tell

    def read(self, count: int = -1) -> bytes:
        self._hold.at_work()
        return self._file.read(count)
