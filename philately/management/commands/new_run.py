"""``manage.py new_run SEASON``."""

import json
import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from philately.domain.evaluations import (
    EvaluationRefused,
    Plan,
    changed_rules,
    evaluate,
    make_official,
    open_evaluation,
)
from philately.management.chosen_release import chosen_release
from philately.management.chosen_season import chosen_season
from philately.models import Run, Season, User
from philately.queries.moves import moves

_EVERY_S = 5.0


class Command(BaseCommand):
    help = (
        "Place a season's relaxed structures again, in another run: on another release, with other rules, or without "
        "some of them. Shows who would move where; with --official, the season goes on with the new run."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("season", help="slug")
        parser.add_argument("--release", help="number, name or beginning of the SHA-256 (default: the official run's)")
        parser.add_argument(
            "--rules", type=Path, metavar="JSON", help="file of rules that differ from the official run"
        )
        parser.add_argument("--without", type=int, nargs="+", default=[], metavar="CANDIDATE", help="ids to leave out")
        parser.add_argument("--reason", default="", help="why; kept with the run")
        parser.add_argument("--by", metavar="USER", help="who wants it; kept with what is left out")
        parser.add_argument("--resume", type=int, metavar="N", help="go on with run N instead of making one")
        parser.add_argument("--official", action="store_true", help="make it the season's official run")

    def handle(self, **options: Any) -> None:
        season = chosen_season(options["season"])
        try:
            run = _resumed(season, options) if options["resume"] is not None else _opened(season, options)
            self.stdout.write(f"run {run.number} on {run.release}")
            self._evaluate(run)
            self._show(season.official_run, run)
            if options["official"]:
                make_official(run)
                self.stdout.write(f"run {run.number} is the official one")
        except EvaluationRefused as refusal:
            raise CommandError(str(refusal)) from refusal

    def _evaluate(self, run: Run) -> None:
        total, started = run.season.candidates.filter(relaxation__isnull=False).count(), time.monotonic()
        told, placed = started, run.placements.count()

        def tell(more: int) -> None:
            nonlocal told, placed
            placed += more
            if time.monotonic() - told > _EVERY_S:
                told = time.monotonic()
                self.stdout.write(f"{placed:,} of at most {total:,} placed")

        try:
            evaluate(run, on_progress=tell)
        except (EvaluationRefused, KeyboardInterrupt):
            self.stderr.write(f"run {run.number} stopped; go on with: new_run {run.season.slug} --resume {run.number}")
            raise
        self.stdout.write(f"{placed:,} placed, {run.exclusions.count():,} left out")

    def _show(self, before: Run | None, after: Run) -> None:
        self.stdout.write(f"{'':30}{'rank':>12}{'points':>24}")
        for move in moves(before, after):
            ranks = f"{move.rank_before} → {move.rank_after}"
            points = f"{move.points_before:g} → {move.points_after:g}"
            self.stdout.write(f"{move.name:30}{ranks:>12}{points:>24}")


def _resumed(season: Season, options: dict[str, Any]) -> Run:
    if options["release"] or options["rules"] or options["without"]:
        raise CommandError("a run is resumed as it was begun; --release, --rules and --without belong to a new one")
    run = season.runs.select_related("release", "scale").filter(number=options["resume"]).first()
    if run is None:
        raise CommandError(f"{season} has no run {options['resume']}")
    return run


def _opened(season: Season, options: dict[str, Any]) -> Run:
    official = season.official_run
    if official is None:
        raise CommandError(f"{season} has no official run to begin with")
    plan = Plan(
        release=chosen_release(options["release"]) if options["release"] else official.release,
        rules=changed_rules(official, _changes(options["rules"])),
        without=options["without"],
        reason=options["reason"],
        by=_user(options["by"]) if options["by"] else None,
    )
    return open_evaluation(season, plan)


def _changes(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        changes = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise CommandError(f"these rules cannot be used: {error}") from error
    if not isinstance(changes, dict):
        raise CommandError(f"{path} is no object of rules")
    return changes


def _user(name: str) -> User:
    user = User.objects.filter(username=name).first()
    if user is None:
        raise CommandError(f"there is no user {name!r}")
    return user
