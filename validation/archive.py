"""What an upload holds, read once from front to back, nothing extracted to disk, one member in memory at a time."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import BinaryIO

from validation import tar
from validation.rules import Reason, Rejected

_CHUNK_BYTES = 1 << 16
_RATIO_FLOOR_BYTES = 1 << 22  # what is small once unpacked is no bomb, however well it was packed
_MAX_DIRECTORY_BYTES = 1 << 26  # of a zip, read at once: 64 MiB hold a million short names
_ZIP_TAIL_BYTES = 22 + 65_535 + 20 + 56
_LOCAL_HEADER_BYTES = 30
_ARCHIVES = {
    b"PK\x03\x04": "zip",
    b"PK\x05\x06": "zip",
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\0": "xz",
    b"7z\xbc\xaf\x27\x1c": "7z",
    b"Rar!\x1a\x07": "rar",
    b"\x28\xb5\x2f\xfd": "zstd",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadLimits:
    """What one upload may hold. max_ratio: unpacked over packed bytes, as counted while unpacking."""

    max_members: int = 100_000
    max_decompressed_bytes: int = 1 << 30
    max_ratio: float = 200.0
    max_member_bytes: int = 64_000_000  # a file of many blocks; one structure's limit is in the rules
    max_name_length: int = 255


class ArchiveRefused(Exception):
    """The upload as a whole is refused; the message is one sentence for its sender that names the limit."""


@dataclass(frozen=True, slots=True)
class Member:
    """One file of an upload: its data, or the problem that concerns it alone; never both."""

    name: str
    data: bytes | None
    problem: Rejected | None


class _Meter:
    """Counts what comes out of an archive and refuses the archive once that is too much."""

    def __init__(self, limits: UploadLimits) -> None:
        self.limits = limits
        self.unpacked_bytes = 0
        self.members = 0

    def unpacked(self, n_bytes: int, packed_bytes: int) -> None:
        self.unpacked_bytes += n_bytes
        if self.unpacked_bytes > self.limits.max_decompressed_bytes:
            limit = self.limits.max_decompressed_bytes
            raise ArchiveRefused(f"The archive unpacks to more than {limit:,} bytes, the limit of one upload.")
        if self.unpacked_bytes > max(_RATIO_FLOOR_BYTES, self.limits.max_ratio * packed_bytes):
            limit_ratio = self.limits.max_ratio
            raise ArchiveRefused(f"The archive unpacks to more than {limit_ratio:g} times its size, the limit allowed.")

    def member(self) -> None:
        self.members += 1
        if self.members > self.limits.max_members:
            limit = self.limits.max_members
            raise ArchiveRefused(f"The archive has more than {limit:,} members, the limit of one upload.")


class _CountedReader(io.RawIOBase):
    """Counts the packed bytes that a decompressor has taken."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.taken = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        self.taken += len(data)
        return len(data)


def open_upload(stream: BinaryIO, name: str, limits: UploadLimits | None = None) -> Iterator[Member]:
    """Yield what a zip, tar, tar.gz or single file holds, in the archive's order.

    stream: seekable, at its beginning. Raises ArchiveRefused, possibly after members have been yielded: then those are
    refused with the rest. Folders and hidden files are left out.
    """
    limits = limits or UploadLimits()
    start = stream.read(tar.BLOCK_BYTES)
    stream.seek(0)
    if start.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        members = _zip_members(stream, limits)
    elif start.startswith(b"\x1f\x8b"):
        members = _gzip_members(stream, name, limits)
    elif tar.looks_like_tar(start):
        members = _tar_members(_Metered(stream, _Meter(limits), None), limits)
    else:
        members = _single_member(stream, name, limits)
    yield from _at_least_one(members)


def _at_least_one(members: Iterator[Member]) -> Iterator[Member]:
    empty = True
    for member in members:
        empty = False
        yield member
    if empty:
        raise ArchiveRefused("The upload is empty; it needs at least 1 CIF file.")


def _single_member(stream: BinaryIO, name: str, limits: UploadLimits) -> Iterator[Member]:
    data = stream.read(limits.max_member_bytes + 1)
    if data:
        yield _member(_shown(name, limits), data, limits)


def _member(name: str, data: bytes, limits: UploadLimits) -> Member:
    if len(data) > limits.max_member_bytes:
        return _too_large(name, limits)
    nested = next((kind for magic, kind in _ARCHIVES.items() if data.startswith(magic)), None)
    if nested is None and tar.looks_like_tar(data[: tar.BLOCK_BYTES]):
        nested = "tar"
    if nested is not None:
        return _refused(
            name, Reason.NOT_CIF, f"{name} is a {nested} archive; only zip, tar or tar.gz, one level deep, is read."
        )
    return Member(name, data, None)


