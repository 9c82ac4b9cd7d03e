"""``manage.py dump_dataset OUT``."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from philately.domain.dumps import DumpRefused, dump_season, offer
from philately.management.chosen_season import chosen_season
from philately.queries.dumps import MANIFEST


class Command(BaseCommand):
    help = (
        "Write every phase of a season's official run as Parquet, with the release, a manifest and checksums. "
        "The same database gives the same bytes."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "out",
            nargs="?",
            type=Path,
            help="folder to write (default: into the storage, where the season's page offers it)",
        )
        parser.add_argument("--season", help="slug (default: the only season there is)")

    def handle(self, **options: Any) -> None:
        season = chosen_season(options["season"])
        out: Path | None = options["out"]
        try:
            if out is not None:
                self._say(str(out), dump_season(season, out))
            else:
                offered = offer(season)
                self._say(f"storage: {offered.stored_in}", offered.manifest)
        except DumpRefused as refusal:
            raise CommandError(str(refusal)) from refusal

    def _say(self, where: str, manifest: dict[str, Any]) -> None:
        for name, file in manifest["files"].items():
            self.stdout.write(f"{where}/{name}: {file['rows']} rows, {file['bytes']:,} bytes, SHA-256 {file['sha256']}")
        self.stdout.write(f"{where}/{MANIFEST}: {manifest['remark']}")
