"""What is taken back after placement: the hull is as if the phase had never been, and nobody else loses a point."""

from collections import defaultdict

import pyarrow.parquet as pq
import pytest
from ase.build import bulk
from django.db import transaction
from driving import ordered_alloy
from facts import rows_of
from stories import alloy, stretched
from withdrawing import check_hull, place_arrivals, run_of, state_of, withdraw

from philately.domain import place
from philately.domain.audits import audit
from philately.domain.dumps import dump_season
from philately.domain.hull_snapshots import load_or_rebuild, save
from philately.domain.replays import replay
from philately.domain.runs import hull_of
from philately.models import Candidate, LogEntry, Phase, Placement, RelaxationFact, ScoreEntry
from philately.states import CandidateState, PhaseStatus
from validation.scoring import PointsFor

S = CandidateState


@pytest.fixture(autouse=True)
def _cold():
    place.forget()


def _points(season):
    """By member's name."""
    points = defaultdict(float)
    for name, worth in ScoreEntry.objects.filter(run=run_of(season)).values_list("member__user__username", "points"):
        points[name] += worth
    return points


def _reasons(candidate):
    return list(ScoreEntry.objects.filter(candidate=candidate).order_by("number").values_list("reason", flat=True))


def _log_of(candidate):
    log = LogEntry.objects.filter(withdrawal__candidate=candidate).order_by("position")
    return list(log.values_list("kind", "phase__number", "by__number"))


class TestTheOnlyOneOfItsPhase:
    def test_leaves_record_and_hull_and_what_it_kept_off_comes_back(self, season, join_as):
        ann, ben = join_as("ann"), join_as("ben")
        kept_off, gone = place_arrivals((ben, alloy(), -0.10), (ann, stretched(1.3), -0.20))
        before = _points(season)

        withdraw(gone)

        phase = Phase.objects.get(first_candidate=gone)
        back = Phase.objects.get(first_candidate=kept_off)
        assert (state_of(gone), phase.status) == (S.WITHDRAWN, PhaseStatus.WITHDRAWN)
        assert _log_of(gone) == [
            ("withdrawn", phase.number, None),
            ("restored", back.number, phase.number),
            ("dethroned", phase.number, None),
        ]
        assert _points(season) == {"ann": 0, "ben": before["ben"] + 10}
        assert _reasons(kept_off)[-1] == PointsFor.BACK_ON_HULL
        check_hull(season)

    def test_takes_its_composition_along(self, season, participant):
        (gone,) = place_arrivals((participant, alloy(), -0.10))
        assert run_of(season).hull_points.filter(formula="AuCu3").exists()

        withdraw(gone)

        assert not run_of(season).hull_points.filter(formula="AuCu3").exists()
        check_hull(season)

    def test_of_any_verdict_leaves_a_hull_that_is_built_again_from_the_rows(self, season, story):
        for candidate in story:
            others = _points(season)
            others.pop(candidate.batch.owner.user.username)
            with transaction.atomic():
                place.forget()
                withdraw(candidate)
                check_hull(season)
                now = _points(season)
                assert all(now[name] >= points for name, points in others.items())
                assert not sum(_worth(candidate))
                transaction.set_rollback(True)

    def test_all_of_them_in_turn_leave_the_hull_of_the_release(self, season, story):
        run = run_of(season)
        hull = {str(point) for point in hull_of(run).points()}
        assert len(hull) > run.release.n_phases

        for candidate in story:
            withdraw(candidate)
            check_hull(season)

        assert len(hull_of(run)) == run.release.n_phases
        assert set(_points(season).values()) == {0}
        assert not Phase.objects.filter(run=run, release_phase=None).exclude(status=PhaseStatus.WITHDRAWN).exists()

    def test_may_be_found_again_and_is_a_new_find(self, season, join_as):
        (gone,) = place_arrivals((join_as("ann"), alloy(), -0.10))
        withdraw(gone)

        (again,) = place_arrivals((join_as("ben"), alloy(), -0.10))

        assert Placement.objects.get(candidate=again).verdict == "stable"
        assert _points(season)["ben"] == 11  # its system is open already
        check_hull(season)

    def test_leaves_its_relaxation_its_verdict_and_its_log(self, season, participant):
        (gone,) = place_arrivals((participant, alloy(), -0.10))
        facts, verdicts, log = (rows.objects.count() for rows in (RelaxationFact, Placement, LogEntry))

        withdraw(gone)

        assert (RelaxationFact.objects.count(), Placement.objects.count()) == (facts, verdicts)
        assert LogEntry.objects.filter(withdrawal=None).count() == log
        assert replay(Candidate.objects.get(pk=gone.pk)).differences == ()


