"""Audits: nothing differs after honest work, and whatever was tampered with is named."""

import json
import threading
from datetime import timedelta

import pytest
from ase.build import bulk
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection
from django.db.models import F
from django.utils import timezone
from driving import ordered_alloy, season_on
from facts import add_candidate

from hull.entries import Entry, Formula
from hull.store import LP_TOLERANCE, HullStore
from philately.domain import place, rebuilding
from philately.domain.audits import AuditRefused, audit, audit_when_due, due
from philately.domain.evaluations import Plan, evaluate, open_evaluation
from philately.domain.hull_checks import is_borderline
from philately.domain.locks import lock
from philately.domain.place import place_waiting
from philately.models import Candidate, HullAudit, HullPoint, LogEntry, Phase, Placement, Run, ScoreEntry, Season
from philately.states import CandidateState
from validation.rules import Rules


def _alloy(majority="Cu", minority="Au", n=1, stretched=1.0):
    atoms = ordered_alloy(majority, minority, lattice_ang=3.8, n_minority=n)
    atoms.set_cell(atoms.cell @ [[1, 0, 0], [0, 1, 0], [0, 0, stretched]], scale_atoms=True)
    return atoms


# finds, refinements of a find and of the release, polymorphs, one that is dethroned, one held, one above the limit
STORY = [
    (_alloy(), -0.10),
    (_alloy(), -0.105),
    (_alloy(n=2), -0.04),
    (_alloy(stretched=1.3), -0.20),
    (_alloy("Au", "Cu"), -0.30),
    (_alloy("Pd", "Pt"), 0.25),
    (bulk("Au", cubic=True), -0.50),
    (bulk("Au", "fcc", a=4.06), -0.008),
    (_alloy("Ag", "Al"), -0.05),
]


@pytest.fixture(autouse=True)
def _cold():
    place.forget()


def _submit_story(participant, story=STORY):
    gold = Phase.objects.get(run=participant.season.official_run, formula="Au").energy_per_atom
    for atoms, energy in story:
        add_candidate(participant, atoms, gold + energy if len(set(atoms.symbols)) == 1 else energy)


@pytest.fixture
def run(participant) -> Run:
    """The official run with a story placed."""
    _submit_story(participant)
    place_waiting(participant.season_id)
    run = participant.season.official_run
    run.refresh_from_db()
    kinds = set(LogEntry.objects.values_list("kind", flat=True))
    assert kinds == {"stable", "dethroned", "refined"}
    return run


def test_after_honest_work_nothing_differs_and_the_counts_are_told(run):
    result = audit(run)

    assert result.sentences == []
    on_record = Phase.objects.filter(run=run, status="on_record").count()
    figures = (on_record, HullPoint.objects.count(), run.log_position)
    assert result.summary == "nothing differs: {} phases, {} compositions, {} events".format(*figures)


def test_a_run_in_which_nothing_was_placed_is_the_release(season):
    result = audit(season.official_run)

    assert result.sentences == []
    assert (result.n_phases, result.n_compositions, result.n_events) == (7, 7, 0)


def _point(formula):
    return HullPoint.objects.filter(formula=formula)


def _first_stable():
    return LogEntry.objects.filter(kind="stable").order_by("position").first()


def _swap_first_entries():
    """As if a phase had come onto the hull before it arrived."""
    first = _first_stable()
    last = LogEntry.objects.order_by("-position").first()
    LogEntry.objects.filter(pk=last.pk).update(candidate=first.candidate)


