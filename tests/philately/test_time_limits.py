"""Every state that is not final has a limit: what exceeds it is rung for, tried again, and set aside with a reason; and
what waits because nobody works is not. The rows are those of the table in docs/operations.md."""

import logging
from contextlib import suppress
from datetime import timedelta

import pytest
from ase.build import bulk
from django.db.models import F
from django.db.models.functions import Now
from driving import cif, ordered_alloy, submit
from facts import (
    Killed,
    add_batch,
    add_candidate,
    add_fact,
    add_shard,
    bells,
    let_expire,
    long_ago,
)

from philately.domain import place, removals, sweep, twins, withdrawals
from philately.domain.caution import Caution, narrowed
from philately.domain.intake import read_batches
from philately.domain.locks import lock
from philately.domain.parse import parse_shard
from philately.domain.place import place_waiting
from philately.domain.twins import settle
from philately.models import (
    Batch,
    Bell,
    Candidate,
    CandidateDetail,
    DryRun,
    Lock,
    Opinion,
    Placement,
    Scale,
    Season,
    Shard,
    Withdrawal,
)
from philately.states import BatchState, CandidateState, DryRunState, OpinionState, ShardState, Stage
from validation.crystal import Crystal

S = CandidateState


@pytest.fixture(autouse=True)
def _no_rest(settings):
    settings.RETRY_AFTER_S = 0.0
    settings.PLACE_DEADLINE_S = 7 * 86_400.0


@pytest.fixture
def errors(caplog, monkeypatch):
    """What the log says loudly."""
    monkeypatch.setattr(logging.getLogger("philately"), "propagate", True)
    caplog.set_level(logging.ERROR, logger="philately")
    return lambda: [record.getMessage() for record in caplog.records]


def _rounds(n=8):
    """The sweeper's, as if the rests between them were over."""
    for _ in range(n):
        long_ago(Candidate.objects.filter(state=S.FAILED), days=1)
        sweep.sweep()


def _all_in(states):
    return sorted(Candidate.objects.order_by("arrival").values_list("state", flat=True)) == sorted(states)


class TestNarrowing:
    def test_fewer_and_fewer_down_to_one(self):
        assert [narrowed(1000, level) for level in range(4)] == [1000, 31, 1, 1]
        assert [narrowed(5000, level) for level in range(4)] == [5000, 156, 4, 1]
        assert narrowed(1, 0) == 1

    @pytest.mark.parametrize("place", [0, 1, 499, 3000, 4999])
    def test_the_one_to_blame_is_found_and_all_others_pass(self, place):
        queue, blamed, tried = list(range(5000)), [], 0
        caution = Caution(5000)
        while queue:
            some = queue[: caution.size]
            tried += 1
            if place in some:
                if caution.alone:
                    blamed.append(queue.pop(0))
                caution.fell()
                continue
            del queue[: len(some)]
            caution.passed(len(some))

        assert blamed == [place]
        assert tried < 300

    def test_after_a_death_that_nothing_is_to_blame_for_it_is_soon_as_before(self):
        caution = Caution(5000, 1)
        assert caution.size == 156
        for _ in range(33):
            caution.passed(caution.size)
        assert (caution.size, caution.alone) == (5000, False)


