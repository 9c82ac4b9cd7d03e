"""Phase 1: texts become checked crystals or rejections that say why; a fault of ours stays with its candidate."""

import os
import re
import signal

import numpy as np
import pytest
from ase.build import bulk
from celery.signals import worker_process_shutdown
from driving import cif, first_texts, ordered_alloy, submit
from facts import Killed, before_statement, kill, let_expire, long_ago

from philately import tasks  # noqa: F401 - it listens to its worker's signals
from philately.domain import reading
from philately.domain.files import DamagedShard
from philately.domain.intake import read_batches
from philately.domain.parse import parse_shard
from philately.domain.sweep import sweep
from philately.domain.twins import settle
from philately.models import Candidate, CandidateDetail, Scale, Shard
from philately.states import CandidateState, ShardState, Stage
from validation.answers import Text
from validation.crystal import Crystal

S = CandidateState


def _shards(member, texts, **options):
    submit(member, texts, **options)
    read_batches(member.season_id)
    return list(Shard.objects.order_by("pk").values_list("pk", flat=True))


def _rows():
    return list(
        Candidate.objects.order_by("arrival").values_list(
            "arrival",
            "state",
            "reason",
            "formula",
            "content_hash",
            "n_atoms",
            "twin_of",
            "attempts",
            "detail__sentence",
        )
    )


def test_parsing_twice_equals_parsing_once(participant):
    (shard,) = _shards(participant, first_texts())
    assert parse_shard(shard)
    before = _rows()

    assert not parse_shard(shard)

    assert _rows() == before
    assert [row[1] for row in before] == [S.PARSED, S.PARKED, S.PARSED, S.PARSED, S.PARSED, S.REJECTED]


def test_what_is_accepted_is_kept_as_its_primitive_cell(participant):
    (shard,) = _shards(participant, {"Cu.cif": cif(bulk("Cu", cubic=True))})
    parse_shard(shard)

    candidate = Candidate.objects.select_related("detail").get()
    crystal = Crystal.unpack(candidate.detail.geometry)
    assert (candidate.formula, candidate.n_atoms, len(crystal)) == ("Cu", 1, 1)
    assert candidate.content_hash == crystal.content_hash
    assert np.isclose(crystal.volume, bulk("Cu").get_volume(), rtol=1e-6)


@pytest.mark.parametrize(
    ("text", "reason", "words"),
    [
        ("hello", "NOT_CIF", "data_"),
        (cif(bulk("Fe")), "ELEMENT_NOT_ALLOWED", "Fe"),
        (cif(bulk("Cu", a=1.5)), "VOLUME", "4 Å³"),
        (cif(bulk("Cu", a=9.0)), "NOT_BULK", "Å"),
        (cif(bulk("Cu", cubic=True) * (3, 3, 3)), None, ""),
        (cif(ordered_alloy("Cu", "Au", lattice_ang=3.7)).replace("  1\n", "  0.5\n"), "DISORDERED", "occupancy 0.5"),
    ],
)
def test_a_rejection_carries_a_reason_code_and_a_sentence(participant, text, reason, words):
    (shard,) = _shards(participant, {"one.cif": text})
    parse_shard(shard)

    candidate = Candidate.objects.select_related("detail").get()
    if reason is None:
        assert candidate.state == S.PARSED
    else:
        assert (candidate.state, candidate.reason) == (S.REJECTED, reason), candidate.detail.sentence
        assert words in candidate.detail.sentence
        assert candidate.detail.geometry is None


def test_a_line_in_a_sentence_is_a_line_of_the_file_not_of_the_block(participant):
    broken = cif(bulk("Au")).replace("_cell_length_a", "_cell_length_a 1 1\n_cell_note")
    text = cif(bulk("Cu")) + broken
    (shard,) = _shards(participant, {"two.cif": text})
    parse_shard(shard)

    rejected = Candidate.objects.select_related("detail").get(state=S.REJECTED)
    line = next(number for number, line in enumerate(text.splitlines(), 1) if line == "_cell_length_a 1 1")
    assert re.search(rf"line {line}\b", rejected.detail.sentence), rejected.detail.sentence


