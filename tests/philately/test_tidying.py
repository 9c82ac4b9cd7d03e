"""What belongs to nobody is removed from the storage, and what may belong to somebody in a moment is not."""

import io
import os
import time

import pytest
from dry_running import start

from philately.domain import dry_reading, dry_runs, tidying
from philately.models import DryRun
from philately.storage import storage


@pytest.fixture
def of_yesterday(settings):
    """Makes everything in the storage two days old."""

    def age():
        for name in storage().names_below(""):
            os.utime(settings.MEDIA_ROOT / name, (time.time() - 2 * 86_400,) * 2)

    return age


def test_files_of_dry_runs_that_are_no_more_are_removed_and_those_of_others_stay(participant, of_yesterday):
    kept, submitted, removed = (start(participant, {"a.cif": text}) for text in "xyz")
    for run in (kept, submitted, removed):
        dry_reading.carry_out(run.pk)
    batch, _ = dry_runs.submit(submitted)
    submitted.refresh_from_db()
    DryRun.objects.filter(pk__in=[submitted.pk, removed.pk]).delete()  # killed before it came to the files
    of_yesterday()

    tidying.tidy()

    kept.refresh_from_db()
    assert set(storage().names_below("dry-runs")) == {kept.stored_as, kept.table_as, batch.stored_as}


def test_what_was_stored_a_moment_ago_waits_for_its_row(season):
    storage().put("dry-runs/abc.1", io.BytesIO(b"x"))

    tidying.tidy()

    assert storage().names_below("dry-runs") == ["dry-runs/abc.1"]


def test_it_is_time_once_an_hour(season, monkeypatch):
    monkeypatch.setattr(tidying, "_tidied_at", None)

    assert tidying.tidy_when_due()
    assert not tidying.tidy_when_due()
    monkeypatch.setattr(tidying, "_tidied_at", time.monotonic() - 3601)
    assert tidying.tidy_when_due()


def test_two_dry_runs_of_the_same_bytes_do_not_share_a_file(participant):
    first, second = start(participant), start(participant)

    assert first.sha256 == second.sha256
    assert first.stored_as != second.stored_as
