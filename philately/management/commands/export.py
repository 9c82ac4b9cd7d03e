"""``manage.py export SEASON --to FOLDER``."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from philately.domain.exports import export
from philately.management.chosen_season import chosen_season
from philately.management.deed_command import refusals_told
from philately.management.evaluation_command import user_named


class Command(BaseCommand):
    help = (
        "Write everything of a season as Parquet: batches, structures with their rejections, relaxations with "
        "geometry, verdicts, phases, log, points, opinions, withdrawals, decisions, rounds, members by public name, "
        "the audit log. The manifest says what each column means. No e-mail, no key."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("season", help="slug")
        parser.add_argument("--to", type=Path, required=True, metavar="FOLDER", help="new, or an export of this season")
        parser.add_argument("--by", required=True, metavar="USER", help="an organiser of the season, or staff")

    def handle(self, **options: Any) -> None:
        season, by = chosen_season(options["season"]), user_named(options["by"])
        try:
            with refusals_told():
                manifest = export(season, options["to"], by=by)
        except OSError as error:
            raise CommandError(f"it could not be written: {error}") from error
        for name, table in manifest["tables"].items():
            self.stdout.write(f"{name:22}{table['rows']:>12,} rows  {table['meaning']}")
        self.stdout.write(f"written to {options['to']}")
