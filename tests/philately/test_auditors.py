"""Second judges: stable finds wait for what they say, in order of arrival, and are held where they say otherwise."""

import pytest
from ase.build import bulk
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from driving import cif, ordered_alloy, place_all, read_all, relax_all, season_on, submit
from facts import Killed, add_candidate, before_statement, bells, kill, let_expire, long_ago, rows_of
from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
from pymatgen.core import Composition

from hull.entries import Formula
from hull.reference import write_release
from philately.domain import place
from philately.domain.evaluations import EvaluationRefused, Plan, evaluate, make_official, open_evaluation
from philately.domain.judges import judge_of
from philately.domain.relax import is_waited_for, relax_some
from philately.domain.releases import import_release
from philately.domain.replays import replay
from philately.domain.seasons import SeasonPlan, SeasonRefused, join, open_season
from philately.domain.sweep import sweep
from philately.models import Candidate, Opinion, Placement, RelaxationFact, Release, Scale, Season
from philately.queries.grounds import vertices_of
from philately.queries.opinions import opinions_on
from philately.states import CandidateState, OpinionState
from tests.releases import SECOND_MODEL, metals_release, write_second_release
from validation.potentials import load_judge
from validation.rules import Rules

S = CandidateState
TEXTS = {
    "Cu3Au.cif": cif(ordered_alloy("Cu", "Au", lattice_ang=3.7)),
    "Cu-wide.cif": cif(bulk("Cu", a=3.7)),
    "CuAu.cif": cif(ordered_alloy("Cu", "Au", lattice_ang=3.8, n_minority=2)),
}


@pytest.fixture(autouse=True)
def _cold():
    place.forget()
    yield
    judge_of.cache_clear()  # the second judge's scale has a number that another test's may have


@pytest.fixture(scope="session")
def second_release_file(tmp_path_factory):
    return write_second_release(tmp_path_factory.mktemp("second") / "second.parquet")


@pytest.fixture
def second(season, second_release_file) -> Release:
    """The auditor's release; EMT with another cutoff agrees with EMT to some meV/atom."""
    return import_release(second_release_file, model=SECOND_MODEL)[0]


@pytest.fixture
def audited(season, second, emt_release_file):
    """Makes seasons with an auditor: ``audited(rule=value)``."""

    def open_with(slug="audited", **rules) -> Season:
        plan = {"slug": slug, "name": "Audited", "auditors": [second], "rules": Rules(**rules)}
        return season_on(emt_release_file, **plan)

    return open_with


def _submit(season, user, texts=TEXTS):
    """Relaxed by the judge, nothing placed."""
    submit(join(season, user), texts)
    read_all(season)
    relax_all(season)


def _placements(season):
    found = Placement.objects.filter(run=season.official_run).order_by("candidate__arrival")
    return {row.candidate.formula: row for row in found.select_related("candidate")}


def _states(season):
    return dict(Candidate.objects.filter(season=season).order_by("arrival").values_list("formula", "state"))


def _hear(season):
    """All opinions that are asked for."""
    for scale in season.official_run.auditors.values_list("release__scale", flat=True):
        while relax_some(scale):
            pass


def _judge(season, user, texts=TEXTS):
    """All three phases, its auditors heard."""
    _submit(season, user, texts)
    place_all(season)
    _hear(season)
    place_all(season)


def test_a_stable_find_waits_for_its_auditor_with_all_that_come_after_and_what_comes_before_is_placed(
    audited, participant
):
    season = audited()
    _submit(season, participant.user, dict(sorted(TEXTS.items())))

    place_all(season)

    assert _states(season) == {"Cu": S.PLACED, "AuCu3": S.RELAXED, "AuCu": S.RELAXED}
    asked = Opinion.objects.values_list("relaxation__formula", "scale__name", "state")
    assert set(asked) == {
        (formula, "ase ase.calculators.emt:EMT", OpinionState.WAITING) for formula in ("AuCu3", "AuCu")
    }


