"""Objects in a bucket, of any server that speaks S3, through django-storages."""

import errno
import io
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, BinaryIO

from boto3.exceptions import Boto3Error
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from django.core.files.base import File
from s3transfer.exceptions import RetriesExceededError
from storages.backends.s3 import S3Storage
from storages.utils import clean_name
from urllib3.exceptions import HTTPError

from philately.storage.faults import StorageFault

log = logging.getLogger(__name__)

_READ_BYTES = 4 << 20  # asked for at a time
_PART_BYTES = 16 << 20  # of a large object on its way; a few are in memory
_ATTEMPTS = 4  # at a request, or at a piece whose transfer breaks off
_FULL = {"QuotaExceeded", "InsufficientCapacity", "InsufficientStorage", "XMinioStorageFull", "EntityTooLarge"}


class S3Store(S3Storage):  # type: ignore[misc]
    """An object is there whole or not at all: that is what S3 promises of each PUT and of each finished multipart
    upload. Reading asks for ranges of the object that was there when it was opened, and of no other."""

    listed_at_a_time = 1000  # objects; no server gives or removes more

    def __init__(self, **options: Any) -> None:
        style, own_server = options.get("addressing_style"), options.get("endpoint_url")
        options["client_config"] = Config(
            signature_version="s3v4",
            s3={"addressing_style": style},
            retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
            connect_timeout=5,
            read_timeout=60,
            # servers other than Amazon's may not know the checksums that came later
            request_checksum_calculation="when_required" if own_server else "when_supported",
            response_checksum_validation="when_required" if own_server else "when_supported",
        )
        options["transfer_config"] = TransferConfig(
            multipart_threshold=_PART_BYTES, multipart_chunksize=_PART_BYTES, max_concurrency=4
        )
        super().__init__(**options)
        self._opened_in = os.getpid()

    @property
    def connection(self) -> Any:
        """A thread's own, and never that of the process from which this one was forked."""
        if self._opened_in != os.getpid():
            self._connections, self._bucket, self._opened_in = threading.local(), None, os.getpid()
        return super().connection

    def put(self, name: str, content: BinaryIO) -> None:
        with _faults(name):
            content.seek(0)
            self._client.upload_fileobj(
                _KeptOpen(content),
                self.bucket_name,
                self._key(name),
                ExtraArgs={"ContentType": "application/octet-stream"},
                Config=self.transfer_config,
            )

    def _open(self, name: str, mode: str = "rb") -> "File[bytes]":
        if mode != "rb":
            raise ValueError("objects are read here, and stored by put")
        opened = _Opened(self._client, self.bucket_name, self._key(name), name)
        return File(io.BufferedReader(opened, _READ_BYTES), name)

    def exists(self, name: str) -> bool:
        with _faults(name):
            return bool(super().exists(name))

    def size(self, name: str) -> int:
        with _faults(name):
            return int(self._client.head_object(Bucket=self.bucket_name, Key=self._key(name))["ContentLength"])

    def get_modified_time(self, name: str) -> datetime:
        with _faults(name):
            changed: datetime = super().get_modified_time(name)
        return changed

    def delete(self, name: str) -> None:
        with _faults(name):
            super().delete(name)

    def names_below(self, folder: str) -> list[str]:
        start = len(self.location) + 1 if self.location else 0
        return sorted(key[start:] for key in self._keys_below(folder))

    def delete_below(self, folder: str) -> None:
        keys = list(self._keys_below(folder))
        for first in range(0, len(keys), self.listed_at_a_time):
            some = [{"Key": key} for key in keys[first : first + self.listed_at_a_time]]
            with _faults(folder):
                said = self._client.delete_objects(Bucket=self.bucket_name, Delete={"Objects": some, "Quiet": True})
            if failed := said.get("Errors"):
                raise StorageFault(errno.EIO, f"{len(failed)} objects below {folder} stay: {failed[0].get('Code')}")

    def remove_unfinished(self, *, older_than_s: float) -> int:
        before, removed = datetime.now(UTC) - timedelta(seconds=older_than_s), 0
        with _faults("uploads in parts"):
            pages = self._client.get_paginator("list_multipart_uploads").paginate(
                Bucket=self.bucket_name, Prefix=self._prefix("")
            )
            for upload in (upload for page in pages for upload in page.get("Uploads", ())):
                if upload["Initiated"] < before:
                    self._client.abort_multipart_upload(
                        Bucket=self.bucket_name, Key=upload["Key"], UploadId=upload["UploadId"]
                    )
                    removed += 1
        return removed

    def make_bucket(self) -> bool:
        """Make the bucket where there is none; says whether it did. Raises StorageFault."""
        with _faults(self.bucket_name):
            try:
                self._client.head_bucket(Bucket=self.bucket_name)
            except ClientError as error:
                if _status(error) != 404:
                    raise
            else:
                return False
            region = self._client.meta.region_name
            elsewhere = {"LocationConstraint": region} if region not in (None, "us-east-1", "aws-global") else None
            extra = {"CreateBucketConfiguration": elsewhere} if elsewhere else {}
            self._client.create_bucket(Bucket=self.bucket_name, **extra)
        return True

    @property
    def _client(self) -> Any:
        return self.connection.meta.client

    def _key(self, name: str) -> str:
        return str(self._normalize_name(clean_name(name)))

    def _prefix(self, folder: str) -> str:
        parts = [part for part in (self.location, folder) if part]
        return "".join(f"{part}/" for part in parts)

    def _keys_below(self, folder: str) -> Iterator[str]:
        with _faults(folder):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket_name,
                Prefix=self._prefix(folder),
                PaginationConfig={"PageSize": self.listed_at_a_time},
            )
            for page in pages:
                yield from (entry["Key"] for entry in page.get("Contents", ()))


