"""SQLite's write-ahead log, kept short.

Each page that is read is looked for in it first, through all of its length. It begins again from its start only when a
commit finds everything written back and no reader on it, which between processes that write without a pause may never
be: while a million rows came in it grew beyond 7 GB, twice the database (docs/adr/0024-sqlite-log-cut-off.md).
"""

import logging
from pathlib import Path

from django.db import connection

log = logging.getLogger(__name__)

LONG_BYTES = 128 * 1024 * 1024  # of 40 MB the database takes care by itself, or tries to
_PATIENCE_MS = 500  # for whoever writes, and for readers of what is older; meanwhile nobody else writes


def keep_short() -> bool:
    """Where the log is long, write it back to the database and cut it off; says whether it did. Where somebody reads
    or writes for longer, as a dump does, it is left for another time. Belongs outside of transactions."""
    length = _length()
    if length < LONG_BYTES:
        return False
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA busy_timeout")
        (usual_ms,) = cursor.fetchone()
        cursor.execute(f"PRAGMA busy_timeout = {_PATIENCE_MS}")
        try:
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            is_busy, _, _ = cursor.fetchone()
        finally:
            cursor.execute(f"PRAGMA busy_timeout = {usual_ms}")
    megabytes = round(length / 1e6)
    if is_busy:
        log.info("SQLite's log has %s MB and stays so long as somebody reads what is older, or writes on", megabytes)
    else:
        log.info("SQLite's log had %s MB and begins again", megabytes)
    return not is_busy


def _length() -> int:
    """Bytes; 0 where there is none."""
    if connection.vendor != "sqlite":
        return 0
    file = Path(connection.settings_dict["NAME"]).resolve()  # the log is beside the file that a link leads to
    try:
        return file.with_name(f"{file.name}-wal").stat().st_size
    except FileNotFoundError:
        return 0
