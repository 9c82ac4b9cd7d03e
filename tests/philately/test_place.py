"""Phase 3: one sequencer, in order of arrival, a chunk a transaction; energies are made up, in round numbers."""

import pytest
from ase.build import bulk
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from driving import season_on
from facts import Killed, add_candidate, before_statement, kill, let_expire, long_ago, rows_of
from stories import STORY, VERDICTS, alloy

from philately.domain import place, runs
from philately.domain.place import place_waiting
from philately.domain.runs import hull_of, open_run
from philately.domain.seasons import join
from philately.domain.sweep import sweep
from philately.domain.turns import turn_of
from philately.models import (
    Candidate,
    Lock,
    LogEntry,
    Phase,
    Placement,
    RelaxationFact,
    RelaxationGeometry,
    Run,
    ScoreEntry,
)
from philately.states import CandidateState, PhaseStatus, Stage
from tests.releases import write_emt_release
from validation.rules import Rules

S = CandidateState


@pytest.fixture(autouse=True)
def _cold():
    """A process that has placed nothing yet."""
    place.forget()


@pytest.fixture
def story(join_as):
    return [add_candidate(join_as(name), atoms, energy) for atoms, energy, name in STORY]


def _verdicts():
    return list(Placement.objects.order_by("candidate__arrival").values_list("verdict", flat=True))


def test_the_verdicts_of_a_story(season, story):
    assert place_waiting(season.pk) == len(story)

    assert _verdicts() == VERDICTS
    assert set(Candidate.objects.values_list("state", flat=True)) == {S.PLACED}
    season.official_run.refresh_from_db()
    assert season.official_run.placed_to == len(story)
    assert season.official_run.log_position == LogEntry.objects.count()


def test_placing_twice_equals_placing_once(season, story):
    place_waiting(season.pk)
    before = rows_of(season.official_run)

    assert place_waiting(season.pk) == 0
    assert rows_of(season.official_run) == before


@pytest.mark.parametrize("chunk", [1, 2, 2000])
def test_a_cold_process_goes_on_exactly_as_a_warm_one_whatever_the_chunks(season, story, settings, chunk):
    place_waiting(season.pk)
    expected = rows_of(season.official_run)

    settings.PLACE_CHUNK = chunk
    run = _start_again(season)
    while True:
        place.forget()
        turn = turn_of(run)
        with place.lock(f"place:{season.pk}") as hold:
            done, more = place.place_chunk(run, hold)
        if not more:
            break
        assert done == len(turn.waiting)
        run.refresh_from_db()
        assert run.placed_to == turn.passed_to

    assert rows_of(run) == expected


def _start_again(season):
    """The season's run as if nothing had been placed."""
    run = season.official_run
    for rows in (ScoreEntry, LogEntry, Placement):
        rows.objects.filter(run=run).delete()
    Phase.objects.filter(run=run, release_phase=None).delete()
    run.hull_points.all().delete()
    Candidate.objects.filter(season=season).update(state=S.RELAXED)
    number = run.number
    season.official_run = None
    season.save()
    run.phases.all().delete()
    run.delete()
    season.official_run = open_run(season, season.scale.releases.get(), Rules.from_json(season.rules))
    season.save()
    assert season.official_run.number == number
    return season.official_run


