"""The database's clock. Whatever is decided by the time goes by it, so that no machine's own clock matters.

In a query that is ``Now()``; here is the same moment as a value. SQLite's clock is that of the machine.
"""

from datetime import UTC, datetime

from django.db import connection

_MOMENT = {
    "postgresql": "SELECT statement_timestamp()",
    "sqlite": "SELECT strftime('%Y-%m-%d %H:%M:%f', 'now')",
}


def now() -> datetime:
    """One small query."""
    with connection.cursor() as cursor:
        cursor.execute(_MOMENT[connection.vendor])
        (moment,) = cursor.fetchone()
    if isinstance(moment, datetime):
        return moment
    return datetime.fromisoformat(moment).replace(tzinfo=UTC)
