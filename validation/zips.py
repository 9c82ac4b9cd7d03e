"""A zip archive read through its list of members, in constant memory but for 16 bytes a member.

Our own, because ``zipfile`` makes an object of each member, half a gigabyte for a million. The list is read twice, in
chunks: first to see that no two members share a byte, then member by member. What the list says is held against the
header before each member's data and against the data. Layout: PKWARE's APPNOTE 6.3.
"""

from __future__ import annotations

import io
import struct
import zlib
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from validation.members import (
    CHUNK_BYTES,
    ArchiveRefused,
    Member,
    Meter,
    damaged,
    is_hidden,
    member_of,
    name_problem,
    refused,
    shown_name,
    too_large,
)
from validation.rules import Reason

_END = struct.Struct("<I4H2IH")
_END64 = struct.Struct("<IQ2H2I4Q")
_LOCATOR64 = struct.Struct("<2IQI")
_ENTRY = struct.Struct("<I6H3I5H2I")
_LOCAL = struct.Struct("<I5H3I2H")
_END_MARK, _END64_MARK, _LOCATOR64_MARK, _ENTRY_MARK, _LOCAL_MARK = (
    int.from_bytes(b"PK" + mark, "little") for mark in (b"\5\6", b"\6\6", b"\6\7", b"\1\2", b"\3\4")
)
_MAX_COMMENT_BYTES = 65_535
_MAX_ENTRY_BYTES = _ENTRY.size + 3 * 65_535
_DIRECTORY_CHUNK_BYTES = 1 << 20
_IN_ZIP64 = 0xFFFF_FFFF  # the number stands in the entry's zip64 field
_ENCRYPTED, _DESCRIPTOR, _UTF8 = 0x1, 0x8, 0x800
_STORED, _DEFLATED = 0, 8
_LINK, _FOLDER, _PLAIN_TYPES = 0xA, 0x4, (0x0, 0x8)


@dataclass(frozen=True, slots=True)
class _Directory:
    """The list of members: where it is, and how many it should have, modulo ``modulus``."""

    begin: int
    size: int
    count: int
    modulus: int


@dataclass(frozen=True, slots=True)
class _Entry:
    """A member as the list describes it. begin: of its local header."""

    raw_name: bytes
    flags: int
    method: int
    crc: int
    packed_size: int
    size: int
    unix_type: int
    begin: int

    @property
    def name(self) -> str:
        """UTF-8, said or not, else code page 437; bytes that are said to be UTF-8 and are not become surrogates."""
        try:
            return self.raw_name.decode()
        except UnicodeDecodeError:
            said = self.flags & _UTF8
            return self.raw_name.decode("utf-8", "surrogateescape") if said else self.raw_name.decode("cp437")


class _Unlike(Exception):
    """A member is not what the list says; the message continues a sentence that begins with its name."""


def zip_members(stream: BinaryIO, meter: Meter) -> Iterator[Member]:
    """The files of a zip in the order of its list. Raises ArchiveRefused, possibly after members have been yielded."""
    file_size = stream.seek(0, io.SEEK_END)
    directory = _find_directory(stream, file_size)
    ends = _survey(stream, directory, meter)
    for entry, end in zip(_entries(stream, directory), ends, strict=True):
        meter.tick()
        member = _member(stream, entry, int(end), meter, file_size)
        if member is not None:
            yield member


def _find_directory(stream: BinaryIO, file_size: int) -> _Directory:
    tail_begin = max(0, file_size - _END.size - _MAX_COMMENT_BYTES)
    stream.seek(tail_begin)
    tail = stream.read()
    at = _end_record(tail)
    _, disk, first_disk, here, count, size, begin, _ = _END.unpack_from(tail, at)
    if disk or first_disk or here != count:
        raise ArchiveRefused("The zip archive is one part of several; please send it as a single file.")
    end = tail_begin + at
    large = _zip64_directory(stream, end)
    if large is None:
        if begin + size != end:
            raise damaged("zip")
        return _Directory(begin, size, count, 1 << 16)
    stated = ((count, large.count, 0xFFFF), (size, large.size, _IN_ZIP64), (begin, large.begin, _IN_ZIP64))
    if any(number not in (number64, too_big) for number, number64, too_big in stated):
        raise damaged("zip")  # two lists: readers would differ in which they follow
    return large


def _end_record(tail: bytes) -> int:
    """Position of the record whose comment ends with the file."""
    at = last = tail.rfind(b"PK\x05\x06")
    while at >= 0:
        if at + _END.size <= len(tail) and at + _END.size + _END.unpack_from(tail, at)[-1] == len(tail):
            return at
        at = tail.rfind(b"PK\x05\x06", 0, at)
    if last >= 0 and last + _END.size < len(tail):
        extra = len(tail) - last - _END.size - _END.unpack_from(tail, last)[-1]
        if extra > 0:
            raise ArchiveRefused(f"{extra:,} bytes of something else follow the zip's end; please pack it again.")
    raise damaged("zip")


