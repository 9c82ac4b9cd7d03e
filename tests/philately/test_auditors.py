"""Second judges: stable finds wait for what they say, in order of arrival, and are held where they say otherwise."""

import pytest
from auditing import TEXTS, hear_all, judge_all, submit_relaxed
from django.core.management import CommandError, call_command
from django.db.models.functions import Now
from driving import ordered_alloy, place_all, season_on
from facts import Killed, add_candidate, before_statement, bells, kill, let_expire, long_ago, rows_of

from hull.reference import write_release
from philately.domain import place
from philately.domain.evaluations import EvaluationRefused, Plan, evaluate, make_official, open_evaluation
from philately.domain.judges import judge_of
from philately.domain.relax import is_waited_for, relax_some
from philately.domain.releases import import_release
from philately.domain.replays import replay
from philately.domain.seasons import SeasonPlan, SeasonRefused, join, open_season
from philately.domain.sweep import sweep
from philately.models import Candidate, Opinion, Placement, RelaxationFact, Scale, Season
from philately.states import CandidateState, OpinionState
from tests.releases import SECOND_MODEL, metals_release
from validation.potentials import load_judge
from validation.rules import Rules

S = CandidateState


@pytest.fixture(autouse=True)
def _cold():
    place.forget()
    yield
    judge_of.cache_clear()  # the second judge's scale has a number that another test's may have


def _placements(season):
    found = Placement.objects.filter(run=season.official_run).order_by("candidate__arrival")
    return {row.candidate.formula: row for row in found.select_related("candidate")}


def _states(season):
    return dict(Candidate.objects.filter(season=season).order_by("arrival").values_list("formula", "state"))


def test_a_stable_find_waits_for_its_auditor_with_all_that_come_after_and_what_comes_before_is_placed(
    audited, participant
):
    season = audited()
    submit_relaxed(season, participant.user, dict(sorted(TEXTS.items())))

    place_all(season)

    assert _states(season) == {"Cu": S.PLACED, "AuCu3": S.RELAXED, "AuCu": S.RELAXED}
    asked = Opinion.objects.values_list("relaxation__formula", "scale__name", "state")
    assert set(asked) == {
        (formula, "ase ase.calculators.emt:EMT", OpinionState.WAITING) for formula in ("AuCu3", "AuCu")
    }


def test_where_the_auditor_agrees_the_verdict_is_what_it_would_have_been_without(audited, season, participant):
    other = audited()
    for one in (season, other):
        submit_relaxed(one, participant.user)
        place_all(one)
    hear_all(other)

    place_all(other)

    assert set(_states(other).values()) == {S.PLACED}
    members = {other.memberships.get().pk: season.memberships.get(user=participant.user).pk}
    found, expected = rows_of(other.official_run), rows_of(season.official_run)
    scores = [(number, members[member], *rest) for number, member, *rest in found["scores"]]
    assert {**found, "scores": scores} == expected
    assert _placements(other)["AuCu3"].verdict == "stable"


def test_what_was_heard_rings_for_the_sequencer(audited, participant, django_capture_on_commit_callbacks):
    season = audited()
    submit_relaxed(season, participant.user)
    with django_capture_on_commit_callbacks(execute=True):
        bells("relax")
        place_all(season)
    assert ("relax", season.official_run.auditors.get().release.scale_id) in bells("relax")
    bells("place")

    with django_capture_on_commit_callbacks(execute=True):
        hear_all(season)

    assert ("place", season.pk) in bells("place")


def test_a_find_that_the_auditor_sees_otherwise_is_held_outside_hull_and_points(audited, participant):
    season = audited(held_auditor_difference_ev_per_atom=1e-6)
    judge_all(season, participant.user)

    held = _placements(season)["AuCu3"]

    assert (held.verdict, held.phase.status) == ("held", "held")
    assert "by the auditor ase ase.calculators.emt:EMT: " in held.sentence
    assert not season.official_run.log.exists()
    assert not season.official_run.scores.exists()


def test_an_opinion_is_a_fact_that_another_season_shares(audited, participant):
    first, then = audited(), audited(slug="then")
    submit_relaxed(first, participant.user)
    place_all(first)
    hear_all(first)
    facts = RelaxationFact.objects.count()
    submit_relaxed(then, participant.user)

    place_all(then)

    assert set(_states(then).values()) == {S.PLACED}
    assert (Opinion.objects.count(), RelaxationFact.objects.count()) == (2, facts)


def test_an_auditor_whose_release_lacks_the_element_is_not_asked(season, participant, emt_release_file, tmp_path):
    few = tmp_path / "few.parquet"
    write_release(metals_release(load_judge("ase", SECOND_MODEL), ("Cu",), name="few"), few)
    auditor, _ = import_release(few, model=SECOND_MODEL)
    season = season_on(emt_release_file, slug="few", name="Few", auditors=[auditor])
    submit_relaxed(season, participant.user)

    place_all(season)

    assert _placements(season)["AuCu3"].verdict == "stable"
    assert not Opinion.objects.exists()


