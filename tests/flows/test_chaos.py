"""Processes are killed, brokers and databases stopped, clocks moved, disks filled: nothing is lost, nothing is doubled.

Each season here is compared to the bit with one that a single process did alone. Seconds until it went on are printed
(pytest -s); docs/operations.md has a table of them.
"""

import os
import shutil
import time
from functools import cache
from pathlib import Path
from uuid import uuid4

import pytest
import requests
from chaos import (
    DEED_S,
    ELEMENTS,
    Clocks,
    Disturbed,
    assert_nothing_lost_or_doubled,
    finished,
    manage,
    season,
    small_disk,
)
from own_servers import HOST, Postgres, Proxy, Rabbit, Redis
from platform_of import Platform, platform
from servers import needs, postgres_database
from test_resumed_uploads import create, offset_of, patch
from web_server import WebServer, web_server

from benchmark.season_crystals import archive

WAVES, WAVE = 5, 48  # uploads, and structures in each
MANY = int(os.environ.get("CHAOS_STRUCTURES", "10000"))
AWAY_S = 2.0
N_KILLS = 20


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """By waves of uploads: what one process makes of the season, nobody else being there. A wave begins when the one
    before is done: of what waits at the same time, participants take turns."""

    @cache
    def result(*waves: tuple[int, ...], **environment: str) -> dict:
        with season(tmp_path_factory.mktemp("alone"), BROKER_URL="memory://", **environment) as undisturbed:
            for uploads in waves:
                undisturbed.submit(*uploads)
                undisturbed.running.driver("alone", timeout_s=DEED_S)
            return undisturbed.result()

    return result


@pytest.fixture
def postgres():
    server = Postgres()
    yield server
    server.remove()


@pytest.fixture
def redis():
    server = Redis()
    yield server
    server.remove()


@pytest.fixture
def rabbit():
    server = Rabbit()
    yield server
    server.remove()


def judged(disturbed: Disturbed, expected: dict) -> None:
    """To its end, and compared."""
    assert_nothing_lost_or_doubled(finished(disturbed), expected, disturbed.count)
    for what, seconds in disturbed.recoveries:
        print(f"\n{disturbed.count} structures, {what}: {seconds:.1f} s", end="")


def empty_messages(running: Platform) -> None:
    """The filesystem broker's way of being flushed."""
    for message in (Path(running.environment["DATA_DIR"]) / "broker" / "messages").glob("*"):
        message.unlink(missing_ok=True)


@pytest.mark.slow  # kills are in every run of test_whole_seasons.py, clocks in test_clocks.py
def test_killed_without_a_bell_and_with_clocks_that_jump_a_season_on_one_machine_comes_out_the_same(tmp_path, alone):
    clocks = Clocks(tmp_path)
    with season(tmp_path / "platform", SWEEP_EVERY_S="2", **clocks.environment) as disturbed:
        disturbed.running.start()
        disturbed.wave(WAVE, "the start of everything", undisturbed)
        disturbed.wave(WAVE, "clocks moved by hours", lambda: clocks.move(-5, 7, -3, 2, 26))
        for _ in range(WAVES - 3):
            disturbed.wave(WAVE, "kill -9 of a worker", disturbed.kill_one)
        disturbed.wave(WAVE, "messages of the filesystem broker removed", lambda: empty_messages(disturbed.running))
        judged(disturbed, alone(*[(WAVE,)] * WAVES))


def test_a_database_and_a_broker_that_come_and_go_change_nothing(tmp_path, alone, postgres, redis):
    with season(tmp_path, DATABASE_URL=postgres.url, BROKER_URL=redis.url) as disturbed:
        disturbed.running.start()
        disturbed.wave(WAVE, "the start of everything", undisturbed)
        for mode in ("fast", "immediate"):
            disturbed.wave(WAVE, f"PostgreSQL restarted, {mode} shutdown", lambda mode=mode: restart(postgres, mode))
        disturbed.wave(WAVE, "redis flushed", redis.flush)
        disturbed.wave(WAVE, f"redis stopped for {AWAY_S:g} s", lambda: away(redis))
        judged(disturbed, alone(*[(WAVE,)] * WAVES))


@pytest.mark.slow  # a broker that goes away is in every run above, RabbitMQ in test_whole_seasons.py
def test_connections_to_rabbitmq_that_are_cut_change_nothing(tmp_path, alone):
    needs(PostgreSQL=5432, RabbitMQ=5672)
    proxy = Proxy(5672)
    own = {"BROKER_URL": f"amqp://guest:guest@{HOST}:{proxy.port}//", "QUEUE_PREFIX": f"chaos-{uuid4().hex[:8]}-"}
    with postgres_database() as url, season(tmp_path, DATABASE_URL=url, **own) as disturbed:
        disturbed.running.start()
        disturbed.submit(*[WAVE] * (WAVES - 1))
        disturbed.wave(WAVE, f"rabbitmq out of reach for {AWAY_S:g} s", lambda: cut(proxy))
        judged(disturbed, alone((WAVE,) * (WAVES - 1), (WAVE,)))
    proxy.remove()


def undisturbed() -> None:
    """The first upload meets processes that are still starting."""


def restart(postgres: Postgres, mode: str) -> None:
    postgres.stop(mode)
    time.sleep(AWAY_S / 2)
    postgres.start()


def away(broker: Redis | Rabbit) -> None:
    """Stopped, it forgets its messages."""
    broker.stop()
    time.sleep(AWAY_S)
    broker.start()


def hung(broker: Redis | Rabbit) -> None:
    with broker.hung():
        time.sleep(AWAY_S)


def cut(proxy: Proxy) -> None:
    proxy.cut()
    time.sleep(AWAY_S)
    proxy.let_through()


