"""``manage.py import_shards FILES…``: take in what was relaxed on other machines."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from philately.domain.shard_imports import ImportRefused, Taken, import_results
from philately.management.counts import at_least_one
from philately.management.deed_command import organiser_named
from philately.models import User
from validation.shard_files import BadShard, read_results

_SHOWN = 10  # sentences of a kind, a file


class Command(BaseCommand):
    help = (
        "Take in what `python -m validation relax-shard` wrote. Each relaxation is held against structure, scale and "
        "settings of this installation and becomes a fact, by which the season's workers move on. May be run again."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("files", type=Path, nargs="+", metavar="FILES", help="relaxed shards")
        parser.add_argument(
            "--verify",
            type=at_least_one,
            default=0,
            metavar="N",
            help="relax so many of each file again here, drawn by chance; nothing of a file is taken in if one differs "
            "by more than 0.002 eV/atom",
        )
        parser.add_argument("--by", metavar="USER", help="who does it, of the staff; kept in the audit log")

    def handle(self, **options: Any) -> None:
        by = organiser_named(options["by"])
        refused = [path for path in options["files"] if not self._imported(path, options["verify"], by)]
        if refused:
            raise CommandError(f"{len(refused)} of {len(options['files'])} files were refused")

    def _imported(self, path: Path, verify: int, by: User | None) -> bool:
        try:
            taken = import_results(read_results(path), verify=verify, by=by, file=path.name)
        except BadShard as error:
            self.stderr.write(str(error))
            return False
        except (ImportRefused, OSError) as error:
            self.stderr.write(f"{path}: nothing was taken in: {error}")
            return False
        self._say(path, taken)
        return True

    def _say(self, path: Path, taken: Taken) -> None:
        self.stdout.write(
            f"{path}: {taken.new:,} new, {taken.known:,} known already, {len(taken.refused):,} refused, "
            f"{len(taken.failed):,} without a relaxation"
        )
        for id, there, here in taken.verified:
            self.stdout.write(f"  {id}: {there:.4f} eV/atom there, {here:.4f} here")
        for kind, cases in (("refused", taken.refused), ("without a relaxation", taken.failed)):
            for id, sentence in cases[:_SHOWN]:
                self.stderr.write(f"  {kind}: {id}: {sentence}")
            if len(cases) > _SHOWN:
                self.stderr.write(f"  {kind}: and {len(cases) - _SHOWN:,} more")
