"""What a participant may still send: counted from rows, refused before the first byte, used up by nothing in vain."""

import threading
from dataclasses import asdict
from datetime import timedelta

import pytest
from ase.build import bulk
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.urls import reverse
from django.utils import timezone
from driving import cif, first_texts, read_all, submit, zipped
from facts import add_batch, bells
from tus_requests import Programme

from philately.domain import quotas
from philately.domain.dry_runs import accept_dry_run
from philately.domain.intake import Method, accept_upload
from philately.domain.refusals import QuotaUsedUp, TooLarge
from philately.domain.resumable import Announced, begin
from philately.models import Batch, Candidate, DryRun, Membership, ResumableUpload, Season
from philately.states import BatchState, CandidateState
from validation.effort import DEFAULT_STEPS

DAY = timedelta(days=1)


def used(member: Membership, **options) -> dict[str, int]:
    """What is used up, by limit; what is not is left out."""
    quota = quotas.quota_left(Membership.objects.get(pk=member.pk), **options)
    limits, left = asdict(quota.limits), asdict(quota.left)
    return {name: limits[name] - left[name] for name in limits if limits[name] != left[name]}


def announced(length: int, **options) -> Announced:
    return Announced(length=length, file_name="a.zip", method=Method("by hand"), consent=True, **options)


def texts(n: int, *, at: int = 0) -> dict[str, str]:
    return {f"{number}.cif": cif(bulk("Cu", a=3.6 + 0.01 * number)) for number in range(at, at + n)}


class TestWhatIsLeft:
    def test_nothing_is_used_up_at_first(self, participant):
        assert used(participant) == {}
        assert quotas.quota_left(participant) == quotas.unused(participant.season)

    def test_a_batch_uses_up_its_bytes_itself_and_once_read_its_structures(self, participant, season):
        batch = submit(participant, first_texts())
        assert used(participant) == {"upload_bytes_a_day": batch.n_bytes, "uploads_a_day": 1}

        read_all(season)

        assert used(participant) == {
            "upload_bytes_a_day": batch.n_bytes,
            "uploads_a_day": 1,
            "structures_a_day": 6,
            "structures_a_season": 6,
            "atom_steps_a_day": 11 * DEFAULT_STEPS,
            "atom_steps_a_season": 11 * DEFAULT_STEPS,
        }

    def test_after_a_day_only_the_seasons_structures_count(self, participant, season):
        submit(participant, first_texts())
        read_all(season)
        Batch.objects.update(submitted_at=timezone.now() - DAY - timedelta(seconds=1))

        assert used(participant) == {"structures_a_season": 6, "atom_steps_a_season": 11 * DEFAULT_STEPS}

    def test_an_unfinished_upload_counts_with_its_whole_length_until_it_is_removed(self, participant):
        upload = begin(participant, announced(1000))

        assert used(participant) == {"upload_bytes_a_day": 1000, "uploads_a_day": 1, "uploads_unfinished": 1}
        upload.delete()
        assert used(participant) == {}

    def test_an_expired_one_counts_no_more_even_before_it_is_swept(self, participant):
        begin(participant, announced(1000))
        ResumableUpload.objects.update(expires_at=timezone.now() - timedelta(seconds=1))

        assert used(participant) == {}

    @pytest.mark.parametrize("state", [BatchState.REFUSED, BatchState.SET_ASIDE])
    def test_what_is_refused_or_our_fault_uses_up_nothing(self, participant, state):
        batch = add_batch(participant)
        Batch.objects.filter(pk=batch.pk).update(state=state, problem="x", n_counted=5)

        assert used(participant) == {}

    def test_structures_that_are_set_aside_are_our_fault(self, participant, season):
        submit(participant, first_texts())
        read_all(season)
        set_aside = Candidate.objects.filter(state=CandidateState.PARSED)[:2]
        Candidate.objects.filter(pk__in=[one.pk for one in set_aside]).update(state=CandidateState.SET_ASIDE)

        assert used(participant)["structures_a_season"] == 4

    def test_a_dry_run_uses_up_nothing_but_dry_runs(self, participant):
        accept_dry_run(participant, SimpleUploadedFile("a.zip", b"x" * 10), Method("by hand"), consent=True)

        assert used(participant) == {}
        assert used(participant, is_dry_run=True) == {"upload_bytes_a_day": 10, "uploads_a_day": 1}

    def test_others_and_other_seasons_do_not_count(self, participant, join_as):
        submit(join_as("bob"), first_texts())

        assert used(participant) == {}

    def test_it_takes_as_many_queries_for_more_rows(self, participant, season, django_assert_num_queries):
        for at in range(3):
            submit(participant, texts(2, at=2 * at))
            begin(participant, announced(10))
        read_all(season)
        member = Membership.objects.select_related("season").get(pk=participant.pk)

        with django_assert_num_queries(8):
            quotas.quota_left(member)

    def test_a_seasons_own_limit_goes_before_the_installations(self, participant, season, settings):
        settings.UPLOADS_A_DAY, settings.STRUCTURES_A_DAY = 7, 70
        Season.objects.update(uploads_a_day=3, uploads_unfinished=0)
        season.refresh_from_db()

        limits = quotas.limits_of(season)

        assert (limits.uploads_a_day, limits.uploads_unfinished, limits.structures_a_day) == (3, 0, 70)


