"""How the platform is, as metric families: what ``/metrics`` and ``manage.py status`` show.

Everything comes from rows, which all processes share, so it is true whichever process is asked. Nothing here grows with
what a season holds: queues, failures and holds are counted, each in an index of its own, and the rest is one look at an
index's end. Counting a long queue takes time, so what was found is remembered (``remembered``). Ages are by the
database's clock.
"""

import threading
import time
from dataclasses import dataclass

from prometheus_client import Metric

from philately.queries.disks import disks
from philately.queries.figures import family
from philately.queries.season_vitals import of_seasons, seasons_now
from philately.queries.work_vitals import of_locks, of_scales, of_tallies, of_the_rest

SHARE = 0.05  # of one process's time goes into counting, at most


def families() -> list[Metric]:
    """The same number of queries whatever there is."""
    seasons = seasons_now()
    return [*of_seasons(seasons), *of_scales(seasons), *of_locks(), *of_tallies(), *of_the_rest(), *_of_disks()]


@dataclass(frozen=True, slots=True)
class Remembered:
    """age_s: seconds since the families were read."""

    families: list[Metric]
    age_s: float


@dataclass(frozen=True, slots=True)
class _Made:
    families: list[Metric]
    at: float
    took_s: float


_made: _Made | None = None
_one_at_a_time = threading.Lock()


def remembered(keep_s: float) -> Remembered:
    """The families as this process read them at most so long ago, or longer where reading took more than its share."""
    global _made
    with _one_at_a_time:
        if _made is None or time.monotonic() - _made.at > max(keep_s, _made.took_s / SHARE):
            began = time.monotonic()
            found = families()
            _made = _Made(found, began, time.monotonic() - began)
        return Remembered(_made.families, time.monotonic() - _made.at)


def forget() -> None:
    """As in a process that was not asked yet."""
    global _made
    _made = None


def _of_disks() -> list[Metric]:
    found = disks()
    return [
        family(
            "disk_free_bytes", "Free space where this server keeps files.", ("folder",), ((k, f) for k, f, _ in found)
        ),
        family("disk_free_ratio", "The same as a share of the disk.", ("folder",), ((k, f / n) for k, f, n in found)),
    ]
