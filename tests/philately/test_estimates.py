"""How long relaxations take, about: from the pace of the latest, and never more than is known."""

import re
from datetime import timedelta

import pytest
from ase.build import bulk
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse
from django.utils import timezone
from driving import cif, first_texts, ordered_alloy, place_all, read_all, relax_all, run_all, season_on, submit, zipped
from facts import add_batch, add_candidate, add_shard

from philately import queries
from philately.domain import dry_reading, dry_runs
from philately.domain.intake import Method
from philately.domain.seasons import join
from philately.domain.transitions import claim
from philately.models import Batch, Candidate, DryRun, Membership, RelaxationFact, Scale, Season
from philately.states import BatchState, CandidateState
from philately.templatetags.show import about

S_PER_ATOM_STEP = 0.5


@pytest.fixture
def paced(join_as) -> list[RelaxationFact]:
    """Ten relaxations by one worker: 4 atoms, 30 steps and a minute each, so half a second an atom-step."""
    now = timezone.now()
    return [relaxed(join_as("eve"), at=now - timedelta(minutes=number)) for number in range(10)]


def relaxed(member: Membership, *, at, seconds: float = 4 * 30 * S_PER_ATOM_STEP, **changes) -> RelaxationFact:
    fact = add_candidate(member, bulk("Cu"), -0.1).relaxation
    assert fact is not None
    values = {"n_sites": 4, "steps": 30, "seconds": seconds, "created_at": at, **changes}
    RelaxationFact.objects.filter(pk=fact.pk).update(**values)
    fact.refresh_from_db()
    return fact


def waiting(member: Membership, n: int = 1, *, state: CandidateState = CandidateState.PARSED) -> Batch:
    """A batch of so many structures of four atoms."""
    batch = add_batch(member)
    shard = add_shard(batch)
    for _ in range(n):
        add_candidate(member, ordered_alloy("Cu", "Au", lattice_ang=3.7), state=state, shard=shard)
    return batch


def estimate(batch: Batch) -> queries.Estimate | None:
    found = queries.visible_batch(batch.owner.user, batch.pk)
    assert found is not None
    return queries.estimate_of(found, queries.progress_of(found))


def text_of(answer) -> str:
    return re.sub(r"\s+", " ", answer.content.decode())


class TestBatch:
    def test_takes_its_atom_steps_at_the_pace_of_one_worker(self, participant, paced):
        found = estimate(waiting(participant, 3))

        assert found == queries.Estimate(3, 0, 3 * 4 * 30, pytest.approx(3 * 4 * 30 * S_PER_ATOM_STEP))

    def test_others_that_arrived_before_its_last_one_come_first_and_later_ones_do_not(
        self, participant, join_as, paced
    ):
        waiting(join_as("bob"), 2)
        mine = waiting(participant, 3)
        waiting(join_as("bob"), 5)

        found = estimate(mine)

        assert found is not None
        assert (found.n_structures, found.n_ahead) == (3, 2)
        assert found.seconds == pytest.approx(5 * 4 * 30 * S_PER_ATOM_STEP)

    def test_those_of_other_seasons_on_the_scale_are_others_too(self, participant, paced, emt_release_file):
        second = season_on(emt_release_file, slug="second", name="Second")
        waiting(join(second, participant.user), 2)

        found = estimate(waiting(participant))

        assert found is not None and found.n_ahead == 2

    def test_workers_that_hold_structures_now_share_the_work(self, participant, paced):
        batch = waiting(participant, 4)
        first, second, *_ = batch.candidates.order_by("pk").values_list("pk", flat=True)
        for key in (first, second):
            claim([key], CandidateState.PARSED, CandidateState.RELAXING)

        found = estimate(batch)

        assert found is not None
        assert found.n_structures == 4
        assert found.seconds == pytest.approx(4 * 4 * 30 * S_PER_ATOM_STEP / 2)

    def test_what_failed_waits_too_but_stands_in_nobodys_way(self, participant, paced):
        batch = waiting(participant, 2)
        Candidate.objects.filter(pk=batch.candidates.first().pk).update(state=CandidateState.FAILED, failed_in="relax")

        found = estimate(batch)

        assert found is not None and (found.n_structures, found.n_ahead) == (2, 0)

    def test_without_relaxations_of_the_scale_there_is_no_time(self, participant):
        found = estimate(waiting(participant))

        assert found is not None and found.seconds is None

    def test_a_pace_of_weeks_ago_is_none(self, participant, paced):
        RelaxationFact.objects.update(created_at=timezone.now() - timedelta(days=8))

        found = estimate(waiting(participant))

        assert found is not None and found.seconds is None
        assert found.atom_steps == 4 * 30  # steps do not age

    def test_what_a_cluster_relaxed_says_nothing_of_the_pace_here(self, participant, paced):
        RelaxationFact.objects.update(provenance={"device": "cuda", "shard": "spring-0001"})

        found = estimate(waiting(participant))

        assert found is not None and found.seconds is None

    def test_one_that_is_not_read_is_finished_or_has_nothing_to_relax_has_none(self, participant, season, paced):
        batch = submit(participant, first_texts())
        assert estimate(batch) is None

        read_all(season)
        assert estimate(batch) is not None
        relax_all(season)
        assert estimate(batch) is None
        place_all(season)
        assert estimate(batch) is None

    def test_it_is_none_while_it_is_being_read_and_while_relaxation_is_paused(self, participant, paced):
        batch = waiting(participant)
        Batch.objects.filter(pk=batch.pk).update(state=BatchState.UPLOADED)
        assert estimate(batch) is None

        Batch.objects.filter(pk=batch.pk).update(state=BatchState.READ)
        Scale.objects.update(problem="CanaryDied: Si differs")
        assert estimate(batch) is None

    def test_it_takes_as_many_queries_for_three_structures_as_for_one(
        self, participant, paced, django_assert_num_queries
    ):
        for n in (1, 3):
            batch = queries.visible_batch(participant.user, waiting(participant, n).pk)
            progress = queries.progress_of(batch)
            with django_assert_num_queries(4):
                queries.estimate_of(batch, progress)


