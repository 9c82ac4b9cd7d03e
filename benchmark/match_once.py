"""One database's part of ``benchmark.match``: ``python -m benchmark.match_once FEWEST MOST ONE_FORMULA EVERY``.

The environment names the database and the data folder; the figures go to stdout as JSON. Stored fingerprints have no
candidates: the foreign keys are not enforced in this database, for a million candidates would measure nothing more.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import django

django.setup()

import numpy as np  # noqa: E402 - all of these need the set-up above
from django.conf import settings  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connection, transaction  # noqa: E402

from benchmark.allotropes import packings  # noqa: E402
from benchmark.cifs import corpus, made  # noqa: E402
from benchmark.machine import peak_rss_mb  # noqa: E402
from benchmark.seasons import fill, make  # noqa: E402
from benchmark.stored_fingerprints import Stock, Wanted, varied  # noqa: E402
from hull.entries import SYMBOLS  # noqa: E402
from philately.domain import bulk, likenesses  # noqa: E402
from philately.models import InitialFingerprint  # noqa: E402
from validation.acceptance import accept_initial  # noqa: E402
from validation.crystal import Crystal  # noqa: E402
from validation.fingerprint import Limits  # noqa: E402
from validation.matching import Description, is_match  # noqa: E402
from validation.rules import Rejected, Rules  # noqa: E402

RULES = Rules(max_atoms=200)
LIMITS = Limits.of(RULES.twin)
KNOWN_ELEMENTS = frozenset(SYMBOLS)
_CHUNK = 500  # as domain/twins.py has it
_LOADED = 20_000  # rows a statement
_BASE = 1_000_000_000  # first candidate of the stored rows; those that are read are numbered from 1
_PASSES = 2  # the faster one counts
_VARIANTS = 400  # allotropes of which the crowd is made


@dataclass(slots=True)
class Spent:
    """Seconds: of CPU time, of the clock, and of CPU time to write and look up."""

    cpu_s: float = 0.0
    clock_s: float = 0.0
    look_up_s: float = 0.0
    structures: int = 0
    stored_twins: int = 0  # structures with a twin among the stored rows
    twins: int = 0  # among what was read before


def main(fewest: int, most: int, one_formula: int, every: int) -> dict[str, float]:
    call_command("migrate", verbosity=0)
    season = fill(make(0), Path(settings.DATA_DIR)).pk
    _enforce_no_foreign_keys()
    bulk.make_room()
    texts = [cif.text for cif in corpus()[::every] or made(1_000 if every == 1 else 20)]
    crystals = [crystal for crystal in map(_accepted, texts) if crystal is not None]
    stock = Stock(crystals, [Description.of(crystal, RULES.twin).fingerprints[0] for crystal in crystals], _BASE)
    spent: dict[int, Spent] = {}
    started = time.perf_counter()
    for count in (fewest, most):
        _load(season, stock.rows(count))
        if count == most:
            load_s = time.perf_counter() - started
        spent[count] = min((_read_and_match(season, texts, stock) for _ in range(_PASSES)), key=lambda one: one.cpu_s)
    large, small = spent[most], spent[fewest]
    return {
        "structures_per_s_per_core": large.structures / large.cpu_s,
        "structures_per_s": large.structures / large.clock_s,
        "server_share": 1.0 - large.cpu_s / large.clock_s,
        "slowdown_1e4_to_1e6": large.cpu_s / small.cpu_s,
        "look_up_share": large.look_up_s / large.cpu_s,
        "stored": len(stock.shapes),
        "load_s": load_s,
        "stored_twins": stock.twins,
        "stored_twins_found": large.stored_twins,
        "twins_found": large.twins,
        **_one_formula(season, one_formula),
        "peak_memory_mb": peak_rss_mb(),
    }


def _accepted(text: str) -> Crystal | None:
    try:
        return accept_initial(text, RULES, KNOWN_ELEMENTS)
    except Rejected:
        return None


def _read_and_match(season: int, texts: Sequence[str], stock: Stock) -> Spent:
    """Everything from text to verdict; what is written is undone at the end."""
    spent, read = Spent(), dict[int, Crystal]()
    with transaction.atomic():
        for first in range(0, len(texts), _CHUNK):
            cpu, clock = time.process_time(), time.perf_counter()
            _match_chunk(season, list(enumerate(texts, start=1))[first : first + _CHUNK], stock, read, spent)
            spent.cpu_s += time.process_time() - cpu
            spent.clock_s += time.perf_counter() - clock
        transaction.set_rollback(True)
    return spent


def _match_chunk(
    season: int, texts: Sequence[tuple[int, str]], stock: Stock, read: dict[int, Crystal], spent: Spent
) -> None:
    """read: what was read before, by candidate; what is read here is added."""
    accepted = {candidate: _accepted(text) for candidate, text in texts}
    crystals = {candidate: crystal for candidate, crystal in accepted.items() if crystal is not None}
    read |= crystals
    descriptions = {candidate: Description.of(crystal, RULES.twin) for candidate, crystal in crystals.items()}
    wanted = [(candidate, one) for candidate, its in descriptions.items() for one in its.fingerprints]
    started = time.process_time()
    likenesses.write(season, wanted)
    near = likenesses.candidates_near(season, wanted, LIMITS)
    spent.look_up_s += time.process_time() - started
    for candidate, crystal in crystals.items():
        stored = [stock.crystal(other) for other in near.get(candidate, ()) if other >= stock.first]
        spent.stored_twins += any(is_match(crystal, other, RULES.twin) for other in stored)
        earlier = [read[other] for other in sorted(near.get(candidate, ())) if other < candidate]
        spent.twins += any(is_match(crystal, other, RULES.twin) for other in earlier)
    spent.structures += len(texts)


def _one_formula(season: int, count: int) -> dict[str, float]:
    """Look-ups among so many rows of one formula and one size of cell, of structures that are not among them."""
    dice = random.Random(2)
    crowd = packings(np.random.default_rng(2), (8, 9))
    kept, asked = (
        [Description.of(crystal, RULES.twin).fingerprints[0] for crystal in islice(crowd, some)]
        for some in (_VARIANTS, _CHUNK)
    )
    _load(season, ((2 * _BASE + n, varied(kept[n % len(kept)], 0.05, dice)) for n in range(count)))
    together = list(enumerate(asked, start=1))
    return {
        "rows_of_one_formula": count,
        "structures_per_s_one_formula_1e5": _look_ups_per_s(season, [together]),
        "structures_per_s_one_formula_1e5_singly": _look_ups_per_s(season, [[one] for one in together[:20]]),
    }


def _look_ups_per_s(season: int, some: Sequence[Sequence[Wanted]]) -> float:
    """Of CPU time."""
    started = time.process_time()
    for wanted in some:
        likenesses.candidates_near(season, wanted, LIMITS)
    return sum(map(len, some)) / (time.process_time() - started)


def _load(season: int, rows: Iterator[Wanted]) -> None:
    while some := list(islice(rows, _LOADED)):
        with transaction.atomic():
            likenesses.write(season, some)
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE")  # as the server does by itself within a minute


def _enforce_no_foreign_keys() -> None:
    table = connection.ops.quote_name(InitialFingerprint._meta.db_table)
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("PRAGMA foreign_keys = OFF")
            return
        for name, constraint in connection.introspection.get_constraints(cursor, table.strip('"')).items():
            if constraint["foreign_key"]:
                cursor.execute(f"ALTER TABLE {table} DROP CONSTRAINT {connection.ops.quote_name(name)}")


if __name__ == "__main__":
    print(json.dumps(main(*map(int, sys.argv[1:]))))
