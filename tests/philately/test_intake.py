"""From an upload to shards and candidates: in order, once, all or nothing."""

import gzip
import hashlib
import io
import json
import tarfile
from contextlib import contextmanager
from copy import copy
from datetime import timedelta
from pathlib import Path

import ase.io
import pytest
import zstandard
from ase.build import bulk
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.utils import timezone
from driving import cif, read_all, submit, zipped
from facts import Killed, before_statement, bells, kill, let_expire

from philately.domain.files import DamagedShard, list_name, open_stored, put_bytes, read_shard
from philately.domain.intake import Method, UploadRefused, accept_upload, read_batches
from philately.domain.locks import LockLost, lock
from philately.domain.shards import ChangedShard, Shelf, read_list, write_list
from philately.models import Batch, Candidate, CandidateDetail, Lock, Season, Shard
from philately.states import BatchState, CandidateState
from philately.storage import StorageFault, storage
from validation.crystal import Crystal
from validation.uploads import structures_of

TEXTS = {"a.cif": "data_a\n_cell_length_a 1\n", "b.cif": "data_b\n_cell_length_a 2\n"}


def _tar(mode):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for name, text in TEXTS.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))
    return buffer.getvalue()


def _accept(member, data, name="batch.zip", **options):
    return accept_upload(member, SimpleUploadedFile(name, data), Method("by hand"), **{"consent": True, **options})


def _texts(batch):
    """Name → text of every candidate, read back from the shards."""
    found = {}
    for detail in CandidateDetail.objects.filter(candidate__batch=batch).select_related("candidate__shard"):
        text = read_shard(detail.candidate.shard)[detail.offset : detail.offset + detail.length]
        found[detail.file, detail.block] = text.decode()
    return found


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
    batch, new = _accept(participant, data, name)

    assert new
    assert read_batches(participant.season_id) == 1

    batch.refresh_from_db()
    assert (batch.state, batch.n_bytes, batch.method, batch.licence) == (
        BatchState.READ,
        len(data),
        "by hand",
        participant.season.data_licence,
    )
    assert _texts(batch) == {(name, name[0]): text for name, text in TEXTS.items()}


@pytest.mark.parametrize("packed", [False, True])
def test_each_block_of_a_single_file_is_a_candidate_that_knows_its_line(participant, packed):
    text = "# two of them\n" + "".join(TEXTS.values())
    data = gzip.compress(text.encode()) if packed else text.encode()

    batch, _ = _accept(participant, data, "both.cif.gz" if packed else "both.cif")
    read_batches(participant.season_id)

    rows = CandidateDetail.objects.filter(candidate__batch=batch).order_by("candidate__arrival")
    assert list(rows.values_list("block", "line")) == [("a", 1), ("b", 4)]
    assert "".join(_texts(batch).values()) == text


def test_what_cannot_be_read_is_a_candidate_too_rejected_with_a_sentence(participant):
    batch, _ = _accept(participant, zipped({**TEXTS, "inner.zip": zipped(TEXTS).decode("latin-1")}))
    nested = io.BytesIO()
    with tarfile.open(fileobj=nested, mode="w") as archive:
        info = tarfile.TarInfo("link.cif")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(info)
    _accept(participant, nested.getvalue(), "links.tar")
    read_batches(participant.season_id)

    rejected = Candidate.objects.get(state=CandidateState.REJECTED, reason="NOT_CIF", detail__file="link.cif")
    assert "link" in rejected.detail.sentence
    assert batch.candidates.count() == 3


def test_the_same_bytes_again_are_the_same_batch(participant, join_as):
    first, _ = _accept(participant, zipped(TEXTS))
    again, new = _accept(participant, zipped(TEXTS), "another name.zip")
    other, new_for_ben = _accept(join_as("ben"), zipped(TEXTS))

    assert (again.pk, new) == (first.pk, False)
    assert new_for_ben
    assert other.stored_as == first.stored_as


