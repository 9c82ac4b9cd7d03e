"""``manage.py export_shards SEASON OUT_DIR``: have structures relaxed on other machines."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from philately.domain.shard_exports import ExportRefused, export_shards
from philately.management.chosen_season import chosen_season
from philately.management.counts import at_least_one


class Command(BaseCommand):
    help = (
        "Write what waits to be relaxed as shards for `python -m validation relax-shard`, in order of arrival. Nothing "
        "is claimed: the season's own workers go on, what is relaxed first counts, and a shard may be lost."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("season", help="slug of the season")
        parser.add_argument("folder", type=Path, metavar="OUT_DIR", help="where SEASON-0001.parquet … are written")
        parser.add_argument(
            "--structures", type=at_least_one, default=1000, metavar="N", help="a shard (default: %(default)s)"
        )
        parser.add_argument("--limit", type=at_least_one, metavar="N", help="structures in all (default: every one)")
        parser.add_argument(
            "--skip",
            type=int,
            default=0,
            metavar="N",
            help="leave so many at the front of the queue to the season's own workers (default: %(default)s)",
        )

    def handle(self, **options: Any) -> None:
        season = chosen_season(options["season"])
        if options["skip"] < 0:
            raise CommandError("--skip is a number of structures", returncode=2)
        shards = structures = atoms = 0
        try:
            for one in export_shards(
                season,
                options["folder"],
                structures=options["structures"],
                skip=options["skip"],
                limit=options["limit"],
            ):
                self.stdout.write(f"{one.path}: {one.n_structures:,} structures, {one.n_atoms:,} atoms")
                shards, structures, atoms = shards + 1, structures + one.n_structures, atoms + one.n_atoms
        except (ExportRefused, OSError) as error:
            raise CommandError(str(error)) from error
        if not shards:
            self.stdout.write(f"nothing waits to be relaxed in {season.slug}")
            return
        self.stdout.write(f"{shards} shards, {structures:,} structures, {atoms:,} atoms, for {season.scale}")
