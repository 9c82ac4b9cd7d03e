"""``manage.py check_storage``: whether the storage keeps what the platform needs it to keep."""

import io
import secrets
from argparse import ArgumentParser
from typing import Any

from django.core.files.storage import default_storage
from django.core.management.base import BaseCommand, CommandError

from philately.storage import StorageFault, storage
from philately.storage.s3 import S3Store

_LARGE_BYTES = 20_000_000  # comes in parts


class Command(BaseCommand):
    help = (
        "Store, replace, read by ranges, list and delete files of its own in the storage that STORAGE_URL names, "
        "and say what does not do as it should. --create makes the bucket where there is none."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--create", action="store_true", help="make the bucket where there is none")

    def handle(self, **options: Any) -> None:
        folder = f"checks/{secrets.token_hex(8)}"
        try:
            if options["create"]:
                self._create()
            try:
                wrong = [sentence for sentence, is_right in _findings(folder).items() if not is_right]
            finally:
                storage().delete_below(folder)
        except (StorageFault, FileNotFoundError) as error:
            raise CommandError(str(error)) from error
        if wrong:
            raise CommandError("the storage does not do as it should: it does not " + "; it does not ".join(wrong))
        self.stdout.write("the storage stores, replaces, reads by ranges, lists and deletes as it should")

    def _create(self) -> None:
        with_bucket = default_storage._wrapped if hasattr(default_storage, "_wrapped") else default_storage
        if not isinstance(with_bucket, S3Store):
            raise CommandError("only a storage in a bucket has a bucket to be made")
        self.stdout.write("the bucket was made" if with_bucket.make_bucket() else "the bucket is there")


def _findings(folder: str) -> dict[str, bool]:
    """What it should do, and whether it did."""
    store, small, large = storage(), f"{folder}/small", f"{folder}/deeper/large"
    body = secrets.token_bytes(1_000_000) * (_LARGE_BYTES // 1_000_000)
    store.put(small, io.BytesIO(b"first"))
    store.put(small, io.BytesIO(b"second"))
    store.put(large, io.BytesIO(body))
    with store.open(small) as file:
        replaced = file.read() == b"second"
    with store.open(large) as file:
        file.seek(12_345_678)
        ranged = file.read(1000) == body[12_345_678:12_346_678]
    found = {
        "replace a file": replaced,
        "read by ranges": ranged,
        "tell sizes": store.size(large) == len(body),
        "list what is there": store.names_below(folder) == [large, small],
    }
    store.delete(small)
    found["delete a file"] = not store.exists(small)
    store.delete_below(folder)
    found["delete a folder"] = store.names_below(folder) == []
    return found
