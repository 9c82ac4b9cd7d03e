"""Opinions, uploads, dry runs, wishes to withdraw and locks have limits too: what exceeds one is set aside, loudly."""

from datetime import timedelta

import pytest
from ase.build import bulk
from django.db.models import F
from django.db.models.functions import Now
from driving import submit
from facts import add_candidate, add_fact
from sweeping import sweep_rounds

from philately.domain import removals, withdrawals
from philately.domain.intake import read_batches
from philately.domain.locks import lock
from philately.domain.place import place_waiting
from philately.models import Batch, Candidate, DryRun, Lock, Opinion, Placement, Scale, Withdrawal
from philately.states import BatchState, CandidateState, DryRunState, OpinionState
from validation.crystal import Crystal

S = CandidateState
pytestmark = pytest.mark.usefixtures("no_rest")


class TestOpinions:
    @pytest.fixture
    def asked(self, participant):
        scale = Scale.objects.create(digest="f" * 64, name="auditor", judge="emt", identity={"elements": []})
        facts = [
            add_fact(participant.season, Crystal.from_atoms(bulk(name)), 0.0, 100 + number)
            for number, name in enumerate(("Cu", "Ag"))
        ]
        return [Opinion.objects.create(relaxation=fact, scale=scale) for fact in facts]

    def _months_ago(self, opinion, days):
        Opinion.objects.filter(pk=opinion.pk).update(changed_at=Now() - timedelta(days=days))

    def test_one_that_failed_three_times_is_set_aside(self, asked, errors):
        Opinion.objects.filter(pk=asked[0].pk).update(attempts=3, problem="attempt 3 failed")

        sweep_rounds(1)

        assert Opinion.objects.get(pk=asked[0].pk).state == OpinionState.SET_ASIDE
        assert any("is set aside: attempt 3 failed" in line for line in errors())

    def test_one_whose_worker_died_waits_again(self, asked):
        Opinion.objects.filter(pk=asked[0].pk).update(
            state=OpinionState.RELAXING, lease="dead", lease_until=Now() - timedelta(seconds=1), attempts=1
        )

        sweep_rounds(1)

        assert Opinion.objects.get(pk=asked[0].pk).state == OpinionState.WAITING

    def test_one_that_others_passed_is_set_aside_and_where_nobody_works_none_is(self, asked):
        for opinion in asked:
            self._months_ago(opinion, 30)
        sweep_rounds()
        assert not Opinion.objects.filter(state=OpinionState.SET_ASIDE).exists()

        Opinion.objects.filter(pk=asked[1].pk).update(state=OpinionState.GIVEN, result=F("relaxation"))
        sweep_rounds()

        first = Opinion.objects.get(pk=asked[0].pk)
        assert first.state == OpinionState.SET_ASIDE
        assert "not heard 7 days" in first.problem


class TestUploads:
    def test_a_batch_that_cannot_be_read_is_set_aside_after_three_attempts(self, participant, errors):
        batch = submit(participant, {"a.cif": "x"})
        Batch.objects.filter(pk=batch.pk).update(stored_as="nowhere")
        for _ in range(3):
            with pytest.raises(FileNotFoundError):
                read_batches(participant.season_id)
        read_batches(participant.season_id)

        batch.refresh_from_db()
        assert batch.state == BatchState.SET_ASIDE
        assert "organiser" in batch.problem
        assert any(f"batch {batch.pk} is set aside" in line for line in errors())

    def test_a_dry_run_that_waits_does_not_expire_unread_and_fails_after_three_attempts(self, participant, errors):
        run = DryRun.objects.create(
            owner=participant,
            sha256="a" * 64,
            file_name="a.cif",
            n_bytes=1,
            stored_as="dry-runs/a",
            method="x",
            created_at=Now(),
            expires_at=Now() - timedelta(days=1),
        )
        sweep_rounds(1)
        assert DryRun.objects.filter(pk=run.pk).exists()

        DryRun.objects.update(attempts=3)
        sweep_rounds(1)

        assert any(f"dry run {run.pk} is set aside" in line for line in errors())
        assert not DryRun.objects.exclude(state=DryRunState.SET_ASIDE).exists()


class TestWithdrawals:
    def test_one_that_cannot_be_carried_out_holds_up_nobody_after_three_attempts(
        self, participant, monkeypatch, errors
    ):
        mine = add_candidate(participant, bulk("Cu"), 0.1)
        place_waiting(participant.season_id)
        add_candidate(participant, bulk("Ag"), 0.1)

        def broken(*args):
            raise ArithmeticError("no such number")

        monkeypatch.setattr(withdrawals, "take_out", broken)
        withdrawals.ask(Candidate.objects.filter(pk=mine.pk), by=participant.user)
        for _ in range(4):
            place_waiting(participant.season_id)

        wish = Withdrawal.objects.get()
        assert (wish.done_at, wish.attempts) == (None, 3)
        assert wish.problem == "attempt 3 failed: ArithmeticError: no such number"
        assert any("is set aside: attempt 3" in line for line in errors())
        assert Candidate.objects.filter(state=S.PLACED).count() == 2
        monkeypatch.setattr(withdrawals, "take_out", removals.take_out)
        Withdrawal.objects.update(attempts=0)
        place_waiting(participant.season_id)
        assert Candidate.objects.get(pk=mine.pk).state == S.WITHDRAWN
        assert Placement.objects.filter(withdrawn_after=None).count() == 1


class TestLocks:
    def test_it_counts_holders_in_a_row_that_fell_silent_and_says_so_loudly(self, db, errors):
        deaths = []
        for _ in range(4):
            with lock("place:9") as hold:
                deaths.append(hold.deaths)
                Lock.objects.update(token="dead", until=Now() - timedelta(seconds=1))
        assert deaths == [0, 1, 2, 3]
        assert any("3th in a row" in line for line in errors())

        with lock("place:9"):
            pass
        with lock("place:9") as hold:
            assert hold.deaths == 0
