"""What a worker has in hand: a helping at a time, for as long as its lease holds, and committed together."""

from itertools import groupby

import pytest
from ase.build import bulk
from django.db import connection
from django.test.utils import CaptureQueriesContext
from driving import ordered_alloy
from facts import add_candidate

from philately.domain import in_hand as in_hand_module
from philately.domain import relaxations
from philately.domain.judges import judge_of
from philately.domain.relax import in_hand_on, relax_some
from philately.models import Candidate, RelaxationFact, RelaxationGeometry, RelaxedFingerprint, Scale, Season
from philately.states import CandidateState
from validation.crystal import Crystal
from validation.flight import relax_alone
from validation.rules import RelaxationSettings

S = CandidateState
CU3AU = ordered_alloy("Cu", "Au", lattice_ang=3.7)


@pytest.fixture
def waiting(participant):
    return add_candidate(participant, CU3AU, state=S.PARSED)


def _in_hand(season):
    return in_hand_on(season.scale_id)


def _arrivals(in_hand):
    return sorted(candidate.arrival for candidate in in_hand.rows)


def test_a_helping_is_as_many_atoms_as_allowed_in_order_of_arrival_and_one_at_least(participant, settings):
    settings.RELAX_CLAIM_ATOMS = 9
    arrivals = [add_candidate(participant, CU3AU, state=S.PARSED).arrival for _ in range(3)]
    first, second, third = (_in_hand(participant.season) for _ in range(3))

    first.claim()
    settings.RELAX_CLAIM_ATOMS = 1
    second.claim()
    third.claim()

    assert [_arrivals(one) for one in (first, second, third)] == [arrivals[:2], arrivals[2:], []]


def test_what_was_under_the_hands_of_two_dead_workers_is_relaxed_alone(participant):
    """In order of arrival all the same: the others before it are finished first."""
    alloys = [ordered_alloy("Cu", "Au", lattice_ang=lattice_ang) for lattice_ang in (3.68, 3.7, 3.72)]
    before, suspect, after = (add_candidate(participant, alloy, state=S.PARSED) for alloy in alloys)
    Candidate.objects.filter(pk=suspect.pk).update(attempts=2)
    in_hand, together = _in_hand(participant.season), []
    while Candidate.objects.filter(state__in=[S.PARSED, S.RELAXING]).exists():
        in_hand.claim()
        together.append(_arrivals(in_hand))
        in_hand.step()

    assert [held for held, _ in groupby(together)] == [[before.arrival], [suspect.arrival], [after.arrival]]
    assert set(Candidate.objects.values_list("state", "attempts")) == {(S.RELAXED, 0)}


def test_a_worker_turns_to_another_scale_when_structures_wait_there(participant, settings):
    settings.RELAX_TURN_S = 0
    mine = [add_candidate(participant, CU3AU, state=S.PARSED) for _ in range(2)]
    settings.RELAX_CLAIM_ATOMS = 1
    scale = Scale.objects.get()
    other = Scale.objects.create(judge="emt", digest="o" * 64, name="other", identity=scale.identity)
    away = Season.objects.get()
    away.pk, away.slug, away.scale, away.official_run = None, "away", other, None
    away.save()

    assert relax_some(scale.pk)
    assert set(Candidate.objects.values_list("state", flat=True)) == {S.RELAXED}

    Candidate.objects.filter(pk=mine[0].pk).update(season=away, state=S.PARSED)
    Candidate.objects.filter(pk=mine[1].pk).update(state=S.PARSED, relaxation=None)
    assert relax_some(scale.pk)
    assert Candidate.objects.filter(state=S.PARSED).count() == 2


def test_told_to_stop_everything_goes_back_without_counting_an_attempt(participant):
    candidates = [add_candidate(participant, CU3AU, state=S.PARSED) for _ in range(2)]
    asked = []

    def stop():
        asked.append(True)
        return len(asked) > 4  # in the middle of the first relaxation

    relax_some(participant.season.scale_id, stop=stop)

    rows = Candidate.objects.filter(pk__in=[candidate.pk for candidate in candidates])
    assert set(rows.values_list("state", "attempts", "lease")) == {(S.PARSED, 0, None)}
    assert not RelaxationFact.objects.exists()