TAMPERINGS = {
    "hull energy": (lambda: _point("AuCu3").update(hull_energy=F("hull_energy") + 1e-6), "1e-06 eV/atom apart"),
    "no hull energy": (lambda: _point("AuCu3").update(hull_energy=None), "AuCu3, phase 10: hull energy stored none"),
    "lowest energy": (lambda: _point("AuCu3").update(lowest_energy=F("lowest_energy") - 2e-9), "2e-09 eV/atom apart"),
    "lowest phase": (lambda: _point("AuCu3").update(lowest_phase=8), "AuCu3: lowest phase stored 8, rebuilt 10"),
    "system": (lambda: _point("AuCu3").update(chemical_system="Au"), "10: chemical system stored Au, rebuilt Au-Cu"),
    "flag": (lambda: _point("AuCu").update(is_vertex=True), "vertex of the hull stored yes, rebuilt no"),
    "missing point": (lambda: _point("AuCu").delete(), "AuCu, phase 9: hull point stored missing"),
    "superfluous point": (lambda: _point("AuCu").update(formula="AuCu7"), "AuCu7, phase 9: hull point stored there"),
    "energy": (
        lambda: Phase.objects.filter(number=10).update(energy_per_atom=-0.21),
        "AuCu3, phase 10: formation energy stored",
    ),
    "formation energy": (
        lambda: Phase.objects.filter(number=10).update(formation_energy_per_atom=None),
        "AuCu3, phase 10: formation energy stored none",
    ),
    "raised reference": (
        lambda: Phase.objects.filter(formula="Ag").update(energy_per_atom=0.5),
        "Ag, phase 1: phase of the release stored 0.5",
    ),
    "status": (lambda: Phase.objects.filter(number=10).update(status="held"), "phase 10: stable by the log stored yes"),
    "lost event": (lambda: _first_stable().delete(), "position in the log stored 2, rebuilt 1"),
    "wrong event": (
        lambda: LogEntry.objects.filter(pk=_first_stable().pk).update(kind="dethroned"),
        "log event stored dethroned, rebuilt not on the hull",
    ),
    "event before arrival": (_swap_first_entries, "rebuilt later: it had not arrived then"),
    "log position": (lambda: Run.objects.update(log_position=99), "log position: run stored 99"),
    "phase number": (lambda: Run.objects.update(next_phase_number=99), "next phase number: run stored 99"),
    "placement": (
        lambda: Placement.objects.filter(phase=None).delete(),
        "(Pd3Pt), arrival 6: placement stored missing, rebuilt placed",
    ),
    "placed by nobody": (
        lambda: Candidate.objects.filter(arrival=6).update(state=CandidateState.RELAXED),
        "arrival 6: placement stored rejected, rebuilt relaxed",
    ),
    "placed ahead": (lambda: Run.objects.update(placed_to=8), "rebuilt the run has placed up to arrival 8"),
    "score beyond the log": (
        lambda: ScoreEntry.objects.filter(number=1).update(log_position=77),
        "score entry 1 (AuCu3): score entry stored 77, rebuilt at most",
    ),
    "no formula": (
        lambda: Phase.objects.filter(number=10).update(formula="Xx3"),
        "run stored rows of which no hull can be made, rebuilt 'Xx' is not an element",
    ),
    "lost score": (lambda: ScoreEntry.objects.filter(number=2).delete(), "numbers of the score entries"),
}


@pytest.mark.parametrize("name", TAMPERINGS)
def test_what_was_tampered_with_is_named(run, name):
    tamper, sentence = TAMPERINGS[name]
    tamper()

    result = audit(run)

    assert any(sentence in line for line in result.sentences), result.sentences
    assert result.findings.n_differences == len(result.sentences)


def test_a_run_that_leaves_somebody_out_and_is_ahead_of_the_official_one_differs_in_nothing(run, participant):
    left_out = Candidate.objects.get(arrival=1)
    rules = Rules.from_json(run.rules)
    other = open_evaluation(run.season, Plan(release=run.release, rules=rules, without=[left_out.pk]))
    add_candidate(participant, _alloy("Ag", "Pd"), -0.1)  # relaxed, and not placed in the official run

    evaluate(other)

    assert audit(other).sentences == []
    assert audit(run).sentences == []
    Placement.objects.filter(run=run, candidate=left_out).update(run=other)
    where = f"candidate {left_out.pk} (AuCu3), arrival 1: placement"
    assert f"{where} stored stable, rebuilt left out of the run" in audit(other).sentences
    assert f"{where} stored missing, rebuilt placed" in audit(run).sentences


def test_a_lost_phase_of_the_release_is_named(season):
    run = season.official_run
    Phase.objects.filter(run=run, formula="Ag").delete()

    assert "phase 1: phase of the release stored missing, rebuilt in the release" in audit(run).sentences


@pytest.mark.parametrize("shift", [0.9e-9, -0.9e-9])
def test_what_rounding_may_move_is_no_difference(run, shift):
    HullPoint.objects.update(hull_energy=F("hull_energy") + shift, lowest_energy=F("lowest_energy") + shift)

    assert audit(run).sentences == []


@pytest.mark.parametrize(("depth", "borderline"), [(0.95e-10, True), (1.05e-10, True), (0, False), (3e-10, False)])
def test_only_a_depth_at_the_tolerance_may_be_called_either_way(depth, borderline):
    store = HullStore("test")
    store.insert_many(Entry(number, Formula.parse(symbol), 0.0) for number, symbol in enumerate(("Au", "Cu")))
    store.insert(Entry(2, Formula.parse("AuCu"), -depth))

    assert is_borderline(store.point(Formula.parse("AuCu"))) is borderline
    assert store.point(Formula.parse("AuCu")).is_vertex is (depth > LP_TOLERANCE)


def test_many_differences_are_counted_and_the_first_shown(run, monkeypatch):
    monkeypatch.setattr("philately.domain.discrepancies.SHOWN_OF_A_KIND", 3)
    monkeypatch.setattr("philately.domain.record_checks.SHOWN_OF_A_KIND", 3)
    n_points = HullPoint.objects.update(lowest_energy=5.0)
    n_scores = ScoreEntry.objects.update(log_position=1000)

    result = audit(run)

    assert result.findings.counts == {"lowest energy": n_points, "score entry": n_scores}
    assert len(result.sentences) == 6


def test_rows_are_read_in_chunks_whose_size_changes_nothing(run, monkeypatch):
    _point("AuCu").update(hull_energy=1.0)
    expected = audit(run).as_json()
    for module in ("rebuilding", "hull_checks"):
        monkeypatch.setattr(f"philately.domain.{module}.CHUNK", 2)

    assert audit(run).as_json() == expected


