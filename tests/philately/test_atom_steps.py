"""What structures cost the judge: counted from relaxations, estimated for what waits, refused where it is used up."""

from datetime import timedelta
from importlib import import_module

import pytest
from ase.build import bulk
from django.db import connection
from django.urls import reverse
from django.utils import timezone
from driving import cif, ordered_alloy, place_all, read_all, relax_all, season_on, submit
from facts import Killed, add_batch, add_candidate, add_shard, kill, let_expire, long_ago

from philately.domain import atom_steps, quotas, relax, relaxations, withdrawals
from philately.domain.refusals import QuotaUsedUp
from philately.domain.seasons import join
from philately.domain.sweep import sweep
from philately.models import Batch, Candidate, Membership, RelaxationFact, Season
from philately.states import BatchState, CandidateState
from validation.effort import DEFAULT_ATOMS, DEFAULT_STEPS

DAY = timedelta(days=1)


def used(member: Membership) -> atom_steps.Used:
    return atom_steps.used(Membership.objects.select_related("season").get(pk=member.pk))


def relax_anew(season: Season) -> None:
    """Phase 2 without what earlier tests relaxed."""
    while relax.relax_some(season.scale_id):
        pass


def alloy(lattice_ang: float = 3.7):
    return ordered_alloy("Cu", "Au", lattice_ang=lattice_ang)


def add_relaxed(member: Membership, *, n_sites: int = 4, steps: int = 25, batch: Batch | None = None) -> Candidate:
    """A relaxed structure of a batch, with a fact that was made for it."""
    batch = batch or add_batch(member)
    candidate = add_candidate(member, bulk("Cu"), -0.1, shard=add_shard(batch))
    RelaxationFact.objects.filter(pk=candidate.relaxation_id).update(made_for=batch, n_sites=n_sites, steps=steps)
    return candidate


