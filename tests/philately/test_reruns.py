"""Organisers have judged again what was rejected, failed or set aside: under a new number, and nothing counts twice."""

import pytest
from ase.build import bulk
from django.core.management import CommandError, call_command
from driving import cif, first_texts, ordered_alloy, place_all, read_all, relax_all, run_all, submit
from facts import Killed, add_batch, add_candidate, add_shard, before_statement, kill
from stories import alloy

from philately.domain import place, reruns
from philately.domain.audits import audit
from philately.domain.organisers import DeedRefused
from philately.domain.place import place_waiting
from philately.domain.quotas import quota_left
from philately.domain.replays import replay
from philately.domain.reruns import Selection, rerun
from philately.domain.twins import settle
from philately.models import (
    AuditEntry,
    Batch,
    Candidate,
    DryRun,
    Opinion,
    Placement,
    RelaxationFact,
    Release,
    Rerun,
    Run,
    RunAuditor,
    Scale,
    Season,
    Shard,
)
from philately.queries.opinions import heard_of
from philately.states import BatchState, CandidateState, DryRunState, OpinionState, Role, ShardState, Stage

S = CandidateState


@pytest.fixture(autouse=True)
def _cold():
    place.forget()


@pytest.fixture
def olga(join_as):
    return join_as("olga", Role.ORGANISER).user


def _again(season, olga, **what):
    return rerun(season, Selection(**what), by=olga, reason="the code was mended")


def _run(season):
    return Run.objects.select_related("release", "scale").get(season=season)


def _now(candidate):
    return Candidate.objects.get(pk=candidate.pk)


def test_what_a_mended_rule_lets_in_goes_the_whole_way_under_a_new_number(season, participant, olga):
    """It was rejected in phase 1, and the order of arrival had passed over it."""
    rules = dict(season.rules)
    Season.objects.filter(pk=season.pk).update(rules={**rules, "max_atoms": 3})
    submit(participant, first_texts())
    run_all(season)
    rejected = list(Candidate.objects.filter(reason="TOO_MANY_ATOMS").order_by("arrival"))
    assert len(rejected) >= 2
    before = {one.pk: one.arrival for one in rejected}
    Season.objects.filter(pk=season.pk).update(rules=rules)
    season.refresh_from_db()

    again = _again(season, olga, reason_code="TOO_MANY_ATOMS")
    assert again.candidates == len(rejected)
    assert _again(season, olga, reason_code="TOO_MANY_ATOMS").total == 0
    run_all(season)

    for one in rejected:
        now = _now(one)
        assert now.state in (S.PLACED, S.PARKED)
        assert now.arrival > max(before.values())
        told = Rerun.objects.get(candidate=one)
        assert (told.arrival_before, told.state_before, told.reason_before) == (
            before[one.pk],
            S.REJECTED,
            "TOO_MANY_ATOMS",
        )
    assert [one.pk for one in sorted(map(_now, rejected), key=lambda one: one.arrival)] == [one.pk for one in rejected]
    assert audit(_run(season)).sentences == []
    for one in Candidate.objects.filter(state=S.PLACED):
        assert replay(one).differences == ()
    (entry,) = AuditEntry.objects.filter(deed="rerun")
    assert (entry.by, entry.reason, entry.parameters) == (olga, "the code was mended", {"candidates": list(before)})


def test_a_relaxation_on_file_stands_and_only_what_follows_is_decided_again(season, participant, olga):
    submit(participant, {"CuAu.cif": cif(ordered_alloy("Cu", "Au", lattice_ang=3.8, n_minority=2))})
    read_all(season)
    relax_all(season)
    candidate, fact = Candidate.objects.get(), RelaxationFact.objects.get()
    Candidate.objects.update(state=S.REJECTED, reason="NOT_CONVERGED")
    used = quota_left(participant)

    again = _again(season, olga, candidates=[candidate.pk])

    assert (again.candidates, again.on_file) == (1, 1)
    assert quota_left(participant) == used
    run_all(season)
    assert _now(candidate).state == S.PLACED
    assert list(RelaxationFact.objects.values_list("pk", flat=True)) == [fact.pk]
    assert quota_left(participant) == used


