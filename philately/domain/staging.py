"""Bytes of uploads that are on their way: one file each, locked by whoever writes it, never served."""

import fcntl
import os
import secrets
from collections.abc import Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from django.conf import settings

from philately.domain.file_clock import now_at


@dataclass(frozen=True, slots=True)
class Checksum:
    """What a part's sender says that it hashes to. algorithm: as hashlib names it."""

    algorithm: str
    digest: bytes


class Busy(Exception):
    """Another request is writing this upload."""


class Lost(Exception):
    """The bytes are gone."""


def begin() -> str:
    """Make an empty file; its name is a token that nobody can guess."""
    folder = Path(settings.STAGING_DIR)
    folder.mkdir(parents=True, exist_ok=True)
    token = secrets.token_urlsafe(32)
    os.close(os.open(folder / token, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    return token


@contextmanager
def opened(token: str) -> Iterator[BinaryIO]:
    """The upload's file, to read and write, for one at a time. Raises Busy and Lost.

    The lock is the kernel's: it goes when its holder does, however that ends.
    """
    try:
        file = _path(token).open("r+b", buffering=0)
    except FileNotFoundError as error:
        raise Lost(token) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Busy(token) from error
        yield file


def is_there(token: str) -> bool:
    return _path(token).exists()


def make_safe(file: BinaryIO) -> None:
    """Return once everything written is on the disk."""
    os.fsync(file.fileno())


def remove(token: str) -> None:
    _path(token).unlink(missing_ok=True)


def strays(known: Container[str], *, older_than_s: float) -> list[str]:
    """Files that belong to no upload, left by a process that was killed at the wrong moment."""
    folder = Path(settings.STAGING_DIR)
    if not folder.is_dir():
        return []
    before = now_at(folder) - older_than_s
    return [path.name for path in folder.iterdir() if path.name not in known and _is_older(path, before)]


def _is_older(path: Path, moment: float) -> bool:
    try:
        return path.stat().st_mtime < moment
    except FileNotFoundError:
        return False


def _path(token: str) -> Path:
    """Tokens are ours and come from the database, never from an address."""
    return Path(settings.STAGING_DIR) / token