class TestWhatIsUsed:
    def test_what_waits_counts_with_its_atoms_and_what_is_relaxed_with_its_steps(self, participant, season):
        submit(participant, {"Cu3Au.cif": cif(alloy()), "Cu.cif": cif(bulk("Cu", a=3.7))})
        read_all(season)
        assert used(participant).a_season == (4 + 1) * DEFAULT_STEPS

        relax_anew(season)

        steps = dict(RelaxationFact.objects.values_list("n_sites", "steps"))
        assert used(participant).a_day == used(participant).a_season == 4 * steps[4] + steps[1] > 0
        assert used(participant).to_come == 0

    def test_what_is_to_come_takes_the_steps_that_are_usual_on_the_scale(self, participant, season, join_as):
        add_relaxed(join_as("bob"), n_sites=4, steps=30)
        submit(participant, {"Cu3Au.cif": cif(alloy())})
        read_all(season)

        assert used(participant).a_season == 4 * 30

    def test_a_batch_that_is_being_read_counts_with_structures_of_the_usual_size(self, participant):
        batch = submit(participant, {"Cu3Au.cif": cif(alloy())})
        assert used(participant).a_season == 0

        Batch.objects.filter(pk=batch.pk).update(n_found=3)

        assert used(participant).a_season == 3 * DEFAULT_ATOMS * DEFAULT_STEPS

    def test_so_do_structures_whose_text_is_not_read_yet(self, participant):
        candidate = add_candidate(participant, alloy(), state=CandidateState.RECEIVED)
        Candidate.objects.filter(pk=candidate.pk).update(n_atoms=None)

        assert used(participant).a_season == DEFAULT_ATOMS * DEFAULT_STEPS

    def test_a_relaxation_costs_only_whom_it_was_made_for(self, participant, season, join_as, emt_release_file):
        submit(participant, {"Cu3Au.cif": cif(alloy())})
        read_all(season)
        relax_anew(season)
        elsewhere = join(season_on(emt_release_file, slug="second", name="Second"), participant.user)
        assert elsewhere.season.scale == season.scale

        submit(elsewhere, {"Cu3Au.cif": cif(alloy()), "notes.txt": "no"})
        read_all(elsewhere.season)
        relax_anew(elsewhere.season)

        assert elsewhere.season.candidates.filter(state=CandidateState.RELAXED).count() == 1
        assert used(elsewhere).a_season == 0 < used(participant).a_season

    def test_a_parked_twin_costs_nothing_even_when_it_takes_its_originals_place(self, participant, season, join_as):
        bob = join_as("bob")
        first = submit(participant, {"Cu3Au.cif": cif(alloy())})
        submit(bob, {"same.cif": cif(alloy() * (2, 1, 1))})
        read_all(season)
        assert used(bob).a_season == 0
        relax_anew(season)

        withdrawals.ask(first.candidates.all(), by=participant.user)
        relax_anew(season)

        assert Candidate.objects.get(batch__owner=bob).state == CandidateState.RELAXED
        assert used(bob).a_season == 0 < used(participant).a_season

    def test_what_was_rejected_after_its_relaxation_was_relaxed_nevertheless(self, participant):
        candidate = add_relaxed(participant, n_sites=4, steps=500)
        Candidate.objects.filter(pk=candidate.pk).update(state=CandidateState.REJECTED, reason="NOT_CONVERGED")

        assert used(participant).a_season == 2000

    @pytest.mark.parametrize("state", [CandidateState.REJECTED, CandidateState.WITHDRAWN])
    def test_what_is_out_before_its_relaxation_costs_nothing(self, participant, state):
        add_candidate(participant, alloy(), state=state, reason="VOLUME")

        assert used(participant).a_season == 0

    def test_faults_of_ours_cost_nothing_before_the_relaxation_and_after_it(self, participant):
        batch = add_batch(participant)
        unrelaxed = add_candidate(participant, alloy(), state=CandidateState.PARSED, shard=add_shard(batch))
        relaxed, unharmed = add_relaxed(participant, batch=batch), add_relaxed(participant, batch=batch)
        set_aside = Candidate.objects.filter(pk__in=[unrelaxed.pk, relaxed.pk])

        set_aside.update(state=CandidateState.SET_ASIDE)

        assert unharmed.relaxation is not None
        assert used(participant).a_season == 4 * 25

    @pytest.mark.parametrize("state", [BatchState.REFUSED, BatchState.SET_ASIDE])
    def test_so_do_batches_that_are_refused_or_our_fault(self, participant, state):
        candidate = add_relaxed(participant)
        Batch.objects.filter(pk=candidate.batch_id).update(state=state, problem="x")

        assert used(participant).a_season == 0

    def test_a_failed_attempt_is_no_relaxation_but_its_structure_waits_still(self, participant):
        add_candidate(participant, alloy(), state=CandidateState.FAILED, failed_in="relax")

        assert used(participant).a_season == 4 * DEFAULT_STEPS

    def test_after_a_day_only_the_season_counts_it(self, participant):
        add_relaxed(participant)
        Batch.objects.update(submitted_at=timezone.now() - DAY - timedelta(seconds=1))

        assert (used(participant).a_day, used(participant).a_season) == (0, 100)

    def test_others_do_not_count(self, participant, join_as):
        add_relaxed(participant)

        assert used(join_as("bob")).a_season == 0

    def test_it_takes_as_many_queries_for_three_batches_as_for_one(self, participant, django_assert_num_queries):
        member = Membership.objects.select_related("season").get(pk=participant.pk)
        for _ in range(3):
            add_relaxed(participant)
            add_candidate(participant, alloy(), state=CandidateState.PARSED)
            with django_assert_num_queries(5):
                atom_steps.used(member)


class TestWhomARelaxationIsMadeFor:
    def test_a_worker_that_dies_before_it_could_say_so_changes_nothing(self, participant, season, monkeypatch):
        batch = submit(participant, {"Cu3Au.cif": cif(alloy())})
        read_all(season)

        with monkeypatch.context() as dying, pytest.raises(Killed):
            dying.setattr(relaxations, "commit", lambda ended: kill())
            relax_anew(season)
        let_expire(Candidate.objects.filter(state=CandidateState.RELAXING))
        sweep()
        long_ago(Candidate.objects.filter(state=CandidateState.FAILED))
        sweep()
        relax_anew(season)

        fact = RelaxationFact.objects.get()
        assert fact.made_for == batch
        assert used(participant).a_season == 4 * fact.steps

    def test_of_those_from_before_this_was_noted_it_is_the_first_who_submitted_the_structure(
        self, participant, join_as
    ):
        first = add_relaxed(participant)
        second = add_candidate(join_as("bob"), bulk("Cu"), -0.1)
        Candidate.objects.filter(pk=second.pk).update(relaxation=first.relaxation)
        RelaxationFact.objects.update(made_for=None)

        with connection.cursor() as cursor:
            cursor.execute(import_module("philately.migrations.0013_atom_steps").MADE_FOR)

        assert RelaxationFact.objects.get(pk=first.relaxation_id).made_for == first.batch