def _too_large(name: str, limits: UploadLimits) -> Member:
    detail = f"{name} has more than {limits.max_member_bytes:,} bytes, the limit of one file."
    return _refused(name, Reason.TOO_LARGE, detail)


def _refused(name: str, reason: Reason, detail: str) -> Member:
    return Member(name, None, Rejected(reason, detail))


def _is_hidden(name: str) -> bool:
    """Folders of macOS, files such as .DS_Store, anything within a hidden folder."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    return any(part == "__MACOSX" or (part.startswith(".") and part != "..") for part in parts)


def _shown(name: str, limits: UploadLimits) -> str:
    """The name without what a page or a log could trip over, cut to the limit."""
    printable = "".join(letter if letter.isprintable() else "?" for letter in name.replace("\\", "/"))
    return printable[: limits.max_name_length] or "?"


def _name_problem(name: str, limits: UploadLimits) -> Rejected | None:
    shown, path = _shown(name, limits), PurePosixPath(name.replace("\\", "/"))
    if len(name) > limits.max_name_length:
        detail = f"the name {shown[:60]}… has {len(name)} characters; at most {limits.max_name_length} are allowed."
        return Rejected(Reason.UNREADABLE, detail)
    if path.is_absolute() or ".." in path.parts or (path.parts and path.parts[0].endswith(":")):
        return Rejected(Reason.UNREADABLE, f"the name {shown} leads out of the archive; names must be relative.")
    return None


def _zip_members(stream: BinaryIO, limits: UploadLimits) -> Iterator[Member]:
    _refuse_large_directory(stream, limits)
    try:
        archive = zipfile.ZipFile(stream)
    except (zipfile.BadZipFile, ValueError, struct.error, NotImplementedError, OSError) as error:
        raise _damaged("zip") from error
    with archive:
        infos = archive.infolist()
        packed_bytes = stream.seek(0, io.SEEK_END)
        _refuse_whole_zip(infos, archive.start_dir)
        meter = _Meter(limits)
        for info in infos:
            meter.member()
            if info.is_dir() or _is_hidden(info.filename):
                continue
            yield _zip_member(archive, info, meter, packed_bytes)


def _refuse_large_directory(stream: BinaryIO, limits: UploadLimits) -> None:
    """Count the central directory's entries before ``zipfile`` makes an object of each."""
    begin, size = _directory(stream)
    if size > _MAX_DIRECTORY_BYTES:
        detail = f"The zip's list of members has {size:,} bytes; at most {_MAX_DIRECTORY_BYTES:,} are allowed."
        raise ArchiveRefused(detail)
    stream.seek(begin)
    directory = stream.read(size)
    position = count = 0
    while position < size:
        if directory[position : position + 4] != b"PK\x01\x02" or position + 46 > len(directory):
            raise _damaged("zip")
        position += 46 + sum(struct.unpack_from("<3H", directory, position + 28))
        count += 1
        if count > limits.max_members:
            raise ArchiveRefused(f"The archive has more than {limits.max_members:,} members, the limit of one upload.")


def _directory(stream: BinaryIO) -> tuple[int, int]:
    """Position and size of the central directory, from the record at the end of the file."""
    end = stream.seek(0, io.SEEK_END)
    tail_begin = max(0, end - _ZIP_TAIL_BYTES)
    stream.seek(tail_begin)
    tail = stream.read()
    record = tail.rfind(b"PK\x05\x06")
    if record < 0 or record + 22 > len(tail):
        raise _damaged("zip")
    size = int(struct.unpack_from("<L", tail, record + 12)[0])
    begin = tail_begin + record - size
    if (
        record >= 76
        and tail[record - 20 : record - 16] == b"PK\x06\x07"
        and tail[record - 76 : record - 72] == b"PK\x06\x06"
    ):
        size = int(struct.unpack_from("<Q", tail, record - 76 + 40)[0])
        begin = tail_begin + record - 76 - size
    if begin < 0:
        raise _damaged("zip")
    return begin, size


def _refuse_whole_zip(infos: list[zipfile.ZipInfo], directory_begin: int) -> None:
    if any(info.flag_bits & 0x1 for info in infos):
        raise ArchiveRefused("The archive is encrypted; please send one without a password.")
    begins = sorted((info.header_offset, info.compress_size) for info in infos)
    ends = [*(begin for begin, _ in begins), directory_begin][1:]
    for (begin, size), end in zip(begins, ends, strict=bool(begins)):
        if begin < 0 or begin + _LOCAL_HEADER_BYTES + size > end:
            raise ArchiveRefused("The archive has members that overlap; each byte may belong to 1 member only.")


