"""Uploads to a real server that break off in every way and go on: any tus client, a kill, a silent sender."""

import base64
import hashlib
import random
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from tusclient.client import TusClient
from web_server import WebServer, web_server

MIB = 1 << 20
TOLD = {"filename": "random.zip", "method": "at random", "consent": "yes"}


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[WebServer]:
    with web_server(tmp_path_factory.mktemp("uploads"), UPLOAD_STALL_S="2") as running:
        yield running


@pytest.fixture(scope="module")
def headers(server) -> dict[str, str]:
    return {"Authorization": f"Bearer {server.running.driver('key', 'ann')}", "Tus-Resumable": "1.0.0"}


def random_bytes(n_bytes: int, seed: int) -> bytes:
    return random.Random(seed).randbytes(n_bytes)


def create(server: WebServer, headers: dict[str, str], length: int) -> str:
    told = ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in TOLD.items())
    answer = requests.post(
        f"{server.address}/seasons/alloys/uploads/",
        headers={**headers, "Upload-Length": str(length), "Upload-Metadata": told},
        timeout=60,
    )
    assert answer.status_code == 201, answer.text
    return answer.headers["Location"]


def offset_of(address: str, headers: dict[str, str]) -> int:
    return int(requests.head(address, headers=headers, timeout=60).headers["Upload-Offset"])


def patch(address: str, headers: dict[str, str], offset: int, data) -> requests.Response:
    part = {"Upload-Offset": str(offset), "Content-Type": "application/offset+octet-stream"}
    return requests.patch(address, data=data, headers={**headers, **part}, timeout=120)


def opened(server: WebServer, address: str, headers: dict[str, str], length: int) -> socket.socket:
    """A connection on which a PATCH of so many bytes has begun, and none of them was sent."""
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=60)
    fields = {
        **headers,
        "Host": f"127.0.0.1:{server.port}",
        "Upload-Offset": "0",
        "Content-Type": "application/offset+octet-stream",
        "Content-Length": str(length),
    }
    lines = [f"PATCH /{address.split('/', 3)[3]} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
    return connection


def all_that_is_told(connection: socket.socket) -> str:
    """The whole answer: its head and its sentence may come one after the other."""
    return b"".join(iter(lambda: connection.recv(4096), b"")).decode()


def wait_for(condition, seconds: float = 30) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


def assert_arrived(answer: requests.Response, headers: dict[str, str], data: bytes) -> None:
    page = requests.get(answer.headers["Upload-Result"], headers=headers, timeout=60)
    assert page.status_code == 200
    assert hashlib.sha256(data).hexdigest() in page.text


def test_a_tus_client_that_was_stopped_half_way_is_resumed_by_another(server, headers, tmp_path):
    data = random_bytes(40 * MIB, seed=1)
    file = tmp_path / "random.zip"
    file.write_bytes(data)
    key = {"Authorization": headers["Authorization"]}
    endpoint = f"{server.address}/seasons/alloys/uploads/"
    first = TusClient(endpoint, headers=key).uploader(str(file), chunk_size=3 * MIB, metadata=TOLD)
    first.upload(stop_at=20 * MIB)

    second = TusClient(endpoint, headers=key).uploader(
        str(file), chunk_size=3 * MIB, url=first.url, upload_checksum=True
    )
    assert second.offset == 20 * MIB
    second.upload()

    assert_arrived(requests.head(first.url, headers=headers, timeout=60), headers, data)


def test_a_server_killed_in_the_middle_of_a_part_loses_at_most_what_was_not_yet_safe(server, headers):
    data, sent = random_bytes(24 * MIB, seed=2), 11 * MIB
    address = create(server, headers, len(data))
    staged = Path(server.running.environment["DATA_DIR"]) / "staging" / address.rsplit("/", 1)[1]
    with opened(server, address, headers, len(data)) as connection:
        connection.sendall(data[:sent])
        wait_for(lambda: staged.stat().st_size >= 10 * MIB)

        server.kill()

    server.start()
    safe = offset_of(address, headers)
    assert 8 * MIB <= safe <= sent
    assert_arrived(patch(address, headers, safe, data[safe:]), headers, data)
    assert not staged.exists()


def test_while_a_part_is_under_way_another_is_told_to_wait_and_its_connection_ended_goes_on(server, headers):
    data = random_bytes(2 * MIB, seed=3)
    address = create(server, headers, len(data))
    staged = Path(server.running.environment["DATA_DIR"]) / "staging" / address.rsplit("/", 1)[1]
    with opened(server, address, headers, len(data)) as connection:
        connection.sendall(data[:MIB])
        wait_for(lambda: staged.stat().st_size > 0)
        assert patch(address, headers, 0, data).status_code == 423

    wait_for(lambda: offset_of(address, headers) >= MIB)
    assert_arrived(patch(address, headers, MIB, data[MIB:]), headers, data)


def test_a_silent_sender_is_hung_up_on_and_may_go_on(server, headers):
    data = random_bytes(MIB, seed=4)
    address = create(server, headers, len(data))
    with opened(server, address, headers, len(data)) as connection:
        connection.sendall(data[: MIB // 2])
        told = all_that_is_told(connection)

    assert told.startswith("HTTP/1.1 503")
    assert "please go on from there" in told
    safe = offset_of(address, headers)
    assert MIB // 4 <= safe <= MIB // 2
    assert_arrived(patch(address, headers, safe, data[safe:]), headers, data)


def test_a_part_whose_length_nobody_announced_is_taken_and_cut_where_the_upload_ends(server, headers):
    data = random_bytes(3 * MIB, seed=5)
    address = create(server, headers, len(data))
    pieces = [data[at : at + 100_000] for at in range(0, len(data), 100_000)]

    too_much = patch(address, headers, 0, iter([*pieces, b"more"]))
    safe = offset_of(address, headers)
    rest = patch(address, headers, safe, iter([data[safe:]]))

    assert too_much.status_code == 413
    assert safe < len(data)
    assert_arrived(rest, headers, data)


def test_the_longest_description_fits_into_a_header(server, headers):
    told = {**TOLD, "method_description": "字" * 5000}
    packed = ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in told.items())

    answer = requests.post(
        f"{server.address}/seasons/alloys/uploads/",
        headers={**headers, "Upload-Length": "10", "Upload-Metadata": packed},
        timeout=60,
    )

    assert answer.status_code == 201
    echoed = requests.head(answer.headers["Location"], headers=headers, timeout=60)
    assert echoed.headers["Upload-Metadata"] == packed
