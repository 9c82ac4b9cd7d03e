"""Monitors at a real web server: two processes of it, and neither database nor broker nor a folder for files."""

import json
import re
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from platform_of import free_port, platform
from web_server import WebServer


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """Nothing that it needs is there, and its logs are JSON."""
    folder = tmp_path_factory.mktemp("alone")
    temporary = folder / "temporary"
    temporary.mkdir()
    nowhere = {
        "DATABASE_URL": f"postgresql://somebody:hush@127.0.0.1:{free_port()}/philately",
        "BROKER_URL": f"amqp://somebody:hush@127.0.0.1:{free_port()}//",
    }
    nowhere["DATABASE_WAIT_S"] = "0.5"  # else the pool is asked for longer than /readyz waits
    watching = {"WEB_CONCURRENCY": "2", "METRICS_TOKEN": "a-token", "LOG_FORMAT": "json"}
    with platform(folder, PLAIN_STATIC="1", TMPDIR=str(temporary), **nowhere, **watching) as running:
        data = folder / "data"
        data.mkdir()
        (data / "files").write_text("a file where a folder should be")
        server = WebServer(running, free_port(), asked="/healthz")
        server.start()
        try:
            yield server
        finally:
            server.kill()


def _get(server: WebServer, path: str, **headers: str) -> requests.Response:
    return requests.get(server.address + path, headers=headers, timeout=30)


def _asked_of_both(server: WebServer, within_s: float = 60) -> int:
    """Ask until both processes have counted a request; says how many were sent."""
    (counts,) = (server.running.log.parent / "temporary").glob("philately-metrics-*")
    sent, until = 0, time.monotonic() + within_s
    with ThreadPoolExecutor(8) as pool:
        while not sent or len(list(counts.glob("histogram_*.db"))) < 2:
            assert time.monotonic() < until, "one process takes no requests"
            sent += sum(answer.ok for answer in pool.map(lambda _: _get(server, "/healthz"), range(16)))
    return sent


def test_the_process_is_healthy_and_not_ready(alone):
    assert _get(alone, "/healthz").text == "ok\n"

    answer = _get(alone, "/readyz", Host="10.1.2.3")

    assert answer.status_code == 503
    found = answer.json()
    assert found["status"] == "unready"
    assert {name for name, check in found["checks"].items() if not check["ok"]} == {"database", "storage", "broker"}
    assert found["checks"]["database"]["problem"] == "does not answer (OperationalError)"
    assert not re.search(r"hush|somebody|127\.0\.0\.1|philately\b", answer.text)


def test_metrics_of_both_processes_add_up_and_say_what_is_gone(alone):
    assert _get(alone, "/metrics").status_code == 401

    sent = _asked_of_both(alone)
    answer = _get(alone, "/metrics", Authorization="Bearer a-token")

    counted = re.search(
        r'^philately_http_request_duration_seconds_count\{method="GET",status="200",view="healthz"\} (\S+)$',
        answer.text,
        re.M,
    )
    assert counted is not None
    assert float(counted[1]) >= sent
    assert 'philately_dependency_up{dependency="database"} 0.0' in answer.text
    assert "philately_candidates_waiting" not in answer.text, "what is not known is not told"


def test_every_line_of_its_log_is_json_and_a_failed_request_is_found_by_its_id(alone):
    answer = _get(alone, "/", **{"X-Request-ID": "from-a-proxy-1"})

    assert answer.status_code == 503
    assert answer.headers["X-Request-ID"] == "from-a-proxy-1"
    records = [json.loads(line) for line in alone.running.log.read_text().splitlines()]
    failed, *_ = [record for record in records if record.get("request_id") == "from-a-proxy-1"]
    assert (failed["level"], failed["logger"]) == ("ERROR", "philately.pages.faults")
    assert "GET / is answered with 503" in failed["message"]
    assert "hush" not in alone.running.log.read_text()
