"""``manage.py audit_hull [SEASON]``."""

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from philately.domain.audits import Audit, AuditRefused, audit
from philately.management.chosen_season import chosen_season
from philately.models import Run


class Command(BaseCommand):
    help = (
        "Build the hull of each season's official run again from its rows and compare it with everything stored. "
        "Exits with 0 where nothing differs, 1 where something does, 2 where it could not run."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("season", nargs="?", help="slug of the only one to audit (default: all seasons)")
        parser.add_argument("--run", type=int, metavar="N", help="another run of one season than the official one")
        parser.add_argument(
            "--json", type=Path, metavar="FILE", help="write the result there, too; a list where there are several"
        )

    def handle(self, **options: Any) -> None:
        try:
            runs = _runs(options["season"], options["run"])
            names = [f"{run.season.slug}: " if len(runs) > 1 else "" for run in runs]
            results = [self._shown(name, audit(run)) for name, run in zip(names, runs, strict=True)]
            if options["json"] is not None:
                of_runs = zip(runs, results, strict=True)
                told = [{"season": run.season.slug, "run": run.number, **result.as_json()} for run, result in of_runs]
                content = told[0] if len(told) == 1 else told
                options["json"].write_text(json.dumps(content, indent=2) + "\n")
        except (AuditRefused, DatabaseError, OSError) as error:
            raise CommandError(f"the audit could not run: {error}", returncode=2) from error
        summaries = zip(names, results, strict=True)
        if differing := [f"{name}{result.summary}" for name, result in summaries if result.findings.n_differences]:
            raise CommandError("\n".join(differing), returncode=1)

    def _shown(self, name: str, result: Audit) -> Audit:
        """As soon as it is known: the next season may take long. A summary that is an error comes last."""
        for sentence in result.sentences:
            self.stdout.write(f"{name}{sentence}")
        hidden = result.findings.n_differences - len(result.sentences)
        if hidden:
            self.stdout.write(f"{name}and {hidden} more")
        if not result.findings.n_differences:
            self.stdout.write(f"{name}{result.summary}")
        return result


def _runs(slug: str | None, number: int | None) -> list[Run]:
    """One, or where neither is said the official one of every season."""
    if slug is None and number is None:
        runs = list(Run.objects.select_related("season").filter(official_for__isnull=False).order_by("season__slug"))
        if not runs:
            raise AuditRefused("no season has an official run")
        return runs
    return [_run(slug, number)]


def _run(slug: str | None, number: int | None) -> Run:
    season = chosen_season(slug)
    if number is None:
        if season.official_run is None:
            raise AuditRefused(f"{season} has no official run")
        return season.official_run
    run = season.runs.filter(number=number).first()
    if run is None:
        raise AuditRefused(f"{season} has no run {number}")
    return run
