"""What the tus server refuses, with which status: uploads, parts of them, and whoever may not."""

from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings as project_settings
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from tus_requests import DATA, PART, TOLD, Programme, checksum, encoded, staged, stored_bytes

from philately.domain import resumable, staging
from philately.models import Batch, Membership, ResumableUpload, Season, User


@pytest.fixture
def stranger(season, join_as) -> Programme:
    return Programme(join_as("bob").user, season.slug)


class TestRefusedAtCreation:
    @pytest.mark.parametrize(
        ("changes", "word"),
        [
            ({"filename": None}, "filename"),
            ({"method": None}, "method"),
            ({"method": "x" * 101}, "more than 100"),
            ({"method_description": "x" * 5001}, "5,000"),
            ({"consent": None}, "data licence"),
            ({"consent": "no"}, "data licence"),
            ({"dry_run": "perhaps"}, "dry_run"),
        ],
    )
    def test_what_is_missing_is_named(self, programme, changes, word):
        answer = programme.create(10, **changes)

        assert answer.status_code == 400
        assert word in answer.content.decode()
        assert (staged(), ResumableUpload.objects.count()) == ([], 0)

    def test_what_is_too_large_or_empty(self, programme, settings):
        settings.UPLOAD_LIMIT_BYTES = 200_000_000
        too_large, empty = programme.create(200_000_001), programme.create(0)

        assert too_large.status_code == 413
        assert too_large.content.decode() == (
            "The file has 200,000,001 bytes; at most 200,000,000 are accepted at once.\n"
        )
        assert (empty.status_code, empty.content.decode()) == (403, "The file is empty.\n")

    def test_a_season_that_is_over_takes_nothing_and_nobody_in(self, season):
        Season.objects.update(closes_at=timezone.now() - timedelta(hours=1))
        late = Programme(User.objects.create_user("late"), season.slug)

        answer = late.create(10)

        assert (answer.status_code, "The season closed on" in answer.content.decode()) == (403, True)
        assert not Membership.objects.exists()

    def test_a_season_that_is_not(self, programme):
        programme.slug = "nowhere"

        assert programme.create(10).status_code == 404

    def test_a_body_that_is_no_part(self, programme):
        address = reverse("tus-uploads", args=[programme.slug])

        assert programme.ask("POST", address, b"x", kind="text/plain", Upload_Length="1").status_code == 415


class TestRefusedParts:
    def test_another_offset_is_told_the_right_one(self, programme):
        path = programme.begin(10)
        programme.patch(path, 0, b"abc")

        answer = programme.patch(path, 0, b"abc")

        assert (answer.status_code, answer["Upload-Offset"]) == (409, "3")

    def test_another_content_type(self, programme):
        path = programme.begin(10)

        assert programme.ask("PATCH", path, b"abc", kind="text/plain", Upload_Offset="0").status_code == 415

    def test_more_than_was_announced_is_not_even_read(self, programme):
        path = programme.begin(10)

        assert programme.patch(path, 0, b"x" * 11).status_code == 413
        assert programme.head(path)["Upload-Offset"] == "0"

    def test_more_than_was_announced_is_cut_off_where_no_length_told_so(self, programme):
        upload = ResumableUpload.objects.get(token=programme.begin(10).rsplit("/", 1)[1])

        with pytest.raises(resumable.BeyondLength):
            resumable.append(upload, 0, iter([b"x" * 6, b"x" * 6]))

        assert not Batch.objects.exists()
        assert Path(project_settings.STAGING_DIR, upload.token).stat().st_size <= 10

    @pytest.mark.parametrize("algorithm", ["sha1", "sha256"])
    def test_a_part_whose_checksum_differs_leaves_nothing(self, programme, algorithm):
        path = programme.begin(len(DATA))

        wrong = programme.patch(path, 0, DATA, Upload_Checksum=checksum(algorithm, DATA + b"x"))
        assert (wrong.status_code, wrong.reason_phrase) == (460, "Checksum Mismatch")
        assert programme.head(path)["Upload-Offset"] == "0"
        right = programme.patch(path, 0, DATA, Upload_Checksum=checksum(algorithm, DATA))

        assert right.status_code == 204
        assert stored_bytes(Batch.objects.get()) == DATA

    def test_another_algorithm_is_refused(self, programme):
        assert programme.patch(programme.begin(10), 0, b"x", Upload_Checksum=checksum("md5", b"x")).status_code == 400

    def test_while_one_request_writes_others_are_told_to_wait(self, programme):
        path = programme.begin(10)

        with staging.opened(path.rsplit("/", 1)[1]):
            assert programme.patch(path, 0, b"abc").status_code == 423
            assert programme.ask("DELETE", path).status_code == 423
        assert programme.patch(path, 0, b"abc").status_code == 204

    def test_what_expired_is_gone(self, programme):
        path = programme.begin(10)
        ResumableUpload.objects.update(expires_at=timezone.now() - timedelta(seconds=1))

        assert programme.head(path).status_code == programme.patch(path, 0, b"abc").status_code == 410

    def test_what_was_lost_is_gone(self, programme):
        path = programme.begin(10)
        staging.remove(path.rsplit("/", 1)[1])

        assert programme.head(path).status_code == programme.patch(path, 0, b"abc").status_code == 410

    def test_a_season_that_closed_meanwhile_takes_the_last_part_no_more(self, programme):
        path = programme.begin(len(DATA))
        Season.objects.update(closes_at=timezone.now())

        answer = programme.patch(path, 0, DATA)

        assert (answer.status_code, "The season closed on" in answer.content.decode()) == (403, True)
        assert (staged(), ResumableUpload.objects.count(), Batch.objects.count()) == ([], 0, 0)


