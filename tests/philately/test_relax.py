"""Phase 2, with a real potential: facts, judges that are refused, failures that are ours and those that are not."""

import dataclasses

import numpy as np
import pytest
from ase.build import bulk
from django.db.models import F
from django.urls import reverse
from driving import cif as cif_of
from driving import ordered_alloy, read_all, season_on, submit
from facts import Killed, add_candidate, before_statement, bells, kill, let_expire, long_ago

from philately import tasks
from philately.domain import judges
from philately.domain.judges import judge_of
from philately.domain.relax import relax_some
from philately.domain.seasons import join
from philately.domain.sweep import sweep
from philately.models import Candidate, RelaxationFact, Scale, Season
from philately.states import CandidateState, Stage
from validation.canary import CanaryDied
from validation.crystal import Crystal
from validation.scales import scale_digest

S = CandidateState
CU3AU = ordered_alloy("Cu", "Au", lattice_ang=3.7)


@pytest.fixture
def _fresh_judges():
    """As in a process that has just begun."""
    judge_of.cache_clear()
    yield
    judge_of.cache_clear()


@pytest.fixture
def waiting(participant):
    return add_candidate(participant, CU3AU, state=S.PARSED)


def _all(season):
    while relax_some(season.scale_id):
        pass


def test_a_relaxation_is_a_fact_with_its_geometry_history_and_provenance(waiting):
    assert relax_some(waiting.season.scale_id)

    waiting.refresh_from_db()
    fact = waiting.relaxation
    assert (waiting.state, waiting.attempts, waiting.lease) == (S.RELAXED, 0, None)
    assert (fact.formula, fact.n_sites, fact.stopped, fact.space_group_number) == ("AuCu3", 4, "converged", 221)
    assert fact.initial_hash == waiting.content_hash
    assert fact.fmax_ev_per_ang <= 0.03
    assert set(fact.provenance) == {"device", "versions", "canary"}
    assert len(Crystal.unpack(fact.geometry.crystal)) == 4
    history = np.frombuffer(fact.geometry.history, np.float32).reshape(-1, 3)
    assert len(history) == fact.steps + 1
    assert history[-1, 0] == pytest.approx(fact.energy_per_atom, abs=1e-5)
    assert len(np.frombuffer(fact.geometry.forces)) == 12


@pytest.mark.usefixtures("_fresh_judges")
def test_without_anything_to_do_the_judge_is_not_even_loaded(season):
    Scale.objects.update(judge="no such judge")

    assert not relax_some(season.scale_id)


def test_a_second_season_on_the_scale_shares_the_relaxation(participant, emt_release_file, waiting):
    _all(waiting.season)
    other = season_on(emt_release_file, slug="second", name="Second")
    member = join(other, participant.user)
    submit(member, {"Cu3Au.cif": cif_of(CU3AU)})
    read_all(other)
    Candidate.objects.filter(season=other).update(content_hash=waiting.content_hash)
    _all(other)

    theirs = Candidate.objects.get(season=other)
    waiting.refresh_from_db()
    assert theirs.state == S.RELAXED
    assert theirs.relaxation_id == waiting.relaxation_id
    assert RelaxationFact.objects.count() == 1


def _with_settings(season, **changes):
    """Another scale for this season: relaxed with other settings."""
    scale = Scale.objects.get(pk=season.scale_id)
    scale.identity["relaxation"] |= changes
    scale.digest = scale_digest(scale.identity)
    scale.save()


def test_not_converged_is_the_submitter_s_and_names_figures_and_limits(participant):
    _with_settings(participant.season, max_steps=1)
    candidate = add_candidate(participant, CU3AU, state=S.PARSED)

    _all(participant.season)

    candidate.refresh_from_db()
    assert (candidate.state, candidate.reason) == (S.REJECTED, "NOT_CONVERGED")
    assert candidate.detail.sentence.startswith("after 1 steps the largest force is ")
    assert "limit 0.03" in candidate.detail.sentence
    assert candidate.relaxation.stopped == "max_steps"


@pytest.mark.usefixtures("_fresh_judges")
def test_a_judge_with_other_weights_is_refused_written_down_and_nothing_claimed(waiting):
    scale = Scale.objects.get()
    scale.identity["weights_sha256"] = "0" * 64
    scale.digest = scale_digest(scale.identity)
    scale.save()

    with pytest.raises(judges.WrongScale):
        relax_some(scale.pk)

    scale.refresh_from_db()
    waiting.refresh_from_db()
    assert scale.problem.startswith("WrongScale: the weights loaded for")
    assert (waiting.state, waiting.attempts) == (S.PARSED, 0)


@pytest.mark.usefixtures("_fresh_judges")
def test_a_canary_that_dies_is_written_down_and_nothing_claimed(waiting):
    """EMT's own copper made 2 % too large, which its canary notices."""
    from ase.calculators import emt

    copper = emt.parameters["Cu"]
    emt.parameters["Cu"] = (copper[0], copper[1] * 1.02, *copper[2:])
    try:
        with pytest.raises(CanaryDied):
            relax_some(waiting.season.scale_id)
    finally:
        emt.parameters["Cu"] = copper

    waiting.refresh_from_db()
    assert "CanaryDied" in Scale.objects.get().problem
    assert "Cu: expected a" in Scale.objects.get().problem
    assert waiting.state == S.PARSED

    _all(waiting.season)
    waiting.refresh_from_db()
    assert waiting.state == S.RELAXED
    assert Scale.objects.get().problem == ""


def test_while_a_judge_is_refused_one_bell_a_round_rings_for_it(waiting, settings, django_capture_on_commit_callbacks):
    settings.RELAX_WORKERS = 4
    bells("relax")
    Scale.objects.update(problem="CanaryDied: …")

    with django_capture_on_commit_callbacks(execute=True):
        sweep()

    assert bells("relax") == [("relax", waiting.season.scale_id)]