def test_a_worker_that_lost_its_lease_commits_nothing(participant, settings):
    settings.LEASE_S = 0  # so that it asks at every step whether it still holds the lease
    candidate = add_candidate(participant, CU3AU, state=S.PARSED)
    asked = []

    def lose():
        asked.append(True)
        if len(asked) == 4:
            Candidate.objects.update(lease="another")
        return False

    relax_some(participant.season.scale_id, stop=lose)

    candidate.refresh_from_db()
    assert (candidate.state, candidate.lease, candidate.relaxation) == (S.RELAXING, "another", None)
    assert not RelaxationFact.objects.exists()


def test_a_lease_lost_during_the_last_step_leaves_the_fact_and_commits_nothing(waiting):
    in_hand = _in_hand(waiting.season)
    in_hand.claim()
    Candidate.objects.update(lease="another")

    while len(in_hand):
        in_hand.step()

    waiting.refresh_from_db()
    assert (waiting.state, waiting.lease, waiting.relaxation) == (S.RELAXING, "another", None)
    assert RelaxationFact.objects.count() == 1


def _in_one_hand(participant, *structures):
    """Structures that wait, and the worker that has them in hand."""
    candidates = [add_candidate(participant, structure, state=S.PARSED) for structure in structures]
    in_hand = _in_hand(participant.season)
    in_hand.claim()
    return candidates, in_hand


def _finish(in_hand):
    while len(in_hand):
        in_hand.step()


def test_one_that_cannot_be_committed_fails_and_those_that_ended_with_it_are_committed(participant):
    (first, bad, last), in_hand = _in_one_hand(participant, bulk("Cu"), bulk("Ag"), bulk("Au"))
    for row in in_hand.rows:
        if row.pk == bad.pk:
            row.detail.geometry = b"damaged"  # held against when the relaxed crystal is checked

    _finish(in_hand)

    states = dict(Candidate.objects.values_list("pk", "state"))
    assert states == {first.pk: S.RELAXED, bad.pk: S.FAILED, last.pk: S.RELAXED}
    assert in_hand.ended == (2, 1)
    assert RelaxationFact.objects.count() == 3


def test_of_several_that_end_together_those_that_another_worker_took_are_left_to_it(participant):
    (first, lost, last), in_hand = _in_one_hand(participant, bulk("Cu"), bulk("Ag"), bulk("Au"))
    Candidate.objects.filter(pk=lost.pk).update(lease="another")

    _finish(in_hand)

    states = dict(Candidate.objects.values_list("pk", "state"))
    assert states == {first.pk: S.RELAXED, lost.pk: S.RELAXING, last.pk: S.RELAXED}
    assert in_hand.ended == (2, 0)


def test_two_that_start_alike_and_end_together_share_a_fact(participant):
    (one, _), in_hand = _in_one_hand(participant, bulk("Cu"), bulk("Ag"))
    for row in in_hand.rows:
        row.content_hash = one.content_hash
    judge, _ = judge_of(participant.season.scale_id)
    ended = [(row, relax_alone(Crystal.from_atoms(bulk("Cu")), judge, RelaxationSettings())) for row in in_hand.rows]

    facts = relaxations.save(ended, participant.season.scale_id, {})

    assert facts[0] == facts[1] == RelaxationFact.objects.get()
    assert (RelaxationGeometry.objects.count(), RelaxedFingerprint.objects.count()) == (1, 1)


def test_those_that_end_together_take_as_many_statements_as_one(participant, monkeypatch):
    monkeypatch.setattr(in_hand_module, "_MOMENT_S", 600.0)
    n_statements = []
    for others in (["Au"], ["Ag", "Pd", "Pt"]):  # compounds that nothing has to be compared with
        alloys = [ordered_alloy("Cu", other, lattice_ang=3.75) for other in others]
        _, in_hand = _in_one_hand(participant, *alloys)
        with CaptureQueriesContext(connection) as asked:
            _finish(in_hand)
        n_statements.append(len(asked))

    assert n_statements[0] == n_statements[1]
