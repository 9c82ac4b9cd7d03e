"""One process's part of ``benchmark.place``: ``python -m benchmark.place_once COUNT``, the figures as JSON on stdout.

The environment names the database and the data folder.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any

import django

django.setup()

from django.conf import settings  # noqa: E402 - all of these need the set-up above
from django.core.management import call_command  # noqa: E402
from django.db import connection  # noqa: E402

from benchmark.seasons import fill, make  # noqa: E402
from hull.entries import Formula  # noqa: E402
from hull.store import HullStore  # noqa: E402
from philately.domain import place  # noqa: E402
from philately.domain.evaluations import Plan, evaluate, open_evaluation  # noqa: E402
from philately.models import Candidate, Placement, Season  # noqa: E402
from philately.states import CandidateState  # noqa: E402
from validation.placing import Fold  # noqa: E402
from validation.rules import Points, Rules  # noqa: E402
from validation.verdicts import Arrival, Verdict  # noqa: E402

_OF_THE_HULL = ("position", "insert", "point", "e_above_hull")


class Clock:
    """Seconds of the clock spent in methods that it is put on, those that they call counted once."""

    def __init__(self) -> None:
        self.spent_s, self._depth = 0.0, 0

    def put_on(self, owner: type, name: str) -> None:
        method = getattr(owner, name)

        @wraps(method)
        def timed(*given: Any, **named: Any) -> Any:
            started = time.perf_counter()
            self._depth += 1
            try:
                return method(*given, **named)
            finally:
                self._depth -= 1
                if not self._depth:
                    self.spent_s += time.perf_counter() - started

        setattr(owner, name, timed)


def main(count: int) -> dict[str, float]:
    call_command("migrate", verbosity=0)
    _warm_up()
    season = fill(make(count), Path(settings.DATA_DIR))
    last = Candidate.objects.filter(season=season).order_by("-arrival")[:1].get()
    Candidate.objects.filter(pk=last.pk).update(state=CandidateState.PARSED)  # for the cold start
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")  # as the server does by itself within a minute
    clock = Clock()
    for name in _OF_THE_HULL:
        clock.put_on(HullStore, name)
    took_s = _seconds(lambda: _expect(place.place_waiting(season.pk), count - 1))
    hull_s = clock.spent_s
    place.leave()
    again_s = _seconds(lambda: _place_again(season))
    stable = Placement.objects.filter(run=season.official_run, verdict=Verdict.STABLE).count()
    return {
        "placed_per_s": (count - 1) / took_s,
        "placed_per_s_without_hull": (count - 1) / (took_s - hull_s),
        "hull_share": hull_s / took_s,
        "new_run_placed_per_s": (count - 1) / again_s,
        "cold_start_s": _cold_start_s(season, last),
        "placed": float(count),
        "stable_share": stable / count,
    }


def _warm_up() -> None:
    """Have everything compiled: a few dozen placements in memory."""
    made = make(60)
    fold = Fold.on(made.release, Rules())
    for number, (formula, energy) in enumerate(zip(made.formulas, made.energies_per_atom, strict=True)):
        fold.place(Arrival(number, 1, Formula.parse(formula), energy, crystal=_nothing))
    fold.hull.lower(1, made.release.phases[0].energy_per_atom - 1e-3)


def _nothing() -> Any:
    raise AssertionError("nothing is to be matched")


def _place_again(season: Season) -> None:
    rules = replace(Rules(), points=Points(stable=20.0))
    run = open_evaluation(season, Plan(release=season.official_run.release, rules=rules))  # type: ignore[union-attr]
    evaluate(run)
    _expect(run.placements.count(), season.official_run.placements.count())  # type: ignore[union-attr]


def _cold_start_s(season: Season, last: Candidate) -> float:
    """Until one more is placed by a process that has placed nothing yet, after an orderly end of the one before."""
    place.forget()
    Candidate.objects.filter(pk=last.pk).update(state=CandidateState.RELAXED)
    return _seconds(lambda: _expect(place.place_waiting(season.pk), 1))


def _seconds(deed: Callable[[], None]) -> float:
    started = time.perf_counter()
    deed()
    return time.perf_counter() - started


def _expect(found: int, expected: int) -> None:
    if found != expected:
        raise RuntimeError(f"{found} candidates were placed, not {expected}")


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]))))
