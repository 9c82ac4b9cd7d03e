"""``manage.py decide CANDIDATE… --accept|--reject``."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from philately.domain.decisions import decide
from philately.management.deed_command import add_who_and_why, refusals_told
from philately.management.evaluation_command import user_named
from philately.models import Season


class Command(BaseCommand):
    help = (
        "Decide on structures that are held (see `held`). Accepted, one comes onto the record with its points, as if "
        "it arrived now; rejected, it stays outside hull and points. Its owner is told why. The sequencer comes to it "
        "when everything that arrived before is placed. What was rejected may be accepted later."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("candidate", type=int, nargs="+", help="ids of candidates, all of one season")
        parser.add_argument("--accept", action="store_true", help="let them onto the record")
        parser.add_argument("--reject", action="store_true", help="leave them out")
        add_who_and_why(parser, needs_reason=True)

    def handle(self, **options: Any) -> None:
        if options["accept"] == options["reject"]:
            raise CommandError("say either --accept or --reject")
        seasons = list(Season.objects.filter(candidates__in=options["candidate"]).distinct())
        if len(seasons) != 1:
            told = "are of several seasons" if seasons else "are of no season: there is"
            missing = "" if seasons else f" no candidate {', '.join(map(str, options['candidate']))}"
            raise CommandError(f"these {told}{missing}")
        by = user_named(options["by"])
        with refusals_told():
            found = decide(
                seasons[0], options["candidate"], accepted=options["accept"], by=by, reason=options["reason"]
            )
        word = "accepted" if options["accept"] else "rejected"
        before = f", {found.before:,} had been before" if found.before else ""
        self.stdout.write(f"{found.new:,} {word}{before}; the sequencer comes to it in order of arrival")
