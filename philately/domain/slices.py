"""Releasing a batch's structures into the season's queue: a shard and its candidates, with the next arrival numbers."""

import logging
from collections.abc import Iterator

from django.db import transaction
from django.db.models import F

from philately.broker import ring
from philately.domain import bulk, fair_share, files, shards
from philately.domain.arrivals import next_arrivals
from philately.domain.locks import Hold
from philately.models import Batch, Candidate, CandidateDetail, Shard
from philately.states import BatchState, CandidateState

log = logging.getLogger(__name__)

_CANDIDATE_FIELDS = (
    *("id", "season", "batch", "shard", "arrival", "state", "reason"),
    *("attempts", "failed_in", "formula", "content_hash", "changed_at"),
)
_DETAIL_FIELDS = ("candidate", "file", "block", "line", "format", "offset", "length", "sentence")


class Ended(Exception):
    """The batch's owner took back what was not released."""


def release_next(batch: Batch, stored: list[shards.Stored], hold: Hold) -> bool:
    """Release a batch's next shard; says whether that was its last. Raises DamagedShard where it is not in storage any
    more as it was stored; then the next attempt reads the upload again. Raises Ended and LockLost."""
    following = stored[batch.shards.count()]
    rows = list(_checked_rows(batch, following))
    is_last = following is stored[-1]
    _release(batch, following, rows, hold, is_last=is_last)
    return is_last


def _checked_rows(batch: Batch, stored: shards.Stored) -> Iterator[shards.Row]:
    """What a shard's candidates are."""
    try:
        files.check(files.shard_name(batch.pk, stored.number, stored.sha256), stored.sha256)
        return shards.read_index(batch, stored)
    except files.DamagedShard:
        shards.forget_list(batch)
        raise


def _release(batch: Batch, stored: shards.Stored, rows: list[shards.Row], hold: Hold, *, is_last: bool) -> None:
    """All or nothing. The last one ends the batch; each gives the batch its attempts back, so that only what fails
    again and again at one place is set aside."""
    stored_as = files.shard_name(batch.pk, stored.number, stored.sha256)
    state = BatchState.READ if is_last else BatchState.UPLOADED
    with transaction.atomic():
        hold.confirm()
        shard = Shard.objects.create(batch=batch, number=stored.number, stored_as=stored_as, sha256=stored.sha256)
        keys = _insert(shard, rows)
        fair_share.serve(batch, len(rows))
        changes = {"state": state, "attempts": 0, "n_released": F("n_released") + len(rows)}
        if not Batch.objects.filter(pk=batch.pk, state=BatchState.UPLOADED).update(**changes):
            raise Ended(batch)
        ring("parse", shard.pk, queue="parse")
    if log.isEnabledFor(logging.DEBUG):
        for key, row in zip(keys, rows, strict=True):
            log.debug("candidate %s is %s", key, _state(row), extra={"candidate": key, "shard": shard.pk})


def _insert(shard: Shard, rows: list[shards.Row]) -> list[int]:
    """Keys of the candidates."""
    season_id, batch_id = shard.batch.season_id, shard.batch_id
    first = next_arrivals(season_id, len(rows))
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
    return keys


def _state(row: shards.Row) -> str:
    return CandidateState.REJECTED.value if row.reason else CandidateState.RECEIVED.value
