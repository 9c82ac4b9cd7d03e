"""``manage.py close_round SEASON``."""

from argparse import ArgumentParser
from collections.abc import Iterable
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from philately.domain import rounds
from philately.management.chosen_season import chosen_season
from philately.management.deed_command import add_who_and_why, moment, refusals_told
from philately.management.evaluation_command import user_named
from philately.models import Round, Season


class Command(BaseCommand):
    help = (
        "Close a season's round: provisional points end, and what is on the hull when everything that arrived before "
        "is placed is paid, once a formula and participant. Where nothing has come in since the last close, nothing "
        "happens. With a season's round_days set, the sweeper closes rounds by itself."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("season", help="slug")
        parser.add_argument("--preview", action="store_true", help="show who would get what now, and close nothing")
        parser.add_argument("--show", type=int, metavar="N", help="show what round N paid")
        parser.add_argument("--at", type=moment, metavar="ISO", help="let the sweeper close it then; UTC")
        add_who_and_why(parser)

    def handle(self, **options: Any) -> None:
        season, by = chosen_season(options["season"]), user_named(options["by"])
        if options["preview"] or options["show"] is not None:
            self._show(season, options["show"])
            return
        with refusals_told():
            if options["at"] is not None:
                planned = rounds.plan(season, options["at"], by=by, reason=options["reason"])
                self.stdout.write(f"a {planned}")
                return
            closed = rounds.close(season, by=by, reason=options["reason"])
        if closed is None:
            self.stdout.write("nothing has come in since the last round closed, so there is nothing to close")
            return
        self.stdout.write(f"{closed} is closed; the sequencer pays it when what arrived before is placed, see --show")

    def _show(self, season: Season, number: int | None) -> None:
        run = season.official_run
        if run is None:
            raise CommandError(f"{season} has no official run")
        if number is None:
            self._table(rounds.preview(run))
            return
        round = Round.objects.filter(season=season, number=number).first()
        if round is None:
            raise CommandError(f"{season} has no round {number}")
        if round.arrival is not None and run.placed_to < round.arrival:
            self.stdout.write("the sequencer has not come to it yet")
        self._table(rounds.payments(run, round))

    def _table(self, rows: Iterable[rounds.Payment]) -> None:
        self.stdout.write(f"{'':30}{'finds':>10}{'paid':>12}{'not paid':>12}")
        for one in rows:
            self.stdout.write(f"{one.name:30}{one.finds:>10}{one.paid:>12g}{one.ended:>12g}")