def test_while_one_worker_holds_a_shard_another_gets_nothing_and_when_it_dies_it_does(participant):
    (shard,) = _shards(participant, first_texts())
    with pytest.raises(Killed), before_statement(4, kill):
        parse_shard(shard)
    assert Shard.objects.get().lease is not None

    assert not parse_shard(shard)
    let_expire(Shard.objects.all())
    assert parse_shard(shard)

    assert not Candidate.objects.filter(state=S.RECEIVED).exists()


def test_killed_before_any_statement_the_next_attempt_gives_the_same(participant, settings):
    settings.MAX_ATTEMPTS = 1000
    (shard,) = _shards(participant, {name: first_texts()[name] for name in ("Cu.cif", "Cu3Au.cif", "notes.txt")})
    for number in range(1, 100):
        try:
            with before_statement(number, kill):
                parse_shard(shard)
        except Killed:
            let_expire(Shard.objects.exclude(lease=None))
        if Shard.objects.get().state == ShardState.PARSED:
            break
    settle(participant.season_id)

    rows = _rows()
    assert number > 5
    assert [row[1] for row in rows] == [S.PARSED, S.PARSED, S.REJECTED]
    assert [row[3] for row in rows] == ["Cu", "AuCu3", ""]


def test_a_worker_whose_lease_was_lost_commits_nothing(participant):
    (shard,) = _shards(participant, first_texts())

    with before_statement(4, lambda: Shard.objects.update(lease="another")):
        parse_shard(shard)

    assert set(Candidate.objects.values_list("state", flat=True)) == {S.RECEIVED}
    assert Shard.objects.get().lease == "another"


def test_a_damaged_shard_is_set_aside_after_three_attempts_and_others_are_unaffected(participant, settings):
    settings.SHARD_SIZE = 1
    first, second = _shards(participant, {"a.cif": cif(bulk("Cu")), "b.cif": cif(bulk("Au"))})
    Shard.objects.filter(pk=first).update(sha256="0" * 64)
    for _ in range(3):
        with pytest.raises(DamagedShard):
            parse_shard(first)
        let_expire(Shard.objects.filter(pk=first))
        sweep()
    assert not parse_shard(first)
    parse_shard(second)

    states = dict(Candidate.objects.values_list("detail__file", "state"))
    assert states == {"a.cif": S.SET_ASIDE, "b.cif": S.PARSED}
    assert Shard.objects.get(pk=first).state == ShardState.SET_ASIDE
    assert "3 times" in CandidateDetail.objects.get(file="a.cif").sentence


@pytest.fixture
def faulty(participant):
    """A shard in which our record of where one text lies points into the middle of a character."""
    (shard,) = _shards(participant, {"bad.cif": "data_é\n_cell_length_a 1\n", "good.cif": cif(bulk("Cu"))})
    CandidateDetail.objects.filter(file="bad.cif").update(length=6)
    return shard


def _bad():
    return Candidate.objects.select_related("detail").get(detail__file="bad.cif")


def test_a_fault_of_ours_fails_its_candidate_alone_with_type_and_attempt(faulty):
    parse_shard(faulty)

    assert Candidate.objects.get(detail__file="good.cif").state == S.CHECKED  # waits: what is earlier comes first
    assert (_bad().state, _bad().failed_in, _bad().attempts) == (S.FAILED, Stage.PARSE, 1)
    assert "UnicodeDecodeError" in _bad().detail.sentence


def test_a_failed_candidate_is_read_again_and_after_three_attempts_set_aside(faulty):
    for attempt in (1, 2, 3):
        assert parse_shard(faulty)
        assert _bad().attempts == attempt
        long_ago(Candidate.objects.filter(state=S.FAILED))
        sweep()

    assert _bad().state == S.SET_ASIDE
    assert Candidate.objects.get(detail__file="good.cif").attempts == 0


