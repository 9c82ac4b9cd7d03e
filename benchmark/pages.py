"""Every page of a season with rows by the million, asked for by 20 clients at once, wall time.

The web server runs as in production, on a loopback port, on PostgreSQL with two processes; each client reads for a
while (--think-s) between two pages. The same pages are counted in queries on a small season beside it, and in the
server's CPU time while nobody else asks. Each database is measured in processes of its own.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import partial

from benchmark.addresses import NAMES
from benchmark.databases import Figures, in_a_process, on_each
from benchmark.production import production

QUICK, USUAL, FULL = 2_000, 100_000, 1_000_000  # candidates

_DATABASES = (("sqlite", "SQLite"), ("postgresql", "PostgreSQL"), ("given", "the given database"))
_OF_EACH = {
    "candidates": "candidates in the season, {}",
    "loaded_per_s": "candidates/s of the clock, written with all that belongs to them, {}",
    "answers": "answers that were timed, {}",
    "answers_per_s": "answers/s of the clock, {}",
    "slowest_p95_ms": "ms, 95th percentile of the page where that is largest, {}",
    "over_300_ms": "pages whose 95th percentile is above 300 ms, {}",
    "pages_with_other_queries": "pages that take another number of queries here than in the small season, {}",
    "cpu_ms": "ms of CPU of the web server an answer, mean of all pages alone, {}",
    "counted_each_time_ms": "ms, the leaderboard counted when it is asked for, {}",
    "speedup_over_counting": "the same over the leaderboard's median here, {}",
}
_OF_PAGES = {
    "p50_ms": "ms, median of {page}, {{}}",
    "p95_ms": "ms, 95th percentile of {page}, {{}}",
    "cpu_ms": "ms of CPU of the web server for {page} alone, {{}}",
    "queries": "queries of {page}, {{}}",
}
MEANINGS = {
    f"{figure}_{database}": meaning.format(title)
    for database, title in _DATABASES
    for figure, meaning in (
        *_OF_EACH.items(),
        *((f"{page}_{figure}", text.format(page=page)) for page in NAMES for figure, text in _OF_PAGES.items()),
    )
}


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rows", type=int, help="candidates in the season")
    parser.add_argument("--database", metavar="URL", help="measure in this empty database alone, and leave it filled")
    parser.add_argument("--filled", action="store_true", help="an earlier run has filled the database: only visit it")
    parser.add_argument("--think-s", type=float, default=1.0, help="how long a client reads a page, on average")
    parser.add_argument("--rounds", type=int, default=3, help="how often each of the clients opens each page")


def measure(
    *,
    quick: bool,
    full: bool,
    say: Callable[[str], None],
    rows: int | None = None,
    database: str | None = None,
    filled: bool = False,
    think_s: float = 1.0,
    rounds: int = 3,
) -> Figures:
    """SQLite always, PostgreSQL where one answers; or the given database. Where that was filled before, queries are
    compared with a small season that has the large one beside it. Raises ValueError where no database is named that
    could be filled, and databases.Failed."""
    if filled and database is None:
        raise ValueError("--filled goes with --database")
    count = 0 if filled else rows or (FULL if full else QUICK if quick else USUAL)
    how = (count, 3, 0.05, 1) if quick else (count, 20, think_s, rounds)
    measured = partial(_measured, how, say)
    return measured("given", database) if database else on_each(measured, say)


def _measured(how: Sequence[float], say: Callable[[str], None], database: str, url: str | None) -> Figures:
    say(f"{how[0]:,} candidates on {database}" if how[0] else f"what is there on {database}")
    several = url is not None and not url.startswith("sqlite")
    found = in_a_process("benchmark.pages_once", *map(str, how), url=url, **production(several=several))
    return {f"{name}_{database}": value for name, value in found.items()}
