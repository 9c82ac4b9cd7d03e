"""The members of an upload: what one may be called, how much of it there may be, and how that is counted."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass

from validation import tar
from validation.rules import Reason, Rejected, printable

CHUNK_BYTES = 1 << 16
KINDS_READ = "zip, tar, tar.gz or tar.zst"

_RATIO_FLOOR_BYTES = 1 << 22  # what is small once unpacked is no bomb, however well it was packed
_PACKED_KINDS = {
    b"PK\x03\x04": "a zip archive",
    b"PK\x05\x06": "a zip archive",
    b"\x1f\x8b": "a gzip archive",
    b"BZh": "a bzip2 archive",
    b"\xfd7zXZ\0": "an xz archive",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!\x1a\x07": "a rar archive",
    b"\x28\xb5\x2f\xfd": "a zstd archive",
}

_SURROGATE = re.compile("[\udc80-\udcff]")  # what ``surrogateescape`` makes of bytes that are no text
_CONTROL = re.compile("[\0-\x1f\x7f-\x9f]")

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadLimits:
    """What one upload may hold.

    max_ratio: unpacked over packed bytes, as counted while unpacking. max_seconds: of reading, by the caller's clock.
    """

    max_members: int = 1_000_000
    max_structures: int = 1_000_000
    max_decompressed_bytes: int = 4_000_000_000
    max_ratio: float = 200.0
    max_member_bytes: int = 64_000_000  # a file of many blocks; one structure's limit is in the rules
    max_name_length: int = 255
    max_seconds: float = math.inf


class ArchiveRefused(Exception):
    """The upload as a whole is refused; the message is one sentence for its sender that names the limit."""


@dataclass(frozen=True, slots=True)
class Member:
    """One file of an upload: its data, or the problem that concerns it alone; never both."""

    name: str
    data: bytes | None
    problem: Rejected | None


class Meter:
    """Counts what comes out of an upload and refuses it once that is too much or takes too long."""

    def __init__(self, limits: UploadLimits, clock: Clock | None = None) -> None:
        """Raises ValueError where the limits bound the time and there is no clock to tell it."""
        if clock is None and math.isfinite(limits.max_seconds):
            raise ValueError("a limit in seconds needs a clock")
        self.limits = limits
        self.unpacked_bytes = 0
        self.members = 0
        self.structures = 0
        self._clock = clock
        self._ends_at = math.inf if clock is None else clock() + limits.max_seconds

    def unpacked(self, n_bytes: int, packed_bytes: int | None) -> None:
        """packed_bytes: what they were unpacked from so far, None where nothing is packed."""
        self.tick()
        self.unpacked_bytes += n_bytes
        limits = self.limits
        if self.unpacked_bytes > limits.max_decompressed_bytes:
            limit = limits.max_decompressed_bytes
            raise ArchiveRefused(f"The archive unpacks to more than {limit:,} bytes, the limit of one upload.")
        if packed_bytes is not None and self.unpacked_bytes > max(_RATIO_FLOOR_BYTES, limits.max_ratio * packed_bytes):
            raise ArchiveRefused(
                f"The archive unpacks to more than {limits.max_ratio:g} times its size, the limit allowed."
            )

    def member(self) -> None:
        self.tick()
        self.members += 1
        if self.members > self.limits.max_members:
            limit = self.limits.max_members
            raise ArchiveRefused(f"The archive has more than {limit:,} members, the limit of one upload.")

    def structure(self) -> None:
        self.tick()
        self.structures += 1
        if self.structures > self.limits.max_structures:
            limit = self.limits.max_structures
            raise ArchiveRefused(f"The upload has more than {limit:,} structures, the limit of one upload.")

    def tick(self) -> None:
        if self._clock is not None and self._clock() > self._ends_at:
            limit = self.limits.max_seconds
            raise ArchiveRefused(f"Reading the upload takes longer than {limit:g} s, the limit of one upload.")


def damaged(kind: str) -> ArchiveRefused:
    return ArchiveRefused(f"The {kind} archive is damaged or incomplete; please pack it again.")


def packed_kind(data: bytes) -> str | None:
    """What kind of archive or compressed file begins like this; None for a plain file."""
    kind = next((kind for magic, kind in _PACKED_KINDS.items() if data.startswith(magic)), None)
    return "a tar archive" if kind is None and tar.looks_like_tar(data[: tar.BLOCK_BYTES]) else kind


def member_of(name: str, data: bytes, limits: UploadLimits) -> Member:
    """name: as it is shown. What is an archive itself, or packed once more, is a problem."""
    if len(data) > limits.max_member_bytes:
        return too_large(name, limits)
    kind = packed_kind(data)
    if kind is not None:
        detail = f"{name} is {kind} within the upload; one level deep is read, no archive within another."
        return refused(name, Reason.NOT_CIF, detail)
    return Member(name, data, None)


def too_large(name: str, limits: UploadLimits) -> Member:
    detail = f"{name} has more than {limits.max_member_bytes:,} bytes, the limit of one file; please split it."
    return refused(name, Reason.TOO_LARGE, detail)


def refused(name: str, reason: Reason, detail: str) -> Member:
    return Member(name, None, Rejected(reason, detail))


def is_hidden(name: str) -> bool:
    """Folders of macOS, files such as .DS_Store, anything within a hidden folder."""
    if "." not in name and "__MACOSX" not in name:
        return False
    parts = name.replace("\\", "/").split("/")
    return any(part == "__MACOSX" or (part.startswith(".") and part not in (".", "..")) for part in parts)


def shown_name(name: str, limits: UploadLimits) -> str:
    """The name without what a page or a log could trip over, cut to the limit."""
    return printable(name.replace("\\", "/"))[: limits.max_name_length] or "?"


def name_problem(name: str, limits: UploadLimits) -> Rejected | None:
    """name: bytes that are no text decoded with ``surrogateescape``."""
    shown = shown_name(name, limits)
    if len(name) > limits.max_name_length:
        detail = f"the name {shown[:60]}… has {len(name)} characters; at most {limits.max_name_length} are allowed."
    elif not name.strip():
        detail = "a file of the archive has no name."
    elif _SURROGATE.search(name):
        detail = f"the name {shown} is not valid UTF-8; please rename the file."
    elif _CONTROL.search(name):
        what = "a NUL byte" if "\0" in name else "a control character"
        detail = f"the name {shown} contains {what}; please rename the file."
    elif _leads_out(name):
        detail = f"the name {shown} leads out of the archive; names must be relative."
    else:
        return None
    return Rejected(Reason.UNREADABLE, detail)


def _leads_out(name: str) -> bool:
    path = name.replace("\\", "/")
    return path.startswith("/") or ".." in path.split("/") or (path[1:2] == ":" and path[0].isalpha())
