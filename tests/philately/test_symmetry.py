"""The symmetry of phases: stored once, shown on pages, written into dumps, found later for what was stored without."""

import logging

import pyarrow.parquet as pq
import pytest
from ase.build import bulk
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from driving import first_texts, ordered_alloy, run_all, season_on, submit
from facts import add_candidate

from philately.domain import place
from philately.domain.dumps import dump_season
from philately.domain.place import place_waiting
from philately.domain.relax import relax_some
from philately.domain.seasons import join
from philately.models import Candidate, RelaxationFact, ReleasePhase, Season
from philately.states import CandidateState
from tests.releases import write_emt_release

CU3AU = (221, "cP4", "AB3_cP4_221_a_c:Au-Cu")


@pytest.fixture(autouse=True)
def _cold():
    place.forget()


def _columns(row):
    row.refresh_from_db()
    return row.space_group_number, row.pearson_symbol, row.prototype_label


@pytest.fixture
def stored_before(season, participant):
    """A find and a refined element, all from before there was symmetry."""
    find = add_candidate(participant, ordered_alloy("Cu", "Au", lattice_ang=3.8), -0.1)
    add_candidate(participant, bulk("Ag", cubic=True) * (1, 1, 2), -0.005)
    place_waiting(season.pk)
    ReleasePhase.objects.update(space_group_number=None, pearson_symbol="", prototype_label="")
    return find


def test_a_relaxation_is_stored_with_its_symmetry(participant):
    waiting = add_candidate(participant, ordered_alloy("Cu", "Au", lattice_ang=3.7), state=CandidateState.PARSED)

    assert relax_some(waiting.season.scale_id)

    waiting.refresh_from_db()
    assert _columns(waiting.relaxation) == CU3AU


def test_phases_of_a_release_are_stored_with_their_symmetry(season):
    phases = ReleasePhase.objects.all()

    assert {_columns(phase)[:2] for phase in phases} == {(225, "cF4")}
    assert _columns(phases.get(formula="Cu"))[2] == "A_cF4_225_a:Cu"


def test_what_was_stored_without_is_labelled_once(stored_before, capsys):
    call_command("label_phases")
    shown = capsys.readouterr().out
    call_command("label_phases")
    shown_again = capsys.readouterr().out

    assert _columns(stored_before.relaxation) == CU3AU
    assert not ReleasePhase.objects.filter(prototype_label="").exists()
    assert "relaxations: 2 of 2 looked at, 2 labelled" in shown
    assert "phases of releases: 7 of 7 looked at, 7 labelled" in shown
    assert "9 phases labelled" in shown
    assert shown_again == "0 phases labelled\n"


def test_what_has_a_label_already_is_left_alone(stored_before):
    RelaxationFact.objects.filter(pk=stored_before.relaxation_id).update(prototype_label="as it was")

    call_command("label_phases")

    assert RelaxationFact.objects.get(pk=stored_before.relaxation_id).prototype_label == "as it was"


def test_one_season_can_be_labelled_alone(stored_before, tmp_path):
    other = season_on(write_emt_release(tmp_path / "few.parquet", ("Au", "Cu")), slug="few", name="Few")
    Season.objects.filter(pk=other.pk).update(next_arrival=100)  # facts made by hand are told apart by it
    elsewhere = add_candidate(
        join(other, stored_before.batch.owner.user), ordered_alloy("Au", "Cu", lattice_ang=3.9), 0.1
    )

    call_command("label_phases", "practice")

    assert _columns(stored_before.relaxation) == CU3AU
    assert _columns(elsewhere.relaxation) == (None, "", "")


def test_a_geometry_without_a_group_stays_without(season, participant, capsys):
    atoms = bulk("Cu") * (2, 1, 1)
    atoms.positions[1] = atoms.positions[0]
    broken = add_candidate(participant, atoms, -0.1)

    call_command("label_phases")

    assert _columns(broken.relaxation) == (None, "", "")
    assert "relaxations: 1 of 1 looked at, 0 labelled" in capsys.readouterr().out


def _dumped(season, folder):
    dump_season(season, folder)
    return pq.read_table(folder / "phases.parquet").to_pylist()


