"""Dry runs of a small batch that shows most answers: one that waits, and one that is carried out."""

from django.core.files.uploadedfile import SimpleUploadedFile
from driving import first_texts, zipped

from philately.domain import dry_runs
from philately.domain.dry_reading import carry_out
from philately.domain.intake import Method
from philately.models import DryRun

TEXTS = first_texts()


def start(member, texts=TEXTS, *, data: bytes | None = None, name: str = "batch.zip") -> DryRun:
    upload = SimpleUploadedFile(name, zipped(texts) if data is None else data)
    return dry_runs.accept_dry_run(member, upload, Method("by hand", "twice"), consent=True)


def carried_out(member, texts=TEXTS, **options) -> DryRun:
    run = start(member, texts, **options)
    carry_out(run.pk)
    run.refresh_from_db()
    return run
