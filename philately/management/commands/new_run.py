"""``manage.py new_run SEASON``."""

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from philately.domain.evaluations import (
    EvaluationRefused,
    Plan,
    changed_rules,
    discard,
    open_evaluation,
)
from philately.management.chosen_release import chosen_release
from philately.management.chosen_season import chosen_season
from philately.management.deed_command import organiser_named
from philately.management.evaluation_command import EvaluationCommand
from philately.models import Release, Run, Season, User


class Command(EvaluationCommand):
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
        parser.add_argument(
            "--auditor",
            dest="auditors",
            action="append",
            metavar="RELEASE",
            help="the release of a second judge, instead of the official run's; may be given again",
        )
        parser.add_argument("--no-auditors", action="store_true", help="without second judges")
        parser.add_argument("--without", type=int, nargs="+", default=[], metavar="CANDIDATE", help="ids to leave out")
        parser.add_argument(
            "--readmit",
            type=int,
            nargs="+",
            default=[],
            metavar="CANDIDATE",
            help="ids that the official run leaves out",
        )
        parser.add_argument("--reason", default="", help="why; kept with the run")
        parser.add_argument("--by", metavar="USER", help="who wants it: an organiser of the season, or staff")
        parser.add_argument("--resume", type=int, metavar="N", help="go on with run N instead of making one")
        parser.add_argument("--preview", action="store_true", help="show who would move where, then delete the run")
        parser.add_argument("--discard", type=int, metavar="N", help="delete run N, which is not the official one")
        parser.add_argument("--official", action="store_true", help="make it the season's official run")

    def handle(self, **options: Any) -> None:
        season = chosen_season(options["season"])
        by = organiser_named(options["by"], season)
        if options["preview"] and options["official"]:
            raise CommandError("--preview and --official contradict each other")
        try:
            if options["discard"] is not None:
                self._discard(_numbered(season, options["discard"]), by)
                return
            run = _resumed(season, options) if options["resume"] is not None else _opened(season, options)
            self.go_on(season, run, official=options["official"], by=by, reason=options["reason"])
            if options["preview"]:
                self._end_preview(run, by)
        except EvaluationRefused as refusal:
            raise CommandError(str(refusal)) from refusal

    def _end_preview(self, run: Run, by: User | None) -> None:
        """A run that cannot be kept by mistake."""
        try:
            self._discard(run, by)
        except KeyboardInterrupt:
            self.stderr.write(f"deleting run {run.number} stopped; go on with: new_run … --discard {run.number}")
            raise
        self.stdout.write("that was a preview: nothing has changed")

    def _discard(self, run: Run, by: User | None) -> None:
        is_gone = discard(run, by=by)
        kept = "is marked as of no use, and its verdicts are deleted; its phases are too many to delete"
        self.stdout.write(f"run {run.number} {'is deleted' if is_gone else kept}")


def _resumed(season: Season, options: dict[str, Any]) -> Run:
    if any(options[name] for name in ("release", "rules", "auditors", "no_auditors", "without", "readmit")):
        raise CommandError(
            "a run is resumed as it was begun; --release, --rules, --auditor, --no-auditors, --without and --readmit "
            "make a new one"
        )
    return _numbered(season, options["resume"])


def _numbered(season: Season, number: int) -> Run:
    run = season.runs.select_related("release", "scale").filter(number=number).first()
    if run is None:
        raise CommandError(f"{season} has no run {number}")
    return run


def _opened(season: Season, options: dict[str, Any]) -> Run:
    official = season.official_run
    if official is None:
        raise CommandError(f"{season} has no official run to begin with")
    plan = Plan(
        release=chosen_release(options["release"]) if options["release"] else official.release,
        rules=changed_rules(official, _changes(options["rules"])),
        without=options["without"],
        readmit=options["readmit"],
        reason=options["reason"],
        by=organiser_named(options["by"], season),
        auditors=_auditors(options),
    )
    return open_evaluation(season, plan)


def _auditors(options: dict[str, Any]) -> list[Release] | None:
    """None for those of the official run."""
    if options["no_auditors"]:
        if options["auditors"]:
            raise CommandError("--auditor and --no-auditors contradict each other")
        return []
    return None if options["auditors"] is None else [chosen_release(auditor) for auditor in options["auditors"]]


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
