"""Another run in which an organiser's choice was never accepted; the old one stays, and may be official again."""

import pytest
from django.core.management import CommandError, call_command
from facts import add_candidate, rows_of
from stories import alloy

from hull.reference import read_release
from philately.domain import place
from philately.domain.audits import audit
from philately.domain.disqualifications import Charge, open_without
from philately.domain.evaluations import EvaluationRefused, evaluate, make_official
from philately.domain.place import place_waiting
from philately.domain.replays import replay
from philately.domain.turns import arrival_of, waiting_of
from philately.domain.twins import settle
from philately.domain.withdrawals import ask
from philately.models import Candidate, LogEntry, Placement, RelaxationFact, Run, RunExclusion, ScoreEntry
from philately.states import CandidateState, Role
from validation.placing import Fold
from validation.rules import Rules

S = CandidateState


@pytest.fixture(autouse=True)
def _cold():
    place.forget()


@pytest.fixture
def twins(season, story, join_as):
    """Of the first find: eve's, then ben's, which came after everything."""
    return [
        add_candidate(join_as(name), alloy(), state=S.PARKED, twin_of=story[0], reason="TWIN")
        for name in ("eve", "ben")
    ]


def _run_without(season, **charge):
    season.refresh_from_db()
    run = open_without(season, Charge(**{"reason": "copied", **charge}))
    evaluate(run)
    run.refresh_from_db()
    return run


def _told(run):
    placed = Placement.objects.filter(run=run).order_by("candidate__arrival")
    log = LogEntry.objects.filter(run=run).order_by("position")
    scores = ScoreEntry.objects.filter(run=run).order_by("number")
    return (
        list(placed.values_list("candidate", "verdict", "phase__number")),
        list(log.values_list("kind", "phase__number", "by__number")),
        list(scores.values_list("member", "candidate", "reason", "points")),
    )


def _from_scratch(release_file, candidates):
    """The same by a fold in memory over the facts, from the release's file."""
    fold = Fold.on(read_release(release_file), Rules())
    arrivals = list(map(arrival_of, waiting_of(Candidate.objects.filter(pk__in=candidates).order_by("arrival"))))
    outcomes = [(arrival, fold.place(arrival)) for arrival in arrivals]
    return (
        [(arrival.candidate, outcome.verdict, outcome.phase) for arrival, outcome in outcomes],
        [(item.kind, item.phase, item.by) for _, outcome in outcomes for item in outcome.log],
        [(won.member, won.candidate, won.reason, won.points) for _, outcome in outcomes for won in outcome.awards],
    )


def _official(season):
    season.refresh_from_db()
    return season.official_run


def _state(candidate):
    return Candidate.objects.get(pk=candidate.pk).state


@pytest.mark.parametrize(
    ("charge", "left_out"),
    [
        (lambda story: {"candidates": [story[0].pk]}, [0]),
        (lambda story: {"batches": [story[4].batch_id, story[6].batch_id]}, [4, 6]),
        (lambda story: {"members": ["ann"]}, [0, 5, 9, 10]),
    ],
    ids=["candidate", "batches", "member"],
)
def test_the_run_is_that_of_a_fresh_fold_over_the_facts_without_them(season, story, emt_release_file, charge, left_out):
    official, rows = season.official_run, rows_of(season.official_run)

    run = _run_without(season, **charge(story))

    kept = [one.pk for number, one in enumerate(story) if number not in left_out]
    assert _told(run) == _from_scratch(emt_release_file, kept)
    assert (_official(season), rows_of(official)) == (official, rows)
    assert audit(run).sentences == []


def test_the_earliest_twin_takes_its_original_s_place_at_its_own_arrival(season, story, twins, emt_release_file):
    eve, ben = twins

    run = _run_without(season, candidates=[story[0].pk, story[1].pk, story[2].pk])

    assert Placement.objects.filter(run=run, candidate=eve).exists()
    assert not Placement.objects.filter(run=run, candidate=ben).exists()
    assert _told(run) == _from_scratch(emt_release_file, [*(one.pk for one in story[3:]), eve.pk])
    assert {_state(one) for one in twins} == {S.PARKED}
    assert RelaxationFact.objects.count() == len(story)


def test_a_twin_that_is_disqualified_too_is_passed_over(season, story, twins):
    run = _run_without(season, candidates=[story[0].pk, twins[0].pk])

    assert set(Placement.objects.filter(run=run, candidate__in=twins).values_list("candidate", flat=True)) == {
        twins[1].pk
    }


def test_made_official_and_back_nothing_is_lost(season, story, twins):
    old, before = season.official_run, rows_of(season.official_run)
    run = _run_without(season, candidates=[story[0].pk])

    make_official(run)
    assert audit(_official(season)).sentences == []
    assert replay(Candidate.objects.get(pk=twins[0].pk)).differences == ()
    place.forget()
    make_official(old)

    assert _official(season) == old
    assert rows_of(old)["placements"] == before["placements"]
    assert rows_of(old)["scores"] == before["scores"]
    assert audit(old).sentences == []
    with pytest.raises(EvaluationRefused, match="official"):
        make_official(old)


