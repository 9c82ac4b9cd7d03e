"""Uploads and shards in storage."""

import errno
import gzip
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import UploadedFile

from philately.models import Shard

_CHUNK = 1 << 20
_Item = TypeVar("_Item")

if TYPE_CHECKING:
    Upload = UploadedFile[Any]
else:
    Upload = UploadedFile  # a generic class to the type checker only


def sha256_of(upload: Upload) -> str:
    """Hash an upload without holding it in memory; it is left at its start."""
    digest = hashlib.sha256()
    for chunk in upload.chunks(_CHUNK):
        digest.update(chunk)
    upload.seek(0)
    return digest.hexdigest()


class StorageFull(Exception):
    """There is no room for more; the fault is ours, and the sender may go on when there is."""

    def __init__(self) -> None:
        super().__init__("our disk is full; what had come is kept, please go on in a while")


@contextmanager
def room() -> Iterator[None]:
    """What finds no room in here raises StorageFull."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise StorageFull from error
        raise


def save_upload(upload: Upload, sha256: str) -> str:
    """Store an upload under its hash; returns its name in the storage."""
    name = f"uploads/{sha256[:2]}/{sha256}"
    if not default_storage.exists(name):
        return _saved_whole(name, upload)
    if default_storage.size(name) == upload.size:
        return name
    return default_storage.save(name, upload)  # beside what is there: an upload that broke off, or is still going on


def _saved_whole(name: str, upload: Upload) -> str:
    """What finds no room to its end does not stay: it would keep the disk full."""
    try:
        return default_storage.save(name, upload)
    except OSError:
        if default_storage.exists(name) and default_storage.size(name) < (upload.size or 0):
            default_storage.delete(name)
        raise


@dataclass(frozen=True, slots=True)
class Stored:
    """An upload in the storage. stored_as: its name there; file_name: its sender's."""

    sha256: str
    stored_as: str
    file_name: str
    n_bytes: int


def store(upload: Upload, *, folder: str = "") -> Stored:
    """Hash and store an upload; in a folder of its own, where it is to go again without a look at others'.

    Raises StorageFull.
    """
    sha256 = sha256_of(upload)
    with room():
        name = default_storage.save(f"{folder}/{sha256}", upload) if folder else save_upload(upload, sha256)
    return Stored(sha256, name, storable(upload.name or "upload")[-255:], upload.size or 0)


def open_stored(name: str) -> BinaryIO:
    return default_storage.open(name, "rb")  # type: ignore[return-value]


def shard_name(batch_id: int, number: int) -> str:
    return f"shards/{batch_id}/{number}.gz"


def index_name(batch_id: int, number: int) -> str:
    """What the structures in a shard's text are, until they are candidates."""
    return f"shards/{batch_id}/{number}.index.gz"


def list_name(batch_id: int) -> str:
    """All shards of a batch, once they are whole."""
    return f"shards/{batch_id}/shards.json"


def save_shard(batch_id: int, number: int, text: bytes) -> tuple[str, str]:
    """Compress and store a shard, replacing what an interrupted attempt left; returns its name and SHA-256."""
    packed = pack(text)
    return replace(shard_name(batch_id, number), packed), sha256_of_bytes(packed)


def pack(data: bytes) -> bytes:
    """The same bytes give the same packed bytes."""
    return gzip.compress(data, compresslevel=6, mtime=0)


def sha256_of_bytes(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def replace(name: str, data: bytes) -> str:
    """Store under this very name, whatever is there; returns the name. Raises NameTaken."""
    if default_storage.exists(name):
        default_storage.delete(name)
    stored_as = default_storage.save(name, ContentFile(data))
    if stored_as != name:
        default_storage.delete(stored_as)
        raise NameTaken(name)
    return name


def delete(name: str) -> None:
    default_storage.delete(name)


def delete_shards(batch_id: int) -> None:
    """Everything that was stored of a batch's text, complete or not."""
    folder = f"shards/{batch_id}"
    try:
        _, names = default_storage.listdir(folder)
    except FileNotFoundError:
        return
    for name in (*(f"{folder}/{name}" for name in names), folder):
        default_storage.delete(name)


class NameTaken(Exception):
    """Another process stored something under this name at the same moment."""


class DamagedShard(Exception):
    """A shard's bytes are not those that were written."""


def read_shard(shard: Shard) -> bytes:
    """The decompressed text of a shard; raises DamagedShard."""
    return read_checked(shard.stored_as, shard.sha256)


def read_checked(name: str, sha256: str) -> bytes:
    """Decompressed; raises DamagedShard where these are not the bytes that were written."""
    return gzip.decompress(_checked(name, sha256))


def check(name: str, sha256: str) -> None:
    """Raises DamagedShard where the file is not there as it was written."""
    _checked(name, sha256)


def _checked(name: str, sha256: str) -> bytes:
    packed = read_if_there(name)
    if packed is None or sha256_of_bytes(packed) != sha256:
        raise DamagedShard(f"{name} does not have the checksum that it was written with")
    return packed


def read_if_there(name: str) -> bytes | None:
    try:
        with default_storage.open(name, "rb") as stream:
            return stream.read()  # type: ignore[no-any-return]
    except FileNotFoundError:
        return None


def storable(text: str) -> str:
    """What a database takes as text: no null character, which PostgreSQL refuses, and no half of a surrogate pair."""
    return text.encode(errors="replace").decode().replace("\0", "\ufffd")


def chunks(items: list[_Item], size: int) -> Iterator[list[_Item]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
