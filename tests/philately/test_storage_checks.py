"""Files without rows, rows without files, leases that nobody holds: each is found, and a sound season has none."""

import io
from datetime import timedelta
from pathlib import Path

import pytest
from ase.build import bulk
from django.core.files.storage import default_storage
from django.core.management import CommandError, call_command
from django.utils import timezone
from driving import cif, read_all, submit

from philately.domain.storage_checks import audit_storage
from philately.models import Candidate, CandidateDetail, Shard

pytestmark = pytest.mark.django_db


@pytest.fixture
def batch(season, participant):
    """Read, and of one shard."""
    batch = submit(participant, {"Cu.cif": cif(bulk("Cu")), "Au.cif": cif(bulk("Au"))})
    read_all(season)
    return batch


def sentences(**options) -> str:
    return "\n".join(audit_storage(older_than_s=0, **options).sentences)


def test_a_sound_season_has_no_findings(batch):
    found = audit_storage(older_than_s=0, checksums=True)

    assert found.sentences == ()
    assert found.n_files == 4  # the upload, the shard, its index and the list
    assert found.n_rows == 2


def test_a_file_that_no_row_names_is_found_and_removed_once_it_is_old(batch):
    default_storage.save("uploads/ab/abcdef", io.BytesIO(b"half of an upl"))

    assert "1 files in storage belong to no row: uploads/ab/abcdef" in sentences()
    assert audit_storage(older_than_s=60).sentences == ()
    with pytest.raises(CommandError, match="1 findings"):
        call_command("audit_storage", older_than=0.0)
    call_command("audit_storage", older_than=0.0, remove_strays=True)
    assert not default_storage.exists("uploads/ab/abcdef")
    assert sentences() == ""
    assert default_storage.exists(batch.stored_as)


def test_what_a_batch_in_reading_has_stored_so_far_is_no_stray(batch):
    type(batch).objects.filter(pk=batch.pk).update(state="uploaded")
    default_storage.save(f"shards/{batch.pk}/1.gz", io.BytesIO(b"being written"))

    assert sentences() == ""


@pytest.mark.parametrize("what", ["upload", "shard"])
def test_a_row_whose_file_is_missing_is_found(batch, what):
    name = batch.stored_as if what == "upload" else Shard.objects.get().stored_as
    default_storage.delete(name)

    assert f"1 files that rows name are missing in storage: {name}" in sentences()


def test_a_shard_with_other_bytes_is_found_where_checksums_are_asked_for(batch):
    path = Path(default_storage.path(Shard.objects.get().stored_as))
    path.write_bytes(path.read_bytes()[:-1])

    assert sentences() == ""
    assert "1 shards are not as they were written" in sentences(checksums=True)


def test_a_lease_that_nobody_took_back_is_found(batch, settings):
    long_ago = timezone.now() - timedelta(seconds=10 * settings.LEASE_S)
    Shard.objects.update(lease="dead", lease_until=long_ago, state="waiting")

    assert "1 shards are held by leases that ran out long ago" in sentences()
    Shard.objects.update(state="parsed")
    assert "1 shards have a lease and nothing to be done" in sentences()


def test_rows_that_were_torn_apart_are_found(batch):
    CandidateDetail.objects.filter(candidate__arrival=1).delete()
    CandidateDetail.objects.filter(candidate__arrival=2).update(geometry=None)
    Candidate.objects.filter(arrival=2).update(arrival=7)

    found = sentences()

    assert "1 candidates have no detail" in found
    assert "1 candidates were read and have no geometry" in found
    assert "1 seasons would give an arrival number twice" in found
