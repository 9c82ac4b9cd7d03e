"""The sweeper: takes from the dead, tries again, sets aside, and rings for what is forgotten and for nothing else."""

from datetime import timedelta

import pytest
from ase.build import bulk
from django.db.models import F
from django.db.models.functions import Now
from driving import submit
from facts import add_batch, add_candidate, add_shard, bells, let_expire, long_ago

from philately.broker import ring
from philately.domain.audits import audit_when_due
from philately.domain.dumps import refresh
from philately.domain.intake import read_batches
from philately.domain.locks import lock
from philately.domain.place import place_waiting
from philately.domain.sweep import sweep
from philately.domain.transitions import claim
from philately.models import Candidate, CandidateDetail, Lock, Season, Shard
from philately.states import CandidateState, ShardState, Stage

S = CandidateState


@pytest.fixture
def rung(django_capture_on_commit_callbacks, settings):
    """Sweeps and says which bells rang."""
    settings.RELAX_WORKERS = 2

    def once():
        for queue in ("parse", "relax", "place"):
            bells(queue)
        with django_capture_on_commit_callbacks(execute=True):
            sweep()
        return sorted(bell for queue in ("parse", "relax", "place") for bell in bells(queue))

    return once


def _held(participant, n=1):
    ids = [add_candidate(participant, bulk("Cu"), state=S.PARSED).pk for _ in range(n)]
    token = claim(ids, S.PARSED, S.RELAXING, attempts=1)
    return list(Candidate.objects.filter(lease=token).order_by("pk"))


def test_a_lease_that_ran_out_is_taken_back_and_tried_again_after_a_rest(participant, settings):
    (candidate,) = _held(participant)
    sweep()
    candidate.refresh_from_db()
    assert candidate.state == S.RELAXING

    let_expire(Candidate.objects.all())
    sweep()
    candidate.refresh_from_db()
    assert (candidate.state, candidate.failed_in, candidate.lease, candidate.attempts) == (
        S.FAILED,
        Stage.RELAX,
        None,
        1,
    )
    assert "stopped" in candidate.detail.sentence

    sweep()
    candidate.refresh_from_db()
    assert candidate.state == S.FAILED
    long_ago(Candidate.objects.all(), days=settings.RETRY_AFTER_S / 86400 + 1e-5)
    sweep()
    candidate.refresh_from_db()
    assert (candidate.state, candidate.failed_in) == (S.PARSED, "")


def test_the_second_rest_is_twice_as_long(participant, settings):
    candidate = add_candidate(participant, bulk("Cu"), state=S.FAILED, failed_in=Stage.RELAX, attempts=2)
    for rest, state in ((1.5, S.FAILED), (2.5, S.PARSED)):
        long_ago(Candidate.objects.all(), days=rest * settings.RETRY_AFTER_S / 86400)
        sweep()
        candidate.refresh_from_db()
        assert candidate.state == state


@pytest.mark.parametrize(
    ("stage", "target"), [(Stage.PARSE, S.RECEIVED), (Stage.RELAX, S.PARSED), (Stage.PLACE, S.RELAXED)]
)
def test_what_failed_goes_back_to_where_it_failed(participant, stage, target):
    energy = 0.0 if stage == Stage.PLACE else None
    candidate = add_candidate(participant, bulk("Cu"), energy, state=S.FAILED, failed_in=stage, attempts=1)
    long_ago(Candidate.objects.all())

    sweep()

    candidate.refresh_from_db()
    assert candidate.state == target
    expected = ShardState.WAITING if stage == Stage.PARSE else ShardState.PARSED
    assert Shard.objects.get().state == expected


@pytest.mark.parametrize("stage", list(Stage))
def test_after_three_attempts_an_organiser_decides(participant, stage):
    candidate = add_candidate(participant, bulk("Cu"), state=S.FAILED, failed_in=stage, attempts=3)

    sweep()

    candidate.refresh_from_db()
    assert candidate.state == S.SET_ASIDE


