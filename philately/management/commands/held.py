"""``manage.py held SEASON``."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from philately.domain.decisions import held
from philately.management.chosen_season import chosen_season


class Command(BaseCommand):
    help = "List what a season holds for an organiser, in order of arrival, and why; `decide` ends it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("season", nargs="?", help="slug (default: the only one)")

    def handle(self, **options: Any) -> None:
        season = chosen_season(options["season"])
        run = season.official_run
        rows = [] if run is None else held(run).select_related("candidate__batch__owner__user", "phase")
        n_held = 0
        for one in rows:
            n_held += 1
            candidate, phase = one.candidate, one.phase
            assert phase is not None  # what is held has one
            self.stdout.write(
                f"{candidate.pk}  {candidate.formula}  by {candidate.batch.owner.user.username}, "
                f"arrival {candidate.arrival:,}, phase {phase.number} ({phase.get_status_display()}): {one.sentence}"
            )
        if not n_held:
            self.stdout.write("nothing is held")
