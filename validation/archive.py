"""What an upload holds, read once from front to back, nothing extracted to disk, one member in memory at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from validation import tar
from validation.members import (
    KINDS_READ,
    ArchiveRefused,
    Clock,
    Member,
    Meter,
    UploadLimits,
    is_hidden,
    member_of,
    name_problem,
    packed_kind,
    shown_name,
    too_large,
)
from validation.rules import Reason, Rejected
from validation.unpacking import Packed, Source, begins_like_zstd, gzip_pieces, plain_pieces, zstd_pieces
from validation.zips import zip_members

__all__ = ["ArchiveRefused", "Clock", "Member", "Meter", "UploadLimits", "open_upload", "read_members"]


def open_upload(
    stream: BinaryIO, name: str, limits: UploadLimits | None = None, *, clock: Clock | None = None
) -> Iterator[Member]:
    """Yield what a zip, tar, tar.gz, tar.zst or single file, packed or not, holds, in the archive's order.

    stream: seekable, at its beginning. clock: seconds, for ``limits.max_seconds``. Raises ArchiveRefused, possibly
    after members have been yielded: then those are refused with the rest. Folders and hidden files are left out.
    """
    yield from read_members(stream, name, Meter(limits or UploadLimits(), clock))


def read_members(stream: BinaryIO, name: str, meter: Meter) -> Iterator[Member]:
    """As ``open_upload``, on a meter that the caller counts on as well."""
    start = stream.read(tar.BLOCK_BYTES)
    stream.seek(0)
    if start.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        members = zip_members(stream, meter)
    elif start.startswith(b"\x1f\x8b"):
        packed = Packed(stream, meter)
        members = _unpacked_members(Source(gzip_pieces(packed), meter, packed), name.removesuffix(".gz"))
    elif begins_like_zstd(start):
        packed = Packed(stream, meter)
        members = _unpacked_members(Source(zstd_pieces(packed), meter, packed), name.removesuffix(".zst"))
    else:
        _refuse_other_archives(start)
        members = _unpacked_members(Source(plain_pieces(stream), meter), name)
    yield from _at_least_one(members)


def _refuse_other_archives(start: bytes) -> None:
    kind = packed_kind(start)
    if kind is not None and not tar.looks_like_tar(start):
        raise ArchiveRefused(f"The upload is {kind}; {KINDS_READ} is read. Please pack it as one of these.")


def _at_least_one(members: Iterator[Member]) -> Iterator[Member]:
    empty = True
    for member in members:
        empty = False
        yield member
    if empty:
        raise ArchiveRefused("The upload is empty; it needs at least 1 file with a structure.")


def _unpacked_members(source: Source, name: str) -> Iterator[Member]:
    """A tar, or a single file of this name."""
    start, limits = source.peek(tar.BLOCK_BYTES), source.meter.limits
    if tar.looks_like_tar(start) or (start and not any(start)):
        yield from _tar_members(source)
    elif start:
        data = source.read(limits.max_member_bytes + 1)
        yield member_of(shown_name(name, limits), data, limits)


def _tar_members(source: Source) -> Iterator[Member]:
    try:
        for header in tar.headers(source.read):
            source.meter.member()
            member = _tar_member(source, header)
            if member is not None:
                yield member
    except tar.DamagedTar as error:
        raise ArchiveRefused(f"The tar archive is damaged: {error}; please pack it again.") from error


def _tar_member(source: Source, header: tar.Header) -> Member | None:
    """None for folders and hidden files. The content is always consumed, so that the next header follows."""
    limits = source.meter.limits
    hidden = header.kind is tar.Kind.FOLDER or is_hidden(header.name)
    name, problem = shown_name(header.name, limits), name_problem(header.name, limits)
    if header.kind is tar.Kind.FILE and problem is None and not hidden:
        if header.size <= limits.max_member_bytes:
            padded = source.read(header.padded_size)
            if len(padded) < header.padded_size:
                raise tar.DamagedTar("it ends within a member")
            return member_of(name, padded[: header.size], limits)
        problem = too_large(name, limits).problem
    if header.kind is not tar.Kind.LINK and not source.skip(header.padded_size):
        raise tar.DamagedTar("it ends within a member")
    if hidden:
        return None
    if problem is None:
        what = "a link" if header.kind is tar.Kind.LINK else "no plain file"
        problem = Rejected(Reason.NOT_CIF, f"{name} is {what}; please send the file itself.")
    return Member(name, None, problem)