def test_an_opinion_that_cannot_be_had_is_set_aside_after_three_attempts_and_the_find_is_held(
    audited, participant, settings
):
    season = audited()
    submit_relaxed(season, participant.user)
    place_all(season)
    settings.RELAX_LIMIT_S = 0
    for _ in range(settings.MAX_ATTEMPTS):
        hear_all(season)
        Opinion.objects.update(changed_at=Now())
        assert not is_waited_for(Scale.objects.get(judge="ase").pk)  # it rests
        long_ago(Opinion.objects.all())
        sweep()

    place_all(season)

    assert set(Opinion.objects.values_list("state", "attempts")) == {(OpinionState.SET_ASIDE, 3)}
    sentence = _placements(season)["AuCu3"].sentence
    assert sentence.startswith(
        "the auditor ase ase.calculators.emt:EMT comes to no energy: attempt 3 failed: TimeLimit"
    )


def test_killed_before_any_statement_an_opinion_is_made_once(audited, participant, settings):
    settings.MAX_ATTEMPTS = 100
    settings.RETRY_AFTER_S = 0
    season = audited()
    submit_relaxed(season, participant.user, {"Cu3Au.cif": TEXTS["Cu3Au.cif"]})
    place_all(season)
    scale, facts = Scale.objects.get(judge="ase").pk, RelaxationFact.objects.count()
    judge_of(scale)
    for number in range(1, 60):
        try:
            with before_statement(number, kill):
                relax_some(scale)
            break
        except Killed:
            let_expire(Opinion.objects.filter(state=OpinionState.RELAXING))
            sweep()
            long_ago(Opinion.objects.all())

    assert number > 8
    assert Opinion.objects.get().state == OpinionState.GIVEN
    assert RelaxationFact.objects.count() == facts + 1


def test_told_to_stop_an_opinion_goes_back_without_counting_an_attempt(audited, participant):
    season = audited()
    submit_relaxed(season, participant.user)
    place_all(season)
    asked = []

    relax_some(Scale.objects.get(judge="ase").pk, stop=lambda: asked.append(True) or len(asked) > 2)

    assert set(Opinion.objects.values_list("state", "attempts", "lease")) == {(OpinionState.WAITING, 0, None)}


def test_while_opinions_are_being_made_a_bell_costs_the_sequencer_a_look(
    audited, participant, django_assert_max_num_queries
):
    season = audited()
    submit_relaxed(season, participant.user)
    place_all(season)

    with django_assert_max_num_queries(25):
        place_all(season)


def test_an_auditor_on_the_season_s_own_scale_is_refused(season, second, emt_release_file):
    own, _ = import_release(emt_release_file)

    for auditors in ([own], [second, second]):
        with pytest.raises(SeasonRefused, match="judges this season already"):
            open_season(SeasonPlan(slug="twice", name="Twice", release=own, auditors=auditors))
    assert not Season.objects.filter(slug="twice").exists()


def test_another_run_has_the_same_auditors_and_says_that_it_waits_for_them(audited, participant):
    season = audited(max_formation_energy_ev_per_atom=-1.0)  # so that nothing is accepted
    submit_relaxed(season, participant.user)
    place_all(season)
    run = season.official_run
    lenient = open_evaluation(season, Plan(release=run.release, rules=Rules()))

    with pytest.raises(EvaluationRefused, match="2 structures wait for the auditors, who have been asked"):
        evaluate(lenient)
    hear_all(season)
    evaluate(lenient)

    verdicts = lenient.placements.order_by("candidate__arrival").values_list("verdict", flat=True)
    assert list(verdicts)[:2] == ["stable", "duplicate"]
    make_official(lenient)


def test_a_run_without_auditors_can_be_had(audited, participant):
    season = audited()
    submit_relaxed(season, participant.user)
    run = season.official_run
    alone = open_evaluation(season, Plan(release=run.release, rules=Rules(), auditors=[]))

    evaluate(alone)

    assert alone.placements.count() == 3
    assert not Opinion.objects.exists()


def test_a_verdict_that_an_auditor_had_a_say_in_replays_the_same(audited, participant):
    season = audited(held_auditor_difference_ev_per_atom=1e-6)
    judge_all(season, participant.user)

    for candidate in Candidate.objects.filter(season=season):
        assert replay(candidate).differences == ()
        assert replay(candidate, relax_again=True).differences == ()


def test_more_finds_than_a_chunk_are_asked_about_chunk_by_chunk(audited, participant, settings):
    settings.PLACE_CHUNK = 2
    season = audited()
    member = join(season, participant.user)
    for number in range(5):
        add_candidate(member, ordered_alloy("Cu", "Au", lattice_ang=3.6 + 0.1 * number), -0.1 - 0.05 * number)

    for _ in range(6):
        place_all(season)
        hear_all(season)

    assert Candidate.objects.filter(season=season, state=S.PLACED).count() == 5
    assert Opinion.objects.filter(state=OpinionState.GIVEN).count() == 5


def test_a_season_is_opened_with_auditors_by_a_command(season, second, capsys):
    call_command("create_season", "double", release="EMT elements", auditors=["second elements"])

    assert "its stable finds are audited by ase ase.calculators.emt:EMT against second elements" in (
        capsys.readouterr().out
    )
    with pytest.raises(CommandError, match="judges this season already"):
        call_command("create_season", "again", release="EMT elements", auditors=["EMT elements"])
    call_command("new_run", "double", no_auditors=True)
    assert [run.auditors.count() for run in Season.objects.get(slug="double").runs.order_by("number")] == [1, 0]
