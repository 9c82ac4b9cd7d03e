"""Which of two twins is the original depends on the order of arrival and on nothing else."""

import itertools

import pytest
from ase.build import bulk
from driving import cif, ordered_alloy, submit
from facts import Killed, add_candidate, before_statement, bells, kill, let_expire

from philately.domain.intake import read_batches
from philately.domain.parse import parse_shard
from philately.domain.sweep import sweep
from philately.domain.twins import promote, settle
from philately.models import Candidate, CandidateDetail, Lock, Season, Shard
from philately.states import CandidateState

S = CandidateState
CU3AU = ordered_alloy("Cu", "Au", lattice_ang=3.7)
TWINS = {
    "Cu3Au.cif": cif(CU3AU),
    "other.cif": cif(ordered_alloy("Au", "Cu", lattice_ang=3.9)),
    "supercell.cif": cif(CU3AU * (2, 1, 1)),
    "again.cif": cif(CU3AU),
}


def _fates():
    """Arrival → the arrival of its original, or None."""
    rows = Candidate.objects.exclude(state=S.REJECTED).order_by("arrival")
    return {row.arrival: row.twin_of.arrival if row.twin_of else None for row in rows.select_related("twin_of")}


def _read_in_order(season, order):
    shards = list(Shard.objects.filter(batch__season=season).order_by("pk").values_list("pk", flat=True))
    for index in order:
        parse_shard(shards[index])


@pytest.mark.parametrize("order", list(itertools.permutations(range(4)))[::5])
def test_the_earlier_arrival_is_the_original_whichever_shard_was_read_first(participant, settings, order):
    settings.SHARD_SIZE = 1
    submit(participant, TWINS)
    read_batches(participant.season_id)

    _read_in_order(participant.season, order)

    assert _fates() == {1: None, 2: None, 3: 1, 4: 1}
    assert set(Candidate.objects.values_list("state", "reason")) == {(S.PARSED, ""), (S.PARKED, "TWIN")}


def test_until_what_is_earlier_has_been_read_nothing_later_is_settled(participant, settings):
    settings.SHARD_SIZE = 1
    submit(participant, TWINS)
    read_batches(participant.season_id)

    _read_in_order(participant.season, [3, 2, 1])

    assert list(Candidate.objects.order_by("arrival").values_list("state", flat=True)) == [S.RECEIVED] + 3 * [S.CHECKED]


def test_a_twin_across_batches_and_participants_is_told_without_naming_the_other(participant, join_as):
    submit(join_as("ben"), {"secret-name.cif": cif(CU3AU)})
    submit(participant, {"mine.cif": cif(CU3AU * (1, 2, 1)), "mine-again.cif": cif(CU3AU)})
    read_batches(participant.season_id)
    _read_in_order(participant.season, [1, 0])

    sentences = CandidateDetail.objects.filter(candidate__state=S.PARKED).values_list("sentence", flat=True)
    assert _fates() == {1: None, 2: 1, 3: 1}
    assert all("submitted earlier" in sentence and "secret" not in sentence for sentence in sentences)


def test_a_twin_of_the_same_batch_is_told_which_file(participant):
    submit(participant, TWINS)
    read_batches(participant.season_id)
    _read_in_order(participant.season, [0])

    assert "Cu3Au.cif of this batch" in CandidateDetail.objects.get(file="again.cif").sentence


def test_settling_twice_equals_settling_once(participant):
    submit(participant, TWINS)
    read_batches(participant.season_id)
    _read_in_order(participant.season, [0])
    before = _fates()

    assert settle(participant.season_id) == 0
    assert _fates() == before


@pytest.mark.parametrize("number", range(2, 26, 3))
def test_killed_before_any_statement_settling_again_gives_the_same(participant, number):
    for atoms in (CU3AU, ordered_alloy("Au", "Cu", lattice_ang=3.9), CU3AU, CU3AU):
        add_candidate(participant, atoms, state=S.CHECKED)

    with before_statement(number, kill):
        try:
            settle(participant.season_id)
        except Killed:
            let_expire(Lock.objects.all())
    settle(participant.season_id)

    assert _fates() == {1: None, 2: None, 3: 1, 4: 1}


@pytest.mark.parametrize("number", range(1, 18))
def test_what_arrives_while_it_looks_neither_overtakes_nor_is_overtaken(participant, number):
    """A later candidate is read before an earlier one, both after the settler began."""
    add_candidate(participant, bulk("Pt"), state=S.CHECKED)
    about_both = {}

    def arrive():
        unread = add_candidate(participant, CU3AU, state=S.RECEIVED)
        Candidate.objects.filter(pk=unread.pk).update(formula="", content_hash="", n_atoms=None)
        read = add_candidate(participant, CU3AU, state=S.CHECKED)
        about_both.update(formula=read.formula, content_hash=read.content_hash, n_atoms=read.n_atoms)

    with before_statement(number, arrive):
        settle(participant.season_id)
    Candidate.objects.filter(state=S.RECEIVED).update(state=S.CHECKED, **about_both)
    settle(participant.season_id)

    assert _fates() == {1: None, 2: None, 3: 2}


