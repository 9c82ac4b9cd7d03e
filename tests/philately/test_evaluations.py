"""Another run from the same facts: the same as placing from scratch, comparable, and official when somebody says so."""

import json
from dataclasses import replace

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction
from driving import season_on
from facts import Killed, add_candidate, before_statement, kill, let_expire, rows_of
from stories import VERDICTS, alloy

from hull.reference import read_release
from philately.domain import evaluations, place
from philately.domain.evaluations import (
    EvaluationRefused,
    Plan,
    changed_rules,
    evaluate,
    make_official,
    open_evaluation,
)
from philately.domain.place import place_waiting
from philately.domain.releases import import_release
from philately.domain.seasons import join
from philately.domain.turns import arrival_of, waiting_of
from philately.models import Candidate, Lock, LogEntry, Placement, Run, RunExclusion, ScoreEntry, User
from philately.queries.moves import moves
from philately.states import CandidateState, Role
from tests.releases import write_emt_release
from validation.placing import Fold
from validation.rules import Points, Rules

S = CandidateState


@pytest.fixture(autouse=True)
def _cold():
    place.forget()


def _plan(season, **changes):
    season.refresh_from_db()
    run = season.official_run
    return Plan(**{"release": run.release, "rules": Rules.from_json(run.rules), **changes})


def _evaluated(season, **changes):
    run = open_evaluation(season, _plan(season, **changes))
    evaluate(run)
    run.refresh_from_db()
    return run


def _told(run):
    """What a run says: (candidate, verdict, phase), log and points."""
    placed = Placement.objects.filter(run=run).order_by("candidate__arrival")
    log = LogEntry.objects.filter(run=run).order_by("position")
    scores = ScoreEntry.objects.filter(run=run).order_by("number")
    return (
        list(placed.values_list("candidate", "verdict", "phase__number")),
        list(log.values_list("kind", "phase__number", "by__number")),
        list(scores.values_list("member", "candidate", "reason", "points")),
    )


def _from_scratch(release_file, rules, candidates):
    """The same by a fold in memory, from the release's file."""
    fold = Fold.on(read_release(release_file), rules)
    arrivals = list(map(arrival_of, waiting_of(Candidate.objects.filter(pk__in=candidates).order_by("arrival"))))
    outcomes = [(arrival, fold.place(arrival)) for arrival in arrivals]
    return (
        [(arrival.candidate, outcome.verdict, outcome.phase) for arrival, outcome in outcomes],
        [(item.kind, item.phase, item.by) for _, outcome in outcomes for item in outcome.log],
        [(won.member, won.candidate, won.reason, won.points) for _, outcome in outcomes for won in outcome.awards],
    )


def test_a_run_as_the_official_one_says_the_same_to_the_bit(season, story):
    run = _evaluated(season)

    assert run.number == 2
    assert rows_of(run) == rows_of(season.official_run)


@pytest.mark.parametrize("left_out", [[0], [4, 6], list(range(11))])
def test_without_some_all_is_as_if_they_had_never_been_accepted(season, story, emt_release_file, left_out):
    kept = [one.pk for number, one in enumerate(story) if number not in left_out]

    run = _evaluated(season, without=[story[number].pk for number in left_out], reason="a bug")

    assert _told(run) == _from_scratch(emt_release_file, Rules(), kept)
    assert run.placed_to == len(story)
    assert set(RunExclusion.objects.values_list("candidate", "reason")) == {(story[n].pk, "a bug") for n in left_out}


def test_without_a_find_its_duplicate_is_the_find(season, story):
    run = _evaluated(season, without=[story[0].pk])

    verdict = Placement.objects.get(run=run, candidate=story[1]).verdict
    assert (VERDICTS[1], verdict) == ("duplicate", "stable")


@pytest.mark.parametrize(
    "rules",
    [replace(Rules(), points=Points(stable=7.0, unique=2.0)), replace(Rules(), stable_on_arrival_ev_per_atom=-0.15)],
    ids=["points", "stable"],
)
def test_other_rules_decide_from_the_first_arrival_on(season, story, emt_release_file, rules):
    run = _evaluated(season, rules=rules)

    assert _told(run) == _from_scratch(emt_release_file, rules, [one.pk for one in story])
    assert _told(run) != _told(season.official_run)
    assert run.rules_digest == rules.digest()


def test_another_release_is_another_ground(season, story, tmp_path):
    file = write_emt_release(tmp_path / "few.parquet", ("Au", "Cu", "Pd"))
    release, _ = import_release(file)

    run = _evaluated(season, release=release)

    assert _told(run) == _from_scratch(file, Rules(), [one.pk for one in story])
    assert Placement.objects.filter(run=run, verdict="undefined").exists()


