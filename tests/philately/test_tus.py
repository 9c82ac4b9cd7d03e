"""The tus server, request by request: what the protocol says, and what becomes of connections that break."""

import hashlib
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings as project_settings
from django.urls import reverse
from django.utils import timezone
from driving import run_all
from tus_requests import DATA, TOLD, Programme, encoded, staged, stored_bytes

from philately.domain import resumable, staging
from philately.domain.sweep import sweep
from philately.models import Batch, DryRun, Membership, ResumableUpload, Season, User
from philately.states import Role


class TestTheWayOfAnUpload:
    def test_in_parts_it_becomes_the_batch_that_a_form_would_make(self, programme, season):
        path, half = programme.begin(len(DATA), method_description="by hand"), len(DATA) // 2

        first = programme.patch(path, 0, DATA[:half])
        between = programme.head(path)
        last = programme.patch(path, half, DATA[half:])

        batch = Batch.objects.get()
        assert (first.status_code, first["Upload-Offset"]) == (204, str(half))
        assert (between.status_code, between["Upload-Offset"], between["Upload-Length"]) == (
            200,
            str(half),
            str(len(DATA)),
        )
        assert (last.status_code, last["Upload-Offset"]) == (204, str(len(DATA)))
        assert last["Upload-Result"] == f"http://testserver/batches/{batch.pk}/"
        assert (batch.file_name, batch.method, batch.method_description) == ("batch.zip", "substitution", "by hand")
        assert batch.sha256 == hashlib.sha256(DATA).hexdigest()
        assert stored_bytes(batch) == DATA
        assert staged() == []
        run_all(season)
        assert batch.candidates.count() == 6

    def test_the_first_part_may_come_with_the_creation(self, programme):
        answer = programme.create(len(DATA), DATA)

        assert (answer.status_code, answer["Upload-Offset"]) == (201, str(len(DATA)))
        assert answer["Upload-Result"].endswith(f"/batches/{Batch.objects.get().pk}/")

    def test_who_did_not_hear_of_the_end_hears_it_from_head_and_from_an_empty_part(self, programme):
        path = programme.begin(len(DATA))
        programme.patch(path, 0, DATA)

        for answer in (programme.head(path), programme.patch(path, len(DATA), b"")):
            assert answer["Upload-Offset"] == str(len(DATA))
            assert answer["Upload-Result"].endswith(f"/batches/{Batch.objects.get().pk}/")

    def test_the_same_bytes_by_the_same_member_are_the_earlier_batch(self, programme):
        first, second = programme.send(DATA), programme.send(DATA, filename="another.zip")

        assert first["Upload-Result"] == second["Upload-Result"]
        assert Batch.objects.count() == 1

    def test_who_uploads_takes_part(self, season):
        newcomer = Programme(User.objects.create_user("newcomer"), season.slug)

        newcomer.begin(10)

        assert Membership.objects.filter(user=newcomer.user, role=Role.PARTICIPANT).exists()

    def test_head_tells_metadata_and_expiry_and_may_not_be_cached(self, programme):
        answer = programme.head(programme.begin(10))

        assert answer["Upload-Metadata"] == encoded(TOLD)
        assert answer["Cache-Control"] == "no-store"
        assert answer["Upload-Expires"].endswith(" GMT")

    def test_termination_leaves_nothing(self, programme):
        path = programme.begin(len(DATA))
        programme.patch(path, 0, DATA[:10])

        assert programme.ask("DELETE", path).status_code == 204

        assert programme.head(path).status_code == 404
        assert (staged(), ResumableUpload.objects.count()) == ([], 0)

    def test_a_method_may_hide_behind_post(self, programme):
        path = programme.begin(len(DATA))

        answer = programme.ask("POST", path, DATA, Upload_Offset="0", X_HTTP_Method_Override="PATCH")

        assert answer.status_code == 204
        assert Batch.objects.exists()


class TestDiscovery:
    def test_options_needs_nobody_and_no_version(self, client, season):
        answer = client.options(reverse("tus-uploads", args=[season.slug]))

        assert answer.status_code == 204
        assert answer["Tus-Resumable"] == answer["Tus-Version"] == "1.0.0"
        assert answer["Tus-Extension"] == "creation,creation-with-upload,termination,expiration,checksum"
        assert answer["Tus-Checksum-Algorithm"] == "sha1,sha256"
        assert answer["Tus-Max-Size"] == "1000000000"

    def test_a_seasons_own_limit_is_told(self, client, season):
        Season.objects.update(upload_bytes=1234)

        assert client.options(reverse("tus-uploads", args=[season.slug]))["Tus-Max-Size"] == "1234"

    def test_another_version_is_refused_with_ours(self, programme):
        answer = programme.ask("HEAD", programme.begin(10), Tus_Resumable="0.2.2")

        assert (answer.status_code, answer["Tus-Version"]) == (412, "1.0.0")


