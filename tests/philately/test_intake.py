"""From an upload to shards and candidates: in order, once, or refused with a sentence."""

import gzip
import hashlib
import io
import json
import tarfile
from datetime import timedelta

import ase.io
import pytest
import zstandard
from ase.build import bulk
from django.core.files.storage import default_storage
from django.utils import timezone
from driving import cif, read_all, submit, zipped
from facts import before_statement, bells
from uploading import TEXTS, accept, texts_of

from philately.domain.intake import UploadRefused, read_batches
from philately.models import Batch, Candidate, CandidateDetail, Season, Shard
from philately.states import BatchState, CandidateState
from validation.crystal import Crystal


def _tar(mode):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for name, text in TEXTS.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "name"),
    [
        pytest.param(zipped(TEXTS), "a.zip", id="zip"),
        pytest.param(_tar("w"), "a.tar", id="tar"),
        pytest.param(_tar("w:gz"), "a.tar.gz", id="tar.gz"),
        pytest.param(zstandard.compress(_tar("w")), "a.tar.zst", id="tar.zst"),
        pytest.param(_tar("w:gz"), "misleading.cif", id="a name that misleads"),
    ],
)
def test_an_archive_becomes_one_candidate_a_file_with_its_text_in_a_shard(participant, data, name):
    batch, new = accept(participant, data, name)

    assert new
    assert read_batches(participant.season_id) == 1

    batch.refresh_from_db()
    assert (batch.state, batch.n_bytes, batch.method, batch.licence) == (
        BatchState.READ,
        len(data),
        "by hand",
        participant.season.data_licence,
    )
    assert texts_of(batch) == {(name, name[0]): text for name, text in TEXTS.items()}


@pytest.mark.parametrize("packed", [False, True])
def test_each_block_of_a_single_file_is_a_candidate_that_knows_its_line(participant, packed):
    text = "# two of them\n" + "".join(TEXTS.values())
    data = gzip.compress(text.encode()) if packed else text.encode()

    batch, _ = accept(participant, data, "both.cif.gz" if packed else "both.cif")
    read_batches(participant.season_id)

    rows = CandidateDetail.objects.filter(candidate__batch=batch).order_by("candidate__arrival")
    assert list(rows.values_list("block", "line")) == [("a", 1), ("b", 4)]
    assert "".join(texts_of(batch).values()) == text


def test_what_cannot_be_read_is_a_candidate_too_rejected_with_a_sentence(participant):
    batch, _ = accept(participant, zipped({**TEXTS, "inner.zip": zipped(TEXTS).decode("latin-1")}))
    nested = io.BytesIO()
    with tarfile.open(fileobj=nested, mode="w") as archive:
        info = tarfile.TarInfo("link.cif")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(info)
    accept(participant, nested.getvalue(), "links.tar")
    read_batches(participant.season_id)

    rejected = Candidate.objects.get(state=CandidateState.REJECTED, reason="NOT_CIF", detail__file="link.cif")
    assert "link" in rejected.detail.sentence
    assert batch.candidates.count() == 3


def test_the_same_bytes_again_are_the_same_batch(participant, join_as):
    first, _ = accept(participant, zipped(TEXTS))
    again, new = accept(participant, zipped(TEXTS), "another name.zip")
    other, new_for_ben = accept(join_as("ben"), zipped(TEXTS))

    assert (again.pk, new) == (first.pk, False)
    assert new_for_ben
    assert other.stored_as == first.stored_as


def test_the_same_bytes_in_two_requests_at_once_are_one_batch(participant):
    arrived = []

    def twice():
        if not arrived:
            arrived.append(accept(participant, zipped(TEXTS)))

    with before_statement(3, twice):  # after it looked for the same bytes, before it wrote
        batch, new = accept(participant, zipped(TEXTS))

    assert (batch.pk, new) == (arrived[0][0].pk, False)
    assert Batch.objects.count() == 1


def test_an_upload_that_broke_off_while_it_was_stored_spoils_no_later_one(participant):
    data = zipped(TEXTS)
    sha256 = hashlib.sha256(data).hexdigest()
    default_storage.save(f"uploads/{sha256[:2]}/{sha256}", io.BytesIO(data[:20]))

    batch, _ = accept(participant, data)
    read_batches(participant.season_id)

    batch.refresh_from_db()
    assert batch.state == BatchState.READ


def test_without_consent_nothing_is_taken_and_the_licence_named(participant):
    with pytest.raises(UploadRefused, match=participant.season.data_licence):
        accept(participant, zipped(TEXTS), consent=False)

    assert not Batch.objects.exists()


@pytest.mark.parametrize(
    ("opens", "closes", "sentence"),
    [(1, None, "opens on"), (-2, -1, "closed on")],
)
def test_outside_its_time_a_season_takes_nothing(participant, opens, closes, sentence):
    season, day = participant.season, timedelta(days=1)
    season.opens_at = timezone.now() + opens * day
    season.closes_at = None if closes is None else timezone.now() + closes * day

    with pytest.raises(UploadRefused, match=f"the season {sentence} .* UTC"):
        accept(participant, zipped(TEXTS))