@pytest.mark.parametrize("number", range(3, 14))
def test_nothing_is_parked_under_an_original_that_falls_away_meanwhile(participant, number):
    original = add_candidate(participant, CU3AU, state=S.PARSED)
    twin = add_candidate(participant, CU3AU, state=S.CHECKED)

    def fall():
        Candidate.objects.filter(pk=original.pk).update(state=S.SET_ASIDE)
        promote(original)

    with before_statement(number, fall):
        settle(participant.season_id)

    twin.refresh_from_db()
    original.refresh_from_db()
    if original.state == S.SET_ASIDE:
        assert (twin.state, twin.twin_of) == (S.PARSED, None)


def test_only_one_process_at_a_time_settles(participant):
    add_candidate(participant, CU3AU, state=S.CHECKED)
    Lock.objects.create(name=f"twins:{participant.season_id}", token="another", until="2100-01-01T00:00Z")

    assert settle(participant.season_id) == 0
    assert Candidate.objects.get().state == S.CHECKED


def test_cells_of_different_size_are_compared_the_same_way_within_a_chunk_and_across(participant):
    """A cell with a little noise reduces to another number of atoms; where chunks end must not matter."""
    noisy = CU3AU * (2, 1, 1)
    noisy.positions[0] += 1e-3
    together = [add_candidate(participant, atoms, state=S.CHECKED) for atoms in (CU3AU, noisy)]
    settle(participant.season_id)
    at_once = _fates()

    Candidate.objects.filter(pk__in=[candidate.pk for candidate in together]).update(
        state=S.CHECKED, twin_of=None, reason=""
    )
    later = Candidate.objects.filter(pk=together[1].pk)
    later.update(state=S.RECEIVED)
    settle(participant.season_id)
    later.update(state=S.CHECKED)
    settle(participant.season_id)

    assert _fates() == at_once


@pytest.fixture
def parked(participant, join_as):
    original = add_candidate(participant, CU3AU, state=S.CHECKED)
    heirs = [add_candidate(join_as(name), CU3AU, state=S.CHECKED) for name in ("ben", "eve")]
    settle(participant.season_id)
    return [original, *heirs]


def test_when_the_original_is_set_aside_its_first_twin_takes_its_place_at_the_end_of_the_queue(parked):
    original, ben, eve = parked
    Candidate.objects.filter(pk=original.pk).update(state=S.FAILED, failed_in="relax", attempts=3)

    sweep()

    for candidate in parked:
        candidate.refresh_from_db()
    assert original.state == S.SET_ASIDE
    assert (ben.state, ben.reason, ben.twin_of, ben.arrival) == (S.PARSED, "", None, 4)
    assert (eve.state, eve.twin_of_id, eve.arrival) == (S.PARKED, ben.pk, 3)
    assert Season.objects.get().next_arrival == 5
    assert CandidateDetail.objects.get(pk=ben.pk).sentence == ""


def test_one_without_twins_falls_away_alone(participant):
    lonely = add_candidate(participant, CU3AU, state=S.PARSED)

    promote(lonely)

    assert Season.objects.get().next_arrival == 2


def test_a_rejected_original_keeps_its_twins_because_they_share_its_fate(parked):
    original, *_ = parked
    Candidate.objects.filter(pk=original.pk).update(state=S.REJECTED, reason="NOT_CONVERGED")
    late = add_candidate(original.batch.owner, CU3AU, state=S.CHECKED)

    settle(original.season_id)

    late.refresh_from_db()
    assert (late.state, late.twin_of_id) == (S.PARKED, original.pk)


def test_it_rings_for_idle_relax_workers_only(participant, settings, django_capture_on_commit_callbacks):
    settings.RELAX_WORKERS = 3
    for _ in range(2):
        add_candidate(participant, CU3AU, state=S.CHECKED)
    bells("relax")
    busy = add_candidate(participant, bulk("Cu"), state=S.RECEIVED)
    Candidate.objects.filter(pk=busy.pk).update(state=S.RELAXING, lease="one", lease_until="2100-01-01T00:00Z")

    with django_capture_on_commit_callbacks(execute=True):
        settle(participant.season_id)

    assert bells("relax") == [("relax", participant.season.scale_id)] * 2
