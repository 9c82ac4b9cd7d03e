"""PostgreSQL's picture of a run's tables, renewed while the run grows.

The server plans by it. It counts anew by itself some time after a tenth of a table has changed; until then it takes a
new run for empty, and reads all of its phases for want of a few: 200 ms instead of 0.2 at 300,000.
"""

from django.db import connection

from philately.models import HullPoint, LogEntry, Phase, Placement, Run, ScoreEntry

_LEAST = 200  # phases: with fewer every plan is as good
_TABLES = tuple(model._meta.db_table for model in (Phase, Placement, HullPoint, LogEntry, ScoreEntry))

_counted: dict[int, int] = {}  # run → phases that it had when this process let the server count


def renew(run: Run) -> None:
    """Let the server count whenever the run has doubled, and once a process. Belongs behind the commit."""
    if connection.vendor != "postgresql" or run.next_phase_number < max(_LEAST, 2 * _counted.get(run.pk, 0)):
        return
    with connection.cursor() as cursor:
        cursor.execute(f"ANALYZE {', '.join(map(connection.ops.quote_name, _TABLES))}")
    _counted[run.pk] = run.next_phase_number