def _worth(candidate):
    return ScoreEntry.objects.filter(candidate=candidate).values_list("points", flat=True)


class TestOneOfSeveral:
    def test_a_duplicate_changes_nothing_but_its_own_state(self, season, story):
        before = rows_of(season.official_run)

        withdraw(story[1])

        assert state_of(story[1]) == S.WITHDRAWN
        after = rows_of(season.official_run)
        assert {name: rows for name, rows in after.items() if name != "candidates"} == {
            name: rows for name, rows in before.items() if name != "candidates"
        }
        check_hull(season)

    def test_a_find_goes_to_its_earliest_duplicate_whose_points_begin_from_there(self, season, join_as):
        ann, ben, eve = (join_as(name) for name in ("ann", "ben", "eve"))
        first, second, _ = place_arrivals((ann, alloy(), -0.1), (ben, alloy(), -0.0995), (eve, alloy(), -0.1015))
        assert dict(_points(season)) == {"ann": 16}

        withdraw(first)

        phase = Phase.objects.get(run=run_of(season), first_candidate=second)
        assert dict(_points(season)) == {"ann": 0, "ben": 11}
        assert _reasons(second) == ["unique", "back_on_hull"]
        assert phase.energy_per_atom == pytest.approx(-0.1015)  # the lowest that is left
        assert [kind for kind, *_ in _log_of(first)] == ["replaced", "inherited"]
        check_hull(season)

    def test_a_find_that_another_refined_keeps_the_refined_energy(self, season, join_as):
        ann, ben = join_as("ann"), join_as("ben")
        first, refining = place_arrivals((ann, alloy(), -0.1), (ben, alloy(), -0.105))

        withdraw(first)

        phase = Phase.objects.get(run=run_of(season), first_candidate=refining)
        assert (phase.energy_per_atom, phase.candidate) == (pytest.approx(-0.105), refining)
        assert dict(_points(season)) == {"ann": 0, "ben": 11}
        check_hull(season)

    def test_a_refinement_that_is_taken_back_raises_the_phase_again_and_its_finder_keeps_what_was_given(
        self, season, join_as
    ):
        """The phase came onto the hull by the refinement and leaves it again; another's points stay."""
        ann, ben, eve = (join_as(name) for name in ("ann", "ben", "eve"))
        first, refining, other = place_arrivals(
            (ann, alloy(), -0.100), (eve, stretched(1.3), -0.103), (ben, alloy(), -0.108)
        )
        refining, other = other, refining
        before = _points(season)
        assert "back_on_hull" in _reasons(first)
        phase = Phase.objects.get(run=run_of(season), first_candidate=first)

        withdraw(refining)

        phase.refresh_from_db()
        assert (phase.energy_per_atom, phase.candidate) == (pytest.approx(-0.1), first)
        rival = Phase.objects.get(first_candidate=other).number
        assert _log_of(refining) == [
            ("replaced", phase.number, None),
            ("restored", rival, phase.number),
            ("dethroned", phase.number, None),
        ]
        assert dict(_points(season)) == {"ann": before["ann"], "eve": before["eve"] + 10}
        check_hull(season)

    def test_one_who_takes_an_own_refinement_back_keeps_nothing_for_it(self, season, join_as):
        ann, eve = join_as("ann"), join_as("eve")
        first, _, refining = place_arrivals(
            (ann, alloy(), -0.100), (eve, stretched(1.3), -0.103), (ann, alloy(), -0.108)
        )
        assert _reasons(first)[-1] == "back_on_hull"

        withdraw(refining)

        assert _reasons(first)[-1] == "dethroned"
        check_hull(season)

    def test_a_phase_of_the_release_goes_back_to_what_the_release_says(self, season, participant):
        gold = Phase.objects.get(run=run_of(season), formula="Au")
        published = gold.energy_per_atom
        wide, lower = place_arrivals(
            *((participant, bulk("Au", "fcc", a=4.06), published - below) for below in (0.003, 0.009))
        )

        withdraw(lower)
        gold.refresh_from_db()
        assert (gold.energy_per_atom, gold.candidate) == (pytest.approx(published - 0.003), wide)
        check_hull(season)

        withdraw(wide)
        gold.refresh_from_db()
        assert (gold.energy_per_atom, gold.candidate) == (published, None)
        assert gold.formation_energy_per_atom == pytest.approx(0, abs=1e-12)
        assert dict(_points(season)) == {}
        check_hull(season)

    def test_where_only_a_held_refinement_is_left_the_phase_waits_for_an_organiser(self, season, participant):
        compound = alloy("Ag", "Al")
        (found,) = place_arrivals((participant, compound, -0.1))
        run = run_of(season)
        run.rules["held_formation_energy_ev_per_atom"] = Placement.objects.get().formation_energy_per_atom - 0.003
        run.save()
        place.forget()
        (held,) = place_arrivals((participant, compound, -0.107))
        assert Placement.objects.get(candidate=held).verdict == "held"

        withdraw(found)

        phase = Phase.objects.get(run=run_of(season), first_candidate=held)
        assert (phase.status, phase.energy_per_atom) == (PhaseStatus.HELD, pytest.approx(-0.107))
        assert set(_points(season).values()) == {0}
        check_hull(season)


