"""``manage.py disqualify SEASON``."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from philately.domain.disqualifications import Charge, open_without
from philately.domain.evaluations import EvaluationRefused
from philately.management.chosen_season import chosen_season
from philately.management.deed_command import organiser_named
from philately.management.evaluation_command import EvaluationCommand


class Command(EvaluationCommand):
    help = (
        "Place a season's relaxed structures again without some of them, as if they had never been accepted. Shows who "
        "would move where; with --official, or later with new_run --resume N --official, the season goes on like that."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("season", help="slug")
        parser.add_argument("--candidate", type=int, nargs="+", default=[], metavar="ID", help="these structures")
        parser.add_argument("--batch", type=int, nargs="+", default=[], metavar="ID", help="all of these batches")
        parser.add_argument("--member", nargs="+", default=[], metavar="USER", help="all that they submitted so far")
        parser.add_argument("--reason", required=True, help="why; shown on the pages of what is disqualified")
        parser.add_argument("--by", metavar="USER", help="who decided it: an organiser of the season, or staff")
        parser.add_argument("--official", action="store_true", help="make it the season's official run")

    def handle(self, **options: Any) -> None:
        season = chosen_season(options["season"])
        if not (options["candidate"] or options["batch"] or options["member"]):
            raise CommandError("say what is disqualified: --candidate, --batch or --member")
        charge = Charge(
            reason=options["reason"],
            candidates=options["candidate"],
            batches=options["batch"],
            members=options["member"],
            by=organiser_named(options["by"], season),
        )
        try:
            run = open_without(season, charge)
            self.go_on(season, run, official=options["official"], by=charge.by, reason=charge.reason)
        except EvaluationRefused as refusal:
            raise CommandError(str(refusal)) from refusal
        if not options["official"]:
            again = f"new_run {season.slug} --resume {run.number} --official"
            self.stdout.write(f"nothing has changed for participants; make it official with: {again}")
