"""Files in a folder of this machine, or of a file system that several share."""

import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from django.core.files.base import File
from django.core.files.storage import FileSystemStorage

from philately.storage.faults import StorageFault

_INCOMING = ".incoming"  # what is being written, on the same file system as where it goes
_PIECE_BYTES = 1 << 20


class LocalStore(FileSystemStorage):
    """A file is written under a name of its own, synced, and then takes its place at once."""

    def put(self, name: str, content: BinaryIO) -> None:
        path = Path(self.path(name))
        with _faults(name), self._written() as (file, new):
            content.seek(0)
            shutil.copyfileobj(content, file, _PIECE_BYTES)
            file.flush()
            os.fsync(file.fileno())
            path.parent.mkdir(parents=True, exist_ok=True)
            new.replace(path)
            _sync_folder(path.parent)

    def open(self, name: str, mode: str = "rb") -> "File[bytes]":
        with _faults(name):
            return super().open(name, mode)

    def size(self, name: str) -> int:
        with _faults(name):
            return super().size(name)

    def delete(self, name: str) -> None:
        with _faults(name):
            super().delete(name)

    def names_below(self, folder: str) -> list[str]:
        root, start = Path(self.location), Path(self.path(folder))
        found = (Path(place) / file for place, _, files in os.walk(start) for file in files)
        return sorted(str(path.relative_to(root)) for path in found if path.relative_to(root).parts[0] != _INCOMING)

    def delete_below(self, folder: str) -> None:
        with _faults(folder), suppress(FileNotFoundError):
            shutil.rmtree(self.path(folder))

    def remove_unfinished(self, *, older_than_s: float) -> int:
        removed = 0
        for path in self._incoming().glob("*"):
            with suppress(FileNotFoundError):  # it has just taken its place
                if path.stat().st_mtime < time.time() - older_than_s:
                    path.unlink()
                    removed += 1
        return removed

    @contextmanager
    def _written(self) -> Iterator[tuple[BinaryIO, Path]]:
        """A new file and its path; it is gone afterwards unless it was moved."""
        self._incoming().mkdir(parents=True, exist_ok=True)
        new = self._incoming() / secrets.token_hex(16)
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            with os.fdopen(descriptor, "wb") as file:
                yield file, new
        finally:
            new.unlink(missing_ok=True)

    def _incoming(self) -> Path:
        return Path(self.location) / _INCOMING


@contextmanager
def _faults(name: str) -> Iterator[None]:
    """What the disk says, as every storage says it."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StorageFault(error.errno, f"the disk did not take {name}: {error.strerror or error}") from error


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)  # the new name, too
    finally:
        os.close(descriptor)
