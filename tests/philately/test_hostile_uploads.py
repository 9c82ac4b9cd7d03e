"""Every kind of hostile upload through the platform: each structure gets a verdict, each refused upload a sentence."""

import warnings

import pytest
from ase.build import bulk
from django.core.files.uploadedfile import SimpleUploadedFile
from driving import cif, read_all

from philately.domain.intake import Method, accept_upload
from philately.domain.reading import leave
from philately.models import Candidate
from philately.states import BatchState, CandidateState
from tests.validation.hostile_archives import archive_kinds, zipped
from tests.validation.hostile_texts import text_kinds

warnings.filterwarnings("ignore", "Duplicate name")
GOOD = cif(bulk("Cu")).encode()


@pytest.fixture(autouse=True)
def no_children_left():
    yield
    leave()


def _submitted(member, data, name="batch.zip"):
    return accept_upload(member, SimpleUploadedFile(name, data), Method("by hand"), consent=True)[0]


def _wrong(season):
    """Candidates without a verdict, or with one that says nothing."""
    verdicts = season.candidates.values_list("state", "detail__file", "detail__sentence")
    settled = {CandidateState.PARSED, CandidateState.PARKED}
    return [
        (state, file, sentence)
        for state, file, sentence in verdicts
        if state not in settled and not (state == CandidateState.REJECTED and sentence.endswith("."))
    ]


@pytest.mark.slow  # the same files go through the readers one by one in every run
def test_bad_files_are_rejected_with_a_sentence_and_good_ones_between_them_are_not(season, participant):
    members = []
    for number, kind in enumerate(text_kinds()):
        members += [(f"{number}/{kind.file}", kind.make()), (f"{number}/good.cif", GOOD)]

    batch = _submitted(participant, zipped(*members))
    read_all(season)

    batch.refresh_from_db()
    good = Candidate.objects.filter(batch=batch, detail__file__endswith="good.cif")
    assert batch.state == BatchState.READ
    assert not _wrong(season)
    assert good.count() == len(text_kinds())
    assert set(good.values_list("state", flat=True)) == {CandidateState.PARSED, CandidateState.PARKED}


@pytest.mark.slow
def test_bad_archives_are_refused_with_a_sentence_or_read(season, participant):
    kinds = [kind for kind in archive_kinds() if kind.name != "nothing"]  # an upload without a byte is not stored

    batches = {kind.name: _submitted(participant, kind.make(), kind.file) for kind in kinds}
    read_all(season)

    for batch in batches.values():
        batch.refresh_from_db()
    refused = {name: batch for name, batch in batches.items() if batch.state == BatchState.REFUSED}
    assert {batch.state for batch in batches.values()} == {BatchState.READ, BatchState.REFUSED}
    assert all(batch.problem.endswith(".") and batch.problem.isprintable() for batch in refused.values())
    assert not any(batch.candidates.exists() or batch.shards.exists() for batch in refused.values())
    assert {kind.name for kind in kinds if kind.refused} - set(refused) <= {
        kind.name for kind in kinds if _by_its_limits(kind)
    }
    assert not _wrong(season)


def _by_its_limits(kind):
    """Refused only by limits that are lower than the platform's."""
    return kind.limits != type(kind.limits)()
