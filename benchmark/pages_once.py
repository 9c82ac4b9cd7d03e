"""One process's part of ``benchmark.pages``: ``python -m benchmark.pages_once COUNT CLIENTS THINK_S SECONDS``.

The figures are JSON on stdout. The environment names the database and the data folder.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("PLAIN_STATIC", "1")

import django

django.setup()

from django.conf import settings  # noqa: E402 - all of these need the set-up above
from django.core.management import call_command  # noqa: E402
from django.db import connection  # noqa: E402
from django.test import Client  # noqa: E402
from django.test.utils import CaptureQueriesContext, override_settings  # noqa: E402

from benchmark.addresses import ORGANISER, PARTICIPANT, Address, addresses  # noqa: E402
from benchmark.filled import Filled, fill  # noqa: E402
from benchmark.visiting import Answers, ask_all, ask_once  # noqa: E402
from philately.management.commands.up import web_command  # noqa: E402
from philately.models import Batch, Candidate, Phase, User  # noqa: E402
from philately.queries.positions import on_hull  # noqa: E402
from philately.states import CandidateState  # noqa: E402

_SMALL = 1000  # candidates of the season that queries are compared with
_LIMIT_MS = 300.0
_VARIES = {"batch_under_way"}  # makes an estimate where something of the batch is to be relaxed still
_ROUNDS = 3  # before the clock starts: figures that are kept are counted


def main(count: int, n_clients: int, think_s: float, seconds: float) -> dict[str, float]:
    call_command("migrate", verbosity=0)
    small = fill(min(_SMALL, count), Path(settings.DATA_DIR), slug="small", seed=1)
    few = _queries(small)
    began = time.perf_counter()
    large = fill(count, Path(settings.DATA_DIR), slug="large")
    loaded_s = time.perf_counter() - began
    many = _queries(large)
    pages = addresses(named(large))
    with _web_server() as port:
        cookies = _cookies(large)
        counted_s = ask_once(port, [page for page in pages if page.name == "leaderboard"], cookies)
        for _ in range(_ROUNDS):
            ask_once(port, pages, cookies)
        answers = ask_all(port, pages, cookies, n_clients=n_clients, seconds=seconds, think_s=think_s)
    return {
        "candidates": float(sum(large.states.values())),
        "loaded_per_s": count / loaded_s,
        **_figures(answers, seconds),
        **{f"{name}_queries": float(n) for name, n in many.items()},
        "pages_with_more_queries": float(sum(n > few[name] for name, n in many.items() if name not in _VARIES)),
        "counted_each_time_ms": 1000 * counted_s.percentile("leaderboard", 0.5),
        "speedup_over_counting": counted_s.percentile("leaderboard", 0.5) / answers.percentile("leaderboard", 0.5),
    }


def _figures(answers: Answers, seconds: float) -> dict[str, float]:
    figures: dict[str, float] = {}
    for name in answers.took_s:
        figures[f"{name}_p50_ms"] = 1000 * answers.percentile(name, 0.5)
        figures[f"{name}_p95_ms"] = 1000 * answers.percentile(name, 0.95)
    slowest = [value for name, value in figures.items() if name.endswith("_p95_ms")]
    n_answers = sum(map(len, answers.took_s.values()))
    return {
        "answers": float(n_answers),
        "answers_per_s": n_answers / seconds,
        "slowest_p95_ms": max(slowest),
        "over_300_ms": float(sum(value > _LIMIT_MS for value in slowest)),
        **figures,
    }


def named(filled: Filled) -> dict[str, Any]:
    """What the paths name: of the largest batch, of its owner, and of the latest that is under way; and the system of
    the latest find on the hull, so that each season's page has one."""
    season = filled.season
    mine = Candidate.objects.filter(batch=filled.largest).order_by("arrival")
    waiting = Candidate.objects.filter(season=season, state=CandidateState.RELAXED).order_by("arrival")[0]
    placed = mine.filter(state=CandidateState.PLACED)[0]
    found = on_hull(season.official_run).filter(first_candidate__isnull=False).order_by("-number")[0]
    middle = Phase.objects.filter(run=season.official_run).order_by("-number")[0]
    return {
        "season": season.slug,
        "batch": filled.largest.pk,
        "candidate": placed.pk,
        "arrival": placed.arrival + (filled.largest.n_counted or 0) // 2,
        "waiting": waiting.pk,
        "waiting_batch": waiting.batch_id,
        "system": found.chemical_system,
        "formula": middle.formula,
    }


def accounts(filled: Filled) -> dict[str, User]:
    """The participant owns what is looked at."""
    User.objects.filter(pk=filled.organiser.pk).update(is_staff=True, is_superuser=True)
    owner, under_way = filled.largest.owner, int(named(filled)["waiting_batch"])
    Batch.objects.filter(pk=under_way).update(owner=owner)
    return {PARTICIPANT: owner.user, ORGANISER: filled.organiser}


def _cookies(filled: Filled) -> dict[str, str]:
    cookies = {}
    for who, user in accounts(filled).items():
        client = Client()
        client.force_login(user)
        cookies[who] = client.cookies["sessionid"].value
    return cookies


def _queries(filled: Filled) -> dict[str, int]:
    """By page, where everything is counted when it is asked for."""
    visitor = Client(SERVER_NAME="localhost")
    clients: dict[str, Client] = {}
    for who, user in accounts(filled).items():
        clients[who] = Client(SERVER_NAME="localhost")
        clients[who].force_login(user)
    with override_settings(FIGURES_KEPT_FROM_S=1e9):
        return {page.name: _queries_of(clients.get(page.who, visitor), page) for page in addresses(named(filled))}


def _queries_of(client: Client, page: Address) -> int:
    with CaptureQueriesContext(connection) as captured:
        answer = client.get(page.path)
        if answer.streaming:
            next(iter(answer))
    if answer.status_code != 200:
        raise RuntimeError(f"{page.path} answered {answer.status_code}")
    return len(captured)


@contextmanager
def _web_server() -> Iterator[int]:
    """The port of one that runs as in production, but limits nobody: all clients are a few accounts at one address."""
    call_command("collectstatic", interactive=False, verbosity=0)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    unlimited = {f"LIMIT_{name}": "0" for name in settings.LIMITS}
    server = subprocess.Popen(web_command("127.0.0.1", port), stdout=sys.stderr, env={**os.environ, **unlimited})
    try:
        _wait_for(port, server)
        yield port
    finally:
        server.terminate()
        server.wait(timeout=60)


def _wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        if server.poll() is not None:
            break
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise RuntimeError("the web server did not start")


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4]))))
