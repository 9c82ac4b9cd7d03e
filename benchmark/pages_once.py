"""One process's part of ``benchmark.pages``: ``python -m benchmark.pages_once COUNT CLIENTS THINK_S ROUNDS``.

COUNT 0: the database was filled before. The figures are JSON on stdout. The environment names the database and the data
folder, and configures the platform.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import django

django.setup()

from django.conf import settings  # noqa: E402 - all of these need the set-up above
from django.core.management import call_command  # noqa: E402
from django.db import connection  # noqa: E402
from django.test.utils import CaptureQueriesContext, override_settings  # noqa: E402

from benchmark.addresses import BLIND, OPEN, Address, addresses  # noqa: E402
from benchmark.filled import Filled, fill, filled_before  # noqa: E402
from benchmark.visited import Headers, ask, blind, headers_of, named, prepare  # noqa: E402
from benchmark.visiting import Answers, ask_all, ask_alone, ask_once  # noqa: E402
from benchmark.web_server import WebServer, web_server  # noqa: E402

_SMALL = 20_000  # candidates of the season that queries are compared with; its largest batch has every outcome
_LIMIT_MS = 300.0
_WARM_UP = 8  # clients before the clock starts: each process of the server counts the figures that it keeps
_ALONE = 5  # times


def main(count: int, n_clients: int, think_s: float, rounds: int) -> dict[str, float]:
    call_command("migrate", verbosity=0)
    call_command("collectstatic", interactive=False, verbosity=0)
    small = _season("small", min(_SMALL, count), seed=1)
    few = _queries(small)
    began = time.perf_counter()
    large = _season("large", count, seed=0)
    loaded_s = time.perf_counter() - began
    many = _queries(large)
    others = {name: (few[name], n) for name, n in many.items() if n != few[name]}
    if others:
        print(f"queries in the small season and in the large one: {others}", file=sys.stderr)
    with web_server() as server:
        figures = _visits(large, server, n_clients, think_s, rounds)
    return {
        "candidates": float(sum(large.states.values())),
        **({"loaded_per_s": count / loaded_s} if count else {}),
        "pages_with_other_queries": float(len(others)),
        **{f"{name}_queries": float(n) for name, n in many.items()},
        **figures,
    }


def _season(slug: str, count: int, *, seed: int) -> Filled:
    """With what is looked at beside its rows."""
    filled = fill(count, Path(settings.DATA_DIR), slug=slug, seed=seed) if count else filled_before(slug)
    prepare(filled)
    return filled


def _ways(filled: Filled) -> Iterator[list[Address]]:
    """The pages of the open season, and those of the same season while it is blind."""
    yield addresses(named(filled), OPEN)
    with blind(filled):
        yield addresses(named(filled), BLIND)


def _queries(filled: Filled) -> dict[str, int]:
    """By page, where everything is counted when it is asked for."""
    headers = headers_of(filled)
    with override_settings(FIGURES_KEPT_FROM_S=1e9):
        return {page.name: _queries_of(page, headers[page.who]) for pages in _ways(filled) for page in pages}


def _queries_of(page: Address, headers: Headers) -> int:
    """The second time: the first may look up what a process keeps for good, as kinds of content."""
    ask(page, headers)
    with CaptureQueriesContext(connection) as captured:
        answer = ask(page, headers)
        if answer.streaming:
            next(iter(answer))
    return len(captured)


def _visits(filled: Filled, server: WebServer, n_clients: int, think_s: float, rounds: int) -> dict[str, float]:
    """Each page alone, then all of them by all clients."""
    headers, answers, cpu_s, counted_s = headers_of(filled), Answers(), dict[str, float](), 0.0
    for pages in _ways(filled):
        counted_s += sum(ask_once(server.port, pages, headers).took_s["leaderboard"])
        ask_all(server.port, pages, headers, n_clients=_WARM_UP, rounds=1, think_s=0.0)
        cpu_s |= ask_alone(server.port, pages, headers, times=_ALONE, server=server.process)
        answers.add(ask_all(server.port, pages, headers, n_clients=n_clients, rounds=rounds, think_s=think_s))
    return {
        **_figures(answers),
        **{f"{name}_cpu_ms": 1000 * seconds for name, seconds in cpu_s.items()},
        "cpu_ms": 1000 * sum(cpu_s.values()) / len(cpu_s),
        "counted_each_time_ms": 1000 * counted_s,
        "speedup_over_counting": counted_s / answers.percentile("leaderboard", 0.5),
    }


def _figures(answers: Answers) -> dict[str, float]:
    figures: dict[str, float] = {}
    for name in answers.took_s:
        figures[f"{name}_p50_ms"] = 1000 * answers.percentile(name, 0.5)
        figures[f"{name}_p95_ms"] = 1000 * answers.percentile(name, 0.95)
    slowest = [value for name, value in figures.items() if name.endswith("_p95_ms")]
    n_answers = sum(map(len, answers.took_s.values()))
    return {
        "answers": float(n_answers),
        "answers_per_s": n_answers / answers.seconds,
        "slowest_p95_ms": max(slowest),
        "over_300_ms": float(sum(value > _LIMIT_MS for value in slowest)),
        **figures,
    }


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]))))
