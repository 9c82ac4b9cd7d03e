"""tus 1.0.0, as far as it is headers: https://tus.io/protocols/resumable-upload. No models, no disk."""

import base64
import hashlib
from collections.abc import Mapping

from philately.domain.staging import Checksum

VERSION = "1.0.0"
EXTENSIONS = ("creation", "creation-with-upload", "termination", "expiration", "checksum")
ALGORITHMS = ("sha1", "sha256")
PART_TYPE = "application/offset+octet-stream"
_MAX_DIGITS = 18  # a database's integer


class TusRefused(Exception):
    """An answer other than success: its status code, a sentence, further headers."""

    def __init__(self, status: int, sentence: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(sentence)
        self.status, self.sentence, self.headers = status, sentence, dict(headers or {})


def check_version(headers: Mapping[str, str]) -> None:
    """Raises TusRefused where the client speaks another version."""
    if headers.get("Tus-Resumable") != VERSION:
        spoken = headers.get("Tus-Resumable", "none")
        raise TusRefused(
            412, f"this server speaks tus {VERSION}, the request's Tus-Resumable is {spoken}", {"Tus-Version": VERSION}
        )


def check_part_type(headers: Mapping[str, str]) -> None:
    """Raises TusRefused where the body is not declared as a part of an upload."""
    if headers.get("Content-Type", "").partition(";")[0].strip().lower() != PART_TYPE:
        raise TusRefused(415, f"the Content-Type of a part is {PART_TYPE}")


def number(headers: Mapping[str, str], name: str) -> int:
    """A count of bytes; raises TusRefused."""
    text = headers.get(name, "")
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS):
        raise TusRefused(400, f"the header {name} must be a number of bytes")
    return int(text)


def upload_length(headers: Mapping[str, str]) -> int:
    """Raises TusRefused where it is missing: quotas are checked before the first byte."""
    if "Upload-Defer-Length" in headers:
        raise TusRefused(400, "Upload-Defer-Length is not spoken here; please send Upload-Length")
    if "Upload-Concat" in headers:
        raise TusRefused(400, "Upload-Concat is not spoken here; please send the upload as one")
    return number(headers, "Upload-Length")


def metadata(headers: Mapping[str, str]) -> dict[str, str]:
    """Upload-Metadata as text by key; raises TusRefused."""
    found: dict[str, str] = {}
    for pair in filter(None, (pair.strip() for pair in headers.get("Upload-Metadata", "").split(","))):
        key, _, packed = pair.partition(" ")
        if key in found:
            raise TusRefused(400, f"Upload-Metadata has {key} twice")
        try:
            found[key] = base64.b64decode(packed.strip(), validate=True).decode()
        except ValueError as error:
            raise TusRefused(400, f"the value of {key} in Upload-Metadata is not UTF-8 in Base64") from error
        if "\0" in found[key]:
            raise TusRefused(400, f"the value of {key} in Upload-Metadata has a null character")
    return found


def checksum(headers: Mapping[str, str]) -> Checksum | None:
    """What Upload-Checksum announces; raises TusRefused."""
    told = headers.get("Upload-Checksum")
    if told is None:
        return None
    algorithm, _, packed = told.strip().partition(" ")
    if algorithm not in ALGORITHMS:
        raise TusRefused(400, f"Upload-Checksum may be of {' or '.join(ALGORITHMS)}, not of {algorithm or 'nothing'}")
    try:
        digest = base64.b64decode(packed.strip(), validate=True)
    except ValueError as error:
        raise TusRefused(400, "Upload-Checksum is not in Base64") from error
    if len(digest) != hashlib.new(algorithm).digest_size:
        raise TusRefused(400, f"Upload-Checksum is not as long as {algorithm} is")
    return Checksum(algorithm, digest)