def test_an_empty_and_a_too_large_file_are_refused_with_the_limit(participant, settings):
    settings.UPLOAD_LIMIT_BYTES = 1000

    with pytest.raises(UploadRefused, match="empty"):
        accept(participant, b"")
    with pytest.raises(UploadRefused, match=r"1,001 bytes; at most 1,000"):
        accept(participant, b"x" * 1001)

    assert not Batch.objects.exists()


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (zipped(TEXTS)[:-30], "damaged"),
        (zipped({".hidden": "x"}), "empty"),
        (zipped({f"{number}.cif": "x" for number in range(9)}), "more than 8 members"),
        (b"".join(b"data_%d\n_cell_length_a 1\n" % number for number in range(9)), "more than 8 structures"),
        (zipped({f"{part}.cif": "data_x\n_atom_site\n" * 5 for part in "ab"}), "more than 8 structures"),
    ],
)
def test_a_refused_archive_says_why_and_counts_no_candidate(participant, settings, data, sentence):
    settings.UPLOAD_LIMIT_MEMBERS = 8
    batch, _ = accept(participant, data)
    before = Season.objects.get().next_arrival

    read_batches(participant.season_id)

    batch.refresh_from_db()
    assert batch.state == BatchState.REFUSED
    assert sentence in batch.problem
    assert not Candidate.objects.exists()
    assert not Shard.objects.exists()
    assert Season.objects.get().next_arrival == before


def test_arrival_numbers_are_contiguous_and_follow_the_order_of_upload(participant, join_as, settings):
    settings.SHARD_SIZE = 2
    names = ["c", "a", "b"]
    first = submit(join_as("ben"), {f"{name}.cif": cif(bulk("Cu")) for name in names})
    second = submit(participant, {f"{name}.cif": cif(bulk("Au")) for name in names})

    assert read_batches(participant.season_id) == 2

    rows = list(Candidate.objects.order_by("arrival").values_list("arrival", "batch", "shard__number", "detail__file"))
    assert rows == [
        (1 + number, batch, number % 3 // 2, f"{names[number % 3]}.cif")
        for number, batch in enumerate([first.pk] * 3 + [second.pk] * 3)
    ]


def test_reading_twice_equals_reading_once(participant):
    submit(participant, TEXTS)
    read_batches(participant.season_id)
    before = list(Candidate.objects.values_list("pk", "arrival"))

    assert read_batches(participant.season_id) == 0
    assert list(Candidate.objects.values_list("pk", "arrival")) == before


def test_an_upload_that_is_refused_at_its_end_leaves_nothing_in_storage(participant, settings):
    settings.SHARD_SIZE, settings.UPLOAD_LIMIT_MEMBERS = 1, 3
    batch, _ = accept(participant, b"".join(b"data_%d\n_cell_length_a 1\n" % number for number in range(4)), "a.cif")

    read_batches(participant.season_id)

    batch.refresh_from_db()
    assert (batch.state, batch.n_found) == (BatchState.REFUSED, 3)
    assert not default_storage.exists(f"shards/{batch.pk}")


def test_an_upload_that_takes_too_long_to_read_is_refused(participant, settings):
    settings.UPLOAD_LIMIT_S = 0.0
    batch, _ = accept(participant, zipped(TEXTS))

    read_batches(participant.season_id)

    batch.refresh_from_db()
    assert "takes longer than 0 s" in batch.problem


def test_every_format_is_taken_in_and_read(participant):
    atoms = bulk("Cu")
    frames = io.StringIO()
    ase.io.write(frames, [atoms, bulk("Au")], format="extxyz")
    structures = [Crystal.from_atoms(bulk(name)).to_structure().as_dict() for name in ("Ag", "Pt")]
    batch = submit(
        participant,
        {
            "one.cif": cif(bulk("Ni")),
            "two.xyz": frames.getvalue(),
            "three.jsonl": "".join(f"{json.dumps(structure)}\n" for structure in structures),
            "four.json": json.dumps(structures[0]),
        },
    )

    read_all(participant.season)

    rows = batch.candidates.order_by("arrival").values_list(
        "detail__file", "detail__block", "detail__format", "formula"
    )
    assert list(rows)[1:] == [
        ("two.xyz", "1", "extxyz", "Cu"),
        ("two.xyz", "2", "extxyz", "Au"),
        ("three.jsonl", "1", "json", "Ag"),
        ("three.jsonl", "2", "json", "Pt"),
        ("four.json", "", "json", "Ag"),
    ]


def test_names_and_sentences_keep_nothing_that_a_database_refuses(participant):
    batch, _ = accept(participant, b"data_a\0b\n_cell_length_a 1\n", "a.cif")

    read_batches(participant.season_id)

    assert CandidateDetail.objects.get(candidate__batch=batch).block == "a?b"


def test_each_deed_rings_for_the_next(participant, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        submit(participant, TEXTS)
    assert bells("parse") == [("intake", participant.season_id)]

    with django_capture_on_commit_callbacks(execute=True):
        read_batches(participant.season_id)
    assert bells("parse") == [("parse", Shard.objects.get().pk)]