def _symmetry_of(row):
    names = ("space_group_number", "space_group_symbol", "pearson_symbol", "prototype_label", "prototype")
    return tuple(row[name] for name in names)


def test_a_dump_has_the_symmetry_of_every_phase(stored_before, tmp_path):
    call_command("label_phases")

    rows = {row["chemical_formula_reduced"]: row for row in _dumped(stored_before.season, tmp_path / "dump")}

    assert _symmetry_of(rows["AuCu3"]) == (221, "Pm-3m", "cP4", "AB3_cP4_221_a_c:Au-Cu", "AB3_cP4_221_a_c")
    assert _symmetry_of(rows["Cu"]) == (225, "Fm-3m", "cF4", "A_cF4_225_a:Cu", "A_cF4_225_a")
    assert _symmetry_of(rows["Ag"]) == (225, "Fm-3m", "cF4", "A_cF4_225_a:Ag", "A_cF4_225_a")


def test_a_dump_of_what_has_no_label_yet_says_nothing_instead_of_something(stored_before, tmp_path):
    rows = _dumped(stored_before.season, tmp_path / "dump")

    assert {_symmetry_of(row) for row in rows} == {(None,) * 5}


class TestPages:
    @pytest.fixture
    def judged(self, season, participant):
        submit(participant, first_texts())
        run_all(season)
        call_command("label_phases")
        return season

    @pytest.mark.parametrize("page", ["season", "stable"])
    def test_stable_phases_are_shown_with_group_and_prototype(self, client, judged, page):
        text = client.get(reverse(page, args=[judged.slug])).content.decode()

        assert "Pm-3m (221)" in text
        assert "AB3_cP4_221_a_c:Au-Cu" in text

    def test_a_phase_without_a_label_has_a_dash(self, client, stored_before):
        text = client.get(reverse("stable", args=[stored_before.season.slug])).content.decode()

        assert '<code class="prototype">–</code>' in text

    def test_a_candidate_s_page_shows_group_and_prototype(self, client, judged, participant):
        client.force_login(participant.user)
        find = Candidate.objects.get(detail__file="Cu3Au.cif")

        text = client.get(reverse("candidate", args=[find.pk])).content.decode()

        assert "Pm-3m (221)" in text
        assert "AB3_cP4_221_a_c:Au-Cu" in text

    def test_a_candidate_that_was_not_relaxed_has_neither(self, client, participant):
        client.force_login(participant.user)
        waiting = add_candidate(participant, ordered_alloy("Cu", "Au", lattice_ang=3.7), state=CandidateState.PARSED)

        text = client.get(reverse("candidate", args=[waiting.pk])).content.decode()

        assert "Space group" not in text and "Prototype" not in text

    def test_more_stable_phases_take_no_more_queries(self, client, judged, participant, django_assert_max_num_queries):
        address = reverse("stable", args=[judged.slug])
        with CaptureQueriesContext(connection) as few:
            client.get(address)
        for minority in ("Ag", "Pd", "Ni"):
            add_candidate(participant, ordered_alloy("Pt", minority, lattice_ang=3.9), -0.5)
        place_waiting(judged.pk)

        with django_assert_max_num_queries(len(few)):
            text = client.get(address).content.decode()
        assert "Pt<sub>3</sub>" in text


def test_screw_axes_are_printed_below_the_line():
    from philately.templatetags.show import space_group

    assert space_group(194) == "P6<sub>3</sub>/mmc (194)"
    assert space_group(None) == ""


def test_a_supercell_leaves_nothing_on_a_worker_s_log(participant, capfd):
    """moyo warns of operations that a supercell hides."""
    atoms = ordered_alloy("Cu", "Au", lattice_ang=3.7) * (2, 1, 1)
    waiting = add_candidate(participant, atoms, state=CandidateState.PARSED)

    assert relax_some(waiting.season.scale_id)

    waiting.refresh_from_db()
    assert _columns(waiting.relaxation) == CU3AU
    assert logging.getLogger("moyo").getEffectiveLevel() == logging.ERROR
    assert "Omitted" not in capfd.readouterr().err
