"""Uploads that come in parts and go on where they broke off.

An upload's ``offset`` is what is safely on disk. It becomes the whole length in the transaction that hands the upload
over, so an upload is either unfinished, and its sender sends the rest, or it has a batch or a dry run.
"""

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import BinaryIO

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.db import transaction
from django.db.models.functions import Now

from philately.domain import back_pressure, dry_runs, files, intake, quotas, staging
from philately.domain.refusals import UploadRefused
from philately.models import Membership, ResumableUpload
from philately.queries import clock

SAFE_EVERY_BYTES = 4 << 20
SAFE_EVERY_S = 2.0


class Gone(Exception):
    """There was such an upload, but it expired, was cancelled or is lost."""


class WrongOffset(Exception):
    """The part does not begin where the upload ends."""

    def __init__(self, offset: int) -> None:
        super().__init__(f"the upload goes on at byte {offset:,}")
        self.offset = offset


class SenderLost(Exception):
    """The part broke off: its connection ended, stalled or took too long. What had come is kept."""

    def __init__(self) -> None:
        super().__init__("the connection was lost; what had come is kept, please go on from there")


class BeyondLength(Exception):
    """More bytes than were announced."""


class WrongChecksum(Exception):
    """The part is not what its sender hashed; nothing of it is kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Announced:
    """What a sender says of an upload before the first byte. metadata: as it was sent."""

    length: int
    file_name: str
    method: intake.Method
    consent: bool
    is_dry_run: bool = False
    metadata: str = ""


def begin(member: Membership, announced: Announced) -> ResumableUpload:
    """Raises UploadRefused, before the first byte."""
    intake.refuse_offer(member, announced.length, consent=announced.consent)
    if not announced.is_dry_run:
        back_pressure.refuse_long_queue(member.season)
    now = clock.now()
    with transaction.atomic():
        quotas.lock(member)
        quotas.refuse_unfinished(member)
        quotas.refuse_upload(member, announced.length, is_dry_run=announced.is_dry_run)
        return ResumableUpload.objects.create(
            token=staging.begin(),
            owner=member,
            metadata=announced.metadata,
            file_name=files.storable(announced.file_name)[-255:],
            method=announced.method.name,
            method_description=announced.method.description,
            is_dry_run=announced.is_dry_run,
            length=announced.length,
            created_at=now,
            expires_at=_expiry(),
        )


def append(
    upload: ResumableUpload, offset: int, chunks: Iterator[bytes], checksum: staging.Checksum | None = None
) -> ResumableUpload:
    """Write a part as it arrives, and hand the upload over with its last byte; returns it as it is then.

    An empty part of a finished upload changes nothing: the sender did not hear that it was finished.

    Raises WrongOffset, BeyondLength, WrongChecksum, Gone, staging.Busy, UploadRefused where it is refused at last,
    files.StorageFull, and SenderLost from the chunks; what had come by then is kept, unless a checksum was to be
    compared.
    """
    if upload.finished_at is not None and offset == upload.length and not next(chunks, b""):
        return upload
    with files.room(), _held(upload) as (current, file):
        if offset != current.offset:
            raise WrongOffset(current.offset)
        back_pressure.refuse_full_disk(current.length - offset)
        part = _Part(current, file, hashlib.new(checksum.algorithm) if checksum else None)
        part.receive(chunks)
        if checksum is not None and part.digest() != checksum.digest:
            raise WrongChecksum(f"the part's {checksum.algorithm} differs from the one announced")
        part.make_safe()
        if part.position == current.length:
            _finish(current, file)
    current.refresh_from_db()
    return current


def refuse_gone(upload: ResumableUpload) -> None:
    """Raises Gone where an unfinished upload cannot go on."""
    if upload.expires_at < clock.now():
        raise Gone("the upload expired; please begin again")
    if not staging.is_there(upload.token):
        raise Gone("what had come of the upload is lost; please begin again")


def cancel(upload: ResumableUpload) -> None:
    """Forget it, and what has come of it; what it became stays. Raises staging.Busy and Gone."""
    with _held(upload) as (current, _):
        _remove(current)


def sweep() -> None:
    """Remove what expired, and files that belong to nothing."""
    for upload in ResumableUpload.objects.filter(expires_at__lt=Now())[:1000]:
        try:
            with staging.opened(upload.token):
                _remove(upload)
        except staging.Busy:
            continue  # its sender is back
        except staging.Lost:
            _remove(upload)
    known = set(ResumableUpload.objects.values_list("token", flat=True))
    for token in staging.strays(known, older_than_s=settings.UPLOAD_EXPIRES_S):
        staging.remove(token)


@contextmanager
def _held(upload: ResumableUpload) -> Iterator[tuple[ResumableUpload, BinaryIO]]:
    """The upload as it is now, with its file, which nobody else writes meanwhile."""
    if upload.finished_at is not None:
        raise Gone("the upload is finished; its file was handed over")
    try:
        with staging.opened(upload.token) as file:
            current = ResumableUpload.objects.select_related("owner__season").filter(pk=upload.pk).first()
            if current is None:
                raise Gone("the upload was cancelled")
            refuse_gone(current)
            yield current, file
    except staging.Lost as error:
        raise Gone("what had come of the upload is lost; please begin again") from error


class _Part:
    """One request's bytes on their way to the disk."""

    def __init__(self, upload: ResumableUpload, file: BinaryIO, hashed: "hashlib._Hash | None") -> None:
        self._upload, self._file, self._hashed = upload, file, hashed
        self.position = self._safe_to = upload.offset
        self._safe_at = time.monotonic()
        file.truncate(upload.offset)  # what an earlier part left and nobody was told of
        file.seek(upload.offset)

    def receive(self, chunks: Iterator[bytes]) -> None:
        """Raises BeyondLength, and SenderLost from the chunks."""
        try:
            for chunk in chunks:
                self._write(chunk)
        except SenderLost:
            if self._hashed is None:
                self.make_safe()
            raise

    def digest(self) -> bytes:
        return self._hashed.digest() if self._hashed is not None else b""

    def make_safe(self) -> None:
        """Note how much is on the disk; the last byte is noted when the upload is handed over."""
        staging.make_safe(self._file)
        self._safe_to, self._safe_at = self.position, time.monotonic()
        if self.position < self._upload.length:
            ResumableUpload.objects.filter(pk=self._upload.pk).update(offset=self.position, expires_at=_expiry())

    def _write(self, chunk: bytes) -> None:
        if self.position + len(chunk) > self._upload.length:
            raise BeyondLength(f"more came than the {self._upload.length:,} bytes that were announced")
        view = memoryview(chunk)
        while view:
            view = view[self._file.write(view) :]
        self.position += len(chunk)
        if self._hashed is not None:
            self._hashed.update(chunk)
        elif self.position - self._safe_to >= SAFE_EVERY_BYTES or time.monotonic() - self._safe_at >= SAFE_EVERY_S:
            self.make_safe()


