"""Intake: an upload becomes a batch, and a batch becomes shards and candidates in order of arrival."""

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from philately.broker import ring
from philately.domain import bulk, files, quotas, shards
from philately.domain.locks import Hold, lock
from philately.domain.refusals import UploadRefused
from philately.models import Batch, Candidate, CandidateDetail, Membership, Season, Shard
from philately.states import BatchState, CandidateState
from validation.archive import ArchiveRefused, UploadLimits
from validation.uploads import structures_of

log = logging.getLogger(__name__)

_CANDIDATE_FIELDS = (
    *("id", "season", "batch", "shard", "arrival", "state", "reason"),
    *("attempts", "failed_in", "formula", "content_hash", "changed_at"),
)
_DETAIL_FIELDS = ("candidate", "file", "block", "line", "format", "offset", "length", "sentence")


@dataclass(frozen=True, slots=True)
class Method:
    """How the structures were made, in their owner's words."""

    name: str
    description: str = ""


def accept_upload(member: Membership, upload: files.Upload, method: Method, *, consent: bool) -> tuple[Batch, bool]:
    """Store an upload and queue it; the second value is False where the same bytes were accepted before.

    Raises UploadRefused.
    """
    refuse_offer(member, upload.size or 0, consent=consent)
    sha256 = files.sha256_of(upload)
    known = Batch.objects.filter(owner=member, sha256=sha256).exclude(state=BatchState.REFUSED).first()
    if known is not None:
        return known, False
    quotas.refuse_upload(member, upload.size or 0)  # nothing is stored that could not be queued
    return submit(member, files.store(upload), method)


def submit(member: Membership, stored: files.Stored, method: Method) -> tuple[Batch, bool]:
    """Queue what is stored; the second value is False where the same bytes were accepted before.

    What was refused may be submitted again: quotas and limits change. Raises UploadRefused.
    """
    season = member.season
    refuse_closed(season)
    with transaction.atomic():
        quotas.lock(member)
        refuse_closed(Season.objects.select_for_update().get(pk=season.pk))  # nobody closes or freezes it meanwhile
        known = Batch.objects.filter(owner=member, sha256=stored.sha256).first()
        if known is not None and known.state != BatchState.REFUSED:
            return known, False
        quotas.refuse_upload(member, stored.n_bytes)
        batch = known or Batch(season=season, owner=member, sha256=stored.sha256)
        batch.file_name, batch.n_bytes, batch.stored_as = stored.file_name, stored.n_bytes, stored.stored_as
        batch.method, batch.method_description = method.name, method.description
        batch.licence, batch.submitted_at = season.data_licence, timezone.now()
        batch.state, batch.problem, batch.attempts = BatchState.UPLOADED, "", 0
        batch.save()
        ring("intake", season.pk, queue="parse")
    return batch, True


def refuse_offer(member: Membership, n_bytes: int, *, consent: bool) -> None:
    """Raises UploadRefused for what need not even be looked at."""
    if not consent:
        raise UploadRefused(f"a batch is accepted only under the data licence, {member.season.data_licence}")
    refuse_closed(member.season)
    if not n_bytes:
        raise UploadRefused("the file is empty")
    quotas.refuse_too_large(member.season, n_bytes, member)


def refuse_closed(season: Season) -> None:
    """Raises UploadRefused before a season opens and after it closes."""
    now = timezone.now()
    if season.frozen_at is not None:
        raise UploadRefused(f"the season ended on {season.frozen_at:%Y-%m-%d %H:%M} UTC")
    if now < season.opens_at:
        raise UploadRefused(f"the season opens on {season.opens_at:%Y-%m-%d %H:%M} UTC")
    if season.closes_at is not None and now >= season.closes_at:
        raise UploadRefused(f"the season closed on {season.closes_at:%Y-%m-%d %H:%M} UTC")


def read_batches(season_id: int) -> int:
    """Read what was uploaded to a season, in order of upload; says how many batches were read.

    One process at a time does so, because arrival numbers follow the order of upload.
    """
    done = 0
    with lock(f"intake:{season_id}") as hold:
        while hold is not None and (batch := _next_batch(season_id)) is not None:
            _read_batch(batch, hold)
            done += 1
    return done


def _next_batch(season_id: int) -> Batch | None:
    return Batch.objects.filter(season_id=season_id, state=BatchState.UPLOADED).order_by("pk").first()


def _read_batch(batch: Batch, hold: Hold) -> None:
    """First the whole upload is read and stored in shards; only then, and one at a time, become they candidates."""
    if batch.attempts >= settings.MAX_ATTEMPTS:
        _set_aside(batch)
        return
    Batch.objects.filter(pk=batch.pk).update(attempts=F("attempts") + 1)
    released = dict(batch.shards.values_list("number", "sha256"))
    stored = shards.read_list(batch)
    try:
        stored = _store(batch, released, hold) if stored is None else stored
        if not released:
            quotas.refuse_too_many(batch, Batch.objects.values_list("n_found", flat=True).get(pk=batch.pk))
    except (ArchiveRefused, UploadRefused) as refusal:
        if released:
            raise  # its first candidates are on their way: an organiser looks at it
        hold.confirm()
        _refuse(batch, str(refusal))
        return
    for shard in stored:
        if shard.number not in released:
            rows = list(_checked_rows(batch, shard))
            _release(batch, shard, rows, hold, is_last=shard is stored[-1])


