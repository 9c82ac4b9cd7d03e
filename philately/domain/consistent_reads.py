"""Reading many rows as they were at one moment, while others write."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, transaction


@contextmanager
def consistent_read() -> Iterator[None]:
    """Every query inside sees the database as it was at the first of them; nothing may be written.

    Nobody waits for it: on PostgreSQL it is a REPEATABLE READ transaction, on SQLite a deferred one, which reads the
    write-ahead log as far as it went then. Inside a transaction of the caller it is a part of that one and no better.
    """
    if connection.in_atomic_block:
        yield
        return
    if connection.vendor == "postgresql":
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            yield
        return
    with _deferred(), transaction.atomic():
        yield


@contextmanager
def _deferred() -> Iterator[None]:
    """Transactions begin without SQLite's lock for writing, which the settings ask for everywhere else."""
    connection.ensure_connection()  # which sets the mode
    mode = connection.transaction_mode  # type: ignore[attr-defined]
    connection.transaction_mode = "DEFERRED"  # type: ignore[attr-defined]
    try:
        yield
    finally:
        connection.transaction_mode = mode  # type: ignore[attr-defined]