class _Opened(io.RawIOBase):
    """An object as it was when it was opened, read by ranges. Raises FileNotFoundError."""

    def __init__(self, client: Any, bucket: str, key: str, name: str) -> None:
        self._client, self._name, self._position = client, name, 0
        self._where = {"Bucket": bucket, "Key": key}
        with _faults(name):
            head = client.head_object(**self._where)
        self._size: int = head["ContentLength"]
        self._where["IfMatch"] = head["ETag"]

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if start + offset < 0:
            raise ValueError("before the beginning")
        self._position = start + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        with memoryview(buffer).cast("B") as view:
            data = self._range(len(view))
            view[: len(data)] = data
        return len(data)

    def readall(self) -> bytes:
        return self._range(self._size)

    def _range(self, at_most: int) -> bytes:
        count = min(at_most, self._size - self._position)
        if count <= 0:
            return b""
        last = self._position + count - 1
        with _faults(self._name):
            data = self._fetched(f"bytes={self._position}-{last}", count)
        self._position += count
        return data

    def _fetched(self, wanted: str, count: int) -> bytes:
        """botocore tries a request again, but not a transfer that broke off in the middle."""
        for attempt in range(1, _ATTEMPTS + 1):
            said = self._client.get_object(**self._where, Range=wanted)
            try:
                data: bytes = said["Body"].read()
            except (BotoCoreError, HTTPError, OSError) as error:
                log.warning("reading %s broke off, attempt %s: %s", self._name, attempt, type(error).__name__)
                continue
            if len(data) == count:
                return data
        raise StorageFault(errno.EIO, f"the storage did not give {wanted} of {self._name}")


class _KeptOpen:
    """A file that the transfer may read and cannot close, which it would."""

    def __init__(self, content: BinaryIO) -> None:
        self.read, self.seek, self.tell = content.read, content.seek, content.tell

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        """Whoever opened it closes it."""


@contextmanager
def _faults(name: str) -> Iterator[None]:
    """What boto says, as every storage says it."""
    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        if _status(error) == 404 and code in ("404", "NoSuchKey", "NotFound"):
            raise FileNotFoundError(errno.ENOENT, "not in the storage", name) from error
        number = errno.ENOSPC if code in _FULL or _status(error) == 507 else errno.EIO
        raise StorageFault(number, f"the storage answers {code} to {error.operation_name} of {name}") from error
    except (BotoCoreError, Boto3Error, RetriesExceededError, HTTPError) as error:
        raise StorageFault(errno.EIO, f"the storage did not do {name}: {type(error).__name__}") from error


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