class TestWho:
    def test_nobody_is_asked_for_a_key(self, client, season):
        answer = client.post(reverse("tus-uploads", args=[season.slug]), headers={"Tus-Resumable": "1.0.0"})

        assert (answer.status_code, answer["WWW-Authenticate"]) == (401, "Bearer")

    def test_a_wrong_key_is_refused_even_where_there_is_a_session(self, client, programme):
        client.force_login(programme.user)
        headers = {**programme.headers, "Authorization": programme.headers["Authorization"][:-1] + "!"}

        assert client.post(reverse("tus-uploads", args=[programme.slug]), headers=headers).status_code == 401

    def test_others_uploads_are_not_there(self, programme, stranger):
        path = programme.begin(10)

        assert stranger.head(path).status_code == 404
        assert stranger.patch(path, 0, b"abc").status_code == 404
        assert stranger.ask("DELETE", path).status_code == 404
        assert programme.head(path)["Upload-Offset"] == "0"

    @pytest.mark.parametrize("name", ["..", "%2e%2e%2fsecret_key", "..%2f..%2fsecret_key", "x" * 300, "%00"])
    def test_no_path_of_the_client_is_a_path_here(self, programme, name):
        assert programme.head(f"/uploads/{name}").status_code == 404

    def test_a_session_needs_the_pages_token(self, season, participant):
        browser = Client(enforce_csrf_checks=True)
        browser.force_login(participant.user)
        browser.get(reverse("upload", args=[season.slug]))
        address = reverse("tus-uploads", args=[season.slug])
        headers = {"Tus-Resumable": "1.0.0", "Upload-Length": "10", "Upload-Metadata": encoded(TOLD)}
        token = {"X-CSRFToken": browser.cookies["csrftoken"].value}

        without = browser.generic("POST", address, headers=headers)
        with_it = browser.generic("POST", address, headers={**headers, **token})
        path = with_it["Location"].removeprefix("http://testserver")
        assert (without.status_code, with_it.status_code) == (403, 201)

        part = {"Tus-Resumable": "1.0.0", "Upload-Offset": "0"}
        assert browser.generic("PATCH", path, b"abc", PART, headers=part).status_code == 403
        assert browser.generic("PATCH", path, b"abc", PART, headers={**part, **token}).status_code == 204

    def test_a_sessions_form_is_not_read_for_a_token(self, season, participant):
        browser = Client(enforce_csrf_checks=True)
        browser.force_login(participant.user)

        answer = browser.post(
            reverse("tus-uploads", args=[season.slug]), {"csrfmiddlewaretoken": "x"}, headers={"Tus-Resumable": "1.0.0"}
        )

        assert answer.status_code == 415
