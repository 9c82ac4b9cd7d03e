"""Servers of a test's own, on ports and in folders of their own, to be broken: nobody else's are touched."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

import pytest
from platform_of import free_port
from servers import HOST

_POSTGRES_USER = "postgres"  # a server refuses to run as root


def program(name: str, *places: str) -> str:
    """Where a server's programme is; skips without it, and with REQUIRE_SERVICES=1 fails."""
    found = next((str(path) for place in places for path in sorted(Path("/").glob(place.lstrip("/")))), None)
    found = found or shutil.which(name)
    if found is None:
        told = f"{name} is not installed"
        pytest.fail(told) if os.environ.get("REQUIRE_SERVICES") == "1" else pytest.skip(told)
    return found


def listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((HOST, port)) == 0


def wait_until(condition, seconds: float, what: str) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"{what}: not within {seconds:g} s"
        time.sleep(0.05)


class Postgres:
    """A cluster of its own, run by a user who is not root."""

    def __init__(self) -> None:
        self._pg_ctl = program("pg_ctl", "/usr/lib/postgresql/*/bin/pg_ctl")
        self.port = free_port()
        self._folder = Path(tempfile.mkdtemp(prefix="chaos-postgres-"))
        self._as_user = ["setpriv", f"--reuid={_POSTGRES_USER}", f"--regid={_POSTGRES_USER}", "--clear-groups"]
        if os.geteuid() != 0:
            self._as_user = []
        else:
            shutil.chown(self._folder, _POSTGRES_USER, _POSTGRES_USER)
        made = [*("-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "--no-sync")]
        self._do(str(Path(self._pg_ctl).with_name("initdb")), "-D", str(self._data), *made)
        self.start()

    @property
    def url(self) -> str:
        return f"postgresql://postgres@{HOST}:{self.port}/postgres"

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    def start(self) -> None:
        """Returns once it answers; after an immediate shutdown it has recovered by then."""
        options = f"-p {self.port} -k {self._folder} -c listen_addresses={HOST} -c max_connections=60"
        self._ctl("start", "-o", options, "-l", str(self._folder / "log"), "-t", "60")

    def stop(self, mode: str = "fast") -> None:
        """fast: sessions are ended. immediate: as if the machine had lost its power."""
        self._ctl("stop", "-m", mode, "-t", "60")

    def remove(self) -> None:
        with suppress(subprocess.CalledProcessError):
            self.stop("immediate")
        shutil.rmtree(self._folder, ignore_errors=True)

    def _ctl(self, *what: str) -> None:
        self._do(self._pg_ctl, "-D", str(self._data), "-w", "-s", *what)

    def _do(self, *command: str) -> None:
        log = self._folder / "told"
        with log.open("ab") as told:
            subprocess.run([*self._as_user, *command], stdout=told, stderr=told, cwd="/", check=True, timeout=120)


class Redis:
    """A server that keeps nothing on disk: stopped, it has forgotten every message."""

    name = "redis"

    def __init__(self) -> None:
        self._program = program("redis-server")
        self.port = free_port()
        self._folder = Path(tempfile.mkdtemp(prefix="chaos-redis-"))
        self.start()

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self.port}/0"

    def start(self) -> None:
        bare = [
            "--save",
            "",
            "--appendonly",
            "no",
            "--bind",
            HOST,
            "--port",
            str(self.port),
            "--dir",
            str(self._folder),
        ]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen([self._program, *bare], stdout=log, stderr=log)
        wait_until(lambda: listens(self.port), 20, "redis")

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()

    def flush(self) -> None:
        import redis

        redis.Redis(HOST, self.port).flushall()

    @contextmanager
    def hung(self) -> Iterator[None]:
        """It takes connections, or rather the kernel does for it, and answers nothing."""
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)


class Rabbit:
    """A second node beside whatever runs on this machine, with a name, ports and a folder of its own."""

    name = "rabbitmq"

    def __init__(self) -> None:
        self._program = program("rabbitmq-server", "/usr/lib/rabbitmq/lib/*/sbin/rabbitmq-server")
        self.port, self._distribution = free_port(), free_port()
        self._folder = Path(tempfile.mkdtemp(prefix="chaos-rabbitmq-"))
        (self._folder / "plugins").write_text("[].\n")
        self._node = f"chaos-{uuid4().hex[:8]}@localhost"
        self.start()

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@{HOST}:{self.port}//"

    def start(self) -> None:
        own = {
            "RABBITMQ_NODENAME": self._node,
            "RABBITMQ_NODE_IP_ADDRESS": HOST,
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self._distribution),
            "RABBITMQ_MNESIA_BASE": str(self._folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self._folder / "logs"),
            "RABBITMQ_PID_FILE": str(self._folder / "pid"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self._folder / "plugins"),
            "RABBITMQ_CONF_ENV_FILE": str(self._folder / "none"),
            "RABBITMQ_CONFIG_FILE": str(self._folder / "none"),
            "HOME": str(self._folder),
        }
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._program], env={**os.environ, **own}, stdout=log, stderr=log, start_new_session=True
            )
        wait_until(self._ready, 90, "rabbitmq")

    def _ready(self) -> bool:
        """It says so in its log when it takes connections."""
        assert self._process.poll() is None, (self._folder / "log").read_text()[-2000:]
        return listens(self.port)

    def stop(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        wait_until(lambda: not listens(self.port), 20, "rabbitmq")

    def flush(self) -> None:
        """Delete the queues with all that is in them, as one does who resets a virtual host."""
        from kombu import Connection

        with Connection(self.url) as connection, connection.channel() as channel:
            for queue in ("parse", "relax", "place"):
                with suppress(Exception):  # it may not be there yet
                    channel.queue_purge(queue)

    @contextmanager
    def hung(self) -> Iterator[None]:
        os.killpg(self._process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.killpg(self._process.pid, signal.SIGCONT)

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)


class Proxy:
    """Between the platform and a server: cuts every connection, and lets none through for a while."""

    def __init__(self, port: int) -> None:
        self._target = port
        self.port = free_port()
        self._listening: socket.socket | None = None
        self._open: list[socket.socket] = []
        self.let_through()

    def let_through(self) -> None:
        listening = socket.create_server((HOST, self.port), reuse_port=False)
        self._listening = listening
        threading.Thread(target=self._accept, args=(listening,), daemon=True).start()

    def cut(self) -> None:
        assert self._listening is not None
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for one in self._open:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        self._open = []

    def remove(self) -> None:
        self.cut()

    def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                near, _ = listening.accept()
                far = socket.create_connection((HOST, self._target))
            except OSError:
                return
            self._open += [near, far]
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=_pump, args=(source, sink), daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    for one in (source, sink):
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