def test_what_was_set_aside_counts_once_it_is_judged(season, participant, olga):
    submit(participant, first_texts())
    run_all(season)
    full = quota_left(participant)
    batch = submit(participant, {"Ag3Au.cif": cif(ordered_alloy("Ag", "Au", lattice_ang=4.1))}, name="b.zip")
    read_all(season)
    Candidate.objects.filter(batch=batch).update(state=S.SET_ASIDE, failed_in="relax", attempts=3)
    assert quota_left(participant).left.structures_a_season == full.left.structures_a_season

    assert _again(season, olga, set_aside=True, stage=Stage.RELAX).candidates == 1
    run_all(season)

    assert batch.candidates.get().state == S.PLACED
    assert batch.candidates.get().attempts == 0
    assert quota_left(participant).left.structures_a_season == full.left.structures_a_season - 1


@pytest.mark.parametrize(
    ("stage", "state"), [(Stage.PARSE, S.RECEIVED), (Stage.RELAX, S.PARSED), (Stage.PLACE, S.RELAXED)]
)
def test_what_only_failed_goes_on_where_it_failed_with_its_number(season, participant, olga, stage, state):
    candidate = add_candidate(participant, alloy(), -0.1, state=S.FAILED, failed_in=stage, attempts=2)

    assert _again(season, olga, failed=True).candidates == 1

    now = _now(candidate)
    assert (now.state, now.arrival, now.attempts, now.failed_in) == (state, candidate.arrival, 0, "")


def test_twins_stay_parked_under_it_and_follow_it_where_it_is_a_twin_itself_now(season, participant, olga):
    texts = {"first.cif": cif(alloy()), "second.cif": cif(alloy() * (2, 1, 1))}
    submit(participant, texts)
    read_all(season)
    original, twin = Candidate.objects.order_by("arrival")
    assert (twin.state, twin.twin_of) == (S.PARKED, original)
    Candidate.objects.filter(pk=original.pk).update(state=S.REJECTED, reason="NOT_BULK")

    _again(season, olga, candidates=[original.pk])
    submit(participant, {"third.cif": cif(alloy())}, name="b.zip")
    Candidate.objects.filter(pk=original.pk).update(arrival=1_000_000)  # as if the third had come in before
    read_all(season)
    third = Candidate.objects.get(detail__file="third.cif")
    settle(season.pk)

    assert (_now(third).state, _now(third).twin_of) == (S.PARSED, None)
    assert (_now(original).state, _now(original).twin_of) == (S.PARKED, third)
    assert (_now(twin).state, _now(twin).twin_of) == (S.PARKED, third)


def test_batches_shards_and_dry_runs_that_were_set_aside_begin_anew(season, participant, olga):
    batch = add_batch(participant, state=BatchState.SET_ASIDE)
    Batch.objects.filter(pk=batch.pk).update(attempts=3, problem="failed")
    shard = add_shard(add_batch(participant), state=ShardState.SET_ASIDE, attempts=3, problem="failed")
    lost = add_candidate(participant, bulk("Cu"), state=S.SET_ASIDE, shard=shard)
    run = DryRun.objects.create(
        owner=participant, sha256="0", file_name="a", n_bytes=1, stored_as="a", method="m", state=DryRunState.SET_ASIDE,
        created_at="2027-01-01T00:00Z", expires_at="2100-01-01T00:00Z", problem="failed", attempts=3,
    )  # fmt: skip

    again = _again(season, olga, set_aside=True)

    assert (again.candidates, again.batches, again.dry_runs) == (1, 1, 1)
    shard.refresh_from_db()
    batch.refresh_from_db()
    run.refresh_from_db()
    assert (shard.state, shard.attempts, shard.problem) == (ShardState.WAITING, 0, "")
    assert (batch.state, batch.attempts, batch.problem) == (BatchState.UPLOADED, 0, "")
    assert (run.state, run.attempts, run.problem) == (DryRunState.WAITING, 0, "")
    assert _now(lost).state == S.RECEIVED
    assert _again(season, olga, set_aside=True).total == 0


def test_an_auditor_that_is_asked_again_changes_no_verdict_that_rests_on_its_silence(season, participant, olga):
    scale = Scale.objects.create(digest="f" * 64, name="second", judge="emt", identity={})
    release = Release.objects.create(
        scale=scale, name="second", coverage="elements", sha256="f" * 64, n_phases=0, elements=[]
    )
    placed, other = (add_candidate(participant, alloy(n=n), -0.1) for n in (1, 2))
    place_waiting(season.pk)
    Placement.objects.filter(candidate=other).delete()
    RunAuditor.objects.create(run=_run(season), release=release)
    for candidate in (placed, other):
        Opinion.objects.create(
            relaxation=candidate.relaxation, scale=scale, state=OpinionState.SET_ASIDE, problem="no answer", attempts=3
        )

    assert _again(season, olga, set_aside=True).opinions == 2

    heard = heard_of(_run(season), [placed.relaxation_id, other.relaxation_id])
    assert heard[placed.relaxation_id]["second"].problem == "no answer"
    assert other.relaxation_id not in heard
    assert set(Opinion.objects.values_list("state", "attempts")) == {(OpinionState.WAITING, 0)}


