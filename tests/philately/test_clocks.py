"""Only the database's clock counts: a machine whose own is wrong loses nothing, doubles nothing, refuses nobody."""

import time
from datetime import UTC, datetime, timedelta

import pytest
from ase.build import bulk
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone
from driving import cif, first_texts, place_all, read_all, relax_all, submit
from facts import add_candidate, rows_of

from philately.domain import dry_runs, quotas, resumable, staging
from philately.domain.audits import audit, due
from philately.domain.dumps import due as dump_due
from philately.domain.dumps import refresh
from philately.domain.intake import Method, UploadRefused, accept_upload, read_batches
from philately.domain.locks import LockLost, lock
from philately.domain.parse import parse_shard
from philately.domain.resumable import Announced
from philately.domain.sweep import sweep
from philately.domain.transitions import claim
from philately.models import Batch, Candidate, DryRun, ResumableUpload, Season, Shard
from philately.queries import clock, dry_runs_of
from philately.queries.seasons import is_blind
from philately.states import CandidateState

S = CandidateState
OFF = [pytest.param(timedelta(days=400), id="ahead"), pytest.param(timedelta(days=-400), id="behind")]


@pytest.fixture(params=OFF)
def wrong(request, monkeypatch):
    """This process's clock is off by more than a year; the database's is not. A switch, off at first."""
    real, real_s = timezone.now, time.time

    def switch():
        monkeypatch.setattr(timezone, "now", lambda: real() + request.param)
        monkeypatch.setattr(time, "time", lambda: real_s() + request.param.total_seconds())

    return switch


def _offer(member, text=b"data_a\n"):
    return accept_upload(member, SimpleUploadedFile("a.cif", text), Method("by hand"), consent=True)


def test_the_database_s_clock_is_now(db):
    assert abs(clock.now() - datetime.now(UTC)) < timedelta(seconds=5)


def test_a_season_is_judged_the_same_by_machines_whose_clocks_differ(participant, wrong, settings):
    """One machine takes the upload in, another reads, relaxes and places it, a third sweeps."""
    settings.SHARD_SIZE = 2
    batch = submit(participant, first_texts())
    wrong()
    for _ in range(3):
        sweep()
    read_batches(participant.season_id)
    for shard in Shard.objects.order_by("pk"):
        sweep()
        parse_shard(shard.pk)
    sweep()
    relax_all(participant.season)
    sweep()
    place_all(participant.season)
    sweep()

    assert not Candidate.objects.filter(state__in=[S.FAILED, S.SET_ASIDE, S.RELAXING]).exists()
    assert batch.candidates.count() == 6
    assert not audit(participant.season.official_run).sentences
    assert rows_of(participant.season.official_run)["placements"]
    moments = [*Candidate.objects.values_list("changed_at", flat=True), Batch.objects.get().submitted_at]
    assert all(abs(moment - clock.now()) < timedelta(hours=1) for moment in moments)


def test_a_lease_that_another_machine_took_is_neither_taken_early_nor_kept_for_ever(participant, wrong):
    candidate = add_candidate(participant, bulk("Cu"), state=S.PARSED)
    claim([candidate.pk], S.PARSED, S.RELAXING)
    wrong()
    sweep()
    assert Candidate.objects.get().state == S.RELAXING

    Candidate.objects.update(lease_until=clock.now() - timedelta(seconds=1))
    sweep()

    assert Candidate.objects.get().state == S.FAILED


def test_a_failed_step_rests_by_the_database_s_clock(participant, wrong, settings):
    settings.RETRY_AFTER_S = 3600
    wrong()
    add_candidate(participant, bulk("Cu"), state=S.FAILED, failed_in="relax", attempts=1)
    Candidate.objects.update(changed_at=clock.now())
    sweep()
    assert Candidate.objects.get().state == S.FAILED

    Candidate.objects.update(changed_at=clock.now() - timedelta(hours=2))
    sweep()
    assert Candidate.objects.get().state == S.PARSED


def test_a_lock_is_kept_and_taken_by_the_database_s_clock(db, wrong):
    with lock("place:1") as hold:
        wrong()
        with lock("place:1") as second:
            assert second is None
        hold.confirm()
    with lock("place:1") as third:
        assert third is not None


def test_a_process_whose_clock_is_wrong_loses_no_lock(db, wrong):
    wrong()
    with lock("place:1") as hold:
        try:
            hold.keep()
            hold.confirm()
        except LockLost:
            pytest.fail("the lock was lost")


