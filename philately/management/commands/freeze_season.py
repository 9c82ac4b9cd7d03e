"""``manage.py freeze_season SEASON``."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from philately.domain.closing import freeze
from philately.domain.dumps import DumpRefused
from philately.management.chosen_season import chosen_season
from philately.management.deed_command import add_who_and_why, refusals_told
from philately.management.evaluation_command import user_named


class Command(BaseCommand):
    help = (
        "End a season that is closed and settled: pay the last round, let nothing of it change from then on, and write "
        "its dump. Refused while anything is in flight. May be run again where it was stopped."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("season", help="slug")
        add_who_and_why(parser, needs_reason=True)

    def handle(self, **options: Any) -> None:
        season, by = chosen_season(options["season"]), user_named(options["by"])
        try:
            with refusals_told():
                manifest = freeze(season, by=by, reason=options["reason"])
        except DumpRefused as refusal:
            raise CommandError(f"it is frozen, but its dump is not written: {refusal}; run this again") from refusal
        run = manifest["run"]
        self.stdout.write(f"{season} is frozen with run {run['number']} at log position {run['log_position']:,}")
        for name, file in manifest["files"].items():
            self.stdout.write(f"{name}: {file['rows']:,} rows, SHA-256 {file['sha256']}")