def test_a_failed_candidate_that_can_be_read_by_now_goes_on(faulty):
    parse_shard(faulty)
    good = Candidate.objects.select_related("detail").get(detail__file="good.cif").detail
    CandidateDetail.objects.filter(file="bad.cif").update(offset=good.offset, length=good.length)
    long_ago(Candidate.objects.filter(state=S.FAILED))
    sweep()

    parse_shard(faulty)

    assert sorted(Candidate.objects.values_list("state", flat=True)) == [S.PARKED, S.PARSED]
    assert _bad().attempts == 0


def test_a_candidate_that_comes_back_while_its_shard_is_being_read_is_not_forgotten(faulty):
    parse_shard(faulty)
    Shard.objects.update(state=ShardState.WAITING)

    def come_back():
        long_ago(Candidate.objects.filter(state=S.FAILED))
        sweep()

    with before_statement(5, come_back):  # the worker has read which candidates it is to read
        parse_shard(faulty)

    assert _bad().state == S.RECEIVED
    assert Shard.objects.get().state == ShardState.WAITING
    assert parse_shard(faulty)
    assert _bad().attempts == 2


def test_failed_candidates_of_a_shard_that_is_set_aside_are_set_aside_with_it(faulty, settings):
    parse_shard(faulty)
    Shard.objects.update(state=ShardState.WAITING, attempts=settings.MAX_ATTEMPTS)

    sweep()

    assert _bad().state == S.SET_ASIDE


def test_what_takes_too_long_to_read_is_the_submitter_s_and_says_the_limit(participant, settings):
    settings.PARSE_LIMIT_S = 1e-4
    (shard,) = _shards(participant, {"Cu.cif": cif(bulk("Cu", cubic=True) * (5, 5, 4))})
    parse_shard(shard)

    candidate = Candidate.objects.select_related("detail").get()
    assert (candidate.state, candidate.reason) == (S.REJECTED, "TOO_SLOW")
    assert "0.0001 s" in candidate.detail.sentence


def test_several_children_give_what_one_gives(participant, settings):
    (shard,) = _shards(participant, first_texts())
    parse_shard(shard)
    alone = _rows()
    Candidate.objects.update(state=S.RECEIVED, formula="", content_hash="", twin_of=None)
    Shard.objects.update(state=ShardState.WAITING)
    settings.PARSE_CHILDREN = 2

    parse_shard(shard)

    assert _rows() == alone
    assert len(reading.readers().pids()) >= 1


def test_a_child_that_was_killed_is_replaced_and_no_verdict_changes(participant):
    texts = {"a.cif": cif(bulk("Cu")), "b.cif": "hello"}
    (shard,) = _shards(participant, texts)
    list(reading.readers().read([Text("")]))
    (killed,) = reading.readers().pids()
    os.kill(killed, signal.SIGKILL)

    parse_shard(shard)

    assert [row[1] for row in _rows()] == [S.PARSED, S.REJECTED]
    assert killed not in reading.readers().pids()


def test_children_end_with_their_worker():
    list(reading.readers().read([Text("")]))
    (child,) = reading.readers().pids()

    worker_process_shutdown.send(sender=None)

    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


def test_elements_that_the_judge_does_not_know_are_those_of_its_scale(participant):
    scale = Scale.objects.get()
    scale.identity["elements"] = ["Au"]
    scale.save()
    (shard,) = _shards(participant, {"Cu.cif": cif(bulk("Cu")), "Au.cif": cif(bulk("Au"))})
    parse_shard(shard)

    assert dict(Candidate.objects.values_list("detail__file", "reason")) == {
        "Cu.cif": "ELEMENT_NOT_ALLOWED",
        "Au.cif": "",
    }
