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
            results = [(run, audit(run)) for run in runs]
            if options["json"] is not None:
                told = [{"season": run.season.slug, "run": run.number, **result.as_json()} for run, result in results]
                content = told[0] if len(told) == 1 else told
                options["json"].write_text(json.dumps(content, indent=2) + "\n")
        except (AuditRefused, DatabaseError, OSError) as error:
            raise CommandError(f"the audit could not run: {error}", returncode=2) from error
        differing = [
            summary
            for run, result in results
            if (summary := self._shown(f"{run.season.slug}: " if len(results) > 1 else "", result))
        ]
        if differing:
            raise CommandError("\n".join(differing), returncode=1)

    def _shown(self, season: str, result: Audit) -> str:
        """The summary where anything differs."""
        for sentence in result.sentences:
            self.stdout.write(f"{season}{sentence}")
        hidden = result.findings.n_differences - len(result.sentences)
        if hidden:
            self.stdout.write(f"{season}and {hidden} more")
        if result.findings.n_differences:
            return f"{season}{result.summary}"
        self.stdout.write(f"{season}{result.summary}")
        return ""


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