@pytest.mark.parametrize("has_twin", [True, False])
def test_whoever_submits_it_again_follows_the_twin_that_stands_for_it_or_stands_for_it(
    season, story, join_as, request, has_twin
):
    twin = request.getfixturevalue("twins")[0] if has_twin else None
    make_official(_run_without(season, candidates=[one.pk for one in story[:3]]))

    late = add_candidate(join_as("zoe"), alloy(), state=S.CHECKED)
    settle(season.pk)

    late.refresh_from_db()
    assert (late.state, late.twin_of) == ((S.PARKED, twin) if has_twin else (S.PARSED, None))


def test_a_twin_that_stands_for_it_may_be_withdrawn_and_the_next_one_follows(season, story, twins):
    eve, ben = twins
    make_official(_run_without(season, candidates=[one.pk for one in story[:3]]))

    ask(Candidate.objects.filter(pk=eve.pk), by=eve.batch.owner.user)
    place_waiting(season.pk)

    ben.refresh_from_db()
    assert (_state(eve), ben.state, ben.twin_of) == (S.WITHDRAWN, S.PARSED, None)
    assert audit(_official(season)).sentences == []


def test_what_is_disqualified_may_be_withdrawn_and_its_twin_goes_on_standing_for_it(season, story, twins):
    make_official(_run_without(season, candidates=[story[0].pk]))
    before = _told(_official(season))

    ask(Candidate.objects.filter(pk=story[0].pk), by=story[0].batch.owner.user)
    place_waiting(season.pk)

    assert [_state(one) for one in (story[0], *twins)] == [S.WITHDRAWN, S.PARKED, S.PARKED]
    assert _told(_official(season)) == before
    assert audit(_official(season)).sentences == []


def test_what_was_withdrawn_since_leaves_an_older_run_before_it_is_official_again(season, story):
    old = season.official_run
    make_official(_run_without(season, candidates=[story[9].pk]))
    ask(Candidate.objects.filter(pk=story[4].pk), by=story[4].batch.owner.user)
    place_waiting(season.pk)

    make_official(old)

    assert _official(season) == old
    assert Placement.objects.get(run=old, candidate=story[4]).withdrawn_after is not None
    assert audit(old).sentences == []


def test_a_new_run_leaves_out_what_was_withdrawn(season, story, emt_release_file):
    ask(Candidate.objects.filter(pk=story[4].pk), by=story[4].batch.owner.user)
    place_waiting(season.pk)

    run = _run_without(season, candidates=[story[9].pk])

    kept = [one.pk for number, one in enumerate(story) if number not in (4, 9)]
    assert _told(run) == _from_scratch(emt_release_file, kept)


def test_the_next_run_leaves_them_out_as_well_unless_they_are_readmitted(season, story, capsys):
    make_official(_run_without(season, candidates=[story[0].pk]))
    make_official(_run_without(season, candidates=[story[4].pk], reason="a slip"))
    assert set(_official(season).exclusions.values_list("candidate", "reason")) == {
        (story[0].pk, "copied"),
        (story[4].pk, "a slip"),
    }

    call_command("new_run", "practice", readmit=[story[0].pk])

    assert list(Run.objects.get(number=4).exclusions.values_list("candidate", flat=True)) == [story[4].pk]
    with pytest.raises(CommandError, match="does not leave out"):
        call_command("new_run", "practice", readmit=[story[1].pk])


def test_the_command_shows_who_moves_and_how_to_make_it_official(season, story, capsys, join_as):
    join_as("ann", Role.ORGANISER)
    call_command("disqualify", "practice", member=["eve"], reason="copied", by="ann")

    printed = capsys.readouterr().out
    assert "new_run practice --resume 2 --official" in printed
    (line,) = [line for line in printed.splitlines() if line.startswith("eve")]
    assert line.split()[6] == "0"
    assert set(RunExclusion.objects.values_list("reason", "by__username")) == {("copied", "ann")}
    assert _official(season).number == 1

    call_command("new_run", "practice", resume=2, official=True)
    assert _official(season).number == 2

    with pytest.raises(CommandError, match="leaves all of it out already"):
        call_command("disqualify", "practice", member=["eve"], reason="copied")
    call_command("disqualify", "practice", candidate=[story[0].pk], reason="copied", official=True)
    assert _official(season).number == 3


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({}, "say what"),
        ({"candidate": [999]}, "no candidate 999"),
        ({"batch": [999]}, "no batch 999"),
        ({"member": ["nobody"]}, "no participant 'nobody'"),
        ({"candidate": [1], "by": "nobody"}, "no user"),
        ({"candidate": [1], "reason": " "}, "say why"),
    ],
)
def test_the_command_refuses_in_one_sentence(season, options, why):
    with pytest.raises(CommandError, match=why):
        call_command("disqualify", "practice", **{"reason": "copied", **options})
