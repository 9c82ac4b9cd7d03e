"""The dump of a large season, wall time and memory, beside rows that Django's ORM reads and pandas writes.

Every candidate is a phase of its own. The dump's time holds everything: building the hull from the rows, a distance and
a decomposition of each phase, checksums. The ORM's rows are fewer, and have neither.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from benchmark.databases import Figures, in_a_process, on_each

QUICK, USUAL, FULL = 1_000, 100_000, 1_000_000  # phases

MEANINGS = {
    f"{figure}_{database}": meaning.format(name)
    for database, name in (("sqlite", "SQLite"), ("postgresql", "PostgreSQL"))
    for figure, meaning in (
        ("rows", "phases in the dump, those of the release included, {}"),
        ("rows_per_s", "phases/s of the clock, from the rows to a checksummed dump, {}"),
        ("peak_rss_mb", "largest memory of the process that writes it, {}"),
        ("size_mb", "of phases.parquet, {}"),
        ("orm_rows", "phases that the ORM reads and pandas writes, {}"),
        ("orm_rows_per_s", "phases/s of the clock, the ORM and pandas, {}"),
        ("orm_peak_rss_mb", "largest memory of that process, {}"),
        ("speedup_over_orm", "of the dump over the ORM and pandas, {}"),
    )
}


def measure(*, quick: bool, full: bool, say: Callable[[str], None]) -> Figures:
    """On each database that there is. Raises databases.Failed."""
    count = FULL if full else QUICK if quick else USUAL
    return on_each(partial(_measured, count, say), say)


def _measured(count: int, say: Callable[[str], None], database: str, url: str | None) -> Figures:
    """The figures of one process, with the name of the database behind each."""
    say(f"{count:,} phases on {database}")
    found = in_a_process("benchmark.dump_once", str(count), url=url)
    return {f"{name}_{database}": value for name, value in found.items()}
