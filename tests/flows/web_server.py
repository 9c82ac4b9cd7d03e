"""The web server alone, as ``manage.py up`` starts it, to be killed and started again on the same port."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests
from platform_of import ROOT, Platform, free_port, platform

from philately.management.commands.up import web_command


@dataclass(slots=True)
class WebServer:
    """gunicorn on a platform's data."""

    running: Platform
    port: int
    process: subprocess.Popen[bytes] | None = None
    asked: str = "/readyz"  # what a started server answers

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Returns once it answers."""
        with self.running.log.open("ab") as log:
            self.process = subprocess.Popen(
                web_command("127.0.0.1", self.port),
                cwd=ROOT,
                env=self.running.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        for _ in range(600):
            if self._answers():
                return
            time.sleep(0.1)
        raise AssertionError(f"no answer\n{self.running.last_lines()}")

    def kill(self) -> None:
        """``kill -9``, its workers with it; nothing of it gets to say or write another word."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def _answers(self) -> bool:
        try:
            return requests.get(self.address + self.asked, timeout=5).ok
        except requests.RequestException:
            return False


@contextmanager
def web_server(folder: Path, **environment: str) -> Iterator[WebServer]:
    """A running one with an open season, ``alloys``."""
    with platform(folder, PLAIN_STATIC="1", **environment) as running:
        running.driver("prepare")
        collect = [sys.executable, "manage.py", "collectstatic", "--noinput", "--verbosity", "0"]
        subprocess.run(collect, cwd=ROOT, env=running.environment, check=True)
        server = WebServer(running, free_port())
        server.start()
        try:
            yield server
        finally:
            if server.process is not None and server.process.poll() is None:
                server.kill()