def test_the_same_bytes_in_two_requests_at_once_are_one_batch(participant):
    arrived = []

    def twice():
        if not arrived:
            arrived.append(_accept(participant, zipped(TEXTS)))

    with before_statement(3, twice):  # after it looked for the same bytes, before it wrote
        batch, new = _accept(participant, zipped(TEXTS))

    assert (batch.pk, new) == (arrived[0][0].pk, False)
    assert Batch.objects.count() == 1


def test_an_upload_that_broke_off_while_it_was_stored_spoils_no_later_one(participant):
    data = zipped(TEXTS)
    sha256 = hashlib.sha256(data).hexdigest()
    default_storage.save(f"uploads/{sha256[:2]}/{sha256}", io.BytesIO(data[:20]))

    batch, _ = _accept(participant, data)
    read_batches(participant.season_id)

    batch.refresh_from_db()
    assert batch.state == BatchState.READ


def test_without_consent_nothing_is_taken_and_the_licence_named(participant):
    with pytest.raises(UploadRefused, match=participant.season.data_licence):
        _accept(participant, zipped(TEXTS), consent=False)

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
        _accept(participant, zipped(TEXTS))


def test_an_empty_and_a_too_large_file_are_refused_with_the_limit(participant, settings):
    settings.UPLOAD_LIMIT_BYTES = 1000

    with pytest.raises(UploadRefused, match="empty"):
        _accept(participant, b"")
    with pytest.raises(UploadRefused, match=r"1,001 bytes; at most 1,000"):
        _accept(participant, b"x" * 1001)

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
    batch, _ = _accept(participant, data)
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


def test_while_one_process_reads_another_leaves_it_alone(participant):
    submit(participant, TEXTS)

    with lock(f"intake:{participant.season_id}"):
        assert read_batches(participant.season_id) == 0

    assert Batch.objects.get().state == BatchState.UPLOADED


def test_killed_before_any_statement_it_leaves_whole_shards_and_the_next_one_finishes(participant, settings):
    settings.SHARD_SIZE, settings.MAX_ATTEMPTS = 1, 1000
    for number in range(1, 100):
        texts = {name: f"{text}# {number}\n" for name, text in TEXTS.items()}
        batch = submit(participant, texts)
        before = Season.objects.get().next_arrival
        killed = False
        try:
            with before_statement(number, kill):
                read_batches(participant.season_id)
        except Killed:
            killed = True
            let_expire(Lock.objects.all())

        counts = batch.candidates.count(), batch.shards.count(), Season.objects.get().next_arrival - before
        assert counts in {(0, 0, 0), (1, 1, 1), (2, 2, 2)}
        assert not CandidateDetail.objects.filter(candidate=None).exists()

        read_batches(participant.season_id)
        batch.refresh_from_db()
        assert batch.state == BatchState.READ
        assert list(batch.candidates.order_by("arrival").values_list("arrival", flat=True)) == [before, before + 1]
        assert list(batch.shards.order_by("pk").values_list("number", flat=True)) == [0, 1]
        assert set(_texts(batch).values()) == set(texts.values())
        if not killed:
            break

    assert number > 20


@contextmanager
def _killed_before_shard(number):
    """Kills the reader when it is about to release its so-manieth shard, from 0."""
    released = []

    def wrapper(execute, sql, params, many, context):
        if sql.startswith('INSERT INTO "philately_shard"'):
            if len(released) == number:
                raise Killed
            released.append(sql)
        return execute(sql, params, many, context)

    with pytest.raises(Killed), connection.execute_wrapper(wrapper):
        yield
    let_expire(Lock.objects.all())


@pytest.fixture
def half_released(participant, settings):
    """A batch of three shards whose reader was killed after the first."""
    settings.SHARD_SIZE = 1
    batch = submit(participant, {**TEXTS, "c.cif": "data_c\n_cell_length_a 3\n"})
    with _killed_before_shard(1):
        read_batches(participant.season_id)
    batch.refresh_from_db()
    assert (batch.state, batch.n_found, batch.candidates.count()) == (BatchState.UPLOADED, 3, 1)
    return batch


