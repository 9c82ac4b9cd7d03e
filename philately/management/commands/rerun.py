"""``manage.py rerun SEASON``."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from philately.domain.reruns import Selection, rerun
from philately.management.chosen_season import chosen_season
from philately.management.deed_command import add_who_and_why, refusals_told
from philately.management.evaluation_command import user_named
from philately.states import Stage


class Command(BaseCommand):
    help = (
        "Send structures through the phases again that were rejected, failed or set aside, say after the code was "
        "mended. They are read again from their text and get new arrival numbers; what only failed keeps its own. A "
        "relaxation that is on file stands. What is placed is judged again by `new_run`. May be run again."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("season", help="slug")
        parser.add_argument("--candidate", type=int, nargs="+", default=[], metavar="ID", help="these structures")
        parser.add_argument(
            "--batch", type=int, nargs="+", default=[], metavar="ID", help="what failed or was set aside of these"
        )
        parser.add_argument(
            "--reason-code",
            default="",
            metavar="CODE",
            help="what was rejected for this, e.g. NOT_CONVERGED, of the season or of the batches named",
        )
        parser.add_argument("--failed", action="store_true", help="everything that failed and would be tried again")
        parser.add_argument("--set-aside", action="store_true", help="everything that was set aside")
        parser.add_argument("--stage", choices=Stage.values, help="with these two: of this stage alone")
        add_who_and_why(parser)

    def handle(self, **options: Any) -> None:
        season, by = chosen_season(options["season"]), user_named(options["by"])
        selection = Selection(
            candidates=options["candidate"],
            batches=options["batch"],
            reason_code=options["reason_code"],
            failed=options["failed"],
            set_aside=options["set_aside"],
            stage=Stage(options["stage"]) if options["stage"] else None,
        )
        with refusals_told():
            again = rerun(season, selection, by=by, reason=options["reason"])
        on_file = f" ({again.on_file:,} with a relaxation on file, which stands)" if again.on_file else ""
        self.stdout.write(f"{again.candidates:,} structures are on their way again{on_file}")
        for count, noun in ((again.batches, "batches"), (again.dry_runs, "dry runs"), (again.opinions, "opinions")):
            if count:
                self.stdout.write(f"{count:,} {noun} that were set aside as well")
        if again.left_out:
            self.stdout.write(f"{again.left_out:,} cannot be: their text was not kept, or a run has placed them")