class TestReceived:
    @pytest.fixture
    def shard(self, participant, settings):
        settings.SHARD_SIZE = 40
        elements = ("Cu", "Ag", "Au", "Ni", "Pd", "Pt", "Al")
        texts = {f"{name}.cif": cif(bulk(name)) for name in elements}
        submit(participant, texts)
        read_batches(participant.season_id)
        return Shard.objects.get()

    def _dies_at(self, monkeypatch, file, how):
        """Whatever has this structure among those it reads ends there."""
        from philately.domain import parse

        reads = parse._reads

        def deadly(shard, candidates, content, **options):
            if any(candidate.detail.file == file for candidate in candidates):
                raise how
            return reads(shard, candidates, content, **options)

        monkeypatch.setattr(parse, "_reads", deadly)

    def test_a_structure_that_kills_its_worker_is_set_aside_alone(self, participant, shard, monkeypatch, errors):
        self._dies_at(monkeypatch, "Au.cif", Killed())
        deaths = 0
        for _ in range(12):
            try:
                parse_shard(shard.pk)
            except Killed:
                deaths += 1
                let_expire(Shard.objects.filter(lease__isnull=False))
            _rounds(1)

        (lost,) = Candidate.objects.filter(state=S.SET_ASIDE)
        assert lost.detail.file == "Au.cif"
        assert "stopped its worker" in lost.detail.sentence
        settle(participant.season_id)
        assert Candidate.objects.filter(state=S.PARSED).count() == 6
        assert deaths <= 6
        assert f"candidate {lost.pk} is set aside: it failed" in errors()
        assert Shard.objects.get().state == ShardState.PARSED

    def test_a_structure_that_raises_each_time_is_set_aside_alone_and_named(self, shard, monkeypatch):
        self._dies_at(monkeypatch, "Au.cif", ArithmeticError("no such number"))
        for _ in range(12):
            with suppress(ArithmeticError):
                parse_shard(shard.pk)
            _rounds(1)

        (lost,) = Candidate.objects.filter(state=S.SET_ASIDE)
        assert "ArithmeticError: no such number" in lost.detail.sentence
        settle(lost.season_id)
        assert Candidate.objects.filter(state=S.PARSED).count() == 6

    def test_a_fault_gives_the_shard_back_at_once(self, shard, monkeypatch):
        self._dies_at(monkeypatch, "Au.cif", ArithmeticError())

        with pytest.raises(ArithmeticError):
            parse_shard(shard.pk)

        assert Shard.objects.get().lease is None

    def test_a_shard_that_is_damaged_is_set_aside_as_a_whole(self, participant, errors):
        shard = add_shard(add_batch(participant), state=ShardState.WAITING, attempts=3)
        for _ in range(2):
            add_candidate(participant, bulk("Cu"), state=S.RECEIVED, shard=shard)

        _rounds(1)

        assert _all_in([S.SET_ASIDE] * 2)
        assert any(f"shard {shard.pk} is set aside" in line for line in errors())

    def test_unread_in_a_shard_that_counts_as_read_it_is_read_again(self, participant):
        shard = add_shard(add_batch(participant), state=ShardState.PARSED)
        add_candidate(participant, bulk("Cu"), state=S.RECEIVED, shard=shard)
        _rounds(1)
        assert Shard.objects.get().state == ShardState.PARSED
        long_ago(Candidate.objects.all(), days=1)

        _rounds(1)

        assert Shard.objects.get().state == ShardState.WAITING

    def test_unread_in_a_shard_that_was_set_aside_it_is_set_aside(self, participant):
        shard = add_shard(add_batch(participant), state=ShardState.SET_ASIDE)
        lost = add_candidate(participant, bulk("Cu"), state=S.RECEIVED, shard=shard)
        long_ago(Candidate.objects.all(), days=1)

        _rounds(1)

        assert _all_in([S.SET_ASIDE])
        assert "organiser" in CandidateDetail.objects.get(pk=lost.pk).sentence


class TestChecked:
    @pytest.fixture
    def checked(self, participant):
        elements = ("Cu", "Ag", "Au", "Ni", "Pd", "Pt", "Al")
        return [add_candidate(participant, bulk(name), state=S.CHECKED) for name in elements]

    def _dies_at(self, monkeypatch, candidate, how):
        decide = twins._settle_chunk

        def deadly(season, waiting, *rest):
            if candidate.pk in {one.pk for one in waiting}:
                raise how
            return decide(season, waiting, *rest)

        monkeypatch.setattr(twins, "_settle_chunk", deadly)

    def test_one_whose_twins_cannot_be_looked_for_is_set_aside_with_the_error(
        self, participant, checked, monkeypatch, errors
    ):
        self._dies_at(monkeypatch, checked[3], ArithmeticError("no such number"))
        for _ in range(4):
            settle(participant.season_id)
            _rounds(1)

        lost = Candidate.objects.get(state=S.SET_ASIDE)
        assert lost.pk == checked[3].pk
        assert (lost.attempts, lost.detail.sentence) == (3, "attempt 3 failed: ArithmeticError: no such number")
        settle(participant.season_id)
        assert Candidate.objects.filter(state=S.PARSED, attempts=0).count() == 6

    def test_those_behind_it_wait_for_it_while_it_is_tried_again(self, participant, checked, monkeypatch):
        self._dies_at(monkeypatch, checked[3], ArithmeticError())

        settle(participant.season_id)

        states = list(Candidate.objects.order_by("arrival").values_list("state", flat=True))
        assert states == [S.PARSED] * 3 + [S.FAILED] + [S.CHECKED] * 3

    def test_one_that_kills_the_process_is_set_aside(self, participant, checked, monkeypatch):
        self._dies_at(monkeypatch, checked[3], Killed())
        deaths = 0
        for _ in range(12):
            try:
                settle(participant.season_id)
            except Killed:
                deaths += 1
                # what a real death does not do: the lock's row stays as its holder left it
                Lock.objects.filter(name__startswith="twins").update(
                    token="dead", until=Now() - timedelta(seconds=1), deaths=deaths - 1
                )
            _rounds(1)

        lost = Candidate.objects.get(state=S.SET_ASIDE)
        assert (lost.pk, deaths) == (checked[3].pk, 5)
        assert "stopped the worker" in lost.detail.sentence
        assert Candidate.objects.filter(state=S.PARSED).count() == 6


