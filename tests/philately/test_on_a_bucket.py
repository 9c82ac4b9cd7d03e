"""A whole season whose files are in a bucket, and what becomes of work while the bucket's server is away."""

import hashlib
import io
import json

import pyarrow.parquet as pq
import pytest
from buckets import bucket_url, use
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse
from driving import cif, first_texts, ordered_alloy, run_all, submit, zipped
from facts import let_expire
from tus_requests import Programme

from philately import queries
from philately.domain import dry_reading, dry_runs, intake, tidying
from philately.domain.dumps import refresh
from philately.models import Candidate, DryRun, Lock
from philately.states import BatchState, CandidateState, DryRunState
from philately.storage import StorageFault, storage

TEXTS = first_texts()
NOBODY = "s3://key:secret@bucket?endpoint_url=http://127.0.0.1:9"  # where no server listens


@pytest.fixture
def season(season, settings):
    """Its files are in a bucket of its own."""
    use(settings, bucket_url("season"))
    default_storage.make_bucket()
    return season


def verdicts(season):
    rows = Candidate.objects.filter(season=season).order_by("arrival")
    return list(rows.values_list("detail__file", "state", "reason", "formula"))


def test_a_season_comes_out_as_on_a_folder_from_upload_to_download(season, participant, client, settings):
    submit(participant, TEXTS)
    run_all(season)
    on_bucket = verdicts(season)
    assert refresh(season.pk)
    season.refresh_from_db()

    served = {}
    for name in queries.latest_dump(season).names:
        response = client.get(reverse("dump-file", args=[season.slug, name]))
        served[name] = b"".join(response.streaming_content)
        assert int(response["Content-Length"]) == len(served[name])
    manifest = json.loads(served["manifest.json"])
    assert {state for _, state, _, _ in on_bucket} == {"placed", "rejected", "parked"}
    assert set(served) == {"manifest.json", "phases.parquet", "release.parquet", "SHA256SUMS"}
    assert hashlib.sha256(served["phases.parquet"]).hexdigest() == manifest["files"]["phases.parquet"]["sha256"]
    assert pq.read_table(io.BytesIO(served["phases.parquet"])).num_rows == manifest["files"]["phases.parquet"]["rows"]
    assert not settings.MEDIA_ROOT.exists()
    folders = {name.partition("/")[0] for name in storage().names_below("")}
    assert folders == {"uploads", "shards", "dumps"}


def test_an_upload_in_parts_and_a_dry_run_go_through_it(season, participant):
    data = "".join(text for name, text in TEXTS.items() if name.endswith(".cif")).encode()
    programme = Programme(participant.user, season.slug)
    path = programme.begin(len(data), filename="all.cif", dry_run="yes")
    for start in range(0, len(data), 3000):
        assert programme.patch(path, start, data[start : start + 3000]).status_code == 204

    run = DryRun.objects.get()
    dry_reading.carry_out(run.pk)
    run.refresh_from_db()
    batch, _ = dry_runs.submit(run)

    assert (run.state, run.n_done) == (DryRunState.DONE, 5)
    assert [row.number for row in queries.dry_rows(run, after=2)] == [3, 4, 5]
    assert batch.stored_as == run.stored_as
    with storage().open(batch.stored_as) as file:
        assert file.read() == data


def test_what_belongs_to_no_dry_run_is_removed_when_it_is_old(season, participant, monkeypatch):
    run = dry_runs.accept_dry_run(participant, SimpleUploadedFile("a.cif", b"data_x"), intake.Method("x"), consent=True)
    storage().put("dry-runs/left", io.BytesIO(b"x"))

    tidying.tidy()
    assert set(storage().names_below("dry-runs")) == {run.stored_as, "dry-runs/left"}
    monkeypatch.setattr(tidying, "_ABANDONED_S", -60.0)
    tidying.tidy()

    assert storage().names_below("dry-runs") == [run.stored_as]
    with pytest.raises(FileNotFoundError):
        default_storage.get_modified_time("dry-runs/left")


@pytest.fixture
def impatient(monkeypatch):
    """Nobody waits between attempts at a server that is not there."""
    monkeypatch.setattr("time.sleep", lambda seconds: None)


class TestWhileTheServerIsAway:
    def test_a_batch_waits_is_never_refused_and_is_read_when_it_is_back(self, season, participant, settings, impatient):
        batch = submit(participant, TEXTS)
        there = settings.STORAGES["default"]
        use(settings, NOBODY)
        with pytest.raises(StorageFault):
            intake.read_batches(season.pk)
        let_expire(Lock.objects.all())
        batch.refresh_from_db()
        assert (batch.state, batch.attempts) == (BatchState.UPLOADED, 0)  # it is no fault of the batch

        settings.STORAGES = {**settings.STORAGES, "default": there}
        run_all(season)

        batch.refresh_from_db()
        assert (batch.state, batch.attempts) == (BatchState.READ, 0)
        assert Candidate.objects.filter(season=season, state=CandidateState.PLACED).exists()

    def test_a_dry_run_waits_and_is_never_refused(self, season, participant, settings, impatient):
        upload = SimpleUploadedFile("a.cif", cif(ordered_alloy("Cu", "Au", lattice_ang=3.7)).encode())
        run = dry_runs.accept_dry_run(participant, upload, intake.Method("by hand"), consent=True)
        use(settings, NOBODY)

        with pytest.raises(StorageFault):
            dry_reading.carry_out(run.pk)

        run.refresh_from_db()
        assert (run.state, run.attempts, run.problem) == (DryRunState.WAITING, 1, "")

    def test_a_visitor_hears_that_it_does_not_go_now_and_nothing_is_kept(
        self, season, participant, client, settings, impatient
    ):
        use(settings, NOBODY)
        client.force_login(participant.user)
        form = {"file": SimpleUploadedFile("a.cif", b"data_x"), "method": "by hand", "consent": "on"}

        answer = client.post(reverse("upload", args=[season.slug]), form)

        assert (answer.status_code, answer["Retry-After"]) == (503, "10")
        assert "try again" in answer.content.decode()
        assert not participant.batches.exists()

    def test_the_last_part_of_an_upload_can_be_sent_again(self, season, participant, settings, impatient):
        programme = Programme(participant.user, season.slug)
        data = zipped(TEXTS)
        path = programme.begin(len(data))
        there = settings.STORAGES["default"]
        use(settings, NOBODY)
        answer = programme.patch(path, 0, data)
        assert (answer.status_code, answer["Retry-After"]) == (503, "10")

        settings.STORAGES = {**settings.STORAGES, "default": there}
        offset = int(programme.head(path)["Upload-Offset"])
        assert programme.patch(path, offset, data[offset:]).status_code == 204

        with storage().open(participant.batches.get().stored_as) as file:
            assert file.read() == data
