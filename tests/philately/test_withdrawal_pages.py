"""Pages of what is withdrawn or disqualified: who may take back, and what everybody reads then."""

import re

import pytest
from django.test import Client
from django.urls import reverse
from driving import first_texts, place_all, run_all, submit
from facts import add_candidate
from stories import alloy

from philately import queries
from philately.domain import place
from philately.domain.disqualifications import Charge, open_without
from philately.domain.evaluations import evaluate, make_official
from philately.models import Candidate, Withdrawal
from philately.states import CandidateState, Role


@pytest.fixture(autouse=True)
def _cold():
    place.forget()


@pytest.fixture
def judged(season, participant):
    batch = submit(participant, first_texts())
    run_all(season)
    return batch


@pytest.fixture
def ann(client, participant):
    client.force_login(participant.user)
    return client


def _as(join_as, name, role=Role.PARTICIPANT):
    client = Client()
    client.force_login(join_as(name, role).user)
    return client


def _text(answer):
    return re.sub(r"\s+", " ", answer.content.decode())


def _named(batch, file):
    return batch.candidates.get(detail__file=file)


def _view(season, user):
    season.refresh_from_db()
    return queries.view_of(season, user)


def _table(season, batch, **asked):
    batch.season = season
    return {row.file: row for row in queries.table_of(_view(season, batch.owner.user), batch, **asked).rows}


class TestTakingBack:
    def test_asks_first_and_then_withdraws(self, ann, season, judged):
        find = _named(judged, "Cu3Au.cif")
        address = reverse("candidate-withdraw", args=[find.pk])
        assert "Withdraw this structure" in _text(ann.get(reverse("candidate", args=[find.pk])))

        assert "cannot be undone" in _text(ann.get(address))
        assert not Withdrawal.objects.exists()
        answer = ann.post(address, {"reason": "a wrong file"}, follow=True)
        assert "1 structure is withdrawn" in _text(answer)
        assert "to be withdrawn by its owner: a wrong file, in a moment" in _text(answer)
        place_all(season)

        shown = _text(ann.get(reverse("candidate", args=[find.pk])))
        assert "withdrawn by its owner: a wrong file" in shown
        assert "Withdraw this structure" not in shown
        row = _table(season, judged)["Cu3Au.cif"]
        assert (row.outcome, row.e_above_hull, row.points) == ("withdrawn", None, 0)

    def test_of_a_batch_leaves_nothing_and_counts_it(self, ann, season, judged):
        ann.post(reverse("batch-withdraw", args=[judged.pk]))
        assert "being withdrawn" in _text(ann.get(reverse("batch", args=[judged.pk])))
        place_all(season)

        shown = _text(ann.get(reverse("batch", args=[judged.pk])))
        assert "withdrawn 6" in shown
        assert "being withdrawn" not in shown
        assert queries.tallies_of(judged).outcomes == (("withdrawn", 6),)
        assert "nothing left to withdraw" in _text(ann.get(reverse("batch-withdraw", args=[judged.pk])))
        again = ann.post(reverse("batch-withdraw", args=[judged.pk]), follow=True)
        assert "nothing left" in _text(again)

    @pytest.mark.parametrize("name", ["candidate-withdraw", "batch-withdraw"])
    def test_is_the_owner_s_and_the_organisers(self, client, season, judged, join_as, name):
        find = _named(judged, "Cu3Au.cif")
        address = reverse(name, args=[find.pk if name.startswith("c") else judged.pk])

        assert client.post(address).status_code == 302  # to log in
        assert _as(join_as, "ben").get(address).status_code == 404
        assert _as(join_as, "ben").post(address).status_code == 404
        assert _as(join_as, "ben").get(reverse("candidate", args=[find.pk])).status_code == 404
        assert not Withdrawal.objects.exists()

        assert _as(join_as, "olga", Role.ORGANISER).post(address, {"reason": "by mail"}).status_code == 302
        place_all(season)
        assert _table(season, judged)["Cu3Au.cif"].sentence == "withdrawn by olga on its owner's behalf: by mail"

    def test_needs_a_token(self, participant, judged):
        strict = Client(enforce_csrf_checks=True)
        strict.force_login(participant.user)

        assert strict.post(reverse("batch-withdraw", args=[judged.pk])).status_code == 403
        assert not Withdrawal.objects.exists()


class TestTheDisqualified:
    @pytest.fixture
    def run(self, season, judged):
        season.refresh_from_db()
        run = open_without(season, Charge(reason="copied", candidates=[_named(judged, "Cu3Au.cif").pk]))
        evaluate(run)
        return run

    def test_are_as_before_until_that_is_official(self, season, judged, run):
        assert _table(season, judged)["Cu3Au.cif"].outcome == "stable"

    def test_say_why_and_the_twin_has_the_verdict(self, ann, season, judged, run):
        make_official(run)

        rows = _table(season, judged)
        assert (rows["Cu3Au.cif"].outcome, rows["Cu3Au.cif"].sentence) == (
            "disqualified",
            "disqualified by an organiser: copied",
        )
        heir = rows["Cu3Au-supercell.cif"]
        assert (heir.outcome, heir.points) == ("stable", 16)
        shown = _text(ann.get(reverse("candidate", args=[_named(judged, "Cu3Au.cif").pk])))
        assert "disqualified by an organiser: copied" in shown

    def test_are_counted_once_and_found_by_their_count(self, season, judged, run):
        make_official(run)
        season.refresh_from_db()
        judged.season = season

        tallies = queries.tallies_of(judged)

        assert sum(count for _, count in tallies.outcomes) == judged.candidates.count()
        for outcome, count in tallies.outcomes:
            assert len(_table(season, judged, outcome=outcome)) == count, outcome
        for reason, count in tallies.reasons:
            assert len(_table(season, judged, reason=reason)) == count, reason

    def test_the_leaderboard_is_that_of_the_official_run(self, season, participant, judged, run):
        before = queries.leaderboard(_view(season, participant.user)).standings[0]

        make_official(run)

        after = queries.leaderboard(_view(season, participant.user)).standings[0]
        assert (after.points, after.submitted, after.valid) == (before.points, before.submitted, before.valid - 1)


def test_what_is_withdrawn_is_submitted_and_no_longer_valid(season, participant, ann):
    find = add_candidate(participant, alloy(), -0.1)
    place_all(season)
    ann.post(reverse("candidate-withdraw", args=[find.pk]))
    place_all(season)

    standing = queries.leaderboard(_view(season, participant.user)).standings[0]

    assert (standing.points, standing.submitted, standing.valid, standing.unique) == (0, 1, 0, 0)
    assert Candidate.objects.get(pk=find.pk).state == CandidateState.WITHDRAWN


def test_an_organiser_says_why_and_a_frozen_season_refuses_on_the_page(ann, season, judged, join_as):
    placed = _named(judged, "Cu3Au.cif")
    url = reverse("candidate-withdraw", args=[placed.pk])
    olga = _as(join_as, "olga", Role.ORGANISER)

    assert "Say why" in _text(olga.post(url, {"reason": ""}))
    assert not Withdrawal.objects.exists()
    type(season).objects.update(frozen_at="2027-01-01T00:00Z")
    for client in (ann, olga):
        assert "stays as it is" in _text(client.post(url, {"reason": "a slip"}))
    assert not Withdrawal.objects.exists()
    assert "nothing of it changes any more" in _text(ann.get(reverse("season", args=[season.slug])))