def test_what_waits_for_its_turn_is_placed_too_and_goes_on_waiting(season, story, participant):
    waiting = add_candidate(participant, alloy("Ni", "Pd"), -0.1)
    add_candidate(participant, alloy("Ni", "Al"), state=S.PARSED)
    behind = add_candidate(participant, alloy("Ni", "Pt"), -0.1)

    run = _evaluated(season)

    assert Placement.objects.filter(run=run, candidate=waiting).exists()
    assert not Placement.objects.filter(candidate=behind).exists()
    assert Candidate.objects.get(pk=waiting.pk).state == S.RELAXED


def test_one_that_is_killed_anywhere_goes_on_where_it_was(season, story, settings):
    settings.PLACE_CHUNK = 4
    expected = rows_of(season.official_run)
    run = open_evaluation(season, _plan(season))
    with before_statement(0, kill) as seen, transaction.atomic():
        evaluate(run)
        transaction.set_rollback(True)
    for number in range(1, len(seen) - 2, len(seen) // 12):
        with transaction.atomic():
            place.forget()
            with pytest.raises(Killed), before_statement(number, kill):
                evaluate(run)
            let_expire(Lock.objects.all())
            evaluate(Run.objects.get(pk=run.pk))
            assert rows_of(run) == expected, number
            transaction.set_rollback(True)


def test_made_official_it_has_all_that_came_in_between_and_goes_on(season, story, participant, emt_release_file):
    rules = replace(Rules(), points=Points(stable=7.0))
    run = _evaluated(season, rules=rules)
    before = season.official_run
    more = [add_candidate(participant, alloy("Ni", "Pd"), -0.1), add_candidate(participant, alloy("Ni", "Pd"), -0.2)]
    place_waiting(season.pk)  # in the run that is official still
    more.append(add_candidate(participant, alloy("Ni", "Pd"), -0.3))  # in neither

    assert make_official(run) == before
    more.append(add_candidate(participant, alloy("Ni", "Pd"), -0.4))
    assert place_waiting(season.pk) == 1

    season.refresh_from_db()
    everybody = [one.pk for one in (*story, *more)]
    assert season.official_run == run
    assert _told(run) == _from_scratch(emt_release_file, rules, everybody)
    assert set(Candidate.objects.values_list("state", flat=True)) == {S.PLACED}
    assert Placement.objects.filter(run=before).count() == len(everybody) - 2  # as it was left


def test_what_an_official_run_leaves_out_holds_up_nobody(season, story, participant):
    left_out, later = (add_candidate(participant, alloy("Ni", "Pd"), energy) for energy in (-0.1, -0.101))
    still_later = add_candidate(participant, alloy("Ni", "Pt"), state=S.PARSED)
    run = open_evaluation(season, _plan(season, without=[left_out.pk, still_later.pk]))

    make_official(run)
    Candidate.objects.filter(pk=still_later.pk).update(state=S.RELAXED, relaxation=later.relaxation)
    place_waiting(season.pk)

    assert not Placement.objects.filter(candidate__in=[left_out, still_later]).exists()
    assert Placement.objects.get(candidate=later).verdict == "stable"
    assert set(Candidate.objects.values_list("state", flat=True)) == {S.PLACED}
    run.refresh_from_db()
    assert run.placed_to == still_later.arrival


def test_the_sequencer_s_memory_of_another_run_is_not_used(season, story, participant):
    """Both runs stand at the same arrival and log position."""
    run = _evaluated(season)
    place_waiting(season.pk)
    make_official(run)
    add_candidate(participant, alloy("Ni", "Pd"), -0.1)
    place_waiting(season.pk)

    assert Placement.objects.filter(run=run).count() == len(story) + 1


def test_the_swap_waits_for_the_sequencer_and_says_so(season, story):
    run = _evaluated(season)
    with place.lock(f"place:{season.pk}"), pytest.raises(EvaluationRefused, match="busy"):
        make_official(run, wait_s=0)

    assert make_official(run).number == 1


def test_two_processes_do_not_make_one_run(season, story):
    run = open_evaluation(season, _plan(season))
    with place.lock(f"run:{run.pk}"), pytest.raises(EvaluationRefused, match="another process"):
        evaluate(run)


def test_a_lock_that_is_lost_during_the_swap_changes_nothing(season, story):
    run = _evaluated(season)
    with before_statement(0, kill) as seen, transaction.atomic():
        make_official(run)
        transaction.set_rollback(True)
    refused = 0
    for number in range(5, len(seen)):
        with transaction.atomic():
            before = season.official_run
            try:
                with before_statement(number, lambda: Lock.objects.update(token="another")):
                    make_official(run)
            except EvaluationRefused:
                refused += 1
                season.refresh_from_db()
                assert season.official_run == before
            transaction.set_rollback(True)

    assert refused


def test_one_that_was_withdrawn_since_keeps_a_run_from_being_official(season, participant):
    gone = add_candidate(participant, alloy(), -0.1)
    run = _evaluated(season)
    Candidate.objects.filter(pk=gone.pk).update(state=S.WITHDRAWN)

    with pytest.raises(EvaluationRefused, match="withdrawn"):
        make_official(run)
    assert make_official(_evaluated(season)).number == 1


def test_a_verdict_that_would_be_missing_keeps_a_run_from_being_official(season, story):
    Candidate.objects.filter(pk=story[5].pk).update(state=S.PARSED)
    run = _evaluated(season)

    with pytest.raises(EvaluationRefused, match="under way again"):
        make_official(run)
    Candidate.objects.filter(pk=story[5].pk).update(state=S.PLACED)
    make_official(run)


def test_a_run_that_is_official_is_not_evaluated_again(season, story):
    for deed in (evaluate, make_official):
        with pytest.raises(EvaluationRefused, match="official"):
            deed(season.official_run)


def test_a_fault_of_ours_stops_it_and_leaves_the_candidate_as_it_was(season, story):
    fact = story[3].relaxation
    fact.formula = "no formula"
    fact.save()

    with pytest.raises(EvaluationRefused, match=f"candidate {story[3].pk} cannot be placed: BadComposition"):
        _evaluated(season)
    assert Candidate.objects.get(pk=story[3].pk).state == S.PLACED


def test_what_was_decided_before_placement_stays(season):
    run = season.official_run

    assert changed_rules(run, {"points": {"stable": 20}}).points == Points(stable=20)
    assert changed_rules(run, {}) == Rules()
    for changes, why in (({"max_atoms": 9}, "before placement"), ({"max_atom": 9}, "no rule"), ({"points": 3}, "used")):
        with pytest.raises(EvaluationRefused, match=why):
            changed_rules(run, changes)


def test_a_plan_that_does_not_fit_the_season_is_refused(season, participant, tmp_path):
    other = season_on(write_emt_release(tmp_path / "few.parquet", ("Au", "Cu")), slug="few", name="Few")
    stranger = add_candidate(join(other, participant.user), alloy(), -0.1)

    with pytest.raises(EvaluationRefused, match=f"no candidate {stranger.pk}"):
        open_evaluation(season, _plan(season, without=[stranger.pk]))


def test_moves_are_those_of_the_ledgers(season, story):
    run = _evaluated(season, without=[story[0].pk])

    found = {move.name: move for move in moves(season.official_run, run)}

    for name, move in found.items():
        for points, of in ((move.points_before, season.official_run), (move.points_after, run)):
            rows = ScoreEntry.objects.filter(run=of, member__user__username=name)
            assert points == sum(rows.values_list("points", flat=True))
    assert sorted(move.rank_after for move in found.values()) == [1, 2, 3]
    assert found["ann"].points_after != found["ann"].points_before


def test_the_command_shows_who_moves_and_asks_before_it_changes_anything(season, story, capsys, tmp_path):
    rules = tmp_path / "rules.json"
    rules.write_text(json.dumps({"points": {"stable": 100}}))
    ann = User.objects.get(username="ann")
    join(season, ann, Role.ORGANISER)

    call_command("new_run", "practice", rules=rules, without=[story[6].pk], reason="a slip", by="ann")

    printed = capsys.readouterr().out
    run = season.runs.get(number=2)
    for name in ("ann", "ben", "eve"):
        (line,) = [line for line in printed.splitlines() if line.startswith(name)]
        assert line.split()[5] in ("→",)
        assert float(line.split()[6]) == sum(
            run.scores.filter(member__user__username=name).values_list("points", flat=True)
        )
    assert (run.reason, run.exclusions.get().by) == ("a slip", ann)
    season.refresh_from_db()
    assert season.official_run.number == 1

    call_command("new_run", "practice", resume=2, official=True)
    season.refresh_from_db()
    assert season.official_run.number == 2


def test_the_command_says_how_to_go_on_after_a_fault(season, story, capsys):
    story[3].relaxation.formula = "no formula"
    story[3].relaxation.save()
    with pytest.raises(CommandError, match="cannot be placed"):
        call_command("new_run", "practice")
    assert "new_run practice --resume 2" in capsys.readouterr().err

    story[3].relaxation.formula = "AuCu"
    story[3].relaxation.save()
    call_command("new_run", "practice", resume=2)
    assert rows_of(season.runs.get(number=2)) == rows_of(season.official_run)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"resume": 9}, "no run 9"),
        ({"resume": 1}, "official"),
        ({"resume": 1, "without": [1]}, "as it was begun"),
        ({"release": "other"}, "0 releases"),
        ({"by": "nobody"}, "no user"),
        ({"without": [99]}, "no candidate 99"),
    ],
)
def test_the_command_refuses_in_one_sentence(season, options, why):
    with pytest.raises(CommandError, match=why):
        call_command("new_run", "practice", **options)


def test_the_kinds_of_rules_exist():
    assert {name for name in evaluations.OF_PLACEMENT if not hasattr(Rules(), name)} == set()
