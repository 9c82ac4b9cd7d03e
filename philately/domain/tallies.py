"""Writing down what a process counted, so that whichever process is asked knows of all of them.

Counts are added in the database, never set, so any number of processes may do so. One that is killed loses what it had
not written down: these are for monitoring, and nothing else reads them.
"""

import logging
import time

from django.db import DatabaseError
from django.db.models import F
from django.db.models.functions import Now

from philately import counted
from philately.models import Tally

log = logging.getLogger(__name__)

KEEP_EVERY_S = 10.0

_kept_at = 0.0


def keep() -> None:
    """Write down everything that was counted; what the database does not take stays counted."""
    global _kept_at
    _kept_at = time.monotonic()
    taken = counted.take()
    for name, label in sorted(taken):
        try:
            _add(name, label, taken[name, label])
        except DatabaseError as error:
            counted.count(name, label, taken[name, label])
            log.warning("the count of %s %s is written down later, the database refused: %s", name, label, error)


def keep_when_due() -> None:
    """The same, but not more often than every few seconds: all workers write the same rows."""
    if time.monotonic() - _kept_at > KEEP_EVERY_S:
        keep()


def swept() -> None:
    """The sweeper's sign of life."""
    counted.count("sweeps")
    keep()


def _add(name: str, label: str, number: int) -> None:
    row = Tally.objects.filter(name=name, label=label)
    changes = {"count": F("count") + number, "changed_at": Now()}
    if not row.update(**changes):
        Tally.objects.bulk_create([Tally(name=name, label=label)], ignore_conflicts=True)
        row.update(**changes)
