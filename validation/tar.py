"""A tar archive read front to back, one header at a time.

Our own, because ``tarfile`` reads a long name's or a pax header's whole declared size into memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum, auto

BLOCK_BYTES = 512
_PADDING_CHUNK_BYTES = 1 << 16
MAX_EXTENSION_BYTES = 1 << 20  # a long name or a pax header; real ones have hundreds of bytes


class DamagedTar(Exception):
    """The bytes are not those of a whole tar archive."""


class Kind(Enum):
    FILE = auto()
    FOLDER = auto()
    LINK = auto()
    OTHER = auto()  # device, pipe, sparse file


_KINDS = {b"0": Kind.FILE, b"\0": Kind.FILE, b"7": Kind.FILE, b"5": Kind.FOLDER, b"1": Kind.LINK, b"2": Kind.LINK}


@dataclass(frozen=True, slots=True)
class Header:
    """size: bytes of content, which the caller consumes with its padding before asking for the next header."""

    name: str
    kind: Kind
    size: int

    @property
    def padded_size(self) -> int:
        return -(-self.size // BLOCK_BYTES) * BLOCK_BYTES


def looks_like_tar(start: bytes) -> bool:
    """Whether these first bytes are a tar header: its checksum fits."""
    return len(start) >= BLOCK_BYTES and any(start[:BLOCK_BYTES]) and _checksum_fits(start[:BLOCK_BYTES])


def headers(read: Callable[[int], bytes]) -> Iterator[Header]:
    """Yield each member's header; ``read(n)`` gives exactly n bytes, or fewer at the end of the stream.

    Long names (GNU ``L``, pax ``path``) are applied; pax sizes too. Bytes of a name that are no UTF-8 become
    surrogates. Raises DamagedTar.
    """
    long_name: str | None = None
    long_size: int | None = None
    is_sparse = False
    while block := read(BLOCK_BYTES):
        if not any(block):
            _refuse_what_follows(read)
            return
        if len(block) < BLOCK_BYTES or not _checksum_fits(block):
            raise DamagedTar("a header is damaged or missing")
        flag, size = block[156:157], _number(block[124:136])
        if flag in b"LKxg":
            payload = _extension(read, size)
            if flag == b"L":
                long_name = payload.rstrip(b"\0").decode("utf-8", "surrogateescape")
            elif flag == b"x":
                records = _pax_records(payload)
                long_name, long_size = records.get("path", long_name), _pax_size(records)
                is_sparse = any(key.startswith("GNU.sparse.") for key in records)
            continue
        header = Header(
            name=long_name if long_name is not None else _name(block),
            kind=Kind.OTHER if is_sparse else _KINDS.get(flag, Kind.OTHER),
            size=long_size if long_size is not None else size,
        )
        long_name = long_size = None
        is_sparse = False
        yield header
    raise DamagedTar("it ends without an end mark")


def _refuse_what_follows(read: Callable[[int], bytes]) -> None:
    """Padding is zeros; anything else is a second archive that readers would miss, or no tar at all."""
    while rest := read(_PADDING_CHUNK_BYTES):
        if rest.strip(b"\0"):
            raise DamagedTar("something else follows its end")


def _extension(read: Callable[[int], bytes], size: int) -> bytes:
    if size > MAX_EXTENSION_BYTES:
        raise DamagedTar(f"a header of {size:,} bytes is longer than {MAX_EXTENSION_BYTES:,}")
    padded = -(-size // BLOCK_BYTES) * BLOCK_BYTES
    payload = read(padded)
    if len(payload) < padded:
        raise DamagedTar("it ends within a header")
    return payload[:size]


def _pax_records(payload: bytes) -> dict[str, str]:
    """``25 path=a/long/name.cif\\n`` records: the length counts the whole record."""
    records: dict[str, str] = {}
    position = 0
    while position < len(payload):
        digits, space, _ = payload[position : position + 20].partition(b" ")
        length = int(digits) if space and digits.isdigit() else 0
        if length < 5 or position + length > len(payload):
            raise DamagedTar("a pax header is damaged")
        key, _, value = payload[position + len(digits) + 1 : position + length - 1].partition(b"=")
        records[key.decode("utf-8", "surrogateescape")] = value.decode("utf-8", "surrogateescape")
        position += length
    return records


def _pax_size(records: dict[str, str]) -> int | None:
    size = records.get("size")
    if size is None:
        return None
    if not (size.isascii() and size.isdigit() and len(size) <= 18):
        raise DamagedTar("a pax header is damaged")
    return int(size)


def _name(block: bytes) -> str:
    name = block[:100].split(b"\0")[0]
    prefix = block[345:500].split(b"\0")[0] if block[257:263] == b"ustar\0" else b""
    return (prefix + b"/" + name if prefix else name).decode("utf-8", "surrogateescape")


def _number(field: bytes) -> int:
    """Octal digits, or base 256 where the first bit is set."""
    if field[0] & 0x80:
        return int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
    digits = field.strip(b" \0")
    if digits and (not digits.isdigit() or b"8" in digits or b"9" in digits):
        raise DamagedTar("a header is damaged")
    return int(digits or b"0", 8)


def _checksum_fits(block: bytes) -> bool:
    """The sum of all bytes, the checksum's own eight counted as spaces."""
    try:
        stated = _number(block[148:156])
    except DamagedTar:
        return False
    return stated == sum(block[:148]) + 8 * 0x20 + sum(block[156:])