def _zip_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, meter: _Meter, packed_bytes: int) -> Member:
    limits = meter.limits
    name = _shown(info.filename, limits)
    problem = _name_problem(info.filename, limits)
    if problem is not None:
        return Member(name, None, problem)
    if (info.external_attr >> 28) == 0xA:
        return _refused(name, Reason.NOT_CIF, f"{name} is a link; please send the file itself.")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return _refused(name, Reason.UNREADABLE, f"{name} is packed by a method other than deflate; please pack again.")
    chunks, size = [], 0
    try:
        with archive.open(info) as file:
            while size <= limits.max_member_bytes and (chunk := file.read(_CHUNK_BYTES)):
                meter.unpacked(len(chunk), packed_bytes)
                chunks.append(chunk)
                size += len(chunk)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError, struct.error):
        return _refused(name, Reason.UNREADABLE, f"{name} is damaged within the archive; please pack again.")
    return _member(name, b"".join(chunks), limits)


class _Metered:
    """Reads exactly as many bytes as asked, counting them; ``packed`` is None for an archive that is not packed."""

    def __init__(self, stream: BinaryIO, meter: _Meter, packed: _CountedReader | None) -> None:
        self._stream = stream
        self._packed = packed
        self.meter = meter

    def read(self, n_bytes: int) -> bytes:
        """Fewer bytes only at the end of the stream. In pieces, so that a bomb is refused before it is unpacked."""
        pieces = []
        while n_bytes > 0 and (piece := self._piece(min(n_bytes, _CHUNK_BYTES))):
            pieces.append(piece)
            n_bytes -= len(piece)
        return b"".join(pieces)

    def skip(self, n_bytes: int) -> bool:
        """Whether that many bytes were there to skip."""
        while n_bytes > 0 and (piece := self._piece(min(n_bytes, _CHUNK_BYTES))):
            n_bytes -= len(piece)
        return n_bytes <= 0

    def _piece(self, n_bytes: int) -> bytes:
        try:
            piece = self._stream.read(n_bytes)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise _damaged("gzip") from error
        packed = self._packed
        self.meter.unpacked(len(piece), packed.taken if packed is not None else self.meter.unpacked_bytes + len(piece))
        return piece


def _gzip_members(stream: BinaryIO, name: str, limits: UploadLimits) -> Iterator[Member]:
    """A tar.gz, or a single file that was gzipped."""
    packed = _CountedReader(stream)
    with gzip.GzipFile(fileobj=packed, mode="rb") as unpacked:
        buffered = io.BufferedReader(unpacked, _CHUNK_BYTES)
        source = _Metered(buffered, _Meter(limits), packed)
        try:
            start = buffered.peek(tar.BLOCK_BYTES)[: tar.BLOCK_BYTES]
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise _damaged("gzip") from error
        if tar.looks_like_tar(start) or (start and not any(start)):
            yield from _tar_members(source, limits)
        elif start:
            yield _member(_shown(name.removesuffix(".gz"), limits), source.read(limits.max_member_bytes + 1), limits)


def _tar_members(source: _Metered, limits: UploadLimits) -> Iterator[Member]:
    try:
        for header in tar.headers(source.read):
            source.meter.member()
            member = _tar_member(source, header, limits)
            if member is not None:
                yield member
    except tar.DamagedTar as error:
        raise ArchiveRefused(f"The tar archive is damaged: {error}; please pack it again.") from error


def _tar_member(source: _Metered, header: tar.Header, limits: UploadLimits) -> Member | None:
    """None for folders and hidden files. The content is always consumed, so that the next header follows."""
    name = _shown(header.name, limits)
    problem = _name_problem(header.name, limits)
    if header.kind is tar.Kind.FILE and problem is None and not _is_hidden(header.name):
        if header.size <= limits.max_member_bytes:
            padded = source.read(header.padded_size)
            if len(padded) < header.size:
                raise tar.DamagedTar("it ends within a member")
            return _member(name, padded[: header.size], limits)
        problem = _too_large(name, limits).problem
    if header.kind is not tar.Kind.LINK and not source.skip(header.padded_size):
        raise tar.DamagedTar("it ends within a member")
    if header.kind is tar.Kind.FOLDER or _is_hidden(header.name):
        return None
    if problem is None:
        what = "a link" if header.kind is tar.Kind.LINK else "no plain file"
        problem = Rejected(Reason.NOT_CIF, f"{name} is {what}; please send the file itself.")
    return Member(name, None, problem)


def _damaged(kind: str) -> ArchiveRefused:
    return ArchiveRefused(f"The {kind} archive is damaged or incomplete; please pack it again.")
