"""A whole season on its real processes, wall time: from the upload to the dump, with a potential that costs little.

`manage.py up` with a parse worker, two relax workers, a place worker and the sweeper, on SQLite with the filesystem
broker and, where both answer, on PostgreSQL with RabbitMQ. The structures are strained close-packed compounds that the
Morse potential relaxes in some dozen steps; each is another one. Beside them, in the same run, what one would write
without a platform: a loop of pymatgen's CifParser, ASE's FIRE on the same potential, and pymatgen's PhaseDiagram.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from uuid import uuid4

from kombu import Connection
from kombu.exceptions import OperationalError

from benchmark.databases import Figures, in_a_process, on_each

RABBITMQ = "amqp://guest:guest@127.0.0.1:5672//"  # or what BENCHMARK_BROKER_URL names
QUEUES = ("parse", "relax", "place")
_SIZES = {  # structures of an upload, and rows that are there already when one comes
    "quick": (60, (0, 1000)),
    "usual": (2000, (10_000, 100_000)),
    "full": (2000, (10_000, 1_000_000)),
}

MEANINGS = {
    f"{figure}_{database}": meaning.format(name)
    for database, name in (("sqlite", "SQLite + filesystem"), ("postgresql", "PostgreSQL + RabbitMQ"))
    for figure, meaning in (
        ("candidates_per_s", "candidates/s of the clock through all three phases, {}"),
        ("candidates_per_s_without_relaxation", "the same where each relaxation is a known fact: phases 1 and 3, {}"),
        ("own_cpu_ms_per_candidate", "ms of CPU of all our processes, potential and optimiser left out, {}"),
        ("share_parse", "of our processes' CPU time: intake, reading, checks, twins, {}"),
        ("share_relax", "claims, facts, symmetry, fingerprints, comparisons of relax workers, {}"),
        ("share_potential", "potential and optimiser, {}"),
        ("share_place", "the sequencer, {}"),
        ("share_sweep", "the sweeper, {}"),
        ("place_alone_per_s", "rows/s that wait for their turn placed by the running sequencer, {}"),
        ("dump_s", "s of the clock, the dump of the season with the fewest rows, {}"),
        ("slowdown_1e4_to_1e5", "x: rate without relaxation at 1e4 rows over that at 1e5, {}"),
        ("slowdown_1e4_to_1e6", "x: rate without relaxation at 1e4 rows over that at 1e6, {}"),
        ("slowdown_quick", "x: the same for some hundred rows, for errors only, {}"),
        ("speedup_over_script", "x: all three phases against a loop of pymatgen and ASE, {}"),
        ("script_per_s", "candidates/s of that loop, one process, {}"),
        ("placed", "candidates placed through all three phases, {}"),
        ("stable_share", "of these, stable on arrival, {}"),
    )
}


def measure(*, quick: bool, full: bool, say: Callable[[str], None]) -> Figures:
    """SQLite always, PostgreSQL and RabbitMQ where both answer. Raises databases.Failed."""
    extent = "full" if full else "quick" if quick else "usual"
    count, rows = _SIZES[extent]

    def measured(database: str, url: str | None) -> Figures:
        broker = {} if url is None else _rabbitmq()
        if broker is None:
            say("PostgreSQL with RabbitMQ is not measured: no RabbitMQ answers")
            return {}
        say(f"{count:,} structures a time on {database}, among up to {rows[-1]:,}")
        try:
            asked = (str(count), *map(str, rows))
            found = in_a_process(
                "benchmark.season_once", *asked, url=url, **(broker or {"BROKER_URL": "filesystem://"})
            )
        finally:
            _delete_queues(broker)
        name = "slowdown_quick" if quick else f"slowdown_1e4_to_1e{len(str(rows[-1])) - 1}"
        found[name] = found.pop("slowdown")
        return {f"{figure}_{database}": value for figure, value in found.items()}

    return on_each(measured, say)


def _rabbitmq() -> dict[str, str] | None:
    """Queues of this measurement's own; None where no broker answers."""
    url = os.environ.get("BENCHMARK_BROKER_URL", RABBITMQ)
    try:
        with Connection(url, connect_timeout=3) as connection:
            connection.connect()
    except (OperationalError, OSError):
        return None
    return {"BROKER_URL": url, "QUEUE_PREFIX": f"benchmark-{uuid4().hex[:8]}-"}


def _delete_queues(broker: dict[str, str] | None) -> None:
    if broker:
        with Connection(broker["BROKER_URL"]) as connection, connection.channel() as channel:
            for queue in QUEUES:
                channel.queue_delete(f"{broker['QUEUE_PREFIX']}{queue}")