def test_an_open_season_takes_uploads_and_a_closed_one_none(participant, wrong):
    season = participant.season
    season.closes_at = clock.now() + timedelta(days=1)
    wrong()
    assert _offer(participant)[1]

    season.closes_at = clock.now() - timedelta(minutes=1)
    with pytest.raises(UploadRefused, match="the season closed"):
        _offer(participant, b"data_b\n")
    season.opens_at, season.closes_at = clock.now() + timedelta(minutes=1), None
    with pytest.raises(UploadRefused, match="the season opens"):
        _offer(participant, b"data_b\n")


def test_a_blind_season_opens_up_at_its_close(season, wrong):
    season.visibility, season.closes_at = "blind", clock.now() + timedelta(minutes=1)
    wrong()
    assert is_blind(season)
    season.closes_at = clock.now() - timedelta(minutes=1)
    assert not is_blind(season)


def test_a_day_s_quota_is_of_the_database_s_day(participant, wrong, settings):
    settings.UPLOADS_A_DAY = 2
    _offer(participant)
    wrong()
    assert quotas.quota_left(participant).left.uploads_a_day == 1
    _offer(participant, b"data_b\n")
    with pytest.raises(quotas.QuotaUsedUp):
        _offer(participant, b"data_c\n")

    Batch.objects.update(submitted_at=clock.now() - timedelta(hours=25))
    assert quotas.quota_left(participant).left.uploads_a_day == 2


def test_atom_steps_of_today_are_those_of_the_database_s_day(participant, wrong, settings):
    submit(participant, {"Cu3Au.cif": first_texts()["Cu3Au.cif"]})
    read_all(participant.season)
    wrong()
    used = quotas.limits_of(participant.season).atom_steps_a_day - quotas.quota_left(participant).left.atom_steps_a_day
    assert used > 0
    Batch.objects.update(submitted_at=clock.now() - timedelta(hours=25))
    left = quotas.quota_left(participant)
    assert left.left.atom_steps_a_day == left.limits.atom_steps_a_day


def test_an_unfinished_upload_expires_by_the_database_s_clock(participant, wrong):
    announced = Announced(length=9, file_name="a.cif", method=Method("by hand"), consent=True)
    upload = resumable.begin(participant, announced)
    wrong()
    resumable.sweep()
    resumable.refuse_gone(upload)
    upload = resumable.append(upload, 0, iter([b"data_"]))
    resumable.sweep()
    assert resumable.append(upload, 5, iter([b"a\n \n"])).batch is not None

    other = resumable.begin(participant, announced)
    ResumableUpload.objects.filter(pk=other.pk).update(expires_at=clock.now() - timedelta(seconds=1))
    resumable.sweep()
    assert not ResumableUpload.objects.filter(pk=other.pk).exists()


def test_a_file_that_is_just_being_begun_is_no_stray(season, wrong, settings):
    """Its row is not committed yet."""
    token = staging.begin()
    wrong()

    assert staging.strays(set(), older_than_s=settings.UPLOAD_EXPIRES_S) == []
    assert staging.strays(set(), older_than_s=-5) == [token]


def test_a_dry_run_is_kept_by_the_database_s_clock(participant, wrong):
    upload = SimpleUploadedFile("a.cif", cif(bulk("Cu")).encode())
    run = dry_runs.accept_dry_run(participant, upload, Method("by hand"), consent=True)
    DryRun.objects.update(state="done")
    wrong()
    dry_runs.sweep()
    assert dry_runs_of(participant.user).filter(pk=run.pk).exists()

    DryRun.objects.update(expires_at=clock.now() - timedelta(seconds=1))
    assert not dry_runs_of(participant.user).exists()
    dry_runs.sweep()
    assert not DryRun.objects.exists()


def test_audits_and_dumps_are_due_by_clocks_that_all_share(participant, wrong, settings):
    settings.HULL_AUDIT_EVERY_S = 3600
    settings.DUMP_DIR.mkdir()
    add_candidate(participant, bulk("Cu"), 0.1)
    place_all(participant.season)
    refresh(participant.season_id)
    audit(participant.season.official_run)
    add_candidate(participant, bulk("Ag"), 0.1)
    place_all(participant.season)
    add_candidate(participant, bulk("Au"), state=S.PARSED)
    season = Season.objects.select_related("official_run").get()
    wrong()

    assert not due(season)
    assert not dump_due(season)
