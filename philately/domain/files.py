"""Uploads and shards in storage."""

import gzip
import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import UploadedFile

from philately.models import Shard

_CHUNK = 1 << 20

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


def save_upload(upload: Upload, sha256: str) -> str:
    """Store an upload under its hash; returns its name in the storage."""
    name = f"uploads/{sha256[:2]}/{sha256}"
    if default_storage.exists(name) and default_storage.size(name) == upload.size:
        return name
    return default_storage.save(name, upload)  # beside what is there: an upload that broke off, or is still going on


def open_stored(name: str) -> BinaryIO:
    return default_storage.open(name, "rb")  # type: ignore[return-value]


def save_shard(batch_id: int, number: int, text: bytes) -> tuple[str, str]:
    """Compress and store a shard, replacing what an interrupted attempt left; returns its name and SHA-256."""
    name = f"shards/{batch_id}/{number}.gz"
    if default_storage.exists(name):
        default_storage.delete(name)
    packed = gzip.compress(text, compresslevel=6, mtime=0)
    return default_storage.save(name, ContentFile(packed)), hashlib.sha256(packed).hexdigest()


class DamagedShard(Exception):
    """A shard's bytes are not those that were written."""


def read_shard(shard: Shard) -> bytes:
    """The decompressed text of a shard; raises DamagedShard."""
    with default_storage.open(shard.stored_as, "rb") as stream:
        packed = stream.read()
    if hashlib.sha256(packed).hexdigest() != shard.sha256:
        raise DamagedShard(f"{shard.stored_as} does not have the checksum that it was written with")
    return gzip.decompress(packed)


def storable(text: str) -> str:
    """What a database takes as text: no null character, which PostgreSQL refuses, and no half of a surrogate pair."""
    return text.encode(errors="replace").decode().replace("\0", "\ufffd")


def chunks(items: list[int], size: int) -> Iterator[list[int]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
