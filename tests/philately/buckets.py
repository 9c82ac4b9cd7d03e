"""Buckets on a server that speaks S3, which runs in this process."""

from functools import cache
from pathlib import Path
from uuid import uuid4

from moto.server import ThreadedMotoServer

from philately.storage.address import storage_of
from philately.storage.s3 import S3Store


@cache
def endpoint() -> str:
    """The server's address; it is started once and ends with the tests."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    return f"http://{host}:{port}"


def bucket_url(prefix: str = "platform/files") -> str:
    """Of a bucket that is not there yet."""
    return f"s3://key:secret@test-{uuid4().hex[:12]}/{prefix}?endpoint_url={endpoint()}&region=us-east-1"


def make(url: str) -> str:
    """Make the bucket of an address; returns the address."""
    entry, _ = storage_of(url, Path())
    S3Store(**entry["OPTIONS"]).make_bucket()
    return url


def use(settings, url: str) -> None:
    """Let the platform keep its files there. settings: pytest-django's."""
    entry, _ = storage_of(url, settings.MEDIA_ROOT)
    settings.STORAGES = {**settings.STORAGES, "default": entry}
