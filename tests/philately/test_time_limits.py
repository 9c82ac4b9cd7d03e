"""Limits of each state of a candidate, as in docs/operations.md: what exceeds one is tried again, then set aside."""

from contextlib import suppress
from datetime import timedelta

import pytest
from ase.build import bulk
from django.db.models.functions import Now
from driving import cif, submit
from facts import Killed, add_batch, add_candidate, add_shard, let_expire, long_ago
from sweeping import all_in, sweep_rounds

from philately.domain import place, twins
from philately.domain.intake import read_batches
from philately.domain.parse import parse_shard
from philately.domain.place import place_waiting
from philately.domain.twins import settle
from philately.models import Candidate, CandidateDetail, Lock, Shard
from philately.states import CandidateState, ShardState

S = CandidateState
pytestmark = pytest.mark.usefixtures("no_rest")


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
            sweep_rounds(1)

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
            sweep_rounds(1)

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

        sweep_rounds(1)

        assert all_in([S.SET_ASIDE] * 2)
        assert any(f"shard {shard.pk} is set aside" in line for line in errors())

    def test_unread_in_a_shard_that_counts_as_read_it_is_read_again(self, participant):
        shard = add_shard(add_batch(participant), state=ShardState.PARSED)
        add_candidate(participant, bulk("Cu"), state=S.RECEIVED, shard=shard)
        sweep_rounds(1)
        assert Shard.objects.get().state == ShardState.PARSED
        long_ago(Candidate.objects.all(), days=1)

        sweep_rounds(1)

        assert Shard.objects.get().state == ShardState.WAITING

    def test_unread_in_a_shard_that_was_set_aside_it_is_set_aside(self, participant):
        shard = add_shard(add_batch(participant), state=ShardState.SET_ASIDE)
        lost = add_candidate(participant, bulk("Cu"), state=S.RECEIVED, shard=shard)
        long_ago(Candidate.objects.all(), days=1)

        sweep_rounds(1)

        assert all_in([S.SET_ASIDE])
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
            sweep_rounds(1)

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
            sweep_rounds(1)

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

        sweep_rounds()

        assert not Candidate.objects.filter(state=S.SET_ASIDE).exists()

    def test_those_whom_dead_workers_gave_back_are_not_set_aside_while_nobody_works(self, participant):
        """Later ones were relaxed before, and none since."""
        waits = add_candidate(participant, bulk("Cu"), state=S.PARSED)
        relaxed = add_candidate(participant, bulk("Ag"), 0.0)
        long_ago(Candidate.objects.filter(pk=relaxed.pk), days=30)
        long_ago(Candidate.objects.filter(pk=waits.pk), days=29)

        sweep_rounds()

        assert Candidate.objects.get(pk=waits.pk).state == S.PARSED

    def test_one_that_others_passed_while_it_waited_is_set_aside_with_a_sentence(self, participant):
        waits = add_candidate(participant, bulk("Cu"), state=S.PARSED)
        relaxed = add_candidate(participant, bulk("Ag"), 0.0)
        long_ago(Candidate.objects.filter(pk=waits.pk), days=30)
        long_ago(Candidate.objects.filter(pk=relaxed.pk), days=20)

        sweep_rounds()

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
            sweep_rounds(1)
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
            sweep_rounds(1)

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
        sweep_rounds(1)
        assert Candidate.objects.get(pk=late.pk).arrival == 1
        long_ago(Candidate.objects.filter(pk=late.pk), days=1)

        sweep_rounds(1)

        assert Candidate.objects.get(pk=late.pk).arrival == 3
        assert place_waiting(participant.season_id) == 1
