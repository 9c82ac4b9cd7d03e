"""Whether this process can do its work: the database, the storage and the broker, each within a short time.

Without the database nothing can be shown or taken, so the process is not ready. Without storage or broker pages are
still read, and uploads are refused or wait for the sweeper: that is degraded, and no reason to take every web server
out of service at once.
"""

import logging
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.files.storage import default_storage
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from philately import broker

log = logging.getLogger(__name__)

_KEPT_S = 1.0  # so long an answer stands: however often anybody asks, nobody is asked more often than that


class NotReady(Exception):
    """What is wrong, in words that may be shown to anybody."""


@dataclass(frozen=True, slots=True)
class Check:
    """problem: empty where all is well, in words without hosts, names or secrets. vital: whether all depends on it."""

    name: str
    problem: str
    seconds: float
    vital: bool


@dataclass(frozen=True, slots=True)
class Readiness:
    checks: tuple[Check, ...]

    @property
    def status(self) -> str:
        failed = [check for check in self.checks if check.problem]
        if not failed:
            return "ready"
        return "unready" if any(check.vital for check in failed) else "degraded"

    def as_json(self) -> dict[str, Any]:
        checks = {
            check.name: {"ok": not check.problem, "problem": check.problem, "seconds": round(check.seconds, 3)}
            for check in self.checks
        }
        return {"status": self.status, "checks": checks}


@dataclass(slots=True)
class _Asked:
    """A question that is answered in a thread of its own, which may never end."""

    began: float = field(default_factory=time.monotonic)
    done: threading.Event = field(default_factory=threading.Event)
    problem: str = ""
    seconds: float = 0.0

    def answer(self, name: str, look: Callable[[], None]) -> None:
        try:
            look()
        except NotReady as problem:
            self.problem = str(problem)
        except Exception as error:  # noqa: BLE001 - whatever a driver raises: it is not there
            log.warning("%s does not answer: %s: %s", name, type(error).__name__, error)
            self.problem = f"does not answer ({type(error).__name__})"
        finally:
            self.seconds = time.monotonic() - self.began
            connection.close()  # this thread's own
            self.done.set()


_one_at_a_time = threading.Lock()
_asked: dict[str, _Asked] = {}  # by check: the last question, which may still hang
_answer: tuple[float, Readiness] | None = None


def readiness() -> Readiness:
    """Everything asked side by side, READY_LIMIT_S each; an answer stands for a second."""
    global _answer
    with _one_at_a_time:
        if _answer is None or time.monotonic() - _answer[0] > _KEPT_S:
            found = _look()
            _answer = time.monotonic(), found
        return _answer[1]


def forget() -> None:
    """As in a process that was not asked yet."""
    global _answer
    _answer = None


def _look() -> Readiness:
    for name, (look, _) in _CHECKS.items():
        if name not in _asked or _asked[name].done.is_set():  # one that hangs is not asked again
            _asked[name] = asked = _Asked()
            threading.Thread(target=asked.answer, args=(name, look), name=f"is {name} there", daemon=True).start()
    return Readiness(tuple(_heard(name, vital) for name, (_, vital) in _CHECKS.items()))


def _heard(name: str, vital: bool) -> Check:
    asked, limit = _asked[name], settings.READY_LIMIT_S
    if asked.done.wait(max(0.0, asked.began + limit - time.monotonic())):
        return Check(name, asked.problem, asked.seconds, vital)
    return Check(name, f"did not answer within {limit:g} s", time.monotonic() - asked.began, vital)


def _database() -> None:
    """It answers and has the tables that this code needs."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    if _last_migrations() - set(MigrationRecorder(connection).applied_migrations()):
        raise NotReady("is not migrated to this version")


@lru_cache(maxsize=1)
def _last_migrations() -> frozenset[tuple[str, str]]:
    """Of each app; of a squashed one the last that it replaces, which is written down however a database came to it."""
    graph = MigrationLoader(None, ignore_no_migrations=True).graph
    return frozenset((graph.nodes[leaf].replaces or [leaf])[-1] for leaf in graph.leaf_nodes())


def _storage() -> None:
    """A local folder takes a file; a storage elsewhere answers what it is asked, without being written to each time."""
    try:
        folder = Path(default_storage.path(""))
    except NotImplementedError:
        default_storage.exists("readyz")
        return
    _writable(folder)


def _staging() -> None:
    _writable(Path(settings.STAGING_DIR))


def _writable(folder: Path) -> None:
    """Try it, with a file that has no name where the system allows that."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"ready")
    except OSError as error:
        raise NotReady(f"cannot be written to ({error.strerror})") from error


def _broker() -> None:
    broker.reach(settings.READY_LIMIT_S)


_CHECKS: dict[str, tuple[Callable[[], None], bool]] = {
    "database": (_database, True),
    "storage": (_storage, False),
    "staging": (_staging, False),
    "broker": (_broker, False),
}