class TestItsPage:
    @pytest.fixture
    def ann(self, client, participant):
        client.force_login(participant.user)
        return client

    def test_says_about_how_long_and_how_many_are_ahead(self, ann, participant, join_as, paced):
        waiting(join_as("bob"), 2)
        batch = waiting(participant, 3)

        for page in ("batch", "batch-live"):
            text = text_of(ann.get(reverse(page, args=[batch.pk])))
            assert "About 5 min of relaxation left: 3 structures, 2 of others ahead of them." in text

    def test_says_that_there_is_none_yet(self, ann, participant):
        text = text_of(ann.get(reverse("batch", args=[waiting(participant).pk])))

        assert "No estimate of the time yet: 1 structure." in text

    def test_says_nothing_once_it_is_finished(self, ann, participant, season, paced):
        batch = submit(participant, first_texts())
        run_all(season)

        text = text_of(ann.get(reverse("batch", args=[batch.pk])))

        assert "Finished: all 6" in text
        assert "of relaxation left" not in text and "No estimate" not in text

    def test_follows_along_when_only_others_went_on(self, ann, participant, join_as, paced):
        others = waiting(join_as("bob"), 4)
        page = text_of(ann.get(reverse("batch", args=[waiting(participant).pk])))
        address = re.search(r'hx-get="([^"]+)"', page)[1].replace("&amp;", "&")
        assert "About 5 min of relaxation left: 1 structure, 4 of others" in page

        Candidate.objects.filter(batch=others).update(state=CandidateState.REJECTED, reason="NOT_BULK")

        assert ann.get(address).status_code == 204
        half_a_minute_later = re.sub(r"estimated=(\d+)", lambda found: f"estimated={int(found[1]) - 31}", address)
        assert "About 1 min of relaxation left: 1 structure." in text_of(ann.get(half_a_minute_later))


class TestDryRun:
    @pytest.fixture
    def run(self, participant, season) -> DryRun:
        """Three structures of nine atoms together pass, a twin and two others do not."""
        texts = {name: text for name, text in first_texts().items() if name != "CuAu.cif"}
        upload = SimpleUploadedFile("a.zip", zipped({**texts, "bad.cif": "no"}))
        run = dry_runs.accept_dry_run(participant, upload, Method("by hand"), consent=True)
        dry_reading.carry_out(run.pk)
        return DryRun.objects.select_related("owner__season").get(pk=run.pk)

    def page(self, client, run: DryRun) -> str:
        client.force_login(run.owner.user)
        return text_of(client.get(reverse("dry-run", args=[run.pk])))

    def test_costs_the_atoms_of_what_passed_times_the_usual_steps(self, run, paced):
        assert run.n_atoms == 4 + 4 + 1

        assert queries.estimate_of_dry_run(run) == queries.Estimate(3, 0, 9 * 30, pytest.approx(9 * 30 / 2))

    def test_its_page_says_so_beside_what_is_left(self, client, run, paced):
        Season.objects.update(atom_steps_a_day=1000, atom_steps_a_season=5000)

        text = self.page(client, run)

        assert (
            "Relaxing them would take about 270 atom-steps; 1,000 of 1,000 are left to you within 24 hours "
            "and 5,000 of 5,000 in this season." in text
        )
        assert "That is about 2 min of relaxation on this installation at its present pace" in text

    def test_without_a_pace_it_says_that_there_is_no_estimate_yet(self, client, run):
        text = self.page(client, run)

        assert "would take about 900 atom-steps" in text
        assert "No estimate of the time yet" in text

    def test_once_submitted_the_batch_tells(self, client, run, paced):
        dry_runs.submit(run)

        assert "atom-steps" not in self.page(client, run)

    def test_one_from_before_sizes_were_noted_has_none(self, run):
        DryRun.objects.update(n_atoms=None)
        run.refresh_from_db()

        assert queries.estimate_of_dry_run(run) is None

    def test_one_of_which_nothing_passed_has_none(self, participant):
        upload = SimpleUploadedFile("a.cif", cif(bulk("Cu")).replace("Cu", "Xx").encode())
        run = dry_runs.accept_dry_run(participant, upload, Method("by hand"), consent=True)
        dry_reading.carry_out(run.pk)
        run.refresh_from_db()

        assert (run.n_atoms, queries.estimate_of_dry_run(run)) == (0, None)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "less than a minute"),
        (44, "less than a minute"),
        (50, "about 1 min"),
        (12.4 * 60, "about 12 min"),
        (80 * 60, "about 80 min"),
        (100 * 60, "about 2 h"),
        (30 * 3600, "about 30 h"),
        (40 * 3600, "about 2 days"),
        (3000 * 86_400, "about 3,000 days"),
    ],
)
def test_durations_are_told_in_units_of_people(seconds, words):
    assert about(seconds) == words