def test_killed_before_any_statement_all_or_nothing_of_a_chunk_is_judged_again(season, participant, olga, monkeypatch):
    monkeypatch.setattr(reruns, "_CHUNK", 2)
    rejected = [add_candidate(participant, alloy(n=1), state=S.REJECTED, reason="VOLUME") for _ in range(5)]
    statement, survived = 0, False
    while not survived:
        statement += 4
        try:
            with before_statement(statement, kill):
                _again(season, olga, reason_code="VOLUME")
            survived = True
        except Killed:
            states = list(Candidate.objects.filter(state=S.RECEIVED))
            assert len(states) == Rerun.objects.count()
            assert len(states) % 2 == 0
    assert statement > 20

    arrivals = [_now(one).arrival for one in rejected]
    assert arrivals == sorted(arrivals) and min(arrivals) > 5
    assert Rerun.objects.count() == 5
    assert sum(entry.outcome["candidates"] for entry in AuditEntry.objects.filter(deed="rerun")) == 5


def test_what_no_text_was_kept_of_or_another_run_placed_is_left_out(season, participant, olga):
    unread = add_candidate(participant, alloy(), state=S.REJECTED, reason="TOO_LARGE")
    Candidate.objects.filter(pk=unread.pk).update(content_hash="")
    elsewhere = add_candidate(participant, alloy(), -0.1)
    place_waiting(season.pk)
    Candidate.objects.filter(pk=elsewhere.pk).update(state=S.SET_ASIDE)

    again = _again(season, olga, candidates=[unread.pk, elsewhere.pk])

    assert (again.candidates, again.left_out) == (0, 2)


@pytest.mark.parametrize(
    ("what", "why"),
    [
        ({}, "say what"),
        ({"candidates": [999_999]}, "no candidate 999999"),
        ({"batches": [999_999]}, "no batch 999999"),
        ({"reason_code": "UGLY"}, "reasons are"),
        ({"reason_code": "FORMATION_ENERGY"}, "new_run"),
    ],
)
def test_it_is_refused_in_one_sentence(season, participant, olga, what, why):
    add_candidate(participant, alloy(), state=S.REJECTED, reason="VOLUME")
    with pytest.raises(DeedRefused, match=why):
        _again(season, olga, **what)
    assert not Rerun.objects.exists()


def test_what_is_placed_or_withdrawn_or_another_seasons_is_refused(season, participant, olga):
    original = add_candidate(participant, alloy(), -0.1)
    for state, why in ((S.PLACED, "new_run"), (S.WITHDRAWN, "withdrawn"), (S.PARKED, "twin")):
        candidate = add_candidate(participant, alloy(), -0.1, state=state, twin_of=original)
        rejected = add_candidate(participant, alloy(), state=S.REJECTED, reason="VOLUME")
        with pytest.raises(DeedRefused, match=why):
            _again(season, olga, candidates=[candidate.pk, rejected.pk])
    assert not Rerun.objects.exists()


def test_the_command_says_what_is_on_its_way(season, participant, olga, capsys):
    candidate = add_candidate(participant, alloy(), -0.1, state=S.REJECTED, reason="NOT_CONVERGED")
    other = add_candidate(participant, alloy(), state=S.FAILED, failed_in="parse", attempts=1)

    call_command("rerun", season.slug, reason_code="NOT_CONVERGED", by="olga", reason="mended")
    assert "1 structures are on their way again (1 with a relaxation on file" in capsys.readouterr().out
    call_command("rerun", season.slug, batch=[other.batch_id], by="olga")
    assert "1 structures" in capsys.readouterr().out
    assert Candidate.objects.get(pk=candidate.pk).is_rerun
    with pytest.raises(CommandError, match="neither organises"):
        call_command("rerun", season.slug, failed=True, by="ann")


def test_judging_again_does_not_hold_up_what_came_between(season, participant, olga):
    """The order of arrival goes on; the new number is the last."""
    first = add_candidate(participant, alloy(), state=S.REJECTED, reason="VOLUME")
    second = add_candidate(participant, alloy(n=2), -0.1)
    _again(season, olga, candidates=[first.pk])

    assert place_waiting(season.pk) == 1
    assert _now(second).state == S.PLACED
    place_all(season)
    assert Shard.objects.get(pk=first.shard_id).state == ShardState.WAITING
