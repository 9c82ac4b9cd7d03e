"""PostgreSQL as this project uses it: a pool of connections a process, limits on what the web may ask, and forks."""

import os
from collections.abc import Mapping
from typing import Any

_SILENCE = {"connect_timeout": 10, "keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}  # s, s, s
# A page's query is estimated by all that it might read: compiling it would take seconds, running it milliseconds.
_NOT_COMPILED = "-c jit=off"


def pooled(database: Mapping[str, Any], *, size: int, timeout_s: float) -> dict[str, Any]:
    """The settings of a database with a pool of up to ``size`` connections, none of them kept for nothing.

    timeout_s: how long a thread waits for one. A connection is tried before it is given out, and replaced where the
    server was restarted meanwhile; while the server is away each request tries anew instead of waiting out a pause
    that grows. size 0: no pool, each thread has a connection of its own. Of options said twice the last counts: theirs.
    """
    options = {**_SILENCE, **database.get("OPTIONS", {})}
    options["options"] = f"{_NOT_COMPILED} {options.get('options', '')}".strip()
    if size > 0:
        options["pool"] = {
            "min_size": 0,
            "max_size": size,
            "timeout": timeout_s,
            "max_idle": 300.0,
            "max_lifetime": 3600.0,
            "reconnect_timeout": min(5.0, timeout_s),
        }
    return {**database, "OPTIONS": options, "CONN_MAX_AGE": 0, "CONN_HEALTH_CHECKS": True}


def bound(database: dict[str, Any], *, statement_s: float, lock_s: float) -> None:
    """Let the server end statements, waits for locks and idle transactions of this process that take longer; 0 is no
    limit. To be called before the first connection."""
    if not database["ENGINE"].endswith("postgresql"):
        return
    limits = {
        "statement_timeout": statement_s,
        "lock_timeout": lock_s,
        "idle_in_transaction_session_timeout": statement_s,
    }
    said = " ".join(f"-c {name}={int(seconds * 1000)}" for name, seconds in limits.items())
    options = database["OPTIONS"]
    options["options"] = f"{options.get('options', '')} {said}".strip()


def forget_after_fork() -> None:
    """Let every child that is forked from now on begin without its parent's connections: two processes that spoke
    through one would read each other's answers, and a pool's own threads are not forked with it. What is forgotten
    is not closed: psycopg leaves alone what another process has opened."""
    os.register_at_fork(after_in_child=_forget)


def _forget() -> None:
    from django.db import connections  # late: settings are read before there are any
    from django.db.backends.postgresql.base import DatabaseWrapper

    for connection in connections.all(initialized_only=True):
        if isinstance(connection, DatabaseWrapper):
            connection.connection = None
    DatabaseWrapper._connection_pools.clear()  # type: ignore[attr-defined]