def test_where_the_auditor_agrees_the_verdict_is_what_it_would_have_been_without(audited, season, participant):
    other = audited()
    for one in (season, other):
        _submit(one, participant.user)
        place_all(one)
    _hear(other)

    place_all(other)

    assert set(_states(other).values()) == {S.PLACED}
    members = {other.memberships.get().pk: season.memberships.get(user=participant.user).pk}
    found, expected = rows_of(other.official_run), rows_of(season.official_run)
    scores = [(number, members[member], *rest) for number, member, *rest in found["scores"]]
    assert {**found, "scores": scores} == expected
    assert _placements(other)["AuCu3"].verdict == "stable"


def test_what_was_heard_rings_for_the_sequencer(audited, participant, django_capture_on_commit_callbacks):
    season = audited()
    _submit(season, participant.user)
    with django_capture_on_commit_callbacks(execute=True):
        bells("relax")
        place_all(season)
    assert ("relax", season.official_run.auditors.get().release.scale_id) in bells("relax")
    bells("place")

    with django_capture_on_commit_callbacks(execute=True):
        _hear(season)

    assert ("place", season.pk) in bells("place")


def test_a_find_that_the_auditor_sees_otherwise_is_held_outside_hull_and_points(audited, participant):
    season = audited(held_auditor_difference_ev_per_atom=1e-6)
    _judge(season, participant.user)

    held = _placements(season)["AuCu3"]

    assert (held.verdict, held.phase.status) == ("held", "held")
    assert "by the auditor ase ase.calculators.emt:EMT: " in held.sentence
    assert not season.official_run.log.exists()
    assert not season.official_run.scores.exists()


def test_an_opinion_is_a_fact_that_another_season_shares(audited, participant):
    first, then = audited(), audited(slug="then")
    _submit(first, participant.user)
    place_all(first)
    _hear(first)
    facts = RelaxationFact.objects.count()
    _submit(then, participant.user)

    place_all(then)

    assert set(_states(then).values()) == {S.PLACED}
    assert (Opinion.objects.count(), RelaxationFact.objects.count()) == (2, facts)


def test_an_auditor_whose_release_lacks_the_element_is_not_asked(season, participant, emt_release_file, tmp_path):
    few = tmp_path / "few.parquet"
    write_release(metals_release(load_judge("ase", SECOND_MODEL), ("Cu",), name="few"), few)
    auditor, _ = import_release(few, model=SECOND_MODEL)
    season = season_on(emt_release_file, slug="few", name="Few", auditors=[auditor])
    _submit(season, participant.user)

    place_all(season)

    assert _placements(season)["AuCu3"].verdict == "stable"
    assert not Opinion.objects.exists()


def test_an_opinion_that_cannot_be_had_is_set_aside_after_three_attempts_and_the_find_is_held(
    audited, participant, settings
):
    season = audited()
    _submit(season, participant.user)
    place_all(season)
    settings.RELAX_LIMIT_S = 0
    for _ in range(settings.MAX_ATTEMPTS):
        _hear(season)
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
    _submit(season, participant.user, {"Cu3Au.cif": TEXTS["Cu3Au.cif"]})
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
    _submit(season, participant.user)
    place_all(season)
    asked = []

    relax_some(Scale.objects.get(judge="ase").pk, stop=lambda: asked.append(True) or len(asked) > 2)

    assert set(Opinion.objects.values_list("state", "attempts", "lease")) == {(OpinionState.WAITING, 0, None)}


def test_while_opinions_are_being_made_a_bell_costs_the_sequencer_a_look(
    audited, participant, django_assert_max_num_queries
):
    season = audited()
    _submit(season, participant.user)
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
    _submit(season, participant.user)
    place_all(season)
    run = season.official_run
    lenient = open_evaluation(season, Plan(release=run.release, rules=Rules()))

    with pytest.raises(EvaluationRefused, match="2 structures wait for the auditors, who have been asked"):
        evaluate(lenient)
    _hear(season)
    evaluate(lenient)

    verdicts = lenient.placements.order_by("candidate__arrival").values_list("verdict", flat=True)
    assert list(verdicts)[:2] == ["stable", "duplicate"]
    make_official(lenient)


def test_a_run_without_auditors_can_be_had(audited, participant):
    season = audited()
    _submit(season, participant.user)
    run = season.official_run
    alone = open_evaluation(season, Plan(release=run.release, rules=Rules(), auditors=[]))

    evaluate(alone)

    assert alone.placements.count() == 3
    assert not Opinion.objects.exists()


