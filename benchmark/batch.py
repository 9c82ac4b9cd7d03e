"""Phase 1 of one large batch on a real database, wall time: taken in, read, checked and searched for twins.

Two worker processes, each with one child that reads, as on a machine with two cores. Every structure is another one,
made by the benchmark; one in a hundred is sent twice.
"""

from __future__ import annotations

from collections.abc import Callable

from benchmark.databases import Figures, in_a_process, on_each

QUICK, USUAL, FULL = 500, 20_000, 100_000  # structures

MEANINGS = {
    f"{figure}_{database}": meaning.format(name)
    for database, name in (("sqlite", "SQLite"), ("postgresql", "PostgreSQL"))
    for figure, meaning in (
        ("batch_structures", "structures in the batch, {}"),
        ("rejected", "of them that a check refused, {}"),
        ("taken_in_per_s", "structures/s of the clock, from the archive into candidates, {}"),
        ("read_and_matched_per_s", "structures/s of the clock, read, checked, searched for twins by two workers, {}"),
        ("twins_missed", "of those that were sent twice, {}"),
        ("peak_intake_mb", "largest memory of the process that takes the batch in, {}"),
        ("peak_worker_mb", "largest memory of a worker, {}"),
        ("peak_child_mb", "largest memory of a child that reads, {}"),
    )
}


def measure(*, quick: bool, full: bool, say: Callable[[str], None]) -> Figures:
    """SQLite always, PostgreSQL where one answers. Raises databases.Failed."""
    count = FULL if full else QUICK if quick else USUAL

    def measured(database: str, url: str | None) -> Figures:
        say(f"a batch of {count:,} structures on {database}")
        found = in_a_process("benchmark.batch_once", str(count), url=url)
        return {f"{name}_{database}": value for name, value in found.items()}

    return on_each(measured, say)
