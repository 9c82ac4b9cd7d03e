"""``manage.py up``: ready in seconds, no potential in the web process, a dead worker comes back, ends cleanly."""

import time
from pathlib import Path

import pytest
import requests
from platform_of import free_port, platform


@pytest.fixture(scope="module")
def serving(tmp_path_factory):
    port = free_port()
    with platform(tmp_path_factory.mktemp("up"), PLAIN_STATIC="0") as running:
        running.start("--port", str(port), web=True)
        running.address = f"http://127.0.0.1:{port}"
        _until(lambda: _answers(f"{running.address}/readyz"), 60)
        yield running


def _answers(address: str) -> bool:
    try:
        return requests.get(address, timeout=5).ok
    except requests.RequestException:
        return False


def _until(condition, seconds: float) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"not within {seconds} s"
        time.sleep(0.1)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_the_home_page_and_its_style_are_served(serving):
    page = requests.get(serving.address, timeout=30)

    assert page.status_code == 200
    style = next(part for part in page.text.split('"') if part.startswith("/static/") and part.endswith(".css"))
    assert requests.get(serving.address + style, timeout=30).status_code == 200


def test_the_web_process_loads_no_potential(serving):
    requests.get(serving.address, timeout=30)

    web = serving.children("philately.wsgi")
    assert web
    for pid in web:
        assert "libtorch" not in Path(f"/proc/{pid}/maps").read_text()


def test_a_killed_worker_is_started_again(serving):
    killed = serving.kill("place")

    _until(lambda: set(serving.children("place")) - set(killed), 30)


def test_a_told_platform_ends_with_all_its_processes(serving):
    running = [
        pid for name in ("philately.wsgi", "parse", "place", "relax-1", "sweep") for pid in serving.children(name)
    ]

    assert serving.stop() == 0

    assert len(running) >= 5
    assert not [pid for pid in running if _alive(pid)]