class TestRefusals:
    @pytest.mark.parametrize(
        ("changes", "status", "sentence"),
        [
            ({"upload_bytes": 99}, 413, "The file has 100 bytes; at most 99 are accepted at once."),
            (
                {"upload_bytes_a_day": 1050},
                429,
                "The file has 100 bytes, and 50 are left of the 1,050 bytes of",
            ),
            ({"uploads_a_day": 1}, 429, "At most 1 uploads may be made within 24 hours, and you made them."),
            (
                {"uploads_unfinished": 1},
                429,
                "At most 1 of your uploads may be unfinished; finish or cancel one",
            ),
            ({"structures_a_day": 0}, 429, "At most 0 structures may be submitted within 24 hours"),
            ({"structures_a_season": 0}, 429, "At most 0 structures may be submitted to this season"),
            (
                {"atom_steps_a_day": 0},
                429,
                "Relaxing takes at most 0 atom-steps (atoms × steps) of a participant within",
            ),
            (
                {"atom_steps_a_season": 0},
                429,
                "Relaxing takes at most 0 atom-steps (atoms × steps) of a participant in",
            ),
        ],
    )
    def test_an_upload_is_refused_before_its_first_byte(self, participant, season, changes, status, sentence):
        begin(participant, announced(1000))
        Season.objects.update(**changes)

        answer = Programme(participant.user, season.slug).create(100)

        assert answer.status_code == status
        assert answer.content.decode().startswith(sentence)
        assert ResumableUpload.objects.count() == 1

    def test_a_form_is_refused_before_its_body_is_read(self, client, participant, season):
        Season.objects.update(upload_bytes_a_day=1000)
        client.force_login(participant.user)

        answer = client.post(
            reverse("upload", args=[season.slug]),
            {"file": SimpleUploadedFile("a.zip", b"x" * 1_100_000), "method": "m", "consent": "on"},
        )

        assert answer.status_code == 429
        assert "of the 1,000 bytes of uploads" in answer.content.decode()

    def test_the_same_bytes_as_before_are_let_in_whatever_the_quota(self, participant):
        batch = submit(participant, first_texts())
        Season.objects.update(uploads_a_day=1)

        assert submit(Membership.objects.get(pk=participant.pk), first_texts()) == batch

    def test_a_dry_run_has_its_own_limit(self, participant):
        Season.objects.update(uploads_a_day=1)
        member = Membership.objects.get(pk=participant.pk)
        submit(member, first_texts())
        accept_dry_run(member, SimpleUploadedFile("a.zip", b"a"), Method("m"), consent=True)

        with pytest.raises(QuotaUsedUp, match="at most 1 dry runs"):
            accept_dry_run(member, SimpleUploadedFile("b.zip", b"b"), Method("m"), consent=True)

        assert DryRun.objects.count() == 1

    def test_a_dry_run_goes_on_where_structures_are_used_up(self, participant):
        Season.objects.update(structures_a_season=0)
        member = Membership.objects.get(pk=participant.pk)

        accept_dry_run(member, SimpleUploadedFile("a.zip", b"a"), Method("m"), consent=True)

        with pytest.raises(QuotaUsedUp):
            submit(member, first_texts())


