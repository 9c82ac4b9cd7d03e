"""Killed, or without lock or storage: what was released stays as it is, and the next one finishes, all or nothing."""

from contextlib import contextmanager
from copy import copy
from pathlib import Path

import pytest
from django.core.files.storage import default_storage
from django.db import connection
from driving import submit, zipped
from facts import Killed, before_statement, kill, let_expire
from uploading import TEXTS, accept, texts_of

from philately.domain.files import DamagedShard, list_name, open_stored, put_bytes, read_shard
from philately.domain.intake import read_batches
from philately.domain.locks import LockLost, lock
from philately.domain.shards import ChangedShard, Shelf, read_list, write_list
from philately.models import Batch, Candidate, CandidateDetail, Lock, Season, Shard
from philately.states import BatchState
from philately.storage import StorageFault, storage
from validation.uploads import structures_of


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
        assert set(texts_of(batch).values()) == set(texts.values())
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
    assert set(texts_of(half_released)) == {("a.cif", "a"), ("b.cif", "b"), ("c.cif", "c")}


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


def test_who_lost_the_lock_while_reading_writes_nothing(participant):
    submit(participant, TEXTS)

    def take_over():
        Lock.objects.update(token="another")

    with pytest.raises(LockLost), before_statement(8, take_over):
        read_batches(participant.season_id)

    assert not Candidate.objects.exists()
    assert Lock.objects.get().token == "another"


def test_a_storage_that_takes_nothing_uses_up_no_attempt_however_long(participant):
    batch, _ = accept(participant, zipped(TEXTS))
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
    assert texts_of(batch) == {("a.cif", "a"): TEXTS["a.cif"], ("b.cif", "b"): TEXTS["b.cif"]}


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
