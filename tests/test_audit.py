"""``.ci/audit.py`` against a service of advisories that runs here: it fails on what is known, and never hangs."""

import json
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PINNED = "good==1.0\nbad==2.0\n"
ADVISORY = {
    "id": "GHSA-test-0001",
    "summary": "made up",
    "affected": [
        {
            "package": {"name": "bad", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "2.1"}]}],
        }
    ],
}


class Advisories(BaseHTTPRequestHandler):
    """Knows one advisory, of ``bad``; where it hangs it says nothing at all."""

    hangs = threading.Event()

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.hangs.is_set():
            time.sleep(60)
            return
        known = {"vulns": [ADVISORY]} if asked["package"]["name"] == "bad" else {}
        body = json.dumps(known).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Nothing is said on standard error."""


@pytest.fixture
def service():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Advisories)
    server.daemon_threads = True
    Advisories.hangs.clear()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    server.server_close()


def audit(folder, address, *, pinned=PINNED, ignored="", time_limit_s=30):
    (folder / "requirements.txt").write_text(pinned)
    (folder / "ignored").write_text(ignored)
    command = [sys.executable, str(ROOT / ".ci" / "audit.py"), "--time-limit", str(time_limit_s)]
    command += ["--requirements", str(folder / "requirements.txt"), "--ignored", str(folder / "ignored")]
    command += ["--vulnerability-service", "osv", "--osv-url", address, "--cache-dir", str(folder / "cache")]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_a_known_vulnerability_of_a_pinned_dependency_fails_and_is_named(service, tmp_path):
    done = audit(tmp_path, service)

    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        "audit: bad 2.0 has GHSA-test-0001, mended by 2.1",
        "audit: 2 dependencies, 1 vulnerable",
    ]


def test_one_that_is_ignored_with_a_reason_does_not_fail(service, tmp_path):
    ignored = "# a remark\nGHSA-test-0001 concerns a part that is never imported here\n"

    done = audit(tmp_path, service, ignored=ignored)

    assert (done.returncode, done.stdout) == (0, "audit: 2 dependencies, 0 vulnerable\n")


def test_none_is_ignored_without_a_reason(service, tmp_path):
    done = audit(tmp_path, service, ignored="GHSA-test-0001\n")

    assert done.returncode == 1
    assert "GHSA-test-0001 is ignored without a reason" in done.stderr


def test_where_the_service_is_away_one_line_says_so_and_nothing_fails(tmp_path):
    done = audit(tmp_path, "http://127.0.0.1:9/")

    assert (done.returncode, done.stderr, len(done.stdout.splitlines())) == (0, "", 1)
    assert "are not audited this time" in done.stdout
    assert "127.0.0.1" not in done.stdout


def test_where_nothing_is_known_of_any_dependency_nothing_was_audited(service, tmp_path):
    """As behind a mirror that has packages and no advisories."""
    done = audit(tmp_path, service, pinned="# nothing that the service could know\n")

    assert (done.returncode, len(done.stdout.splitlines())) == (0, 1)
    assert "are not audited this time" in done.stdout


def test_a_service_that_hangs_is_waited_for_no_longer_than_told(service, tmp_path):
    Advisories.hangs.set()
    started = time.monotonic()

    done = audit(tmp_path, service, time_limit_s=3)

    assert done.returncode == 0
    assert "are not audited this time" in done.stdout
    assert time.monotonic() - started < 50


def test_the_project_s_own_list_gives_a_reason_for_each():
    for line in (ROOT / ".ci" / "audit-ignored").read_text().splitlines():
        assert line.startswith("#") or len(line.split(maxsplit=1)) == 2
