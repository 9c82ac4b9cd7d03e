"""``manage.py label_phases [SEASON]``."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from philately.domain.symmetry import label_stored
from philately.management.chosen_season import chosen_season


class Command(BaseCommand):
    help = (
        "Find space group, Pearson symbol and prototype of relaxations and reference phases that were stored without "
        "them, by a version that did not look for them. What has them is left alone, so that it may be run again."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("season", nargs="?", help="slug (default: everything)")

    def handle(self, **options: Any) -> None:
        season = chosen_season(options["season"]) if options["season"] else None
        labelled = label_stored(season, self.stdout.write)
        self.stdout.write(f"{labelled} phase{'' if labelled == 1 else 's'} labelled")
        if labelled:
            self.stdout.write("dumps written from now on have the labels; dump_dataset writes one")