@pytest.mark.parametrize(("n", "rung"), [(1, 0), (3, 1)])
def test_who_takes_up_work_rings_once_for_another_where_more_waits(
    participant, settings, django_capture_on_commit_callbacks, n, rung
):
    settings.RELAX_WORKERS = settings.RELAX_CLAIM_ATOMS = 1
    for factor in range(n):
        add_candidate(participant, bulk("Cu", a=3.6 + 0.01 * factor), state=S.PARSED)
    bells("relax")

    with django_capture_on_commit_callbacks(execute=True):
        relax_some(participant.season.scale_id)

    assert bells("relax") == [("relax", participant.season.scale_id)] * rung


def test_killed_before_any_statement_it_is_relaxed_once_and_committed_once(waiting, settings):
    settings.MAX_ATTEMPTS = 20
    settings.RETRY_AFTER_S = 0
    judge_of(waiting.season.scale_id)
    for number in range(1, 60):
        try:
            with before_statement(number, kill):
                relax_some(waiting.season.scale_id)
            break
        except Killed:
            let_expire(Candidate.objects.filter(state=S.RELAXING))
            Candidate.objects.update(attempts=0)
            sweep()
            Candidate.objects.filter(state=S.FAILED).update(state=S.PARSED)

    waiting.refresh_from_db()
    assert number > 10
    assert waiting.state == S.RELAXED
    assert RelaxationFact.objects.count() == 1


def test_one_that_kills_its_worker_does_not_use_up_the_attempts_of_its_neighbours(participant, settings):
    poison, neighbour = (add_candidate(participant, CU3AU, state=S.PARSED) for _ in range(2))
    Candidate.objects.filter(pk=poison.pk).update(arrival=F("arrival"), content_hash="p" * 64)
    calls = []

    def die():
        calls.append(True)
        if len(calls) % 3 == 0:
            raise Killed
        return False

    for _ in range(settings.MAX_ATTEMPTS):
        calls.clear()
        with pytest.raises(Killed):
            relax_some(participant.season.scale_id, stop=die)
        let_expire(Candidate.objects.filter(state=S.RELAXING))
        sweep()
        long_ago(Candidate.objects.filter(state=S.FAILED))
        sweep()
    _all(participant.season)

    poison.refresh_from_db()
    neighbour.refresh_from_db()
    assert (poison.state, poison.attempts) == (S.SET_ASIDE, 3)
    assert neighbour.state == S.RELAXED


def test_a_time_limit_is_ours_tried_again_and_after_three_attempts_set_aside(waiting, settings):
    settings.RELAX_LIMIT_S = 0
    for attempt in (1, 2, 3):
        _all(waiting.season)
        waiting.refresh_from_db()
        assert (waiting.state, waiting.failed_in, waiting.attempts) == (S.FAILED, Stage.RELAX, attempt)
        assert f"attempt {attempt} failed: TimeLimitExceeded" in waiting.detail.sentence
        waiting.detail.refresh_from_db()
        long_ago(Candidate.objects.all())
        sweep()

    waiting.refresh_from_db()
    assert waiting.state == S.SET_ASIDE


def test_a_damaged_geometry_fails_its_candidate_and_no_other(participant):
    bad, good = (
        add_candidate(participant, CU3AU, state=S.PARSED),
        add_candidate(participant, bulk("Cu"), state=S.PARSED),
    )
    bad.detail.geometry = b"damaged"
    bad.detail.save()

    _all(participant.season)

    bad.refresh_from_db()
    good.refresh_from_db()
    assert (bad.state, good.state) == (S.FAILED, S.RELAXED)


def test_a_fact_of_another_season_is_held_against_this_season_s_rules(waiting):
    _all(waiting.season)
    Candidate.objects.update(state=S.PARSED, relaxation=None)
    season = Season.objects.get()
    season.rules["max_density_g_per_cm3"] = 1.0
    season.save()

    _all(season)

    waiting.refresh_from_db()
    assert (waiting.state, waiting.reason) == (S.REJECTED, "DENSITY")
    assert RelaxationFact.objects.count() == 1


def test_the_task_rings_again_while_there_is_work_and_then_stops(waiting, django_capture_on_commit_callbacks):
    bells("relax")
    with django_capture_on_commit_callbacks(execute=True):
        tasks.relax(waiting.season.scale_id)
    assert bells("relax") == [("relax", waiting.season.scale_id)]

    with django_capture_on_commit_callbacks(execute=True):
        tasks.relax(waiting.season.scale_id)
    assert bells("relax") == []


def test_the_settings_of_a_scale_are_read_back_as_they_were_written(season):
    how = judges.settings_of(season.scale)

    assert dataclasses.asdict(how) == season.scale.identity["relaxation"]


def test_how_far_atoms_and_cell_moved_is_kept_and_shown_to_its_owner(client, waiting):
    _all(waiting.season)
    client.force_login(waiting.batch.owner.user)

    text = client.get(reverse("candidate", args=[waiting.pk])).content.decode()

    waiting.refresh_from_db()
    fact = waiting.relaxation
    relaxed, initial = Crystal.unpack(fact.geometry.crystal), Crystal.unpack(waiting.detail.geometry)
    assert fact.volume_change == pytest.approx(relaxed.volume / initial.volume - 1)
    assert 0 <= fact.rmsd_ang < 0.02  # every atom sits where symmetry holds it
    assert f"{fact.steps} steps; atoms moved by {fact.rmsd_ang:.3f} Å" in text
    assert f"volume by {100 * fact.volume_change:.1f} %" in text
