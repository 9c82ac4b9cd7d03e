"""Reading an upload into shards, a turn at a time, so that several uploads may be read side by side."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from django.conf import settings

from philately.domain import files, shards
from philately.domain.locks import Hold
from philately.models import Batch
from validation.archive import UploadLimits
from validation.uploads import Found, structures_of


def upload_limits() -> UploadLimits:
    return UploadLimits(
        max_members=settings.UPLOAD_LIMIT_MEMBERS,
        max_structures=settings.UPLOAD_LIMIT_MEMBERS,
        max_decompressed_bytes=settings.UPLOAD_LIMIT_DECOMPRESSED_BYTES,
        max_seconds=settings.UPLOAD_LIMIT_S,
    )


@dataclass(slots=True)
class Stopwatch:
    """Seconds that a reading took by itself, without the turns of others."""

    spent_s: float = 0.0
    since: float | None = None

    def __call__(self) -> float:
        return self.spent_s + (0.0 if self.since is None else time.monotonic() - self.since)

    def __enter__(self) -> None:
        self.since = time.monotonic()

    def __exit__(self, *_: object) -> None:
        self.spent_s, self.since = self(), None


@dataclass(slots=True)
class Reading:
    """One upload on its way into shards. Nothing of it counts before the list of its shards is written."""

    batch: Batch
    n_turns: int = 0
    n_found: int = 0
    _furthest: int = 0  # that an earlier attempt came
    _watch: Stopwatch = field(default_factory=Stopwatch)
    _shelf: shards.Shelf = field(init=False)
    _stream: BinaryIO = field(init=False)
    _found: Iterator[Found] = field(init=False)

    def __post_init__(self) -> None:
        self._furthest = self.batch.n_found
        released = dict(self.batch.shards.values_list("number", "sha256"))
        self._shelf = shards.Shelf(self.batch, released)
        self._stream = files.open_stored(self.batch.stored_as)
        self._found = structures_of(self._stream, self.batch.file_name, upload_limits(), clock=self._watch)

    def turn(self, hold: Hold) -> bool:
        """Store the next shard; says whether the upload is read through. Raises ArchiveRefused, which may be at its
        very end, and LockLost."""
        self.n_turns += 1
        with self._watch:
            for found in self._found:
                self.n_found += 1
                self._shelf.add(found)
                hold.keep()
                if self._shelf.is_full:
                    self._close_shard(hold)
                    return False
            if self._shelf.rows:
                self._close_shard(hold)
            hold.confirm()
            shards.write_list(self.batch, self._shelf.stored)
        return True

    def close(self) -> None:
        self._stream.close()

    def _close_shard(self, hold: Hold) -> None:
        """Store a shard and let the batch's page say how far the reading is. Who comes further than any attempt before
        has the batch's attempts back: only what fails again and again at one place is set aside."""
        hold.confirm()
        self._shelf.close()
        if self.n_found > self._furthest:
            self._furthest = self.n_found
            Batch.objects.filter(pk=self.batch.pk).update(n_found=self.n_found, attempts=0)
