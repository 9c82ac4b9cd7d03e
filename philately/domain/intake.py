"""Intake: an upload becomes a batch, and a batch becomes shards and candidates in order of arrival."""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from philately.broker import ring
from philately.domain import files
from philately.domain.locks import Hold, lock
from philately.models import Batch, Candidate, CandidateDetail, Membership, Season, Shard
from philately.states import BatchState, CandidateState
from validation.archive import ArchiveRefused, Member, UploadLimits, open_upload
from validation.blocks import Block, decode, split_blocks
from validation.rules import Rejected

log = logging.getLogger(__name__)

_SHARD_BYTES = 32 << 20  # a shard is closed early when its text grows beyond this


class UploadRefused(Exception):
    """The upload is not accepted; the message says why to its sender."""


@dataclass(frozen=True, slots=True)
class Method:
    """How the structures were made, in their owner's words."""

    name: str
    description: str = ""


def accept_upload(member: Membership, upload: files.Upload, method: Method, *, consent: bool) -> tuple[Batch, bool]:
    """Store an upload and queue it; the second value is False where the same bytes were accepted before.

    Raises UploadRefused.
    """
    season = member.season
    if not consent:
        raise UploadRefused(f"a batch is accepted only under the data licence, {season.data_licence}")
    refuse_closed(season)
    if not upload.size:
        raise UploadRefused("the file is empty")
    if upload.size > settings.UPLOAD_LIMIT_BYTES:
        raise UploadRefused(
            f"the file has {upload.size:,} bytes; at most {settings.UPLOAD_LIMIT_BYTES:,} are accepted at once"
        )
    sha256 = files.sha256_of(upload)
    known = Batch.objects.filter(owner=member, sha256=sha256).first()
    if known is not None:
        return known, False
    stored_as = files.save_upload(upload, sha256)
    try:
        with transaction.atomic():
            batch = Batch.objects.create(
                season=season,
                owner=member,
                sha256=sha256,
                file_name=files.storable(upload.name or "upload")[-255:],
                n_bytes=upload.size,
                stored_as=stored_as,
                method=method.name,
                method_description=method.description,
                licence=season.data_licence,
                submitted_at=timezone.now(),
            )
            ring("intake", season.pk, queue="parse")
    except IntegrityError:  # the same bytes in two requests at once
        return Batch.objects.get(owner=member, sha256=sha256), False
    return batch, True


def refuse_closed(season: Season) -> None:
    """Raises UploadRefused before a season opens and after it closes."""
    now = timezone.now()
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


@dataclass(slots=True)
class _Row:
    """A candidate on its way into the database."""

    file: str
    block: str
    shard: int
    line: int = 1
    offset: int = 0
    length: int = 0
    reason: str = ""
    sentence: str = ""


@dataclass(slots=True)
class _Shards:
    """Collects texts and stores them shard by shard, so that one shard's text is in memory at a time."""

    batch_id: int
    hold: Hold
    stored: list[tuple[str, str]] = field(default_factory=list)
    text: bytearray = field(default_factory=bytearray)
    n_texts: int = 0

    def add(self, text: bytes) -> tuple[int, int]:
        """Returns the shard's index and the offset of the text in it."""
        if self.n_texts >= settings.SHARD_SIZE or len(self.text) > _SHARD_BYTES:
            self.close()
        offset = len(self.text)
        self.text += text
        self.n_texts += 1
        return len(self.stored), offset

    def close(self) -> None:
        if self.n_texts:
            self.hold.confirm()
            self.stored.append(files.save_shard(self.batch_id, len(self.stored), bytes(self.text)))
            self.text = bytearray()
            self.n_texts = 0


