"""STORAGE_URL, read. Imports neither Django nor boto: settings read it."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

_LOCAL = "philately.storage.local.LocalStore"
_S3 = "philately.storage.s3.S3Store"
_OPTIONS = ("addressing_style", "endpoint_url", "region")


class BadAddress(ValueError):
    """The address is of no storage that there is; the message says why, and shows nothing that may be secret."""


def storage_of(url: str, default: Path) -> tuple[dict[str, Any], Path]:
    """Django's entry of STORAGES for an address, and the folder of local files (the default where there are none).

    ``s3://bucket/prefix?endpoint_url=…&region=…&addressing_style=path|virtual``, with ``key:secret@`` before the bucket
    or the usual AWS variables; ``file:///folder``; empty for the default. Raises BadAddress.
    """
    parts = urlsplit(url)
    if not url:
        return {"BACKEND": _LOCAL}, default
    if parts.scheme == "file":
        return {"BACKEND": _LOCAL}, _folder(parts)
    if parts.scheme == "s3":
        return {"BACKEND": _S3, "OPTIONS": _s3_options(parts)}, default
    raise BadAddress("STORAGE_URL begins with s3:// or file:///")


def _folder(parts: SplitResult) -> Path:
    if parts.netloc or not parts.path.startswith("/") or parts.query:
        raise BadAddress("STORAGE_URL names a folder as file:///absolute/path")
    return Path(unquote(parts.path)).resolve()


def _s3_options(parts: SplitResult) -> dict[str, Any]:
    given = dict(parse_qsl(parts.query, keep_blank_values=True))
    if unknown := sorted(set(given) - set(_OPTIONS)):
        raise BadAddress(f"STORAGE_URL has {', '.join(unknown)}; known are {', '.join(_OPTIONS)}")
    bucket = parts.netloc.rpartition("@")[2]
    if not bucket or ":" in bucket:
        raise BadAddress("STORAGE_URL names a bucket as s3://bucket; a server of your own goes into endpoint_url")
    endpoint = given.get("endpoint_url") or None
    if endpoint and urlsplit(endpoint).scheme not in ("http", "https"):
        raise BadAddress("the endpoint_url in STORAGE_URL begins with http:// or https://")
    style = given.get("addressing_style") or ("path" if endpoint else "auto")
    if style not in ("auto", "path", "virtual"):
        raise BadAddress("the addressing_style in STORAGE_URL is path or virtual")
    options: dict[str, Any] = {
        "bucket_name": bucket,
        "location": unquote(parts.path).strip("/"),
        "endpoint_url": endpoint,
        "region_name": given.get("region") or None,
        "addressing_style": style,
    }
    if "@" in parts.netloc:
        if not (parts.username and parts.password):
            raise BadAddress("the credentials in STORAGE_URL are key:secret@, each percent-encoded")
        options |= {"access_key": unquote(parts.username), "secret_key": unquote(parts.password)}
    return options
