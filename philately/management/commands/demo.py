"""``manage.py demo``: the whole way once, on a real server, with the examples."""

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from argparse import ArgumentParser
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import requests
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db.models import Count

from hull.entries import Formula
from philately.domain.dumps import dump_season
from philately.models import Batch, Candidate, Season
from philately.queries import all_rows, leaderboard, view_of
from philately.service.browser import Participant
from philately.states import FINAL, BatchState, CandidateState

_PHASES = (
    ("reading", (CandidateState.RECEIVED, CandidateState.CHECKED)),
    ("waiting", (CandidateState.PARSED, CandidateState.FAILED)),
    ("relaxing", (CandidateState.RELAXING,)),
    ("in turn", (CandidateState.RELAXED,)),
    ("placed", (CandidateState.PLACED,)),
    ("rejected", (CandidateState.REJECTED,)),
    ("twins", (CandidateState.PARKED,)),
    ("set aside", (CandidateState.SET_ASIDE,)),
)


_LINE = "{:32}{:11}{:12}{:20}{:>11}{:>14}{:>8}"


class Command(BaseCommand):
    help = (
        "Start the platform, submit examples/first_batch.zip and examples/second_batch.zip as two participants through "
        "the upload page, show what becomes of them against the elements, write the dump and read it back. Wants a "
        "data folder of its own."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--keep", action="store_true", help="go on serving until Ctrl-C")
        parser.add_argument("--port", type=int, help="port of the web server (default: 8000, or a free one)")
        parser.add_argument("--time-limit", type=float, default=1200.0, metavar="SECONDS", help="give up after this")

    def handle(self, **options: Any) -> None:
        port = options["port"] or _free_port()
        address = f"http://127.0.0.1:{port}"
        command = [sys.executable, str(settings.BASE_DIR / "manage.py"), "up", "--port", str(port)]
        command += ["--practice-on", "elements"]  # where the examples' finds have something to find
        server = subprocess.Popen(command, env={"LOG_LEVEL": "WARNING", **os.environ, "OMP_NUM_THREADS": "1"})
        self._deadline = time.monotonic() + options["time_limit"]
        try:
            self._run(server, address)
            if options["keep"]:
                self._say(f"still serving {address}/ (Ctrl-C ends it)")
                server.wait()
        except KeyboardInterrupt:
            self._say("ending")
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(timeout=60)

    def _say(self, text: str = "") -> None:
        self.stdout.write(text)
        self.stdout.flush()

    def _run(self, server: subprocess.Popen[bytes], address: str) -> None:
        started = time.monotonic()
        self._wait_for(server, address)
        self._say(f"the platform answers after {time.monotonic() - started:.1f} s")
        season = Season.objects.get()
        for name, file in (("anna", "first_batch.zip"), ("boris", "second_batch.zip")):
            participant = Participant(address, name, secrets.token_urlsafe(12))
            participant.sign_up()
            path = settings.BASE_DIR / "examples" / file
            page = participant.upload(season.slug, path, method="prototypes", description="the project's examples")
            self._say(f"{name} submitted {file}: {page}")
        self._watch(server, season)
        self._say(f"everything judged {time.monotonic() - started:.0f} s after the start\n")
        for batch in season.batches.order_by("pk"):
            self._table(season, batch)
        self._leaderboard(season)
        self._dump(season)
        self._say(f"season's page: {address}/seasons/{season.slug}/")

    def _wait_for(self, server: subprocess.Popen[bytes], address: str) -> None:
        while time.monotonic() < self._deadline:
            if server.poll() is not None:
                raise CommandError(f"the server ended with {server.returncode}; its last lines stand above")
            if _answers(f"{address}/readyz"):
                return
            time.sleep(0.2)
        raise CommandError("the server does not answer")

    def _watch(self, server: subprocess.Popen[bytes], season: Season) -> None:
        """Progress by phase, a line whenever it changes, until every candidate is final."""
        shown = ""
        started = time.monotonic()
        while time.monotonic() < self._deadline:
            if server.poll() is not None:
                raise CommandError(f"the server ended with {server.returncode}")
            counts = dict(
                Candidate.objects.filter(season=season).values_list("state").annotate(n=Count("pk")).order_by("state")
            )
            line = " · ".join(f"{label} {sum(counts.get(state, 0) for state in states)}" for label, states in _PHASES)
            if line != shown:
                shown = line
                self._say(f"{time.monotonic() - started:6.1f} s  {line}")
            read = not season.batches.filter(state=BatchState.UPLOADED).exists()
            if read and set(counts) <= {str(state) for state in FINAL}:
                return
            problem = Season.objects.values_list("scale__problem", flat=True).get(pk=season.pk)
            if problem:
                raise CommandError(f"relaxation is paused: {problem}")
            time.sleep(0.5)
        raise CommandError("not finished in time; the lines above say where it stands")

    def _table(self, season: Season, batch: Batch) -> None:
        self._say(f"{batch.file_name}, submitted by {batch.owner.user.username}")
        self._say(_LINE.format("file", "formula", "verdict", "reason", "E per atom", "e_above_hull", "points"))
        self._say(_LINE.format("", "", "on arrival", "", "eV/atom", "now, eV/atom", ""))
        rows = list(all_rows(view_of(season, batch.owner.user), batch))
        blocks = Counter(row.file for row in rows)
        for row in rows:
            name = f"{row.file}#{row.block}" if blocks[row.file] > 1 else row.file
            formula = Formula.parse(row.formula).written if row.formula else ""
            numbers = (_number(row.energy_per_atom), _number(row.e_above_hull), f"{row.points or 0:g}")
            self._say(_LINE.format(name[-31:], formula, row.outcome, row.reason, *numbers))
        self._say()

    def _leaderboard(self, season: Season) -> None:
        self._say("leaderboard (points for the hull are provisional until the round closes)")
        viewer = Batch.objects.filter(season=season)[0].owner.user
        for one in leaderboard(view_of(season, viewer)).standings:
            provisional = f"{one.provisional:g} of them provisional"
            finds = f"{one.stable} on the hull, {one.unique} unique of {one.submitted} submitted"
            self._say(f"{one.rank:3}. {one.name:12}{one.points:6g} points, {provisional}; {finds}")
        self._say()

    def _dump(self, season: Season) -> None:
        out: Path = settings.DUMP_DIR / season.slug
        manifest = dump_season(season, out)
        table = pq.read_table(out / "phases.parquet")
        stable = sum(bool(flag) for flag in table.column("is_stable").to_pylist())
        found = sum(origin == "season" for origin in table.column("origin").to_pylist())
        expected = manifest["files"]["phases.parquet"]["rows"]
        if table.num_rows != expected:
            raise CommandError(f"the dump has {table.num_rows} rows, its manifest says {expected}")
        self._say(f"dump: {out / 'phases.parquet'}")
        self._say(f"      read back: {table.num_rows} phases, {found} of them found here, {stable} on the hull")


def _answers(address: str) -> bool:
    try:
        return requests.get(address, timeout=5).ok
    except requests.RequestException:  # not there yet, or still starting
        return False


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _free_port() -> int:
    """8000 where it is free, else one that the system picks."""
    for wanted in (8000, 0):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", wanted))
            except OSError:
                continue
            port: int = probe.getsockname()[1]
            return port
    raise CommandError("no port is free")