def test_three_dead_workers_set_a_candidate_aside(participant):
    candidate = add_candidate(participant, bulk("Cu"), state=S.PARSED)
    for _ in range(3):
        claim([candidate.pk], S.PARSED, S.RELAXING, attempts=F("attempts") + 1)
        let_expire(Candidate.objects.all())
        sweep()
        long_ago(Candidate.objects.all())
        sweep()

    candidate.refresh_from_db()
    assert candidate.state == S.SET_ASIDE


def test_sweeping_twice_equals_sweeping_once(participant):
    _held(participant, 2)
    add_candidate(participant, bulk("Au"), state=S.FAILED, failed_in=Stage.PARSE, attempts=3)
    let_expire(Candidate.objects.filter(state=S.RELAXING))
    sweep()
    before = list(Candidate.objects.order_by("pk").values_list("state", "attempts", "arrival"))

    sweep()

    assert list(Candidate.objects.order_by("pk").values_list("state", "attempts", "arrival")) == before


@pytest.mark.parametrize("state", [S.RECEIVED, S.PARSED])
def test_one_that_holds_up_the_others_past_the_deadline_is_set_aside_with_a_sentence(participant, settings, state):
    settings.PLACE_DEADLINE_S = 60
    blocking = add_candidate(participant, bulk("Cu"), state=state)
    add_candidate(participant, bulk("Au"), 0.0)
    sweep()
    assert Candidate.objects.get(pk=blocking.pk).state == state
    assert place_waiting(participant.season_id) == 0

    long_ago(Candidate.objects.all())
    sweep()

    assert Candidate.objects.get(pk=blocking.pk).state == S.SET_ASIDE
    assert "0:01:00 after" in CandidateDetail.objects.get(pk=blocking.pk).sentence
    assert place_waiting(participant.season_id) == 1


def test_one_that_holds_up_nobody_may_wait_for_ever(participant):
    add_candidate(participant, bulk("Cu"), 0.0)
    place_waiting(participant.season_id)
    add_candidate(participant, bulk("Cu"), state=S.PARSED)
    long_ago(Candidate.objects.all())

    sweep()

    assert Candidate.objects.filter(state=S.PARSED).exists()


def test_one_that_is_being_relaxed_is_not_taken_from_its_worker(participant):
    _held(participant)
    add_candidate(participant, bulk("Au"), 0.0)
    long_ago(Candidate.objects.all())

    sweep()

    assert Candidate.objects.filter(state=S.RELAXING).exists()


def test_an_idle_platform_rings_no_bell(season, rung):
    assert rung() == []


def test_what_is_done_rings_no_bell(participant, rung):
    for state in (S.REJECTED, S.SET_ASIDE, S.WITHDRAWN):
        add_candidate(participant, bulk("Cu"), state=state, reason="VOLUME")

    assert rung() == []


def test_each_kind_of_forgotten_work_rings_its_bell(participant, rung):
    season = participant.season_id
    submit(participant, {"a.cif": "data_a\n_atom_site"})
    assert rung() == [("intake", season)]
    read_batches(season)
    shard = Shard.objects.get().pk
    assert rung() == [("parse", shard)]

    Candidate.objects.update(state=S.CHECKED)
    Shard.objects.update(state=ShardState.PARSED)
    assert rung() == [("settle", season)]
    Candidate.objects.update(state=S.PARSED)
    assert rung() == [("relax", participant.season.scale_id)] * 2
    Candidate.objects.all().delete()
    add_candidate(participant, bulk("Cu"), 0.0)
    assert rung() == [("place", season)]


def test_where_somebody_is_at_it_no_bell_rings(participant, rung):
    season = participant.season_id
    submit(participant, {"a.cif": "data_a\n_atom_site"})
    add_candidate(participant, bulk("Cu"), state=S.CHECKED)
    add_candidate(participant, bulk("Cu"), 0.0)
    shard = add_shard(add_batch(participant), state=ShardState.WAITING)
    Shard.objects.filter(pk=shard.pk).update(lease="reader", lease_until="2100-01-01T00:00Z")

    with lock(f"intake:{season}"), lock(f"twins:{season}"), lock(f"place:{season}"):
        assert rung() == []


