"""Frames on a pipe between two processes: a dictionary as JSON, and bytes beside it. Data only, never objects."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from typing import Any

Fields = dict[str, Any]

_HEAD = struct.Struct("<II")  # bytes of JSON, bytes beside it


class BadFrame(ValueError):
    """The bytes are no frame, or one that is larger than was agreed."""


def encode(fields: Fields, blob: bytes = b"") -> bytes:
    """numpy's numbers count as numbers."""
    text = json.dumps(fields, separators=(",", ":"), default=_plain).encode()
    return _HEAD.pack(len(text), len(blob)) + text + blob


def _plain(value: Any) -> Any:
    return value.item()


class Decoder:
    """Cuts a stream of bytes into frames as they become whole."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._pending = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[Fields, bytes]]:
        """Raises BadFrame at once where a frame announces more than the limit, or holds no dictionary."""
        self._pending += data
        begin = 0
        while len(self._pending) - begin >= _HEAD.size:
            text_bytes, blob_bytes = _HEAD.unpack_from(self._pending, begin)
            if text_bytes + blob_bytes > self._max_bytes:
                raise BadFrame(f"a frame of {text_bytes + blob_bytes:,} bytes; at most {self._max_bytes:,} are read")
            middle = begin + _HEAD.size + text_bytes
            end = middle + blob_bytes
            if len(self._pending) < end:
                break
            yield _fields(self._pending[middle - text_bytes : middle]), bytes(self._pending[middle:end])
            begin = end
        del self._pending[:begin]


def _fields(text: bytearray) -> Fields:
    try:
        fields = json.loads(text.decode())
    except (ValueError, RecursionError) as error:
        raise BadFrame("a frame without JSON") from error
    if not isinstance(fields, dict):
        raise BadFrame("a frame without a dictionary")
    return fields