def test_a_verdict_that_an_auditor_had_a_say_in_replays_the_same(audited, participant):
    season = audited(held_auditor_difference_ev_per_atom=1e-6)
    _judge(season, participant.user)

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
        _hear(season)

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


@pytest.fixture
def heard(audited, participant):
    """A season with finds that its auditor agrees with."""
    season = audited()
    _judge(season, participant.user)
    return season


def _text(client, name, *arguments):
    return " ".join(client.get(reverse(name, args=arguments)).content.decode().split())


def test_pages_show_each_auditor_s_own_distance_and_whether_it_agrees(heard, participant, client):
    client.force_login(participant.user)
    find = Candidate.objects.get(season=heard, formula="AuCu3")
    result = Opinion.objects.get(relaxation=find.relaxation).result

    shown = _text(client, "candidate", find.pk)

    assert "Difference from the judge's (eV/atom)" in shown.replace("&#x27;", "'")
    assert f"{result.energy_per_atom:.3f}" in shown
    assert "<td>yes</td>" in shown
    assert "against second elements" in _text(client, "season", heard.slug)
    stable = _text(client, "stable", heard.slug)
    assert "e_above_hull by ase ase.calculators.emt:EMT (eV/atom)" in stable
    assert stable.count('0.000 <span class="text-body-secondary">agrees</span>') == 2
    assert stable.count('<td class="number">–</td>') >= 7  # phases of the release are not asked about


def test_the_distance_by_an_auditor_is_from_its_own_hull_of_release_and_finds(heard):
    """Recomputed by pymatgen from the auditor's own energies."""
    known = Opinion.objects.filter(state=OpinionState.GIVEN).select_related("result")
    energies = {one.result.formula: one.result.energy_per_atom for one in known}
    elements = {one.formula: one.energy_per_atom for one in heard.official_run.auditors.get().release.phases.all()}
    entries = [
        PDEntry(Composition(formula), energy * Composition(formula).num_atoms)
        for formula, energy in {**elements, **energies}.items()
        if set(Composition(formula).chemical_system.split("-")) <= {"Au", "Cu"}
    ]
    diagram = PhaseDiagram(entries)

    found = {one.formula: opinions_on(heard.official_run, one) for one in Candidate.objects.filter(season=heard)}

    for entry in entries:
        formula = Formula.parse(entry.composition.reduced_formula)
        rows = found.get(str(formula), [])
        for row in rows:
            assert row.e_above_hull == pytest.approx(diagram.get_e_above_hull(entry), abs=1e-9)
            assert row.agrees
    assert [len(found[formula]) for formula in ("AuCu3", "AuCu")] == [1, 1]


def test_the_stable_page_takes_as_many_queries_for_more_opinions(audited, participant, client):
    season = audited()
    counts = []
    for texts in ({"a.cif": TEXTS["Cu3Au.cif"]}, TEXTS):
        _judge(season, participant.user, texts)
        season.refresh_from_db()
        vertices_of(Release.objects.get(name="second elements").pk)  # kept by a process
        with CaptureQueriesContext(connection) as queries:
            client.get(reverse("stable", args=[season.slug]))
        counts.append(len(queries))

    assert len(set(counts)) == 1


def test_an_auditor_not_heard_yet_is_said_so(audited, participant, client):
    season = audited()
    _submit(season, participant.user)
    place_all(season)
    client.force_login(participant.user)

    assert "asked, not heard yet" in _text(client, "candidate", Candidate.objects.get(formula="AuCu3").pk)


def test_an_auditor_that_is_refused_is_an_alert_for_those_who_wait(audited, participant, client):
    season = audited()
    _submit(season, participant.user)
    place_all(season)
    Scale.objects.filter(judge="ase").update(problem="CanaryDied: Cu differs")
    client.force_login(participant.user)

    said = "Stable finds wait for the auditor ase ase.calculators.emt:EMT, which is refused: CanaryDied: Cu differs"
    assert said in _text(client, "season", season.slug)
    assert said in _text(client, "batch", season.batches.get().pk)