def _is_whole(batch):
    batch.refresh_from_db()
    rows = batch.candidates.order_by("arrival").values_list("arrival", "shard__number", "detail__file")
    return batch.state == BatchState.READ and list(rows) == [(1, 0, "a.cif"), (2, 1, "b.cif"), (3, 2, "c.cif")]


def test_killed_between_two_shards_the_next_one_goes_on_without_reading_the_upload_again(half_released):
    default_storage.delete(half_released.stored_as)

    read_batches(half_released.season_id)

    assert _is_whole(half_released)
    assert set(_texts(half_released)) == {("a.cif", "a"), ("b.cif", "b"), ("c.cif", "c")}


def test_where_the_list_of_shards_is_lost_the_upload_is_read_again_and_nothing_doubled(half_released):
    default_storage.delete(list_name(half_released.pk))

    read_batches(half_released.season_id)

    assert _is_whole(half_released)


@pytest.mark.parametrize("content", [b"", b"0" * 64, b"[]", b"0" * 64 + b"\n[{"])
def test_a_list_of_shards_that_was_cut_short_counts_for_nothing(half_released, content):
    put_bytes(list_name(half_released.pk), content)

    read_batches(half_released.season_id)

    assert _is_whole(half_released)


@pytest.mark.parametrize("ending", [".gz", ".index.gz"])
def test_a_stored_shard_that_changed_is_noticed_and_made_again(half_released, ending):
    (name,) = [name for name in storage().names_below(f"shards/{half_released.pk}") if _is_of_shard(name, 1, ending)]
    put_bytes(name, b"damaged")

    with pytest.raises(DamagedShard):
        read_batches(half_released.season_id)
    read_batches(half_released.season_id)

    assert _is_whole(half_released)


def _is_of_shard(name, number, ending):
    """Whether it is the text, or the index, of the batch's so-manieth shard."""
    stem, _, rest = name.rpartition("/")[2].partition(".")
    return stem.startswith(f"{number}-") and f".{rest}" == ending


def test_a_shard_that_was_released_is_never_stored_otherwise(half_released, settings):
    default_storage.delete(list_name(half_released.pk))
    settings.SHARD_SIZE = 2
    before = read_shard(Shard.objects.get())

    with pytest.raises(ChangedShard):
        read_batches(half_released.season_id)

    assert read_shard(Shard.objects.get()) == before
    assert half_released.candidates.count() == 1


def test_a_worker_that_wakes_up_late_and_cuts_otherwise_spoils_no_shard(participant, settings):
    settings.SHARD_SIZE = 1
    batch = submit(participant, {**TEXTS, "c.cif": "data_c\n_cell_length_a 3\n"})
    batch.refresh_from_db()
    with _killed_before_shard(1):
        read_batches(participant.season_id)
    before = {name: _bytes_of(name) for name in storage().names_below("shards")}
    settings.SHARD_SIZE = 2  # another machine's, whose worker had the lock before and was asleep
    late = Shelf(batch, {})
    with open_stored(batch.stored_as) as stream:
        for found in structures_of(stream, batch.file_name):
            late.add(found)
            if late.is_full:
                late.close()
    late.close()
    write_list(batch, late.stored)
    settings.SHARD_SIZE = 1

    assert {name: _bytes_of(name) for name in before if not name.endswith(".json")} == {
        name: data for name, data in before.items() if not name.endswith(".json")
    }
    with pytest.raises(ChangedShard):
        read_batches(participant.season_id)
    read_batches(participant.season_id)
    assert _is_whole(batch)


def _bytes_of(name):
    with open_stored(name) as file:
        return file.read()