def upload_limits() -> UploadLimits:
    return UploadLimits(
        max_members=settings.UPLOAD_LIMIT_MEMBERS,
        max_structures=settings.UPLOAD_LIMIT_MEMBERS,
        max_decompressed_bytes=settings.UPLOAD_LIMIT_DECOMPRESSED_BYTES,
        max_seconds=settings.UPLOAD_LIMIT_S,
    )


def _store(batch: Batch, released: dict[int, str], hold: Hold) -> list[shards.Stored]:
    """Raises ArchiveRefused where the upload breaks a limit, which may be at its very end."""
    shelf = shards.Shelf(batch, released)
    n_found = 0
    with files.open_stored(batch.stored_as) as stream:
        for n_found, found in enumerate(
            structures_of(stream, batch.file_name, upload_limits(), clock=time.monotonic), start=1
        ):
            shelf.add(found)
            if shelf.is_full:
                _close(shelf, n_found, hold)
            hold.keep()
    if shelf.rows:
        _close(shelf, n_found, hold)
    hold.confirm()
    shards.write_list(batch, shelf.stored)
    return shelf.stored


def _close(shelf: shards.Shelf, n_found: int, hold: Hold) -> None:
    """Store a shard and let the batch's page say how far the reading is."""
    hold.confirm()
    shelf.close()
    Batch.objects.filter(pk=shelf.batch.pk).update(n_found=n_found)


def _checked_rows(batch: Batch, stored: shards.Stored) -> Iterator[shards.Row]:
    """What a shard's candidates are. Raises DamagedShard where it is not in storage any more as it was stored; then
    the next attempt reads the upload again."""
    try:
        files.check(files.shard_name(batch.pk, stored.number), stored.sha256)
        return shards.read_index(batch, stored)
    except files.DamagedShard:
        shards.forget_list(batch)
        raise


def _release(batch: Batch, stored: shards.Stored, rows: list[shards.Row], hold: Hold, *, is_last: bool) -> None:
    """A shard and its candidates, with the season's next arrival numbers: all or nothing. The last one ends the batch;
    each gives the batch its attempts back, so that only what fails again and again at one place is set aside."""
    stored_as = files.shard_name(batch.pk, stored.number)
    state = BatchState.READ if is_last else BatchState.UPLOADED
    with transaction.atomic():
        hold.confirm()
        shard = Shard.objects.create(batch=batch, number=stored.number, stored_as=stored_as, sha256=stored.sha256)
        _insert(shard, rows)
        Batch.objects.filter(pk=batch.pk).update(state=state, attempts=0)
        ring("parse", shard.pk, queue="parse")


def _insert(shard: Shard, rows: list[shards.Row]) -> None:
    season_id, batch_id = shard.batch.season_id, shard.batch_id
    Season.objects.filter(pk=season_id).update(next_arrival=F("next_arrival") + len(rows))
    first = Season.objects.values_list("next_arrival", flat=True).get(pk=season_id) - len(rows)
    keys = bulk.reserve_ids(Candidate, len(rows))
    now = bulk.now()
    numbered = list(enumerate(zip(keys, rows, strict=True), start=first))
    bulk.insert(
        Candidate,
        _CANDIDATE_FIELDS,
        [
            (key, season_id, batch_id, shard.pk, arrival, _state(row), row.reason, 0, "", "", "", now)
            for arrival, (key, row) in numbered
        ],
    )
    bulk.insert(
        CandidateDetail,
        _DETAIL_FIELDS,
        [
            (key, row.file, row.block, row.line, row.format, row.offset, row.length, row.sentence)
            for _, (key, row) in numbered
        ],
    )


def _state(row: shards.Row) -> str:
    return CandidateState.REJECTED.value if row.reason else CandidateState.RECEIVED.value


def _refuse(batch: Batch, sentence: str) -> None:
    """Nothing of it stays in storage but the upload itself."""
    files.delete_shards(batch.pk)
    Batch.objects.filter(pk=batch.pk, state=BatchState.UPLOADED).update(state=BatchState.REFUSED, problem=sentence)


def _set_aside(batch: Batch) -> None:
    sentence = f"reading it failed {batch.attempts} times; an organiser looks at it"
    Batch.objects.filter(pk=batch.pk, state=BatchState.UPLOADED).update(state=BatchState.SET_ASIDE, problem=sentence)
    log.error("batch %s is set aside: %s", batch.pk, sentence)