def _read_batch(batch: Batch, hold: Hold) -> None:
    if batch.attempts >= settings.MAX_ATTEMPTS:
        _set_aside(batch)
        return
    Batch.objects.filter(pk=batch.pk).update(attempts=F("attempts") + 1)
    limits = UploadLimits(
        max_members=settings.UPLOAD_LIMIT_MEMBERS,
        max_decompressed_bytes=settings.UPLOAD_LIMIT_DECOMPRESSED_BYTES,
    )
    shards = _Shards(batch.pk, hold)
    try:
        with files.open_stored(batch.stored_as) as stream:
            rows = list(_few_enough(_rows(open_upload(stream, batch.file_name, limits), shards), limits))
        shards.close()
    except ArchiveRefused as refusal:
        hold.confirm()
        _refuse(batch, str(refusal))
        return
    if not rows:
        _refuse(batch, "there is no structure in this file")
        return
    with transaction.atomic():
        hold.confirm()
        _write(batch, rows, shards)


def _few_enough(rows: Iterable[_Row], limits: UploadLimits) -> Iterator[_Row]:
    """Raises ArchiveRefused where there are more structures than an upload may have files: one file may hold many."""
    for number, row in enumerate(rows, start=1):
        if number > limits.max_members:
            limit = limits.max_members
            raise ArchiveRefused(f"The upload has more than {limit:,} structures, the limit of one upload.")
        yield row


def _rows(members: Iterable[Member], shards: _Shards) -> Iterator[_Row]:
    for member in members:
        try:
            blocks = _blocks(member)
        except Rejected as problem:
            shard, _ = shards.add(b"")
            yield _Row(member.name, "", shard, reason=problem.reason, sentence=problem.detail)
            continue
        for block in blocks:
            text = block.text.encode(errors="replace")
            shard, offset = shards.add(text)
            yield _Row(member.name, block.name[:255], shard, block.line, offset, len(text))


def _blocks(member: Member) -> list[Block]:
    """Raises Rejected where the member cannot be read."""
    if member.problem is not None:
        raise member.problem
    return split_blocks(decode(member.data or b""))


def _write(batch: Batch, rows: list[_Row], shards: _Shards) -> None:
    """Shards and candidates of a batch, all or nothing, with the season's next arrival numbers."""
    Season.objects.filter(pk=batch.season_id).update(next_arrival=F("next_arrival") + len(rows))
    first = Season.objects.values_list("next_arrival", flat=True).get(pk=batch.season_id) - len(rows)
    written = Shard.objects.bulk_create(
        Shard(batch=batch, number=number, stored_as=name, sha256=sha256)
        for number, (name, sha256) in enumerate(shards.stored)
    )
    candidates = Candidate.objects.bulk_create(
        (
            Candidate(
                season_id=batch.season_id,
                batch=batch,
                shard=written[row.shard],
                arrival=arrival,
                state=CandidateState.REJECTED if row.reason else CandidateState.RECEIVED,
                reason=row.reason,
            )
            for arrival, row in enumerate(rows, start=first)
        ),
        batch_size=1000,
    )
    CandidateDetail.objects.bulk_create(
        (
            CandidateDetail(
                candidate=candidate,
                file=files.storable(row.file)[-255:],
                block=files.storable(row.block),
                line=row.line,
                offset=row.offset,
                length=row.length,
                sentence=files.storable(row.sentence),
            )
            for candidate, row in zip(candidates, rows, strict=True)
        ),
        batch_size=1000,
    )
    Batch.objects.filter(pk=batch.pk).update(state=BatchState.READ)
    for shard in written:
        ring("parse", shard.pk, queue="parse")


def _refuse(batch: Batch, sentence: str) -> None:
    Batch.objects.filter(pk=batch.pk, state=BatchState.UPLOADED).update(state=BatchState.REFUSED, problem=sentence)


def _set_aside(batch: Batch) -> None:
    sentence = f"reading it failed {batch.attempts} times; an organiser looks at it"
    Batch.objects.filter(pk=batch.pk, state=BatchState.UPLOADED).update(state=BatchState.SET_ASIDE, problem=sentence)
    log.error("batch %s is set aside: %s", batch.pk, sentence)