class TestParsedAndFailed:
    def test_waiting_in_a_long_queue_is_no_fault(self, participant):
        """A month, and nobody works: nothing is set aside."""
        add_candidate(participant, bulk("Cu"), 0.0)
        for name in ("Cu", "Ag", "Au"):
            add_candidate(participant, bulk(name), state=S.PARSED)
        add_candidate(participant, bulk("Ni"), state=S.RECEIVED)
        long_ago(Candidate.objects.all())

        _rounds()

        assert not Candidate.objects.filter(state=S.SET_ASIDE).exists()

    def test_those_whom_dead_workers_gave_back_are_not_set_aside_while_nobody_works(self, participant):
        """Later ones were relaxed before, and none since."""
        waits = add_candidate(participant, bulk("Cu"), state=S.PARSED)
        relaxed = add_candidate(participant, bulk("Ag"), 0.0)
        long_ago(Candidate.objects.filter(pk=relaxed.pk), days=30)
        long_ago(Candidate.objects.filter(pk=waits.pk), days=29)

        _rounds()

        assert Candidate.objects.get(pk=waits.pk).state == S.PARSED

    def test_one_that_others_passed_while_it_waited_is_set_aside_with_a_sentence(self, participant):
        waits = add_candidate(participant, bulk("Cu"), state=S.PARSED)
        relaxed = add_candidate(participant, bulk("Ag"), 0.0)
        long_ago(Candidate.objects.filter(pk=waits.pk), days=30)
        long_ago(Candidate.objects.filter(pk=relaxed.pk), days=20)

        _rounds()

        assert Candidate.objects.get(pk=waits.pk).state == S.SET_ASIDE
        assert "7 days" in CandidateDetail.objects.get(pk=waits.pk).sentence


class TestRelaxed:
    def _faulty(self, monkeypatch, candidate, how):
        write = place.outcomes.write

        def deadly(run, hull, placed):
            if candidate.pk in {arrival.candidate for arrival, _, _ in placed}:
                raise how
            write(run, hull, placed)

        monkeypatch.setattr(place.outcomes, "write", deadly)

    @pytest.fixture
    def relaxed(self, participant):
        names = ("Cu", "Ag", "Au", "Ni", "Pd", "Pt", "Al")
        return [add_candidate(participant, bulk(name), 0.1) for name in names]

    def test_one_whose_placement_cannot_be_written_is_set_aside_and_the_others_placed(
        self, participant, relaxed, monkeypatch, errors
    ):
        self._faulty(monkeypatch, relaxed[2], ArithmeticError("no such number"))
        for _ in range(4):
            place_waiting(participant.season_id)
            _rounds(1)
        place_waiting(participant.season_id)

        lost = Candidate.objects.get(state=S.SET_ASIDE)
        assert lost.pk == relaxed[2].pk
        assert lost.detail.sentence == "attempt 3 failed: ArithmeticError: no such number"
        assert Candidate.objects.filter(state=S.PLACED).count() == 6
        assert f"candidate {lost.pk} is set aside: it failed" in errors()

    def test_one_that_kills_the_sequencer_each_time_is_set_aside(self, participant, relaxed, monkeypatch):
        self._faulty(monkeypatch, relaxed[2], Killed())
        deaths = 0
        for _ in range(12):
            try:
                place_waiting(participant.season_id)
            except Killed:
                deaths += 1
                place.forget()
                Lock.objects.filter(name__startswith="place").update(
                    token="dead", until=Now() - timedelta(seconds=1), deaths=deaths - 1
                )
            _rounds(1)

        lost = Candidate.objects.get(state=S.SET_ASIDE)
        assert lost.pk == relaxed[2].pk
        assert deaths <= 6
        assert Candidate.objects.filter(state=S.PLACED).count() == 6

    def test_one_that_came_after_its_turn_gets_a_new_number(self, participant):
        late = add_candidate(participant, bulk("Cu"), 0.1, state=S.SET_ASIDE)
        add_candidate(participant, bulk("Ag"), 0.1)
        place_waiting(participant.season_id)
        Candidate.objects.filter(pk=late.pk).update(state=S.RELAXED)
        assert place_waiting(participant.season_id) == 0
        _rounds(1)
        assert Candidate.objects.get(pk=late.pk).arrival == 1
        long_ago(Candidate.objects.filter(pk=late.pk), days=1)

        _rounds(1)

        assert Candidate.objects.get(pk=late.pk).arrival == 3
        assert place_waiting(participant.season_id) == 1


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

        _rounds(1)

        assert Opinion.objects.get(pk=asked[0].pk).state == OpinionState.SET_ASIDE
        assert any("is set aside: attempt 3 failed" in line for line in errors())

    def test_one_whose_worker_died_waits_again(self, asked):
        Opinion.objects.filter(pk=asked[0].pk).update(
            state=OpinionState.RELAXING, lease="dead", lease_until=Now() - timedelta(seconds=1), attempts=1
        )

        _rounds(1)

        assert Opinion.objects.get(pk=asked[0].pk).state == OpinionState.WAITING

    def test_one_that_others_passed_is_set_aside_and_where_nobody_works_none_is(self, asked):
        for opinion in asked:
            self._months_ago(opinion, 30)
        _rounds()
        assert not Opinion.objects.filter(state=OpinionState.SET_ASIDE).exists()

        Opinion.objects.filter(pk=asked[1].pk).update(state=OpinionState.GIVEN, result=F("relaxation"))
        _rounds()

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
        _rounds(1)
        assert DryRun.objects.filter(pk=run.pk).exists()

        DryRun.objects.update(attempts=3)
        _rounds(1)

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


