"""What tus says in headers."""

import base64
import hashlib

import pytest

from philately.pages import tus_headers
from philately.pages.tus_headers import TusRefused


def packed(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def status_of(deed, headers) -> int:
    with pytest.raises(TusRefused) as refused:
        deed(headers)
    return refused.value.status


def test_metadata_is_text_by_key_and_a_value_may_be_empty():
    header = f"filename {packed('Größe.zip')}, method {packed('a b, c')},is_confidential,  empty "

    assert tus_headers.metadata({"Upload-Metadata": header}) == {
        "filename": "Größe.zip",
        "method": "a b, c",
        "is_confidential": "",
        "empty": "",
    }
    assert tus_headers.metadata({}) == {}


@pytest.mark.parametrize(
    "header",
    [
        "filename not-base64!",
        f"a {base64.b64encode(bytes([255])).decode()}",
        f"a {packed('x')},a {packed('y')}",
        f"a {packed(chr(0))}",
    ],
)
def test_metadata_that_cannot_be_read_is_refused(header):
    assert status_of(tus_headers.metadata, {"Upload-Metadata": header}) == 400


@pytest.mark.parametrize("text", ["", "-1", "1.5", "0x10", "１２", "9" * 19, " 1"])
def test_a_length_is_a_plain_number_that_a_database_holds(text):
    assert status_of(tus_headers.upload_length, {"Upload-Length": text}) == 400


def test_a_length_that_comes_later_is_refused_since_quotas_are_checked_before():
    assert status_of(tus_headers.upload_length, {"Upload-Defer-Length": "1"}) == 400


@pytest.mark.parametrize("algorithm", ["sha1", "sha256"])
def test_a_checksum_is_an_algorithm_and_a_digest(algorithm):
    digest = hashlib.new(algorithm, b"abc").digest()

    found = tus_headers.checksum({"Upload-Checksum": f"{algorithm} {base64.b64encode(digest).decode()}"})

    assert found is not None
    assert (found.algorithm, found.digest) == (algorithm, digest)


@pytest.mark.parametrize("header", ["", "md5 " + packed("x" * 16), "sha1 " + packed("x"), "sha1 ü", "sha256"])
def test_a_checksum_that_cannot_be_compared_is_refused(header):
    assert status_of(tus_headers.checksum, {"Upload-Checksum": header}) == 400


def test_another_version_is_told_ours():
    with pytest.raises(TusRefused) as refused:
        tus_headers.check_version({"Tus-Resumable": "0.2.2"})

    assert (refused.value.status, refused.value.headers) == (412, {"Tus-Version": "1.0.0"})