def _zip64_directory(stream: BinaryIO, end: int) -> _Directory | None:
    """From the record that stands before the end record where the archive is a large one."""
    stream.seek(max(0, end - _LOCATOR64.size))
    locator = stream.read(_LOCATOR64.size)
    if len(locator) < _LOCATOR64.size or _LOCATOR64.unpack(locator)[0] != _LOCATOR64_MARK:
        return None
    _, disk, at, n_disks = _LOCATOR64.unpack(locator)
    if disk or n_disks > 1:
        raise ArchiveRefused("The zip archive is one part of several; please send it as a single file.")
    if at + _END64.size + _LOCATOR64.size > end:
        raise damaged("zip")
    stream.seek(at)
    mark, record_size, _, _, _, _, here, count, size, begin = _END64.unpack(stream.read(_END64.size))
    if mark != _END64_MARK or at + 12 + record_size + _LOCATOR64.size != end or here != count:
        raise damaged("zip")
    if begin + size != at:
        raise damaged("zip")
    return _Directory(begin, size, count, 1 << 64)


def _survey(stream: BinaryIO, directory: _Directory, meter: Meter) -> NDArray[np.int64]:
    """Where the room of each member ends, in the order of the list.

    Raises ArchiveRefused where members overlap or lie elsewhere, are too many or encrypted.
    """
    if directory.size < directory.count % directory.modulus * _ENTRY.size:
        raise damaged("zip")
    begins, sizes = array("q"), array("q")
    for entry in _entries(stream, directory):
        meter.member()
        if entry.flags & _ENCRYPTED:
            raise ArchiveRefused("The archive is encrypted; please send one without a password.")
        least = _LOCAL.size + len(entry.raw_name) + entry.packed_size
        if entry.begin + least > directory.begin:
            raise ArchiveRefused("The zip's list names members that lie outside of it; please pack it again.")
        begins.append(entry.begin)
        sizes.append(least)
    if len(begins) % directory.modulus != directory.count:
        raise ArchiveRefused(
            f"The zip lists {len(begins):,} members where it says {directory.count:,}; please pack it again."
        )
    return _rooms(np.frombuffer(begins, np.int64), np.frombuffer(sizes, np.int64), directory.begin)


def _rooms(begins: NDArray[np.int64], sizes: NDArray[np.int64], directory_begin: int) -> NDArray[np.int64]:
    order = np.argsort(begins, kind="stable")
    ends = np.full_like(begins, directory_begin)
    ends[order[:-1]] = begins[order[1:]]
    if (begins + sizes > ends).any():
        raise _overlapping()
    return ends


def _overlapping() -> ArchiveRefused:
    return ArchiveRefused("The archive has members that overlap; each byte may belong to 1 member only.")


def _entries(stream: BinaryIO, directory: _Directory) -> Iterator[_Entry]:
    """The list, read in chunks; the stream may be elsewhere in between."""
    buffer, position, at = b"", 0, directory.begin
    end = directory.begin + directory.size
    while at < end or position < len(buffer):
        if at < end and len(buffer) - position < _MAX_ENTRY_BYTES:
            stream.seek(at)
            more = stream.read(min(_DIRECTORY_CHUNK_BYTES, end - at))
            if not more:
                raise damaged("zip")
            buffer, position, at = buffer[position:] + more, 0, at + len(more)
        entry, position = _entry(buffer, position)
        yield entry


def _entry(buffer: bytes, position: int) -> tuple[_Entry, int]:
    """The entry at a position, and where the next one begins."""
    if position + _ENTRY.size > len(buffer):
        raise damaged("zip")
    mark, _, _, flags, method, _, _, crc, packed, size, n_name, n_extra, n_comment, disk, _, mode, begin = (
        _ENTRY.unpack_from(buffer, position)
    )
    extra_at = position + _ENTRY.size + n_name
    after = extra_at + n_extra + n_comment
    if mark != _ENTRY_MARK or after > len(buffer):
        raise damaged("zip")
    raw_name = buffer[position + _ENTRY.size : extra_at]
    if _IN_ZIP64 in (packed, size, begin):
        size, packed, begin = _large(buffer[extra_at : extra_at + n_extra], (size, packed, begin))
    if disk not in (0, 0xFFFF):
        raise ArchiveRefused("The zip archive is one part of several; please send it as a single file.")
    return _Entry(raw_name, flags, method, crc, packed, size, mode >> 28, begin), after