class TestSilence:
    @pytest.fixture(autouse=True)
    def _heard_by_nobody(self, settings):
        settings.RELAX_WORKERS = 1

    def _silent(self):
        """The sweeper goes on, and by the clock it is an hour later."""
        _rounds(1)
        Bell.objects.update(since=F("since") - timedelta(hours=1))
        _rounds(1)

    @pytest.mark.parametrize(
        ("state", "task"), [(S.PARSED, "relax"), (S.RELAXED, "place"), (S.CHECKED, "settle"), (S.RECEIVED, "parse")]
    )
    def test_where_nobody_answers_the_log_says_so_once_an_hour(self, participant, errors, state, task):
        shard = add_shard(
            add_batch(participant), state=ShardState.WAITING if state == S.RECEIVED else ShardState.PARSED
        )
        add_candidate(participant, bulk("Cu"), 0.1, state=state, shard=shard)

        self._silent()
        _rounds(2)

        (line,) = [line for line in errors() if "nobody answers" in line]
        assert line.startswith(f"nobody answers: {task} for ")
        assert "rung for 2 times" in line
        Bell.objects.update(told_at=F("told_at") - timedelta(hours=2))
        _rounds(1)
        assert len([line for line in errors() if "nobody answers" in line]) == 2

    def test_an_upload_that_nobody_reads_is_told(self, participant, errors):
        submit(participant, {"a.cif": "x"})

        self._silent()

        assert any("nobody answers: intake" in line for line in errors())

    def test_where_somebody_works_nothing_is_told(self, participant, errors):
        add_candidate(participant, bulk("Cu"), 0.1)
        add_candidate(participant, bulk("Ag"), 0.1)
        _rounds(1)
        Bell.objects.update(since=F("since") - timedelta(hours=1))
        Candidate.objects.filter(arrival=2).delete()
        place_waiting(participant.season_id)
        add_candidate(participant, bulk("Ag"), 0.1)

        _rounds(1)

        assert not errors()
        place_waiting(participant.season_id)
        _rounds(1)
        assert not Bell.objects.exists()

    def test_who_waits_for_an_earlier_one_is_not_what_nobody_answers_for(self, participant, errors):
        add_candidate(participant, bulk("Cu"), state=S.RELAXING, lease="busy", lease_until="2100-01-01T00:00Z")
        add_candidate(participant, ordered_alloy("Cu", "Au", lattice_ang=3.8), 0.1)

        self._silent()

        assert not errors()

    def test_a_step_that_fails_keeps_no_other_from_being_done(self, participant, monkeypatch, errors):
        def broken():
            raise ArithmeticError

        add_candidate(participant, bulk("Cu"), state=S.FAILED, failed_in=Stage.RELAX, attempts=3)
        monkeypatch.setattr(sweep, "_take_from_the_dead", broken)
        monkeypatch.setattr(sweep.opinions, "sweep", broken)

        sweep.sweep()

        assert _all_in([S.SET_ASIDE])
        assert len(errors()) == 3


def test_bells_ring_again_each_round_for_what_waits(participant, django_capture_on_commit_callbacks):
    add_candidate(participant, bulk("Cu"), 0.1)
    bells("place")
    for _ in range(2):
        with django_capture_on_commit_callbacks(execute=True):
            sweep.sweep()
        assert bells("place") == [("place", participant.season_id)]
    assert Season.objects.get().pk == participant.season_id
