"""A full disk and an endless queue refuse uploads before a byte is taken: a sentence, a time, and no use of quota."""

import pytest
from ase.build import bulk
from django.core.files.uploadedfile import SimpleUploadedFile
from driving import submit
from facts import add_candidate
from tus_requests import Programme

from philately.domain import back_pressure, quotas
from philately.domain.intake import Method, accept_upload, read_batches
from philately.domain.refusals import Overloaded
from philately.models import Batch, Membership, ResumableUpload
from philately.queries.disks import space
from philately.states import CandidateState

S = CandidateState


@pytest.fixture
def full(settings, season):
    """The disk has less free than is to stay free, whatever it has."""
    settings.STORAGE_FLOOR_BYTES = 1 << 62


@pytest.fixture
def long_queue(settings, participant):
    settings.QUEUE_LIMIT = 3
    for state in (S.PARSED, S.RECEIVED, S.CHECKED):
        add_candidate(participant, bulk("Cu"), state=state)


def _offer(member):
    return accept_upload(member, SimpleUploadedFile("a.cif", b"data_a\n"), Method("by hand"), consent=True)


def test_a_disk_that_would_be_too_full_refuses_with_a_sentence(participant, full):
    with pytest.raises(Overloaded, match=r"too little room .* nothing of your quota is used up"):
        _offer(participant)

    assert not Batch.objects.exists()


def test_the_size_of_the_upload_counts(participant, settings):
    free = min(space(folder)[0] for folder in back_pressure._folders())
    settings.STORAGE_FLOOR_BYTES = free // 2

    back_pressure.refuse_full_disk(1)
    with pytest.raises(Overloaded):
        back_pressure.refuse_full_disk(free)


def test_a_queue_that_is_too_long_refuses_and_counts_what_is_not_released(participant, long_queue, settings):
    with pytest.raises(Overloaded, match="3 structures wait to be relaxed in this season"):
        _offer(participant)

    settings.QUEUE_LIMIT = 4
    batch, _ = _offer(participant)
    settings.RELEASE_AHEAD = 0
    read_batches(participant.season_id)
    batch.refresh_from_db()
    assert (batch.n_found, batch.n_released) == (1, 0)
    assert back_pressure.queue_length(participant.season, at_most=100) == 4
    with pytest.raises(Overloaded):
        submit(participant, {"b.cif": "data_b\n"})


def test_what_ended_does_not_count(participant, settings):
    settings.QUEUE_LIMIT = 1
    for state in (S.RELAXED, S.SET_ASIDE, S.WITHDRAWN):
        add_candidate(participant, bulk("Cu"), 0.0, state=state)

    assert _offer(participant)[1]


def test_without_a_limit_a_queue_may_be_any_length(participant, long_queue, settings):
    settings.QUEUE_LIMIT = 0

    assert _offer(participant)[1]


@pytest.mark.parametrize("which", ["full", "long_queue"])
def test_the_form_answers_503_with_a_time_and_uses_no_quota(client, participant, request, which):
    request.getfixturevalue(which)
    client.force_login(participant.user)
    before = quotas.quota_left(participant)
    page = client.get("/seasons/practice/upload/")
    assert b"please try again later." in page.content

    form = {"file": SimpleUploadedFile("a.cif", b"data_a\n"), "method": "by hand", "consent": "on"}
    answer = client.post("/seasons/practice/upload/", form)

    assert answer.status_code == 503
    assert int(answer["Retry-After"]) >= 600
    assert b"please try again later." in answer.content
    assert quotas.quota_left(participant) == before


def test_tus_answers_503_with_a_time_before_the_first_byte_and_between(participant, season, settings):
    programme = Programme(participant.user, season.slug)
    path = programme.begin(7)
    settings.STORAGE_FLOOR_BYTES = 1 << 62

    refused = programme.create(7)
    part = programme.patch(path, 0, b"data_a\n")

    for answer in (refused, part):
        assert (answer.status_code, answer["Retry-After"]) == (503, "600")
        assert b"too little room" in answer.content
    assert ResumableUpload.objects.count() == 1
    settings.STORAGE_FLOOR_BYTES = 0
    assert programme.patch(path, 0, b"data_a\n").status_code == 204
    assert Membership.objects.get().batches.count() == 1


def test_tus_answers_503_where_the_queue_is_too_long_but_takes_dry_runs(participant, season, long_queue):
    programme = Programme(participant.user, season.slug)

    refused = programme.create(7)

    assert (refused.status_code, refused["Retry-After"]) == (503, "3600")
    assert b"3 structures wait to be relaxed" in refused.content
    assert programme.create(7, dry_run="yes").status_code == 201