def _large(extra: bytes, numbers: tuple[int, ...]) -> tuple[int, ...]:
    """Numbers of 8 bytes from the zip64 field, for those that did not fit into 4."""
    wanted = [number for number in numbers if number == _IN_ZIP64]
    position = 0
    while position + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, position)
        if kind == 1 and 8 * len(wanted) <= length <= len(extra) - position - 4:
            found = iter(struct.unpack_from(f"<{len(wanted)}Q", extra, position + 4))
            numbers = tuple(next(found) if number == _IN_ZIP64 else number for number in numbers)
            if max(numbers) < 1 << 62:
                return numbers
        position += 4 + length
    raise damaged("zip")


def _member(stream: BinaryIO, entry: _Entry, end: int, meter: Meter, file_size: int) -> Member | None:
    """None for folders and hidden files."""
    limits, written = meter.limits, entry.name
    if written.endswith("/") or entry.unix_type == _FOLDER or is_hidden(written):
        return None
    name, problem = shown_name(written, limits), name_problem(written, limits)
    if problem is not None:
        return Member(name, None, problem)
    if entry.unix_type not in _PLAIN_TYPES:
        what = "a link" if entry.unix_type == _LINK else "no plain file"
        return refused(name, Reason.NOT_CIF, f"{name} is {what}; please send the file itself.")
    if entry.method not in (_STORED, _DEFLATED):
        return refused(name, Reason.UNREADABLE, f"{name} is packed by a method other than deflate; please pack again.")
    if entry.size > limits.max_member_bytes:
        return too_large(name, limits)
    try:
        return member_of(name, _data(stream, entry, end, meter, file_size), limits)
    except _Unlike as unlike:
        return refused(name, Reason.UNREADABLE, f"{name} {unlike}; please pack again.")


def _data(stream: BinaryIO, entry: _Entry, end: int, meter: Meter, file_size: int) -> bytes:
    """Raises _Unlike where it is not what the list says."""
    stream.seek(_data_begin(stream, entry, end))
    pieces, size, crc = [], 0, 0
    for piece in _unpacked(stream, entry):
        meter.unpacked(len(piece), file_size)
        size += len(piece)
        if size > entry.size:
            break
        crc = zlib.crc32(piece, crc)
        pieces.append(piece)
    if size != entry.size:
        more = "more" if size > entry.size else "fewer"
        raise _Unlike(f"unpacks to {more} bytes than the {entry.size:,} that the zip's list states")
    if crc != entry.crc:
        raise _Unlike("is damaged within the archive: its checksum does not fit")
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _data_begin(stream: BinaryIO, entry: _Entry, end: int) -> int:
    """Raises _Unlike where the header before the data and the list differ."""
    stream.seek(entry.begin)
    header = stream.read(_LOCAL.size + len(entry.raw_name))
    if len(header) < _LOCAL.size + len(entry.raw_name):
        raise damaged("zip")
    mark, _, flags, method, _, _, crc, packed, size, n_name, n_extra = _LOCAL.unpack_from(header)
    begin = entry.begin + _LOCAL.size + int(n_name) + int(n_extra)
    if mark != _LOCAL_MARK:
        raise _Unlike("is damaged within the archive: it does not begin where the zip's list says")
    if begin + entry.packed_size > end:
        raise _overlapping()
    same = n_name == len(entry.raw_name) and header[_LOCAL.size :] == entry.raw_name and method == entry.method
    if not flags & _DESCRIPTOR:  # else they follow the data
        numbers = ((crc, entry.crc), (packed, entry.packed_size), (size, entry.size))
        same &= all(here in (listed, _IN_ZIP64) for here, listed in numbers)
    if not same or flags & _ENCRYPTED:
        raise _Unlike("is described in two ways within the zip, by its list and by the member's own header")
    return begin


def _unpacked(stream: BinaryIO, entry: _Entry) -> Iterator[bytes]:
    """Pieces of at most CHUNK_BYTES, the stream being at the member's data."""
    if entry.method == _STORED:
        yield from _exactly(stream, entry.packed_size)
        return
    unpacker = zlib.decompressobj(wbits=-15)
    try:
        for packed in _exactly(stream, entry.packed_size):
            waiting = packed
            while waiting:
                yield unpacker.decompress(waiting, CHUNK_BYTES)
                waiting = unpacker.unconsumed_tail
                if unpacker.eof:
                    break
        while not unpacker.eof and (piece := unpacker.decompress(b"", CHUNK_BYTES)):
            yield piece
    except zlib.error:
        raise _Unlike("is damaged within the archive") from None
    if not unpacker.eof:
        raise _Unlike("is damaged within the archive: it ends too early")


def _exactly(stream: BinaryIO, n_bytes: int) -> Iterator[bytes]:
    while n_bytes > 0:
        piece = stream.read(min(n_bytes, CHUNK_BYTES))
        if not piece:
            raise _Unlike("is damaged within the archive: it ends too early")
        n_bytes -= len(piece)
        yield piece
