"""Who may take a candidate back, and when it is done: at once before placement, after it by the sequencer, once."""

import pytest
from django.core.management import CommandError, call_command
from facts import add_batch, add_candidate, bells, rows_of
from stories import alloy
from withdrawing import place_arrivals, rows_for, state_of, withdraw

from philately.domain import place
from philately.domain.place import place_waiting
from philately.domain.sweep import sweep
from philately.domain.withdrawals import WithdrawalRefused, ask, unsettled
from philately.models import Candidate, Placement, Withdrawal
from philately.states import CandidateState, Role

S = CandidateState


@pytest.fixture(autouse=True)
def _cold():
    place.forget()


class TestBeforePlacement:
    @pytest.mark.parametrize(
        "state", [S.RECEIVED, S.CHECKED, S.PARSED, S.RELAXED, S.REJECTED, S.FAILED, S.SET_ASIDE, S.PARKED]
    )
    def test_it_is_withdrawn_at_once(self, participant, state, django_capture_on_commit_callbacks):
        original = add_candidate(participant, alloy(), -0.1)
        dress = {"reason": "VOLUME", "failed_in": "relax", "twin_of": original}
        candidate = add_candidate(participant, alloy(n=2), -0.1, state=state, **dress)

        bells("place")
        with django_capture_on_commit_callbacks(execute=True):
            assert ask(rows_for(candidate), by=participant.user) == 1

        assert state_of(candidate) == S.WITHDRAWN
        assert Withdrawal.objects.get(candidate=candidate).done_at is not None
        assert ("place", participant.season_id) in bells("place")

    def test_its_twins_are_promoted(self, participant):
        original = add_candidate(participant, alloy(), state=S.PARSED)
        heir, other = (
            add_candidate(participant, alloy(), state=S.PARKED, twin_of=original, reason="TWIN") for _ in range(2)
        )

        ask(rows_for(original), by=participant.user)

        heir.refresh_from_db()
        other.refresh_from_db()
        assert (heir.state, heir.twin_of, other.twin_of) == (S.PARSED, None, heir)
        assert heir.arrival > other.arrival

    def test_of_a_whole_batch_no_twin_is_promoted(self, participant):
        original = add_candidate(participant, alloy(), state=S.PARSED)
        for _ in range(2):
            add_candidate(participant, alloy(), state=S.PARKED, twin_of=original, reason="TWIN", shard=original.shard)

        assert ask(original.batch.candidates.all(), by=participant.user) == 3

        assert set(original.batch.candidates.values_list("state", flat=True)) == {S.WITHDRAWN}
        participant.season.refresh_from_db()
        assert participant.season.next_arrival == 4

    def test_while_it_is_relaxing_the_wish_is_kept_until_that_ends(
        self, participant, django_capture_on_commit_callbacks
    ):
        candidate = add_candidate(
            participant, alloy(), state=S.RELAXING, lease="token", lease_until="2100-01-01T00:00Z"
        )
        ask(rows_for(candidate), by=participant.user)
        assert (state_of(candidate), Withdrawal.objects.get().done_at) == (S.RELAXING, None)
        sweep()
        place_waiting(participant.season_id)
        assert state_of(candidate) == S.RELAXING

        Candidate.objects.filter(pk=candidate.pk).update(state=S.PARSED, lease=None, lease_until=None)
        bells("place")
        with django_capture_on_commit_callbacks(execute=True):
            sweep()
        assert ("place", participant.season_id) in bells("place")
        place_waiting(participant.season_id)

        assert state_of(candidate) == S.WITHDRAWN
        assert not Placement.objects.exists()

    def test_one_that_was_relaxed_meanwhile_is_never_placed(self, participant):
        candidate = add_candidate(participant, alloy(), -0.1)
        Withdrawal.objects.create(season=candidate.season, candidate=candidate, by=participant.user)

        place_waiting(participant.season_id)

        assert (state_of(candidate), Placement.objects.count()) == (S.WITHDRAWN, 0)


def test_whether_anybody_withdraws_is_asked_without_a_look_at_candidates(participant):
    for _ in range(40):
        add_candidate(participant, alloy(), -0.1)
    waiting = unsettled(participant.season_id)

    plans = waiting[:1].explain(), waiting.exclude(candidate__state=S.RELAXING)[:1].explain()

    for plan in plans:  # a sequencer asks before each chunk, of a season with a million candidates
        assert "withdrawal_waits" in plan
        assert "candidate_" not in plan.replace("candidate_id", "")  # no index of theirs but their own key


def test_the_twins_of_one_that_was_placed_are_promoted(season, participant):
    (original,) = place_arrivals((participant, alloy(), -0.1))
    twin = add_candidate(participant, alloy(), state=S.PARKED, twin_of=original, reason="TWIN")

    withdraw(original)

    twin.refresh_from_db()
    assert (twin.state, twin.twin_of) == (S.PARSED, None)


def test_twice_is_once(season, story):
    withdraw(story[0])
    before = rows_of(season.official_run), Withdrawal.objects.values_list("pk", "done_at").get()

    assert ask(rows_for(story[0]), by=story[0].batch.owner.user) == 0
    assert place_waiting(season.pk) == 0

    assert (rows_of(season.official_run), Withdrawal.objects.values_list("pk", "done_at").get()) == before


class TestWhoMay:
    def test_a_stranger_may_not(self, season, story, join_as):
        with pytest.raises(WithdrawalRefused, match="neither owns"):
            ask(rows_for(story[0]), by=join_as("ben").user)
        assert not Withdrawal.objects.exists()

    def test_an_organiser_of_the_season_may_on_the_owner_s_behalf(self, season, story, join_as):
        organiser = join_as("olga", Role.ORGANISER).user
        assert ask(rows_for(story[0], story[1]), by=organiser, reason="asked by mail") == 2

        assert set(Withdrawal.objects.values_list("by", "reason")) == {(organiser.pk, "asked by mail")}


class TestTheCommand:
    def test_withdraws_on_an_owner_s_behalf_and_says_what_waits(self, season, story, join_as, capsys):
        join_as("olga", Role.ORGANISER)

        call_command("withdraw", story[0].pk, batch=[story[1].batch_id], by="olga", reason="asked by mail")
        assert "2 withdrawn" in (printed := capsys.readouterr().out)
        assert "2 of them wait for the sequencer" in printed
        place_waiting(season.pk)
        call_command("withdraw", story[0].pk, by="olga", reason="asked by mail")

        assert "0 withdrawn, 1 had been before" in capsys.readouterr().out
        assert {state_of(one) for one in story[:2]} == {S.WITHDRAWN}

    @pytest.mark.parametrize(
        ("candidates", "options", "why"),
        [
            ([], {}, "say which"),
            ([999], {}, "no candidate 999"),
            ([], {"batch": [999]}, "no batch 999"),
            ([], {"by": "nobody"}, "no user 'nobody'"),
        ],
    )
    def test_refuses_in_one_sentence(self, participant, candidates, options, why):
        with pytest.raises(CommandError, match=why):
            call_command("withdraw", *candidates, **{"by": "ann", **options})

    def test_refuses_a_stranger_and_a_batch_that_is_not_read(self, season, story, join_as):
        with pytest.raises(CommandError, match="neither owns"):
            call_command("withdraw", story[0].pk, by=join_as("ben").user.username)
        with pytest.raises(CommandError, match="not read yet"):
            call_command("withdraw", batch=[add_batch(join_as("ben")).pk], by="ben")