class TestRefusals:
    def test_nothing_is_refused_while_anything_is_left_and_what_was_accepted_stays(self, participant, season):
        Season.objects.update(atom_steps_a_day=1)
        member = Membership.objects.get(pk=participant.pk)

        accepted = submit(member, {"Cu3Au.cif": cif(alloy()), "Cu.cif": cif(bulk("Cu", a=3.7))})
        read_all(season)
        with pytest.raises(QuotaUsedUp):
            submit(member, {"CuAu.cif": cif(alloy(3.8))})
        relax_all(season)
        place_all(season)

        accepted.refresh_from_db()
        assert accepted.state == BatchState.READ
        assert set(accepted.candidates.values_list("state", flat=True)) == {CandidateState.PLACED}

    def test_the_sentence_says_limit_use_and_when_there_is_room(self, participant):
        Season.objects.update(atom_steps_a_day=150)
        early, late = add_relaxed(participant).batch, add_relaxed(participant).batch
        now = timezone.now()
        Batch.objects.filter(pk=early.pk).update(submitted_at=now - timedelta(hours=20))
        Batch.objects.filter(pk=late.pk).update(submitted_at=now - timedelta(hours=1))

        with pytest.raises(QuotaUsedUp) as refusal:
            quotas.refuse_upload(Membership.objects.get(pk=participant.pk), 1)

        at = now + timedelta(hours=4, seconds=59)
        assert str(refusal.value) == (
            "relaxing takes at most 150 atom-steps (atoms × steps) of a participant within 24 hours, "
            f"and what you submitted takes 200; there is room again on {at:%Y-%m-%d} at {at:%H:%M} UTC"
        )

    def test_room_comes_only_when_enough_is_a_day_old(self, participant):
        first, second = add_relaxed(participant).batch, add_relaxed(participant).batch
        now = timezone.now()
        for batch, hours in ((first, 20), (second, 1)):
            Batch.objects.filter(pk=batch.pk).update(submitted_at=now - timedelta(hours=hours))

        assert used(participant).room_again_at(201) is None
        assert used(participant).room_again_at(101) == now - timedelta(hours=20) + DAY
        assert used(participant).room_again_at(100) == now - timedelta(hours=1) + DAY
        assert used(participant).room_again_at(0) is None

    def test_what_is_partly_estimated_is_about_so_much(self, participant):
        Season.objects.update(atom_steps_a_season=100)
        add_relaxed(participant, n_sites=4, steps=25)
        add_candidate(participant, alloy(), state=CandidateState.PARSED)

        with pytest.raises(QuotaUsedUp) as refusal:
            quotas.refuse_upload(Membership.objects.get(pk=participant.pk), 1)

        assert str(refusal.value) == (
            "relaxing takes at most 100 atom-steps (atoms × steps) of a participant in this season, "
            "and what you submitted takes about 200; there is room again once an organiser raises the limit"
        )

    def test_a_dry_run_goes_on(self, participant):
        Season.objects.update(atom_steps_a_day=0)

        quotas.refuse_upload(Membership.objects.get(pk=participant.pk), 1, is_dry_run=True)


def test_the_upload_page_shows_what_is_left_and_what_a_structure_usually_takes(client, participant, season):
    Season.objects.update(atom_steps_a_day=1000, atom_steps_a_season=5000)
    add_relaxed(participant, n_sites=4, steps=25)
    client.force_login(participant.user)

    text = " ".join(client.get(reverse("upload", args=[season.slug])).content.decode().split())

    assert "<strong>900</strong> of 1,000 atom-steps within 24 hours" in text
    assert "<strong>4,900</strong> of 5,000 in this season" in text
    assert "a structure of 10 atoms takes about 250 of them" in text