@pytest.mark.slow
@pytest.mark.parametrize("broker", ["rabbit", "redis"])
def test_ten_thousand_structures_survive_everything(tmp_path, request, alone, postgres, broker):
    server = request.getfixturevalue(broker)
    own = {"DATABASE_URL": postgres.url, "BROKER_URL": server.url, "SHARD_SIZE": "250", "RELAX_CLAIM_ATOMS": "64"}
    clocks = Clocks(tmp_path)
    with season(tmp_path / "platform", seed=7, **own, **clocks.environment) as disturbed:
        faults = [
            *[("kill -9 of a worker", disturbed.kill_one)] * N_KILLS,
            (f"{server.name} flushed", server.flush),
            (f"{server.name} stopped for {AWAY_S:g} s", lambda: away(server)),
            (f"{server.name} hung for {AWAY_S:g} s", lambda: hung(server)),
            ("PostgreSQL restarted, fast shutdown", lambda: restart(postgres, "fast")),
            ("PostgreSQL restarted, immediate shutdown", lambda: restart(postgres, "immediate")),
            ("clocks moved by hours", lambda: clocks.move(-5, 7, -3, 2, 26)),
        ]
        disturbed.running.start()
        for what, disturb in faults:
            disturbed.wave(MANY // len(faults), what, disturb)
        judged(disturbed, alone(*[(MANY // len(faults),)] * len(faults), SHARD_SIZE="250"))


@pytest.fixture
def disk(tmp_path):
    """A server whose storage is on a small file system, and its unfinished uploads on another."""
    data = tmp_path / "data"
    try:
        with (
            small_disk(data / "files", 12 << 20),
            small_disk(data / "staging", 48 << 20),
            web_server(tmp_path, STORAGE_FLOOR_BYTES="0") as server,
        ):
            yield server
    except PermissionError as error:
        told = f"no small file system can be mounted: {error}"
        pytest.fail(told) if os.environ.get("REQUIRE_SERVICES") == "1" else pytest.skip(told)


def test_an_upload_that_finds_the_disk_full_goes_on_once_there_is_room(disk):
    """The storage is a tmpfs that is full to the last megabytes."""
    headers = {"Authorization": f"Bearer {disk.running.driver('key', 'ann')}", "Tus-Resumable": "1.0.0"}
    data = os.urandom(6 << 20)
    half = len(data) // 2
    address = create(disk, headers, len(data))
    assert patch(address, headers, 0, data[:half]).status_code == 204
    filler = Path(disk.running.environment["DATA_DIR"]) / "files" / "of-somebody-else"
    filler.write_bytes(bytes(8 << 20))  # room for what is still to come, but not for the whole

    refused = patch(address, headers, half, data[half:])

    assert refused.status_code == 507
    assert "full" in refused.text
    assert manage(disk.running, "audit_storage", "--older-than", "0").returncode == 0  # no half file was left
    filler.unlink()
    safe = offset_of(address, headers)
    done = patch(address, headers, safe, data[safe:])
    assert done.status_code == 204
    assert "Upload-Result" in done.headers
    assert manage(disk.running, "audit_storage", "--older-than", "0").returncode == 0


def test_a_dump_that_finds_the_disk_full_leaves_the_old_one_and_nothing_else(tmp_path):
    try:
        with small_disk(tmp_path / "dumps", 2 << 20), platform(tmp_path, BROKER_URL="memory://") as running:
            _dump_twice(running, tmp_path / "dumps")
    except PermissionError as error:
        told = f"no small file system can be mounted: {error}"
        pytest.fail(told) if os.environ.get("REQUIRE_SERVICES") == "1" else pytest.skip(told)


def _dump_twice(running: Platform, folder: Path) -> None:
    running.driver("prepare", "morse", *ELEMENTS)
    assert manage(running, "dump_dataset", str(folder / "alloys")).returncode == 0
    before = {path.name: path.read_bytes() for path in (folder / "alloys").iterdir()}
    room = shutil.disk_usage(folder).free
    (folder / "filler").write_bytes(bytes(room - 4096))

    full = manage(running, "dump_dataset", str(folder / "alloys"))

    assert full.returncode != 0
    assert "No space left" in full.stderr
    assert sorted(path.name for path in folder.iterdir()) == ["alloys", "filler"]
    assert {path.name: path.read_bytes() for path in (folder / "alloys").iterdir()} == before
    (folder / "filler").unlink()
    assert manage(running, "dump_dataset", str(folder / "alloys")).returncode == 0


@pytest.mark.slow
def test_an_upload_whose_server_is_killed_again_and_again_becomes_one_batch(tmp_path):
    data = archive(3000, ELEMENTS)
    with web_server(tmp_path) as server:
        headers = {"Authorization": f"Bearer {server.running.driver('key', 'ann')}", "Tus-Resumable": "1.0.0"}
        address = create(server, headers, len(data))
        for number in range(1, 6):
            safe = offset_of(address, headers)
            with pytest.raises(requests.RequestException):
                patch(address, headers, safe, _killing_at(server, data[safe : len(data) * number // 6]))
            began = time.monotonic()
            server.start()
            print(f"\nweb server killed during an upload, answers again after {time.monotonic() - began:.1f} s", end="")
        safe = offset_of(address, headers)
        done = patch(address, headers, safe, data[safe:])
        assert done.status_code == 204
        server.running.driver("alone", timeout_s=600)
        result = server.running.driver("result", "storage")

    assert [row[0] for row in result["candidates"]] == list(range(1, 3001))


def _killing_at(server: WebServer, data: bytes):
    """The bytes, and when they are sent the server is killed."""
    for at in range(0, len(data), 1 << 16):
        yield data[at : at + (1 << 16)]
    server.kill()
    yield b"more"
