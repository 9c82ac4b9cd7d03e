"""/healthz asks nobody; /readyz asks database, storage and broker, each for a short time, and tells no secrets."""

import json
import os
import socket
import threading
import time
from contextlib import contextmanager

import pytest
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client

from philately import broker
from philately.domain import readiness
from philately.domain.readiness import NotReady


@pytest.fixture(autouse=True)
def _nothing_remembered():
    readiness.forget()
    readiness._asked.clear()
    yield
    readiness.forget()
    readiness._asked.clear()


@pytest.fixture
def asked(client, db):
    def ask() -> tuple[int, dict]:
        answer = client.get("/readyz")
        return answer.status_code, json.loads(answer.content)

    return ask


@contextmanager
def a_server_that_says_nothing():
    """Takes connections and never answers; gives its port."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(20)
        yield listening.getsockname()[1]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_health_asks_no_database(client):
    """There is none here: pytest refuses the first query."""
    answer = client.get("/healthz")

    assert (answer.status_code, answer.content) == (200, b"ok\n")


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_monitors_may_ask_by_any_name_and_without_tls(db, settings, path):
    settings.SECURE_SSL_REDIRECT = settings.HTTPS = True

    answer = Client().get(path, headers={"Host": "10.1.2.3:8000"})

    assert answer.status_code == 200
    assert "no-store" in answer.headers["Cache-Control"]


def test_where_all_answer_it_is_ready(asked):
    status, found = asked()

    assert (status, found["status"]) == (200, "ready")
    assert all(check["ok"] and check["problem"] == "" for check in found["checks"].values())


def test_a_database_that_is_not_migrated_is_not_ready(db):
    last = max(MigrationRecorder.Migration.objects.filter(app="philately").values_list("name", flat=True))
    readiness._database()
    MigrationRecorder.Migration.objects.filter(app="philately", name=last).delete()

    with pytest.raises(NotReady, match="not migrated"):
        readiness._database()


def test_a_storage_that_cannot_be_written_to_degrades(asked, settings, tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    settings.MEDIA_ROOT = str(file / "files")

    status, found = asked()

    assert (status, found["status"]) == (200, "degraded")
    assert found["checks"]["storage"]["problem"] == "cannot be written to (Not a directory)"
    assert found["checks"]["staging"]["ok"]


@pytest.mark.skipif(not os.path.ismount("/proc"), reason="needs a file system that nobody may write to")
def test_a_read_only_folder_degrades_whoever_asks(asked, settings):
    settings.STAGING_DIR = "/proc/self"

    _, found = asked()

    assert found["status"] == "degraded"
    assert found["checks"]["staging"]["problem"].startswith("cannot be written to (")


def test_looking_leaves_no_file_behind(asked, settings, tmp_path):
    settings.MEDIA_ROOT, settings.STAGING_DIR = str(tmp_path / "files"), str(tmp_path / "staging")

    asked()

    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_storage_elsewhere_is_asked_and_not_written_to(asked, settings):
    """In memory it has no path, as in a bucket."""
    settings.STORAGES = {**settings.STORAGES, "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"}}

    assert asked()[1]["checks"]["storage"]["ok"]


def test_a_broker_that_is_gone_degrades_and_its_address_is_not_told(asked, monkeypatch):
    monkeypatch.setattr(broker.app.conf, "broker_write_url", f"amqp://user:hush@127.0.0.1:{_free_port()}//")

    status, found = asked()

    assert (status, found["status"]) == (200, "degraded")
    assert not found["checks"]["broker"]["ok"]
    assert found["checks"]["broker"]["problem"] == "does not answer (OperationalError)"
    told = json.dumps(found)
    assert "127.0.0.1" not in told
    assert "hush" not in told


def test_one_that_hangs_is_waited_for_briefly_and_not_asked_again(asked, monkeypatch, settings):
    settings.READY_LIMIT_S = 0.3
    with a_server_that_says_nothing() as port:
        monkeypatch.setattr(broker.app.conf, "broker_write_url", f"redis://127.0.0.1:{port}/0")
        began = time.monotonic()
        _, first = asked()
        took = time.monotonic() - began
        readiness.forget()
        asked()

        waiting = [thread for thread in threading.enumerate() if thread.name == "is broker there"]
        assert first["checks"]["broker"]["problem"] == "did not answer within 0.3 s"
        assert first["checks"]["database"]["ok"]
        assert took < 5
        assert len(waiting) == 1


def test_however_often_it_is_asked_nobody_is_asked_more_than_once_a_second(asked, monkeypatch):
    looked = []
    monkeypatch.setitem(readiness._CHECKS, "broker", (lambda: looked.append(1), False))

    for _ in range(20):
        asked()

    assert len(looked) <= 3