def _finish(upload: ResumableUpload, file: BinaryIO) -> None:
    """Hand the whole file over; where it is refused at last, nothing of it is kept."""
    file.seek(0)
    whole = UploadedFile(file, name=upload.file_name, size=upload.length)
    try:
        intake.refuse_closed(upload.owner.season)
        stored = files.store(whole, folder=dry_runs.FOLDER if upload.is_dry_run else "")
        with transaction.atomic():
            _hand_over(upload, stored)
    except UploadRefused:
        _remove(upload)
        raise
    staging.remove(upload.token)


def _hand_over(upload: ResumableUpload, stored: files.Stored) -> None:
    """Finished first, so that the upload is no longer counted beside what it becomes."""
    mine = ResumableUpload.objects.filter(pk=upload.pk, finished_at=None)
    quotas.lock(upload.owner)
    if mine.update(finished_at=clock.now(), offset=upload.length, expires_at=_expiry()) != 1:
        raise Gone("the upload was cancelled")
    method = intake.Method(upload.method, upload.method_description)
    if upload.is_dry_run:
        run = dry_runs.begin(upload.owner, stored, method)
        ResumableUpload.objects.filter(pk=upload.pk).update(dry_run=run)
    else:
        batch, _ = intake.submit(upload.owner, stored, method)
        ResumableUpload.objects.filter(pk=upload.pk).update(batch=batch)


def _remove(upload: ResumableUpload) -> None:
    """The row first: a file without a row is swept, a row without a file would promise something."""
    ResumableUpload.objects.filter(pk=upload.pk).delete()
    staging.remove(upload.token)


def _expiry() -> datetime:
    return clock.now() + timedelta(seconds=settings.UPLOAD_EXPIRES_S)
