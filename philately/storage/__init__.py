"""Where uploads, shards and dumps are: a folder, or a bucket that many machines share. Both keep the same promises."""

from typing import BinaryIO, Protocol, cast

from django.core.files.storage import default_storage

from philately.storage.faults import StorageFault

__all__ = ["StorageFault", "Store", "storage"]


class Store(Protocol):
    """What the platform asks of a storage. Names are paths with slashes, and our own: nobody else's texts.

    A file that is not there raises FileNotFoundError; whatever else goes wrong is a StorageFault.
    """

    def put(self, name: str, content: BinaryIO) -> None:
        """Store under this very name: whole or not at all, in place of whatever is there, and safe once it returns.
        content: seekable, stored from its beginning, never whole in memory, left open."""

    def open(self, name: str) -> BinaryIO:
        """To read and seek, in pieces. Raises FileNotFoundError."""

    def exists(self, name: str) -> bool: ...

    def size(self, name: str) -> int:
        """Bytes. Raises FileNotFoundError."""

    def delete(self, name: str) -> None:
        """Nothing happens where it is not there."""

    def names_below(self, folder: str) -> list[str]:
        """Of all files in the folder and in its folders, in order."""

    def delete_below(self, folder: str) -> None:
        """The folder with all that is in it."""

    def remove_unfinished(self, *, older_than_s: float) -> int:
        """Remove what processes left that died while they stored; says how much that was."""


def storage() -> Store:
    """The one that STORAGE_URL names."""
    return cast(Store, default_storage)
