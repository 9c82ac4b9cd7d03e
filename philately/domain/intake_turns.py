"""The season's intake desk: uploads are read side by side, a shard each in turn, and released slice by slice.

An hour's unpacking so holds up nobody's small upload. Which slice is next decides ``fair_share``.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field

from django.conf import settings
from django.db.models import F, Q, QuerySet

from philately.domain import fair_share, files, quotas, shards, slices
from philately.domain.locks import Hold, LockLost
from philately.domain.readings import Reading
from philately.domain.refusals import UploadRefused
from philately.domain.transitions import SESSION_LOST
from philately.models import Batch
from philately.states import BatchState
from philately.storage import StorageFault
from validation.archive import ArchiveRefused

log = logging.getLogger(__name__)

_OWNERS = 16  # whose uploads are read side by side; each is a file that is open
_EACH = 2  # uploads of each of them
_SUSPECT = 2  # attempts that came no further, after which an upload is read alone: it may be what kills workers
_OURS = (LockLost, *SESSION_LOST)  # nothing that a batch could be blamed for


@dataclass(slots=True)
class Desk:
    """One process at a time sits here, under a lock.

    n_done: batches that were read and released, refused or set aside. fault: the first, of a batch that is left for the
    next attempt; others go on meanwhile.
    """

    season_id: int
    hold: Hold
    n_done: int = 0
    fault: Exception | None = None
    _readings: dict[int, Reading] = field(default_factory=dict)
    _lists: dict[int, list[shards.Stored]] = field(default_factory=dict)  # of batches that are read through
    _unlisted: set[int] = field(default_factory=set)  # whose list of shards was lost: they are read again
    _taken_up: set[int] = field(default_factory=set)  # whose attempt is counted
    _faulty: set[int] = field(default_factory=set)
    _owners_of_faulty: set[int] = field(default_factory=set)  # their later uploads wait for the earlier

    def turn(self) -> bool:
        """Read one shard of each participant and release what there is room for; says whether there may be more."""
        moved = False
        for batch in self._next_to_read():
            moved = self._read(batch) or moved
            moved = self._release() or moved
        return self._release() or moved

    def give_back(self) -> None:
        """What is open is broken off in good order, so no attempt counts."""
        Batch.objects.filter(pk__in=list(self._readings), attempts__gt=0).update(attempts=F("attempts") - 1)

    def close(self) -> None:
        for reading in self._readings.values():
            reading.close()

    @property
    def is_reading(self) -> bool:
        return bool(self._readings)

    # reading

    def _unread(self) -> QuerySet[Batch]:
        waiting = Batch.objects.filter(season=self.season_id, state=BatchState.UPLOADED)
        unread = waiting.filter(Q(n_counted=None) | Q(pk__in=self._unlisted))
        return unread.exclude(owner__in=self._owners_of_faulty).order_by("pk")

    def _next_to_read(self) -> Iterator[Batch]:
        """One batch of each participant: of the first few the one that had the fewest turns. Suspects come alone, once
        what is open is read through."""
        rows = list(self._unread().values_list("pk", "owner", "attempts"))
        suspects = [pk for pk, _, attempts in rows if attempts >= _SUSPECT and pk not in self._taken_up]
        suspects += [pk for pk in self._readings if self._readings[pk].batch.attempts >= _SUSPECT]
        if suspects:
            rows = [row for row in rows if row[0] in self._readings] or [row for row in rows if row[0] == suspects[0]]
        by_owner: dict[int, list[int]] = {}
        for pk, owner, _ in rows:
            if owner in by_owner or len(by_owner) < _OWNERS:
                by_owner.setdefault(owner, []).append(pk)
        for mine in by_owner.values():
            pk = min(mine[:_EACH], key=lambda pk: (self._turns(pk), pk))
            if batch := self._unread().select_related("owner__season", "season").filter(pk=pk).first():
                yield batch

    def _turns(self, pk: int) -> int:
        return self._readings[pk].n_turns if pk in self._readings else 0

    def _read(self, batch: Batch) -> bool:
        """A turn of a batch; faults are caught here, and in ``_release``. True, for there may be more."""
        try:
            if not self._take_up(batch):
                return True
            stored = _listed(batch) if batch.pk not in self._readings else None
            if stored is None:
                self._read_shard(batch)
            else:
                self._count(batch)
        except (ArchiveRefused, UploadRefused) as refusal:
            self._refuse(batch, refusal)
        except _OURS:
            raise
        except Exception as error:
            log.exception("reading %s failed", batch, extra={"batch": batch.pk})
            self._blame(batch, error)
        return True

    def _read_shard(self, batch: Batch) -> None:
        reading = self._readings.get(batch.pk)
        if reading is None:
            reading = self._readings[batch.pk] = Reading(batch)
        if reading.turn(self.hold):
            self._close(batch)
            self._count(batch)

    def _count(self, batch: Batch) -> None:
        """All of its structures are found and stored: they count, or are too many. Raises UploadRefused."""
        self._unlisted.discard(batch.pk)
        if not batch.shards.exists():
            quotas.refuse_too_many(batch, Batch.objects.values_list("n_found", flat=True).get(pk=batch.pk))

    def _take_up(self, batch: Batch) -> bool:
        """Count an attempt, the first time in this sitting; False where that are too many."""
        if batch.pk in self._taken_up:
            return True
        if batch.attempts >= settings.MAX_ATTEMPTS:
            self._set_aside(batch)
            return False
        self._taken_up.add(batch.pk)
        Batch.objects.filter(pk=batch.pk).update(attempts=F("attempts") + 1)
        return True

    def _close(self, batch: Batch) -> None:
        if reading := self._readings.pop(batch.pk, None):
            reading.close()

    # releasing

    def _release(self) -> bool:
        """Slice by slice, while there is room; says whether anything was done."""
        moved = False
        while fair_share.has_room(self.season_id):
            batch = fair_share.next_batch(self.season_id, without=self._faulty | self._unlisted)
            if batch is None:
                break
            moved = True
            self._release_slice(batch)
        return moved

    def _release_slice(self, batch: Batch) -> None:
        try:
            if not self._take_up(batch):
                return
            stored = self._lists.get(batch.pk) or _listed(batch)
            if stored is None:
                self._unlisted.add(batch.pk)
                return
            self._lists[batch.pk] = stored
            if slices.release_next(batch, stored, self.hold):
                del self._lists[batch.pk]
                self.n_done += 1
                log.info("batch %s is read: %s shards", batch.pk, len(stored), extra={"batch": batch.pk})
        except slices.Ended:
            log.info("%s was withdrawn while it was being released", batch, extra={"batch": batch.pk})
        except _OURS:
            raise
        except Exception as error:
            log.exception("reading %s failed", batch, extra={"batch": batch.pk})
            self._blame(batch, error)

    # what goes wrong

    def _blame(self, batch: Batch, error: Exception) -> None:
        """It is left to the next attempt, and its owner's later uploads with it. A storage that is full or does not
        answer is no batch's fault, however often it happens: the attempt does not count."""
        if isinstance(error, StorageFault):
            Batch.objects.filter(pk=batch.pk, attempts__gt=0).update(attempts=F("attempts") - 1)
        self._close(batch)
        self._faulty.add(batch.pk)
        self._owners_of_faulty.add(batch.owner_id)
        self.fault = self.fault or error

    def _refuse(self, batch: Batch, refusal: Exception) -> None:
        """Nothing of it stays in storage but the upload itself. What is on its way already is for an organiser."""
        self._close(batch)
        if batch.shards.exists():
            self._blame(batch, refusal)
            return
        self.hold.confirm()
        files.delete_shards(batch.pk)
        mine = Batch.objects.filter(pk=batch.pk, state=BatchState.UPLOADED)
        mine.update(state=BatchState.REFUSED, problem=str(refusal))
        self.n_done += 1
        log.info("batch %s is refused: %s", batch.pk, refusal, extra={"batch": batch.pk})

    def _set_aside(self, batch: Batch) -> None:
        sentence = f"reading it failed {batch.attempts} times; an organiser looks at it"
        mine = Batch.objects.filter(pk=batch.pk, state=BatchState.UPLOADED)
        mine.update(state=BatchState.SET_ASIDE, problem=sentence)
        self.n_done += 1
        log.error("batch %s is set aside: %s", batch.pk, sentence, extra={"batch": batch.pk})


def _listed(batch: Batch) -> list[shards.Stored] | None:
    """Its shards, where they are known to be whole. Raises ChangedShard."""
    return shards.read_list(batch, dict(batch.shards.values_list("number", "sha256")))
