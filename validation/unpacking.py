"""Compressed streams as pieces of bounded size: gzip with any number of members, zstd with any number of frames."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import BinaryIO

import zstandard

from validation.members import CHUNK_BYTES, ArchiveRefused, Meter, damaged

MAX_WINDOW_BYTES = 1 << 27  # what ``zstd -d`` unpacks without being asked for more
MAX_PARTS = 100_000  # gzip members or zstd frames: parallel packers make one of 64 KiB or more, and each costs time
_ZSTD_HEADER_BYTES = 18
_ZSTD_STEP_BYTES = 256  # packed bytes at a time: 4 may become 128 KiB, so these become at most 8 MiB


class Packed:
    """The compressed stream; counts what was taken from it."""

    def __init__(self, stream: BinaryIO, meter: Meter) -> None:
        self._stream = stream
        self._meter = meter
        self.taken = 0

    def read(self) -> bytes:
        """The next bytes, none at the end."""
        self._meter.tick()
        data = self._stream.read(CHUNK_BYTES)
        self.taken += len(data)
        return data


class Source:
    """What a stream unpacks to, metered; read exactly as far as asked.

    packed: where the pieces come from, None where nothing is packed.
    """

    def __init__(self, pieces: Iterator[bytes], meter: Meter, packed: Packed | None = None) -> None:
        self.meter = meter
        self._pieces = pieces
        self._packed = packed
        self._buffer = b""
        self._position = 0

    def read(self, n_bytes: int) -> bytes:
        """Fewer bytes only at the end of the stream. In pieces, so that a bomb is refused before it is unpacked."""
        begin, end = self._position, self._position + n_bytes
        if end <= len(self._buffer):
            self._position = end
            return self._buffer[begin:end]
        return b"".join(self._taken(n_bytes))

    def skip(self, n_bytes: int) -> bool:
        """Whether that many bytes were there to skip."""
        return sum(map(len, self._taken(n_bytes))) == n_bytes

    def peek(self, n_bytes: int) -> bytes:
        """The next bytes, which stay to be read."""
        while len(self._buffer) - self._position < n_bytes and (piece := self._next()):
            self._buffer, self._position = self._buffer[self._position :] + piece, 0
        return self._buffer[self._position : self._position + n_bytes]

    def _taken(self, n_bytes: int) -> Iterator[bytes]:
        while n_bytes > 0:
            if self._position == len(self._buffer):
                self._buffer, self._position = self._next(), 0
                if not self._buffer:
                    return
            piece = self._buffer[self._position : self._position + n_bytes]
            self._position += len(piece)
            n_bytes -= len(piece)
            yield piece

    def _next(self) -> bytes:
        piece = next(self._pieces, b"")
        self.meter.unpacked(len(piece), None if self._packed is None else self._packed.taken)
        return piece


def plain_pieces(stream: BinaryIO) -> Iterator[bytes]:
    while piece := stream.read(CHUNK_BYTES):
        yield piece


def gzip_pieces(packed: Packed) -> Iterator[bytes]:
    """Members that follow each other are one stream, as gzip has it; padding with zeros is passed over."""
    waiting, n_parts = packed.read(), 0
    while waiting:
        n_parts = _one_more("gzip", n_parts)
        unpacker = zlib.decompressobj(wbits=31)
        begins = True
        while not unpacker.eof:
            waiting = waiting or packed.read()
            try:
                piece = unpacker.decompress(waiting, CHUNK_BYTES)
            except zlib.error as error:
                raise damaged("gzip") if n_parts == 1 or not begins else _followed("gzip") from error
            if not waiting and not piece:
                raise damaged("gzip")
            waiting, begins = unpacker.unconsumed_tail, begins and not piece
            if piece:
                yield piece
        waiting = _past_zeros(unpacker.unused_data, packed)


def _past_zeros(waiting: bytes, packed: Packed) -> bytes:
    waiting = waiting.lstrip(b"\0")
    while not waiting and (more := packed.read()):
        waiting = more.lstrip(b"\0")
    return waiting


def zstd_pieces(packed: Packed) -> Iterator[bytes]:
    """Frames that follow each other are one stream; their windows are bounded."""
    engine = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW_BYTES)
    waiting, n_parts = packed.read(), 0
    while waiting:
        n_parts = _one_more("zstd", n_parts)
        if len(waiting) < _ZSTD_HEADER_BYTES:
            waiting += packed.read()
        _refuse_header(waiting[:_ZSTD_HEADER_BYTES], is_first=n_parts == 1)
        frame, position = engine.decompressobj(write_size=CHUNK_BYTES), 0
        while not frame.eof:
            if position == len(waiting):
                waiting, position = packed.read(), 0
            if not waiting:
                raise damaged("zstd")
            try:
                piece = frame.decompress(waiting[position : position + _ZSTD_STEP_BYTES])
            except zstandard.ZstdError as error:
                raise damaged("zstd") from error
            position = min(position + _ZSTD_STEP_BYTES, len(waiting))
            if piece:
                yield piece
        waiting = waiting[position - len(frame.unused_data) :] or packed.read()


def begins_like_zstd(data: bytes) -> bool:
    """A frame, or one of those that hold no data and are skipped."""
    return data.startswith(b"\x28\xb5\x2f\xfd") or _is_skippable(data)


def _is_skippable(data: bytes) -> bool:
    return data[1:4] == b"\x2a\x4d\x18" and data[0] & 0xF0 == 0x50


def _refuse_header(header: bytes, *, is_first: bool) -> None:
    if not begins_like_zstd(header):
        raise damaged("zstd") if is_first else _followed("zstd")
    if _is_skippable(header):
        return
    try:
        window_bytes = zstandard.get_frame_parameters(header).window_size
    except zstandard.ZstdError as error:
        raise damaged("zstd") from error
    if window_bytes > MAX_WINDOW_BYTES:
        raise ArchiveRefused(
            f"The zstd archive needs a window of {window_bytes:,} bytes to be unpacked; at most {MAX_WINDOW_BYTES:,} "
            "are allowed. Please pack it without the option --long."
        )


def _one_more(kind: str, n_parts: int) -> int:
    if n_parts >= MAX_PARTS:
        raise ArchiveRefused(f"The {kind} data are made of more than {MAX_PARTS:,} parts; please pack them as one.")
    return n_parts + 1


def _followed(kind: str) -> ArchiveRefused:
    return ArchiveRefused(f"Something else follows the end of the {kind} data; please pack it again.")
