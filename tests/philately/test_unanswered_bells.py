"""Bells ring again each round for what waits, and where nobody answers for an hour the log says so."""

from datetime import timedelta

import pytest
from ase.build import bulk
from django.db.models import F
from driving import ordered_alloy, submit
from facts import add_batch, add_candidate, add_shard, bells
from sweeping import all_in, sweep_rounds

from philately.domain import sweep
from philately.domain.place import place_waiting
from philately.models import Bell, Candidate, Season
from philately.states import CandidateState, ShardState, Stage

S = CandidateState
pytestmark = pytest.mark.usefixtures("no_rest")


class TestSilence:
    @pytest.fixture(autouse=True)
    def _heard_by_nobody(self, settings):
        settings.RELAX_WORKERS = 1

    def _silent(self):
        """The sweeper goes on, and by the clock it is an hour later."""
        sweep_rounds(1)
        Bell.objects.update(since=F("since") - timedelta(hours=1))
        sweep_rounds(1)

    @pytest.mark.parametrize(
        ("state", "task"), [(S.PARSED, "relax"), (S.RELAXED, "place"), (S.CHECKED, "settle"), (S.RECEIVED, "parse")]
    )
    def test_where_nobody_answers_the_log_says_so_once_an_hour(self, participant, errors, state, task):
        shard = add_shard(
            add_batch(participant), state=ShardState.WAITING if state == S.RECEIVED else ShardState.PARSED
        )
        add_candidate(participant, bulk("Cu"), 0.1, state=state, shard=shard)

        self._silent()
        sweep_rounds(2)

        (line,) = [line for line in errors() if "nobody answers" in line]
        assert line.startswith(f"nobody answers: {task} for ")
        assert "rung for 2 times" in line
        Bell.objects.update(told_at=F("told_at") - timedelta(hours=2))
        sweep_rounds(1)
        assert len([line for line in errors() if "nobody answers" in line]) == 2

    def test_an_upload_that_nobody_reads_is_told(self, participant, errors):
        submit(participant, {"a.cif": "x"})

        self._silent()

        assert any("nobody answers: intake" in line for line in errors())

    def test_where_somebody_works_nothing_is_told(self, participant, errors):
        add_candidate(participant, bulk("Cu"), 0.1)
        add_candidate(participant, bulk("Ag"), 0.1)
        sweep_rounds(1)
        Bell.objects.update(since=F("since") - timedelta(hours=1))
        Candidate.objects.filter(arrival=2).delete()
        place_waiting(participant.season_id)
        add_candidate(participant, bulk("Ag"), 0.1)

        sweep_rounds(1)

        assert not errors()
        place_waiting(participant.season_id)
        sweep_rounds(1)
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

        assert all_in([S.SET_ASIDE])
        assert len(errors()) == 3


def test_bells_ring_again_each_round_for_what_waits(participant, django_capture_on_commit_callbacks):
    add_candidate(participant, bulk("Cu"), 0.1)
    bells("place")
    for _ in range(2):
        with django_capture_on_commit_callbacks(execute=True):
            sweep.sweep()
        assert bells("place") == [("place", participant.season_id)]
    assert Season.objects.get().pk == participant.season_id
