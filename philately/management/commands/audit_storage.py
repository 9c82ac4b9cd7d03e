"""``manage.py audit_storage``."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from philately.domain.storage_checks import StorageAudit, audit_storage, remove


class Command(BaseCommand):
    help = (
        "Compare files and rows: files in storage that no row names, rows whose file is missing, leases that nobody "
        "holds, facts without their details. Changes nothing, unless it is told to remove what belongs to nothing. "
        "Exits with 0 where all belongs together, 1 where something does not, 2 where it could not run."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--checksums", action="store_true", help="read every shard and compare its SHA-256")
        parser.add_argument(
            "--older-than",
            type=float,
            metavar="SECONDS",
            default=settings.UPLOAD_EXPIRES_S,
            help="files without a row count when they are so old: younger ones may be of an upload under way "
            "(default: %(default)g)",
        )
        parser.add_argument("--remove-strays", action="store_true", help="remove files in storage that no row names")

    def handle(self, **options: Any) -> None:
        try:
            result = audit_storage(older_than_s=options["older_than"], checksums=options["checksums"])
            if options["remove_strays"] and result.strays:
                self.stdout.write(f"removed {remove(result.strays)} files")
                result = StorageAudit(result.problems, (), result.n_files, result.n_rows)
        except (DatabaseError, OSError) as error:
            raise CommandError(f"the audit could not run: {error}", returncode=2) from error
        for sentence in result.sentences:
            self.stdout.write(sentence)
        if result.sentences:
            raise CommandError(result.summary, returncode=1)
        self.stdout.write(result.summary)