def test_as_many_relax_bells_ring_as_workers_are_idle(participant, rung):
    add_candidate(participant, bulk("Cu"), state=S.PARSED)
    _held(participant, 3)
    assert rung() == [("relax", participant.season.scale_id)]


def test_where_all_workers_that_are_known_are_busy_one_bell_lies_there_for_others(
    participant, rung, django_capture_on_commit_callbacks
):
    add_candidate(participant, bulk("Cu"), state=S.PARSED)
    for _ in range(3):  # one more than RELAX_WORKERS says
        _held(participant, 1)

    assert rung() == [("relax", participant.season.scale_id)]
    with django_capture_on_commit_callbacks(execute=True):
        sweep()
        sweep()
    assert bells("relax") == [("relax", participant.season.scale_id)]


def test_bells_that_nobody_takes_do_not_pile_up(participant, django_capture_on_commit_callbacks, settings, monkeypatch):
    settings.RELAX_WORKERS = 2
    monkeypatch.setattr("philately.broker._HEAP", 4)
    add_candidate(participant, bulk("Cu"), state=S.PARSED)
    bells("relax")

    for _ in range(6):
        with django_capture_on_commit_callbacks(execute=True):
            sweep()

    assert bells("relax") == [("relax", participant.season.scale_id)] * 4


def test_a_scale_on_which_nobody_works_gets_its_bell_whatever_lies_there_for_another(
    participant, django_capture_on_commit_callbacks, settings
):
    settings.RELAX_WORKERS = 2
    add_candidate(participant, bulk("Cu"), state=S.PARSED)
    bells("relax")
    with django_capture_on_commit_callbacks(execute=True):
        for _ in range(5):
            ring("relax", 999, queue="relax")

    with django_capture_on_commit_callbacks(execute=True):
        sweep()

    assert bells("relax") == [*[("relax", 999)] * 5, ("relax", participant.season.scale_id)]


def test_a_lock_that_a_dead_sequencer_left_is_free_where_nobody_will_come_for_it(participant, rung):
    name = f"place:{participant.season_id}"
    add_candidate(participant, bulk("Cu"), 0.0)
    Lock.objects.create(name=name, token="dead", until=Now() - timedelta(seconds=90))
    assert rung() == [("place", participant.season_id)]
    assert Lock.objects.get(name=name).token == "dead"  # whoever comes counts it

    place_waiting(participant.season_id)
    Lock.objects.filter(name=name).update(token="dead", until=Now() - timedelta(seconds=90))
    rung()
    assert Lock.objects.get(name=name).token == ""

    Lock.objects.filter(name=name).update(token="alive", until=Now() + timedelta(seconds=90))
    rung()
    assert Lock.objects.get(name=name).token == "alive"


def test_several_forgotten_shards_ring_for_several_workers_but_not_for_thousands(participant, rung):
    batch = add_batch(participant)
    shards = [add_shard(batch, state=ShardState.WAITING).pk for _ in range(12)]

    assert rung() == [("parse", pk) for pk in shards[:8]]


def test_a_bell_of_one_season_does_not_depend_on_another(participant, rung):
    add_candidate(participant, bulk("Cu"), 0.0)
    Season.objects.create(
        slug="other", name="Other", scale=participant.season.scale, rules={}, data_licence="CC0", opens_at=Now()
    )

    assert rung() == [("place", participant.season_id)]


def test_an_audit_is_rung_for_when_it_is_due_and_nobody_is_at_it(participant, rung, settings):
    settings.HULL_AUDIT_EVERY_S = 0
    add_candidate(participant, bulk("Cu"), 0.0)
    place_waiting(participant.season_id)
    refresh(participant.season_id)
    run = participant.season.official_run_id

    assert rung() == [("audit", participant.season_id)]
    with lock(f"audit:{run}"):
        assert rung() == []
    audit_when_due(participant.season_id)
    assert rung() == []