def test_killed_before_any_statement_the_rest_comes_out_the_same(season, story, settings):
    settings.PLACE_CHUNK = 4
    place_waiting(season.pk)
    expected = rows_of(season.official_run)
    _start_again(season)
    with before_statement(0, kill) as seen, transaction.atomic():
        place_waiting(season.pk)
        transaction.set_rollback(True)
    for number in range(1, len(seen) - 2, len(seen) // 12):  # the first look at a release is remembered
        with transaction.atomic():
            place.forget()
            with pytest.raises(Killed), before_statement(number, kill):
                place_waiting(season.pk)
            let_expire(Lock.objects.all())
            place_waiting(season.pk)
            assert rows_of(season.official_run) == expected, number
            transaction.set_rollback(True)


def test_a_later_one_waits_for_an_earlier_one_that_is_under_way(season, participant):
    for state in (S.RECEIVED, S.CHECKED, S.PARSED):
        earlier = add_candidate(participant, alloy(), state=state)
        later = add_candidate(participant, alloy(n=2), -0.04)

        assert place_waiting(season.pk) == 0
        Candidate.objects.filter(pk=earlier.pk).update(state=S.WITHDRAWN)
        assert place_waiting(season.pk) == 1
        assert Placement.objects.filter(candidate=later).exists()


def test_whatever_order_the_workers_finish_in_the_first_arrival_is_the_first_finder(season, participant, join_as):
    first = add_candidate(participant, alloy(), state=S.PARSED)
    second = add_candidate(join_as("ben"), alloy(), -0.1)
    place_waiting(season.pk)
    fact = second.relaxation
    fact.pk, fact.initial_hash = None, "1" * 64
    fact.save()
    RelaxationGeometry.objects.create(
        relaxation=fact, crystal=second.relaxation.geometry.crystal, forces=b"", stress=b"", history=b""
    )
    Candidate.objects.filter(pk=first.pk).update(
        state=S.RELAXED, relaxation=RelaxationFact.objects.get(initial_hash="1" * 64)
    )
    place_waiting(season.pk)

    assert Placement.objects.get(candidate=first).verdict == "stable"
    assert Placement.objects.get(candidate=second).verdict == "duplicate"


def test_rejected_parked_withdrawn_and_set_aside_ones_let_the_others_pass(season, participant):
    original = add_candidate(participant, alloy(), state=S.REJECTED, reason="VOLUME")
    add_candidate(participant, alloy(), state=S.PARKED, twin_of=original, reason="TWIN")
    for state in (S.SET_ASIDE, S.WITHDRAWN):
        add_candidate(participant, alloy(), state=state)
    add_candidate(participant, alloy(), -0.1)

    assert place_waiting(season.pk) == 1


@pytest.mark.parametrize("number", range(1, 12))
def test_what_arrives_while_the_sequencer_looks_is_not_passed_over(season, participant, number):
    add_candidate(participant, alloy(), state=S.REJECTED, reason="VOLUME")
    late = []

    with before_statement(number, lambda: late.append(add_candidate(participant, alloy(), state=S.PARSED))):
        place_waiting(season.pk)

    season.official_run.refresh_from_db()
    assert season.official_run.placed_to < late[0].arrival


def test_a_second_sequencer_does_nothing(season, story):
    with place.lock(f"place:{season.pk}"):
        assert place_waiting(season.pk) == 0

    assert not Placement.objects.exists()


def test_a_sequencer_that_lost_its_lock_commits_nothing_and_its_heir_all(season, story):
    def take_over():
        Lock.objects.update(token="another")

    for number in range(7, 12):  # before its transaction
        with before_statement(number, take_over):
            assert place_waiting(season.pk) == 0
        assert not Placement.objects.exists()
        let_expire(Lock.objects.all())

    assert place_waiting(season.pk) == len(story)
    assert _verdicts() == VERDICTS


def test_a_run_that_moved_on_under_a_sequencer_is_not_written_to(season, story):
    run = season.official_run
    with place.lock(f"place:{season.pk}") as hold:
        place_run = type(run).objects.get(pk=run.pk)
        type(run).objects.filter(pk=run.pk).update(log_position=99)
        assert place.place_chunk(place_run, hold) == (0, False)

    assert not Placement.objects.exists()


def test_one_that_is_withdrawn_while_it_is_being_placed_takes_nobody_with_it(season, story):
    """Whatever the moment: it is out, or it was placed first; all others are placed, as if nothing had happened."""
    with before_statement(0, kill) as seen, transaction.atomic():
        place_waiting(season.pk)
        transaction.set_rollback(True)
    mine, *others = [one.pk for one in reversed(story)]

    def withdraw():
        Candidate.objects.filter(pk=mine, state=S.RELAXED).update(state=S.WITHDRAWN)

    for number in range(1, len(seen) + 1):
        with transaction.atomic():
            place.forget()
            with before_statement(number, withdraw):
                place_waiting(season.pk)
            placed = set(Placement.objects.values_list("candidate", flat=True))
            out = Candidate.objects.get(pk=mine).state == S.WITHDRAWN
            assert placed == set(others if out else [*others, mine]), number
            assert not Candidate.objects.filter(state=S.RELAXED).exists()
            transaction.set_rollback(True)


def test_a_chunk_costs_as_many_statements_whatever_its_size(season, participant):
    """Finds, each of which dethrones the one before, far enough apart that nothing has to be matched."""
    counts = []
    for size in (1, 2, 12):  # the first takes the run up
        for _ in range(size):
            add_candidate(participant, alloy(), -0.02 * (1 + Candidate.objects.count()))
        with place.lock(f"place:{season.pk}") as hold, CaptureQueriesContext(connection) as seen:
            place.place_chunk(Run.objects.get(pk=season.official_run.pk), hold)
        counts.append(len(seen))

    assert not Candidate.objects.exclude(state=S.PLACED).exists()
    assert counts[1] == counts[2] < 28


def test_a_dethroned_finder_loses_what_the_hull_gave_and_keeps_the_rest(season, story):
    place_waiting(season.pk)

    rows = ScoreEntry.objects.filter(candidate=story[0]).order_by("number").values_list("reason", "points")
    assert list(rows) == [
        ("unique", 1),
        ("stable", 10),
        ("first_of_system", 5),
        ("dethroned", -10),
        ("dethroned_first", -5),
        ("metastable", 3),
    ]
    assert list(ScoreEntry.objects.order_by("number").values_list("number", flat=True)) == list(
        range(1, ScoreEntry.objects.count() + 1)
    )


def test_a_refinement_lowers_the_phase_keeps_its_finder_and_pays_nothing(season, story):
    place_waiting(season.pk)

    phase = Phase.objects.get(first_candidate=story[0])
    assert phase.candidate == story[2]
    assert phase.energy_per_atom == pytest.approx(-0.105)
    assert Placement.objects.get(candidate=story[2]).phase == phase
    assert not ScoreEntry.objects.filter(candidate=story[2]).exists()
    assert LogEntry.objects.filter(phase=phase, kind="refined", candidate=story[2]).exists()


def test_what_is_held_is_outside_hull_and_points(season, story):
    place_waiting(season.pk)

    held = Placement.objects.select_related("phase").get(candidate=story[8])
    assert held.phase.status == PhaseStatus.HELD
    assert "organiser" in held.sentence
    assert held.phase.number not in hull_of(season.official_run)
    assert not ScoreEntry.objects.filter(candidate=story[8]).exists()
    assert not LogEntry.objects.filter(phase=held.phase).exists()
    assert season.official_run.hull_points.get(formula="Au").lowest_energy > -0.1


def test_above_the_limit_there_is_a_verdict_a_sentence_and_no_phase(season, story):
    place_waiting(season.pk)

    placement = Placement.objects.get(candidate=story[7])
    assert (placement.verdict, placement.reason, placement.phase) == ("rejected", "FORMATION_ENERGY", None)
    assert "at most 0.1" in placement.sentence


def test_where_the_release_lacks_an_element_distances_are_undefined_and_never_zero(participant, tmp_path):
    file = write_emt_release(tmp_path / "few.parquet", ("Au", "Cu"))
    season = season_on(file, slug="few", name="Few")
    lacking = add_candidate(join(season, participant.user), alloy("Cu", "Ni"), -0.2)
    place_waiting(season.pk)

    placement = Placement.objects.select_related("phase").get(candidate=lacking)
    assert placement.verdict == "undefined"
    assert placement.missing_elements == ["Ni"]
    assert "Ni" in placement.sentence
    assert placement.phase.status == PhaseStatus.UNDEFINED
    distances = (
        placement.formation_energy_per_atom,
        placement.e_above_hull_on_arrival,
        placement.decomposition_energy,
        placement.phase.formation_energy_per_atom,
    )
    assert distances == (None, None, None, None)
    assert not ScoreEntry.objects.filter(run=season.official_run).exists()


def test_the_hull_points_are_those_of_the_fold(season, story):
    place_waiting(season.pk)

    rows = season.official_run.hull_points.order_by("formula")
    points = [
        (str(point.formula), point.hull_energy, point.lowest_energy, point.lowest_entry, point.is_vertex)
        for point in hull_of(season.official_run).points()
    ]
    stored = rows.values_list("formula", "hull_energy", "lowest_energy", "lowest_phase", "is_vertex")
    assert sorted(stored) == sorted(points)


def test_a_fault_of_ours_holds_the_order_until_it_is_mended_or_set_aside(season, participant):
    bad = add_candidate(participant, alloy(), -0.1)
    good = add_candidate(participant, alloy(), -0.1)
    bad.relaxation.geometry.crystal = b"damaged"
    RelaxationFact.objects.filter(pk=bad.relaxation_id).update(formula="no formula")
    for attempt in (1, 2, 3):
        place_waiting(season.pk)
        bad.refresh_from_db()
        assert (bad.state, bad.failed_in, bad.attempts) == (S.FAILED, Stage.PLACE, attempt)
        assert not Placement.objects.exists()
        long_ago(Candidate.objects.filter(state=S.FAILED))
        sweep()

    place_waiting(season.pk)
    bad.refresh_from_db()
    assert bad.state == S.SET_ASIDE
    assert Placement.objects.get().candidate == good


def test_a_lock_is_kept_while_a_long_run_is_taken_up(season, story, monkeypatch):
    place_waiting(season.pk)
    monkeypatch.setattr(runs, "_CHUNK", 3)
    kept = []

    hull = hull_of(season.official_run, keep=lambda: kept.append(True))

    assert len(kept) == -(-len(hull) // 3)


def test_a_refinement_that_is_held_changes_neither_phase_nor_hull(season, participant):
    gold = Phase.objects.get(run=season.official_run, formula="Au")
    for step in (1, 2, 3):
        add_candidate(participant, bulk("Au", "fcc", a=4.06), gold.energy_per_atom - 0.008 * step)

    place_waiting(season.pk)

    placements = Placement.objects.order_by("candidate__arrival")
    assert list(placements.values_list("verdict", flat=True)) == ["refined", "refined", "held"]
    assert Phase.objects.filter(formula="Au").count() == 1
    lowered = Phase.objects.get(pk=gold.pk)
    assert lowered.energy_per_atom == pytest.approx(gold.energy_per_atom - 0.016)
    assert lowered.status == PhaseStatus.ON_RECORD
