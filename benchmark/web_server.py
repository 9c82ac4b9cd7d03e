"""The web server as it runs in production, on a loopback port."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from philately.management.commands.up import web_command


@dataclass(frozen=True, slots=True)
class WebServer:
    """port: on loopback. process: whose children answer."""

    port: int
    process: int


@contextmanager
def web_server() -> Iterator[WebServer]:
    """With this process's environment; static files are collected already. Raises RuntimeError where it fails."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    server = subprocess.Popen(web_command("127.0.0.1", port), stdout=sys.stderr)
    try:
        _wait_for(port, server)
        yield WebServer(port, server.pid)
    finally:
        server.terminate()
        server.wait(timeout=60)


def _wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        if server.poll() is not None:
            break
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise RuntimeError("the web server did not start")