def test_each_audit_is_recorded(run):
    audit(run)
    _point("AuCu").update(hull_energy=1.0)
    audit(run)

    first, second = HullAudit.objects.order_by("pk")
    assert (first.run, first.log_position, first.placed_to) == (run, run.log_position, run.placed_to)
    assert (first.n_differences, first.differences) == (0, [])
    assert first.started_at <= first.finished_at <= second.started_at
    assert first.code_version
    assert second.n_differences == len(second.differences) == 1
    assert second.differences[0]["sentence"].startswith("AuCu, phase 9: hull energy stored 1.0000000000 eV/atom")
    assert "differences: 1" in str(second)


def test_one_at_a_time(run):
    with lock(f"audit:{run.pk}"), pytest.raises(AuditRefused, match="under way"):
        audit(run)


@pytest.mark.django_db(transaction=True)
def test_it_sees_one_moment_while_the_sequencer_goes_on(season, participant, monkeypatch):
    _submit_story(participant, STORY[:4])
    place_waiting(season.pk)
    _submit_story(participant, STORY[4:])
    rebuild = rebuilding.rebuild

    def place_meanwhile(*arguments):
        rebuilt = rebuild(*arguments)
        thread = threading.Thread(target=lambda: (place_waiting(season.pk), connection.close()))
        thread.start()
        thread.join()
        return rebuilt

    monkeypatch.setattr("philately.domain.audits.rebuild", place_meanwhile)
    before = Run.objects.get(pk=season.official_run_id)

    result = audit(before)

    after = Run.objects.get(pk=before.pk)
    assert (result.sentences, result.placed_to) == ([], 4)
    assert after.placed_to == len(STORY)
    assert after.log_position > before.log_position


def _audited(hours_ago):
    HullAudit.objects.update(finished_at=timezone.now() - timedelta(hours=hours_ago))


def test_once_a_day_where_the_run_has_moved_or_differed(season, run):
    def is_due():
        return due(Season.objects.select_related("official_run").get(pk=season.pk))

    assert not is_due()  # it is younger than a day
    Run.objects.update(created_at=timezone.now() - timedelta(hours=25))
    assert is_due()
    assert audit_when_due(season.pk)
    assert not is_due()

    _audited(hours_ago=25)
    assert not is_due()  # nothing has moved
    HullAudit.objects.update(n_differences=1)
    assert is_due()
    _audited(hours_ago=23)
    assert not is_due()

    HullAudit.objects.update(n_differences=0, log_position=1)
    assert not is_due()
    _audited(hours_ago=25)
    assert is_due()


def test_the_nightly_audit_logs_what_differs_as_an_error(season, run, monkeypatch):
    Run.objects.update(created_at=timezone.now() - timedelta(hours=25))
    _point("AuCu").update(hull_energy=1.0)
    errors = []
    monkeypatch.setattr(
        "philately.domain.audits.log.error", lambda text, *values, **about: errors.append(text % values)
    )

    assert audit_when_due(season.pk)

    (error,) = errors
    assert "AuCu, phase 9: hull energy stored 1.0" in error
    assert not audit_when_due(season.pk)  # it just was


def test_the_command_says_what_it_found_by_its_exit_status(season, run, tmp_path, capsys):
    call_command("audit_hull", "practice")
    assert capsys.readouterr().out.startswith("nothing differs: ")

    _point("AuCu").update(hull_energy=1.0)
    with pytest.raises(CommandError, match="1 difference in") as differs:
        call_command("audit_hull", "--run", "1", "--json", str(tmp_path / "audit.json"))
    assert differs.value.returncode == 1
    content = json.loads((tmp_path / "audit.json").read_text())
    assert (content["season"], content["run"], content["counts"]) == ("practice", 1, {"hull energy": 1})
    assert "hull energy stored 1.0" in capsys.readouterr().out


def test_the_command_audits_all_seasons_where_none_is_said(season, run, emt_release_file, tmp_path, capsys):
    season_on(emt_release_file, slug="second", name="Second season")
    call_command("audit_hull")
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("practice: nothing differs: ")
    assert second.startswith("second: nothing differs: ")

    _point("AuCu").update(hull_energy=1.0)
    with pytest.raises(CommandError, match="practice: 1 difference in") as differs:
        call_command("audit_hull", "--json", str(tmp_path / "audits.json"))
    assert differs.value.returncode == 1
    told = json.loads((tmp_path / "audits.json").read_text())
    assert [(one["season"], one["counts"]) for one in told] == [("practice", {"hull energy": 1}), ("second", {})]


@pytest.mark.parametrize("arguments", [["no-such"], ["practice", "--run", "9"]])
def test_where_it_cannot_run_the_exit_status_is_two(season, arguments):
    with pytest.raises(CommandError) as refused:
        call_command("audit_hull", *arguments)

    assert refused.value.returncode == 2
