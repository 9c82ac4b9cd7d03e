"""Run as a process of its own on PostgreSQL, by test_postgres.py: what becomes of connections. Prints JSON."""

import json
import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "philately.settings")

import django

django.setup()

import psycopg  # noqa: E402
from django.conf import settings  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.db import OperationalError, close_old_connections, connection, transaction  # noqa: E402
from django.test import RequestFactory  # noqa: E402

from philately.domain import bulk  # noqa: E402
from philately.domain.locks import lock  # noqa: E402
from philately.models import Lock, User  # noqa: E402
from philately.postgres import bound  # noqa: E402

URL = os.environ["DATABASE_URL"]


def backend() -> int:
    """The server's process that this thread speaks with."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])


_OTHERS = (
    "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
    "AND backend_type = 'client backend'"
)


def others() -> int:
    """How many connections there are to this database, without the one that asks."""
    with psycopg.connect(URL) as own:
        return len(own.execute(f"SELECT pid {_OTHERS}").fetchall())


def end_all() -> int:
    """What a restart of the server does to this database's connections; says to how many. They are gone then, and
    whoever is quick has others."""
    with psycopg.connect(URL, autocommit=True) as own:
        ended = [pid for pid, _ in own.execute(f"SELECT pid, pg_terminate_backend(pid) {_OTHERS}").fetchall()]
        for _ in range(3000):
            if not own.execute("SELECT 1 FROM pg_stat_activity WHERE pid = ANY(%s)", [ended]).fetchone():
                return len(ended)
            threading.Event().wait(0.01)
    raise AssertionError("connections did not end")


def given_back() -> dict[str, object]:
    first = backend()
    connection.close()
    second = backend()
    seen: list[int] = []

    def elsewhere() -> None:
        seen.append(backend())
        connection.close()

    for _ in range(5):  # one after the other: one more connection serves them all
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
    return {"same": first == second, "others": len(set(seen)), "open": others()}


def answer(path: str) -> int:
    """The status with which the web server answers; Django's test client would leave connections as they are."""
    status: list[str] = []
    environment = RequestFactory(SERVER_NAME="localhost").get(path).environ
    response = get_wsgi_application()(environment, lambda line, headers: status.append(line))
    assert b"".join(response)
    response.close()
    return int(status[0].split()[0])


def restarted() -> dict[str, object]:
    """Requests before, during and after a restart of the server."""
    before = answer("/")
    ended = end_all()
    after = [answer("/") for _ in range(3)]
    backend()
    end_all()
    try:
        with transaction.atomic():  # a connection that is in use when it breaks: the task fails
            User.objects.count()
        failed = False
    except OperationalError:
        failed = True
    close_old_connections()  # as Celery and requests do
    return {"before": before, "ended": ended, "after": after, "failed": failed, "users": User.objects.count()}


def holding() -> dict[str, object]:
    """A lock whose thread loses its connection keeps the lock by another."""
    with lock("place:1") as hold:
        assert hold is not None
        for _ in range(2):
            before = Lock.objects.get(name="place:1").until
            end_all()
            close_old_connections()
            for _ in range(300):
                if Lock.objects.get(name="place:1").until > before:
                    break
                threading.Event().wait(0.1)
            else:
                raise AssertionError("nobody prolongs the lock any more")
        hold.confirm()
    connection.close()
    return {"token": Lock.objects.get(name="place:1").token}


def copied() -> dict[str, object]:
    """COPY through a connection of the pool, and one that breaks in the middle of it."""
    columns = ("name", "token", "deaths")
    bulk.insert(Lock, columns, [(f"lock-{number}", "", 0) for number in range(3000)])
    try:
        with transaction.atomic():
            bulk.insert(Lock, columns, [("half", "", 0)])
            end_all()
            bulk.insert(Lock, columns, [("other half", "", 0)])
    except OperationalError:
        close_old_connections()
    return {"rows": Lock.objects.count(), "half": Lock.objects.filter(name__contains="half").count()}


HARD = (
    ('"', 0, -0.0, True, b""),
    ("\\", -(2**63), 1e-308, False, b"\\x00"),
    ("NULL", 2**63 - 1, 1.7976931348623157e308, True, bytes(range(256))),
    ("", 1, float("inf"), False, b'"'),
    ("nan", 3, float("-inf"), False, b"\n"),
    ("'", 4, float("nan"), True, b"'"),
    ("a,b}{'%s %% \n\r\t\u00e9\u4e2d\U0001f48e", 2, 0.1, True, b"{}"),
    (None, None, None, None, None),
)


def arrays() -> dict[str, object]:
    """Whether columns of hard values come back as they went, alone and among others of the same kind."""
    types = ("text", "bigint", "double precision", "boolean", "bytea")

    def back(rows: Sequence[Sequence[object]]) -> bool:
        source, values = bulk.as_table(rows, types)
        with connection.cursor() as cursor:
            cursor.execute(source, values)
            found = [tuple(bytes(one) if isinstance(one, memoryview) else one for one in row) for row in cursor]
        return [repr(row) for row in found] == [repr(row) for row in rows]  # so -0.0 is not 0.0, and nan is nan

    bulk.upsert(Lock, ("name", "token", "deaths"), [(str(row[0]), str(row[0]), 1) for row in HARD], unique=("name",))
    bulk.upsert(Lock, ("name", "token", "deaths"), [(str(row[0]), "again", 2) for row in HARD[:2]], unique=("name",))
    kept = {name: (token, deaths) for name, token, deaths in Lock.objects.values_list("name", "token", "deaths")}
    expected = {str(row[0]): ("again", 2) if number < 2 else (str(row[0]), 1) for number, row in enumerate(HARD)}
    return {
        "alone": all(back([row]) for row in HARD),
        "together": back(HARD),
        "kept": expected.items() <= kept.items(),
    }


def forked() -> dict[str, object]:
    """A child opens a connection of its own, and its parent's goes on."""
    parent = backend()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, str(backend()).encode())
        connection.close()
        os._exit(0)
    os.waitpid(child, 0)
    return {"parent": parent, "child": int(os.read(reading, 20)), "after": backend()}


def bounded() -> dict[str, object]:
    """What the web server may not do for longer than it should."""
    bound(settings.DATABASES["default"], statement_s=1.0, lock_s=0.5)
    limits = {}
    for name in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"):
        with connection.cursor() as cursor:
            cursor.execute(f"SHOW {name}")
            limits[name] = cursor.fetchone()[0]
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(60)")
    except OperationalError as error:
        limits["sleep"] = str(error).splitlines()[0]
    return limits


if __name__ == "__main__":
    call_command("migrate", verbosity=0)
    connection.close()
    told = {}
    for deed in sys.argv[1:]:
        told[deed] = {
            "given_back": given_back,
            "restarted": restarted,
            "holding": holding,
            "copied": copied,
            "arrays": arrays,
            "forked": forked,
            "bounded": bounded,
        }[deed]()
        connection.close()
        connection.close_pool()  # type: ignore[attr-defined]
    print(json.dumps(told))