def test_a_list_of_shards_that_another_batch_left_under_this_number_counts_for_nothing(half_released):
    """As after an older database was restored: numbers are given again, and files of then are there still."""
    stored = read_list(half_released, {})
    other = copy(half_released)
    other.sha256 = "0" * 64
    write_list(other, stored)

    assert read_list(half_released, {}) is None
    read_batches(half_released.season_id)
    assert _is_whole(half_released)


def test_each_shard_that_is_released_gives_a_batch_its_attempts_back(half_released, settings):
    settings.MAX_ATTEMPTS = 1
    with _killed_before_shard(1):
        read_batches(half_released.season_id)

    read_batches(half_released.season_id)

    assert _is_whole(half_released)


def test_an_upload_that_is_refused_at_its_end_leaves_nothing_in_storage(participant, settings):
    settings.SHARD_SIZE, settings.UPLOAD_LIMIT_MEMBERS = 1, 3
    batch, _ = _accept(participant, b"".join(b"data_%d\n_cell_length_a 1\n" % number for number in range(4)), "a.cif")

    read_batches(participant.season_id)

    batch.refresh_from_db()
    assert (batch.state, batch.n_found) == (BatchState.REFUSED, 3)
    assert not default_storage.exists(f"shards/{batch.pk}")


def test_an_upload_that_takes_too_long_to_read_is_refused(participant, settings):
    settings.UPLOAD_LIMIT_S = 0.0
    batch, _ = _accept(participant, zipped(TEXTS))

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


def test_who_lost_the_lock_while_reading_writes_nothing(participant):
    submit(participant, TEXTS)

    def take_over():
        Lock.objects.update(token="another")

    with pytest.raises(LockLost), before_statement(8, take_over):
        read_batches(participant.season_id)

    assert not Candidate.objects.exists()
    assert Lock.objects.get().token == "another"


def test_a_storage_that_takes_nothing_uses_up_no_attempt_however_long(participant):
    batch, _ = _accept(participant, zipped(TEXTS))
    in_the_way = Path(default_storage.path(list_name(batch.pk))).parent
    in_the_way.parent.mkdir(parents=True, exist_ok=True)
    in_the_way.write_bytes(b"no folder")

    for _ in range(5):
        with pytest.raises(StorageFault):
            read_batches(participant.season_id)
    batch.refresh_from_db()
    assert (batch.state, batch.attempts) == (BatchState.UPLOADED, 0)

    in_the_way.unlink()
    read_batches(participant.season_id)
    batch.refresh_from_db()
    assert batch.state == BatchState.READ
    assert _texts(batch) == {("a.cif", "a"): TEXTS["a.cif"], ("b.cif", "b"): TEXTS["b.cif"]}


def test_after_three_attempts_a_batch_is_set_aside_and_the_next_one_read(participant):
    lost = submit(participant, TEXTS)
    default_storage.delete(lost.stored_as)
    good = submit(participant, {"a.cif": TEXTS["a.cif"]})
    for _ in range(3):
        with pytest.raises(FileNotFoundError):
            read_batches(participant.season_id)

    assert read_batches(participant.season_id) == 2

    lost.refresh_from_db()
    assert (lost.state, lost.attempts) == (BatchState.SET_ASIDE, 3)
    assert "organiser" in lost.problem
    assert list(Candidate.objects.values_list("batch", "arrival")) == [(good.pk, 1)]


def test_names_and_sentences_keep_nothing_that_a_database_refuses(participant):
    batch, _ = _accept(participant, b"data_a\0b\n_cell_length_a 1\n", "a.cif")

    read_batches(participant.season_id)

    assert CandidateDetail.objects.get(candidate__batch=batch).block == "a?b"


def test_each_deed_rings_for_the_next(participant, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        submit(participant, TEXTS)
    assert bells("parse") == [("intake", participant.season_id)]

    with django_capture_on_commit_callbacks(execute=True):
        read_batches(participant.season_id)
    assert bells("parse") == [("parse", Shard.objects.get().pk)]
