"""Pages show each auditor's own distance, whether it agrees, and who waits for one that is refused."""

import pytest
from auditing import TEXTS, judge_all, submit_relaxed
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from driving import place_all
from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
from pymatgen.core import Composition

from hull.entries import Formula
from philately.domain import place
from philately.domain.judges import judge_of
from philately.models import Candidate, Opinion, Release, Scale
from philately.queries.grounds import vertices_of
from philately.queries.opinions import opinions_on
from philately.states import OpinionState


@pytest.fixture(autouse=True)
def _cold():
    place.forget()
    yield
    judge_of.cache_clear()  # the second judge's scale has a number that another test's may have


@pytest.fixture
def heard(audited, participant):
    """A season with finds that its auditor agrees with."""
    season = audited()
    judge_all(season, participant.user)
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
        judge_all(season, participant.user, texts)
        season.refresh_from_db()
        vertices_of(Release.objects.get(name="second elements").pk)  # kept by a process
        with CaptureQueriesContext(connection) as queries:
            client.get(reverse("stable", args=[season.slug]))
        counts.append(len(queries))

    assert len(set(counts)) == 1


def test_an_auditor_not_heard_yet_is_said_so(audited, participant, client):
    season = audited()
    submit_relaxed(season, participant.user)
    place_all(season)
    client.force_login(participant.user)

    assert "asked, not heard yet" in _text(client, "candidate", Candidate.objects.get(formula="AuCu3").pk)


def test_an_auditor_that_is_refused_is_an_alert_for_those_who_wait(audited, participant, client):
    season = audited()
    submit_relaxed(season, participant.user)
    place_all(season)
    Scale.objects.filter(judge="ase").update(problem="CanaryDied: Cu differs")
    client.force_login(participant.user)

    said = "Stable finds wait for the auditor ase ase.calculators.emt:EMT, which is refused: CanaryDied: Cu differs"
    assert said in _text(client, "season", season.slug)
    assert said in _text(client, "batch", season.batches.get().pk)
