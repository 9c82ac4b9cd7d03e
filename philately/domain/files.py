"""Uploads and shards in storage."""

import errno
import gzip
import hashlib
import io
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar, cast

from django.core.files.uploadedfile import UploadedFile

from philately.models import Shard
from philately.storage import storage

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
    """Store an upload under its hash; returns its name in the storage. Whoever stores the same at the same moment
    stores the same bytes."""
    name = f"uploads/{sha256[:2]}/{sha256}"
    if _size_if_there(name) != upload.size:
        put(name, cast(BinaryIO, upload))
    return name


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
        if folder:
            name = put(f"{folder}/{sha256}.{secrets.token_hex(8)}", cast(BinaryIO, upload))
        else:
            name = save_upload(upload, sha256)
    return Stored(sha256, name, storable(upload.name or "upload")[-255:], upload.size or 0)


def open_stored(name: str) -> BinaryIO:
    """Raises FileNotFoundError."""
    return storage().open(name)


def shard_name(batch_id: int, number: int, sha256: str) -> str:
    """A name belongs to its content for good: whoever writes under it, late or twice, writes the same bytes."""
    return f"shards/{batch_id}/{number}-{sha256[:32]}.gz"


def index_name(batch_id: int, number: int, sha256: str) -> str:
    """What the structures in a shard's text are, until they are candidates."""
    return f"shards/{batch_id}/{number}-{sha256[:32]}.index.gz"


def list_name(batch_id: int) -> str:
    """All shards of a batch, once they are whole."""
    return f"shards/{batch_id}/shards.json"


def save_shard(batch_id: int, number: int, text: bytes) -> tuple[str, str]:
    """Compress and store a shard; returns its name and SHA-256."""
    packed = pack(text)
    sha256 = sha256_of_bytes(packed)
    return put_bytes(shard_name(batch_id, number, sha256), packed), sha256


def pack(data: bytes) -> bytes:
    """The same bytes give the same packed bytes."""
    return gzip.compress(data, compresslevel=6, mtime=0)


def sha256_of_bytes(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def put(name: str, content: BinaryIO) -> str:
    """Store under this very name, in place of whatever is there; returns the name."""
    storage().put(name, content)
    return name


def put_bytes(name: str, data: bytes) -> str:
    return put(name, io.BytesIO(data))


def exists(name: str) -> bool:
    return storage().exists(name)


def delete(name: str) -> None:
    storage().delete(name)


def delete_below(folder: str) -> None:
    storage().delete_below(folder)


def delete_shards(batch_id: int) -> None:
    """Everything that was stored of a batch's text, complete or not."""
    delete_below(f"shards/{batch_id}")


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
        with storage().open(name) as stream:
            return stream.read()
    except FileNotFoundError:
        return None


def _size_if_there(name: str) -> int | None:
    try:
        return storage().size(name)
    except FileNotFoundError:
        return None


def storable(text: str) -> str:
    """What a database takes as text: no null character, which PostgreSQL refuses, and no half of a surrogate pair."""
    return text.encode(errors="replace").decode().replace("\0", "\ufffd")


def chunks(items: list[_Item], size: int) -> Iterator[list[_Item]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