class TestBrokenConnections:
    def chunks(self, *pieces):
        yield from pieces
        raise resumable.SenderLost

    def begun(self, programme) -> ResumableUpload:
        return ResumableUpload.objects.get(token=programme.begin(len(DATA)).rsplit("/", 1)[1])

    def test_what_had_come_is_kept_and_the_rest_follows(self, programme):
        upload = self.begun(programme)

        with pytest.raises(resumable.SenderLost):
            resumable.append(upload, 0, self.chunks(DATA[:100], DATA[100:150]))
        upload.refresh_from_db()
        assert upload.offset == 150
        resumable.append(upload, 150, iter([DATA[150:]]))

        assert stored_bytes(Batch.objects.get()) == DATA

    def test_nothing_of_a_part_is_kept_whose_checksum_never_came_to_be_compared(self, programme):
        upload = self.begun(programme)

        with pytest.raises(resumable.SenderLost):
            resumable.append(upload, 0, self.chunks(DATA[:100]), staging.Checksum("sha1", b""))

        upload.refresh_from_db()
        assert upload.offset == 0

    def test_all_bytes_are_not_the_end_until_they_are_handed_over(self, programme, monkeypatch):
        upload = self.begun(programme)
        monkeypatch.setattr("philately.domain.files.save_upload", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            resumable.append(upload, 0, iter([DATA]))
        monkeypatch.undo()

        upload.refresh_from_db()
        assert upload.offset < upload.length
        resumable.append(upload, upload.offset, iter([DATA[upload.offset :]]))

        assert stored_bytes(Batch.objects.get()) == DATA

    def test_bytes_beyond_the_offset_that_was_noted_are_written_again(self, programme):
        upload = self.begun(programme)
        Path(project_settings.STAGING_DIR, upload.token).write_bytes(b"from a process that was killed")

        resumable.append(upload, 0, iter([DATA]))

        assert stored_bytes(Batch.objects.get()) == DATA


class TestSweeping:
    def test_what_expired_goes_with_its_bytes_and_what_goes_on_stays(self, programme):
        old, new = programme.begin(10), programme.begin(20)
        programme.patch(old, 0, b"abc")
        ResumableUpload.objects.filter(length=10).update(expires_at=timezone.now() - timedelta(seconds=1))

        sweep()

        assert staged() == [new.rsplit("/", 1)[1]]
        assert ResumableUpload.objects.get().length == 20

    def test_what_is_being_written_is_left_alone(self, programme):
        token = programme.begin(10).rsplit("/", 1)[1]
        ResumableUpload.objects.update(expires_at=timezone.now() - timedelta(seconds=1))

        with staging.opened(token):
            sweep()

        assert staged() == [token]

    def test_files_that_belong_to_nothing_go_once_they_are_old(self, programme, settings):
        programme.begin(10)
        ResumableUpload.objects.all().delete()
        sweep()
        assert len(staged()) == 1

        settings.UPLOAD_EXPIRES_S = -1
        sweep()

        assert staged() == []

    def test_a_part_puts_the_expiry_off(self, programme):
        path = programme.begin(10)
        ResumableUpload.objects.update(expires_at=timezone.now() + timedelta(seconds=10))

        programme.patch(path, 0, b"abc")

        assert ResumableUpload.objects.get().expires_at > timezone.now() + timedelta(hours=23)

    def test_a_finished_upload_is_forgotten_and_its_batch_stays(self, programme):
        path = programme.begin(len(DATA))
        programme.patch(path, 0, DATA)
        ResumableUpload.objects.update(expires_at=timezone.now() - timedelta(seconds=1))

        sweep()

        assert programme.head(path).status_code == 404
        assert Batch.objects.exists()


def test_a_dry_run_is_asked_for_in_the_metadata(programme):
    answer = programme.send(DATA, dry_run="yes")

    run = DryRun.objects.get()
    assert answer["Upload-Result"] == f"http://testserver/dry-runs/{run.pk}/"
    assert not Batch.objects.exists()
