"""``manage.py close_season SEASON``."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from philately.domain.closing import close, in_flight
from philately.management.chosen_season import chosen_season
from philately.management.deed_command import add_who_and_why, moment, refusals_told
from philately.management.evaluation_command import user_named


class Command(BaseCommand):
    help = (
        "Take no more uploads. What is in flight is finished; a blind season shows everything from then on. "
        "`freeze_season` ends it for good, `reopen_season` takes it back."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("season", help="slug")
        parser.add_argument("--at", type=moment, metavar="ISO", help="when, UTC (default: now)")
        add_who_and_why(parser, needs_reason=True)

    def handle(self, **options: Any) -> None:
        season, by = chosen_season(options["season"]), user_named(options["by"])
        with refusals_told():
            is_new = close(season, by=by, reason=options["reason"], at=options["at"])
        season.refresh_from_db()
        tense = "closed" if is_new or options["at"] is None else "closes"
        self.stdout.write(f"{season} {tense} on {season.closes_at:%Y-%m-%d %H:%M} UTC")
        if left := in_flight(season).sentence:
            self.stdout.write(f"in flight still: {left}")