def test_a_snapshot_from_before_and_the_rows_after_are_the_hull_of_the_rows(season, story):
    """Finds that go, a refinement that goes, and what came in between."""
    run = run_of(season)
    save(run, hull_of(run))
    for number in (6, 2, 0, 4):
        withdraw(story[number])
    place_arrivals((story[0].batch.owner, alloy("Ni", "Pd"), -0.1))

    run = run_of(season)
    loaded = load_or_rebuild(run, lambda: pytest.fail("built again"))

    assert [str(point) for point in loaded.points()] == [str(point) for point in hull_of(run).points()]


def test_the_dump_no_longer_lists_it_and_names_the_finder_of_now(season, join_as, tmp_path):
    ann, ben = join_as("ann"), join_as("ben")
    inherited, heir, gone = place_arrivals((ann, alloy(), -0.1), (ben, alloy(), -0.1), (ann, stretched(1.3), -0.2))
    withdraw(inherited, gone)
    season.refresh_from_db()

    manifest = dump_season(season, tmp_path / "dump")

    rows = pq.read_table(tmp_path / "dump" / "phases.parquet").to_pylist()
    assert [(row["arrival"], row["participant"]) for row in rows if row["origin"] == "season"] == [
        (heir.arrival, "ben")
    ]
    assert manifest["run"]["log_position"] == run_of(season).log_position


def test_an_audit_finds_what_was_withdrawn_and_not_taken_out(season, story):
    Candidate.objects.filter(pk=story[0].pk).update(state=S.WITHDRAWN)

    (sentence,) = audit(run_of(season)).sentences

    assert "rebuilt withdrawn" in sentence


def test_verdicts_before_and_after_a_withdrawal_are_replayed_alike(season, join_as):
    ann, ben = join_as("ann"), join_as("ben")
    early = place_arrivals((ann, alloy(), -0.1), (ben, stretched(1.3), -0.2), (ann, stretched(1.3), -0.205))
    withdraw(early[1])
    late = place_arrivals((ben, alloy(), -0.101), (ben, stretched(1.3), -0.204), (ann, stretched(1.6), -0.15))
    withdraw(early[2])
    last = place_arrivals(
        (ben, alloy("Au", "Cu"), -0.15), (ann, ordered_alloy("Cu", "Au", lattice_ang=3.8, n_minority=2), -0.1)
    )

    for candidate in (*early, *late, *last):
        assert replay(Candidate.objects.get(pk=candidate.pk)).differences == (), candidate.arrival