class TestStructures:
    def test_a_batch_of_more_than_is_left_is_refused_as_a_whole_and_both_numbers_are_told(self, participant, season):
        Season.objects.update(structures_a_day=5)
        submit(participant, texts(3))
        too_many = submit(participant, texts(4, at=3))
        read_all(season)

        too_many.refresh_from_db()
        assert too_many.state == BatchState.REFUSED
        assert "it holds 4 structures, and 2 are left of the 5 that you may submit within 24 hours" in too_many.problem
        assert not too_many.candidates.exists() and not too_many.shards.exists()
        assert used(participant)["structures_a_day"] == 3

    def test_as_many_as_are_left_are_read(self, participant, season):
        Season.objects.update(structures_a_season=5)
        submit(participant, texts(3))
        exactly = submit(participant, texts(2, at=3))

        read_all(season)

        exactly.refresh_from_db()
        assert (exactly.state, exactly.n_counted) == (BatchState.READ, 2)

    def test_what_was_refused_is_read_once_there_is_room(self, participant, season, django_capture_on_commit_callbacks):
        Season.objects.update(structures_a_day=3)
        batch = submit(participant, texts(4))
        read_all(season)
        Season.objects.update(structures_a_day=4)
        bells("parse")

        with django_capture_on_commit_callbacks(execute=True):
            again, is_new = accept_upload(
                Membership.objects.get(pk=participant.pk),
                SimpleUploadedFile("b.zip", zipped(texts(4))),
                Method("again"),
                consent=True,
            )
        assert (again.pk, is_new, bells("parse")) == (batch.pk, True, [("intake", season.pk)])
        read_all(season)

        batch.refresh_from_db()
        assert (batch.state, batch.problem, batch.method) == (BatchState.READ, "", "again")
        assert batch.candidates.count() == 4


@pytest.mark.django_db(transaction=True)
def test_of_two_uploads_at_once_only_so_many_are_let_in_as_are_left(season, participant):
    Season.objects.update(uploads_a_day=1)
    together, outcomes = threading.Barrier(4), []

    def send() -> None:
        member = Membership.objects.select_related("season").get(pk=participant.pk)
        together.wait()
        try:
            begin(member, announced(10))
            outcomes.append("begun")
        except QuotaUsedUp:
            outcomes.append("refused")
        finally:
            connection.close()

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(outcomes) == ["begun", "refused", "refused", "refused"]


@pytest.mark.django_db(transaction=True)
def test_a_quota_is_not_looked_at_outside_the_transaction_that_uses_it(participant):
    with pytest.raises(RuntimeError, match="one transaction"):
        quotas.lock(participant)


def test_too_large_is_a_refusal_of_its_own(participant, settings):
    with pytest.raises(TooLarge):
        quotas.refuse_too_large(participant.season, settings.UPLOAD_LIMIT_BYTES + 1)


def test_the_upload_page_shows_what_is_left(client, participant, season):
    Season.objects.update(uploads_a_day=9, structures_a_day=1000)
    submit(participant, first_texts())
    read_all(season)
    client.force_login(participant.user)

    text = " ".join(client.get(reverse("upload", args=[season.slug])).content.decode().split())

    assert "<strong>8</strong> of 9 uploads" in text
    assert "<strong>994</strong> of 1,000 structures" in text
