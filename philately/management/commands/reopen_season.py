"""``manage.py reopen_season SEASON``."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from philately.domain.closing import reopen
from philately.management.chosen_season import chosen_season
from philately.management.deed_command import add_who_and_why, moment, refusals_told
from philately.management.evaluation_command import user_named


class Command(BaseCommand):
    help = "Take uploads again to a season that was closed or frozen. What its rounds paid stays paid."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("season", help="slug")
        parser.add_argument("--closes", type=moment, metavar="ISO", help="when it closes again, UTC (default: never)")
        add_who_and_why(parser, needs_reason=True)

    def handle(self, **options: Any) -> None:
        season, by = chosen_season(options["season"]), user_named(options["by"])
        with refusals_told():
            is_new = reopen(season, by=by, reason=options["reason"], closes_at=options["closes"])
        self.stdout.write(f"{season} is open{'' if is_new else ' like that already'}")
