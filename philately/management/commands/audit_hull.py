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
        "Build the hull of a season's official run again from its rows and compare it with everything stored. "
        "Exits with 0 where nothing differs, 1 where something does, 2 where it could not run."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("season", nargs="?", help="slug (default: the only season there is)")
        parser.add_argument("--run", type=int, metavar="N", help="another run of the season than the official one")
        parser.add_argument("--json", type=Path, metavar="FILE", help="write the result there, too")

    def handle(self, **options: Any) -> None:
        try:
            run = _run(options["season"], options["run"])
            result = audit(run)
            if options["json"] is not None:
                content = {"season": run.season.slug, "run": run.number, **result.as_json()}
                options["json"].write_text(json.dumps(content, indent=2) + "\n")
        except (AuditRefused, DatabaseError, OSError) as error:
            raise CommandError(f"the audit could not run: {error}", returncode=2) from error
        self._show(result)

    def _show(self, result: Audit) -> None:
        for sentence in result.sentences:
            self.stdout.write(sentence)
        hidden = result.findings.n_differences - len(result.sentences)
        if hidden:
            self.stdout.write(f"and {hidden} more")
        if result.findings.n_differences:
            raise CommandError(result.summary, returncode=1)
        self.stdout.write(result.summary)


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
