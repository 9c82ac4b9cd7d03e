"""Figures that are counted over a whole season or batch, kept with the moment and the position that they stand for.

What was cheap to count last time is counted anew whenever it is asked for. What was costly is told as it was counted
last, and counted again in the background, so that nobody who reads a page waits for it: one figure at a time in a
process, each at most a fiftieth of the time, and with one core of the database's.
"""

import logging
import threading
import time
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic, TypeVar

from django.conf import settings
from django.core.cache import BaseCache, caches
from django.db import connection, transaction

log = logging.getLogger(__name__)

FigureT = TypeVar("FigureT")

_REST = 50  # times its cost, before a costly figure is counted again
_KEPT_S = 7 * 86_400.0
_GIVEN_UP_S = 600.0  # after which what was begun may be counted again

_background = ThreadPoolExecutor(max_workers=1, thread_name_prefix="figures")
_first_counts: dict[str, threading.Lock] = {}
_guard = threading.Lock()


@dataclass(frozen=True, slots=True)
class Remembered(Generic[FigureT]):
    """as_of: when it was counted; None where it is of this moment."""

    figure: FigureT
    as_of: datetime | None


@dataclass(frozen=True, slots=True)
class _Kept(Generic[FigureT]):
    """As it lies in the cache. counted_at: seconds since the epoch, when counting began."""

    figure: FigureT
    position: Hashable
    counted_at: float
    cost_s: float


def remembered(name: str, count: Callable[[], FigureT], *, position: Hashable = None) -> Remembered[FigureT]:
    """The figure of this name, from ``count``, which may be called in another thread.

    position: where all that the figure depends on stands, if that can be said; as long as it is the same, a figure that
    was kept is of this moment.
    """
    kept: _Kept[FigureT] | None = _cache().get(_key(name))
    if kept is None:
        kept = _counted_first(name, count, position)
        return Remembered(kept.figure, None)
    if kept.cost_s < settings.FIGURES_KEPT_FROM_S:
        return Remembered(_count(name, count, position, kept).figure, None)
    if position is not None and kept.position == position:
        return Remembered(kept.figure, None)
    if time.time() - kept.counted_at > _REST * kept.cost_s:
        _count_in_background(name, count, position)
    return Remembered(kept.figure, datetime.fromtimestamp(kept.counted_at, UTC))


def wait_for_counts() -> None:
    """Return once nothing is counted in the background of this process."""
    _background.submit(lambda: None).result()


def _count(
    name: str, count: Callable[[], FigureT], position: Hashable, before: _Kept[FigureT] | None = None
) -> _Kept[FigureT]:
    """Counted now. What is cheap again and again need not be written each time: nobody reads more than its cost."""
    began, clock = time.time(), time.perf_counter()
    kept = _Kept(count(), position, began, time.perf_counter() - clock)
    if before is None or max(kept.cost_s, before.cost_s) >= settings.FIGURES_KEPT_FROM_S:
        _cache().set(_key(name), kept, _KEPT_S)
    return kept


def _counted_first(name: str, count: Callable[[], FigureT], position: Hashable) -> _Kept[FigureT]:
    """Whoever comes while it is counted for the first time waits for it, and does not count it as well."""
    with _guard:
        lock = _first_counts.setdefault(name, threading.Lock())
    with lock:
        kept: _Kept[FigureT] | None = _cache().get(_key(name))
        kept = kept or _count(name, count, position)
    with _guard:
        _first_counts.pop(name, None)
    return kept


def _count_in_background(name: str, count: Callable[[], FigureT], position: Hashable) -> None:
    """Unless it is being counted already."""
    if _cache().add(_mark(name), 1, _GIVEN_UP_S):
        _background.submit(_count_and_let_go, name, count, position)


def _count_and_let_go(name: str, count: Callable[[], FigureT], position: Hashable) -> None:
    try:
        with transaction.atomic():
            if connection.vendor == "postgresql":
                with connection.cursor() as cursor:
                    cursor.execute("SET LOCAL max_parallel_workers_per_gather = 0")
            _count(name, count, position)
    except Exception:
        log.exception("the figure %s could not be counted; it stays as it was", name)
    finally:
        _cache().delete(_mark(name))
        connection.close()  # this thread's own


def _cache() -> BaseCache:
    """Of this process: a shared one holds JSON alone, and pages need not wait for a server that is away."""
    return caches["figures"]


def _key(name: str) -> str:
    return f"figure:{name}"


def _mark(name: str) -> str:
    return f"figure-in-hand:{name}"
