"""The sequencer on a real database, wall time: candidates placed and scored a second, matching and relaxation excluded.

Each database is measured in a process of its own, on a data folder of its own. Candidates of one formula lie so far
apart that none has to be matched with another; about 6 % are stable on arrival. A new run places them all again.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from benchmark.databases import in_a_process, on_each

QUICK, USUAL, FULL = 500, 20_000, 1_000_000  # candidates

MEANINGS = {
    f"{figure}_{database}": meaning.format(name)
    for database, name in (("sqlite", "SQLite"), ("postgresql", "PostgreSQL"))
    for figure, meaning in (
        ("placed_per_s", "candidates/s of the clock, placed and scored on {}"),
        ("placed_per_s_without_hull", "the same, the time that the hull takes left out"),
        ("hull_share", "of that time, in the hull store"),
        ("new_run_placed_per_s", "candidates/s of the clock, in another run of the season, opening it included"),
        ("cold_start_s", "s of the clock until a sequencer that starts anew places something, its hull from disk"),
        ("placed", "candidates placed"),
        ("stable_share", "of the candidates, stable on arrival"),
    )
}


def measure(*, quick: bool, full: bool, say: Callable[[str], None]) -> dict[str, float]:
    """On each database that there is. Raises databases.Failed."""
    count = FULL if full else QUICK if quick else USUAL
    return on_each(partial(_measured, count, say), say)


def _measured(count: int, say: Callable[[str], None], database: str, url: str | None) -> dict[str, float]:
    """The figures of one process, with the name of the database behind each."""
    say(f"{count:,} candidates on {database}")
    found = in_a_process("benchmark.place_once", str(count), url=url)
    return {f"{name}_{database}": value for name, value in found.items()}
