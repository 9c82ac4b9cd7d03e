"""Rounds: what is provisional ends at the close, and what is on the hull then is paid, once a formula."""

import random
from collections import defaultdict
from datetime import timedelta

import pytest
from ase.build import bulk
from django.core.management import CommandError, call_command
from django.db import transaction
from django.utils import timezone
from facts import Killed, add_candidate, before_statement, kill, rows_of
from stories import alloy, stretched

from philately.domain import place, rounds
from philately.domain.audits import audit
from philately.domain.decisions import decide, held
from philately.domain.evaluations import Plan, changed_rules, evaluate, make_official, open_evaluation
from philately.domain.organisers import DeedRefused
from philately.domain.place import place_waiting
from philately.domain.replays import replay
from philately.domain.sweep import sweep
from philately.domain.withdrawals import ask
from philately.models import AuditEntry, Candidate, Decision, Phase, Round, Run, ScoreEntry, Season
from philately.queries import leaderboard, view_of
from philately.states import CandidateState, Role


@pytest.fixture(autouse=True)
def _cold():
    place.forget()


@pytest.fixture
def olga(join_as):
    return join_as("olga", Role.ORGANISER).user


def _run(season):
    season.refresh_from_db()
    return Run.objects.select_related("release", "scale").get(pk=season.official_run_id)


def _placed(*arrivals):
    candidates = [add_candidate(member, atoms, energy) for member, atoms, energy in arrivals]
    place_waiting(arrivals[0][0].season_id)
    return candidates


def _close(season, olga, **changes):
    closed = rounds.close(season, by=olga, **changes)
    place_waiting(season.pk)
    return closed


def _points(season):
    """(paid, provisional) by name."""
    found = defaultdict(lambda: [0.0, 0.0])
    rows = ScoreEntry.objects.filter(run=_run(season)).values_list("member__user__username", "points", "provisional")
    for name, points, provisional in rows:
        found[name][provisional] += points
    return {name: tuple(values) for name, values in found.items()}


def _by_hand(run):
    """What a close pays, found from the hull and the ledger without any of the code that closes."""
    held, first = defaultdict(float), defaultdict(float)
    for row in ScoreEntry.objects.filter(run=run, provisional=True).select_related("phase"):
        part = first if "first" in row.reason else held
        part[row.member_id, row.phase.number, row.formula] += row.points
    paid, formulas = defaultdict(float), set()
    for (member, number, formula), points in sorted(held.items()):
        vertex = run.hull_points.get(formula=formula)
        on_hull = vertex.is_vertex and vertex.lowest_phase == number
        if points > 0 and on_hull and (member, formula) not in formulas:
            formulas.add((member, formula))
            paid[member] += points + first[member, number, formula]
    return paid


def test_a_close_pays_what_is_on_the_hull_and_ends_the_rest(season, story, olga):
    expected, before = _by_hand(_run(season)), _points(season)
    assert sum(expected.values()) > 0 and any(provisional for _, provisional in before.values())

    _close(season, olga)

    names = {one.pk: one.user.username for one in season.memberships.select_related("user")}
    after = _points(season)
    for member, name in names.items():
        paid, provisional = after.get(name, (0, 0))
        assert provisional == 0
        assert paid == before.get(name, (0, 0))[0] + expected.get(member, 0)
    for row in leaderboard(view_of(season, olga)).standings:
        assert (row.paid, row.provisional) == after[row.name]
    assert audit(_run(season)).sentences == []


def test_twice_is_once_and_the_next_round_has_to_have_something_in_it(season, story, olga):
    first = _close(season, olga)
    before = rows_of(_run(season))

    assert first.number == 1
    assert _close(season, olga) is None
    assert (rows_of(_run(season)), Round.objects.count()) == (before, 1)
    assert AuditEntry.objects.filter(deed="close_round").count() == 1


def test_what_was_paid_stays_when_it_is_dethroned_and_is_not_paid_again(season, join_as, olga):
    ann, ben = join_as("ann"), join_as("ben")
    _placed((ann, alloy(), -0.10))
    _close(season, olga)
    assert _points(season)["ann"] == (16, 0)

    _placed((ben, stretched(1.3), -0.12), (ann, stretched(1.6), -0.14))

    assert _points(season) == {"ann": (17, 0), "ben": (1 + 3, 0)}  # a formula is paid once, so nothing is provisional
    _close(season, olga)
    assert _points(season) == {"ann": (17, 0), "ben": (4, 0)}
    assert audit(_run(season)).sentences == []


def test_of_polymorphs_from_worst_to_best_one_is_paid(season, participant, olga):
    _placed(*((participant, stretched(1 + 0.3 * n), -0.10 - 0.03 * n) for n in range(4)))

    _close(season, olga)

    run = _run(season)
    assert ScoreEntry.objects.filter(run=run, reason="paid").count() == 1
    lowest = ScoreEntry.objects.get(run=run, reason="paid").phase
    assert lowest.energy_per_atom == min(
        Phase.objects.filter(run=run, formula="AuCu3").values_list("energy_per_atom", flat=True)
    )


def test_a_find_that_another_s_withdrawal_pushed_off_the_hull_is_not_paid(season, join_as, olga):
    """Until the close it kept what was provisional; then the hull decides."""
    ann, ben, eve = (join_as(name) for name in ("ann", "ben", "eve"))
    first, _, refining = _placed((ann, alloy(), -0.100), (eve, stretched(1.3), -0.103), (ben, alloy(), -0.108))
    ask(Candidate.objects.filter(pk=refining.pk), by=ben.user)
    place_waiting(season.pk)
    assert _points(season)["ann"][1] > 0

    _close(season, olga)

    assert "paid" not in ScoreEntry.objects.filter(candidate=first).values_list("reason", flat=True)
    assert _points(season)["ann"][1] == 0


def test_what_was_paid_is_taken_back_with_a_withdrawal_and_the_heir_is_paid_next(season, join_as, olga):
    ann, ben = join_as("ann"), join_as("ben")
    first, _ = _placed((ann, alloy(), -0.1), (ben, alloy(), -0.0995))
    _close(season, olga)

    ask(Candidate.objects.filter(pk=first.pk), by=ann.user)
    place_waiting(season.pk)
    assert _points(season) == {"ann": (0, 0), "ben": (1, 10)}
    _placed((ben, alloy("Ag", "Al"), 0.09))
    _close(season, olga)

    assert _points(season)["ben"] == (1 + 10 + 1 + 3 * (ScoreEntry.objects.filter(reason="metastable").exists()), 0)
    assert audit(_run(season)).sentences == []


def test_it_waits_for_what_arrived_before_it_and_for_nothing_that_came_later(season, story, olga, join_as):
    slow = add_candidate(join_as("ann"), alloy("Ag", "Au"), state=CandidateState.PARSED)
    closed = rounds.close(season, by=olga)
    late = add_candidate(join_as("ann"), alloy("Al", "Au"), -0.3)
    place_waiting(season.pk)
    assert not ScoreEntry.objects.filter(round=closed).exists()

    donor = add_candidate(join_as("ann"), alloy("Ag", "Au"), -0.2)
    Candidate.objects.filter(pk=slow.pk).update(state=CandidateState.RELAXED, relaxation=donor.relaxation)
    place_waiting(season.pk)

    paid = ScoreEntry.objects.filter(run=_run(season), reason="paid")
    assert paid.filter(candidate=slow).exists()
    assert not paid.filter(candidate=late).exists()
    assert _points(season)["ann"][1] > 0


def test_another_run_pays_the_same_rounds_and_replays_are_none_the_wiser(season, story, olga, join_as):
    _close(season, olga)
    _placed((join_as("ben"), alloy("Au", "Ag"), -0.35), (join_as("ann"), stretched(1.9), -0.4))
    _close(season, olga)
    official = _run(season)

    run = open_evaluation(season, Plan(release=official.release, rules=changed_rules(official, {})))
    place.forget()
    evaluate(run)
    place.forget()

    assert rows_of(run) == rows_of(official)
    assert [one.round.number for one in run.scores.filter(reason="paid").select_related("round")] == [
        one.round.number for one in official.scores.filter(reason="paid").select_related("round")
    ]
    assert all(replay(Candidate.objects.get(pk=one.pk)).differences == () for one in story)
    make_official(run)
    assert audit(_run(season)).sentences == []


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 6))])
def test_whatever_happens_in_whatever_order_the_run_can_be_audited_and_replayed(season, join_as, olga, seed):
    """Arrivals, decisions, closes and withdrawals, drawn by chance; then another run, and each verdict again."""
    drawn = random.Random(seed)
    members = [join_as(name) for name in ("ann", "ben", "eve")]
    made = [
        lambda: bulk("Au", cubic=True),
        lambda: alloy(n=drawn.choice([1, 2])),
        lambda: stretched(drawn.choice([1.3, 1.6])),
        lambda: alloy("Au", "Cu"),
        lambda: alloy("Ag", "Al"),
    ]
    withdrawn = False
    for step in range(36):
        if step % 9 == 8:
            _close(season, olga)
        elif step % 6 == 5 and (waiting := held(_run(season)).first()):
            decide(season, [waiting.candidate_id], accepted=drawn.random() < 0.7, by=olga, reason="looked at")
        elif step % 12 == 10:
            candidate = drawn.choice(list(Candidate.objects.filter(state=CandidateState.PLACED)))
            ask(Candidate.objects.filter(pk=candidate.pk), by=candidate.batch.owner.user)
            withdrawn = True
        else:
            energy = round(drawn.uniform(-0.35, 0.05), 3)
            add_candidate(drawn.choice(members), drawn.choice(made)(), energy)
        place_waiting(season.pk)
        if drawn.random() < 0.3:
            place.forget()
    official = _run(season)
    assert withdrawn and Decision.objects.exists() and Round.objects.count() >= 3

    assert audit(official).sentences == []
    for candidate in Candidate.objects.filter(placements__run=official):
        assert replay(candidate).differences == ()
    run = open_evaluation(season, Plan(release=official.release, rules=changed_rules(official, {})))
    place.forget()
    evaluate(run)
    assert audit(run).sentences == []
    place.forget()
    make_official(run)
    assert audit(_run(season)).sentences == []


def test_an_audit_finds_what_a_close_left_open_and_a_decision_that_was_lost(season, story, olga):
    decide(season, [story[8].pk], accepted=False, by=olga, reason="an artefact")
    _close(season, olga)
    run = _run(season)
    ScoreEntry.objects.filter(run=run, reason="settled").order_by("number").update(points=-9)
    run.placements.filter(candidate=story[8]).update(decision=None)

    sentences = audit(run).sentences

    assert any("provisional points" in one for one in sentences)
    assert any(f"candidate {story[8].pk} " in one and "decided on" in one for one in sentences)


def test_a_preview_is_what_the_close_pays(season, story, olga):
    before = rows_of(_run(season))
    foreseen = rounds.preview(_run(season))
    assert rows_of(_run(season)) == before

    closed = _close(season, olga)

    assert rounds.payments(_run(season), closed) == foreseen
    assert sum(one.paid for one in foreseen) == sum(_by_reason(season, "paid", "paid_first"))


def _by_reason(season, *reasons):
    return ScoreEntry.objects.filter(run=_run(season), reason__in=reasons).values_list("points", flat=True)


def test_killed_before_any_statement_it_is_paid_once(season, story, olga):
    with transaction.atomic():
        _close(season, olga)
        expected = rows_of(_run(season))
        transaction.set_rollback(True)
    place.forget()
    rounds.close(season, by=olga)
    statement, survived = 0, False
    while not survived:
        statement += 2
        try:
            with transaction.atomic(), before_statement(statement, kill):
                place_waiting(season.pk)
            survived = True
        except Killed:
            place.forget()
    assert statement > 8
    assert rows_of(_run(season)) == expected


def test_the_sweeper_closes_what_was_planned_and_rounds_of_so_many_days(season, story, olga):
    soon = timezone.now() + timedelta(hours=1)
    rounds.plan(season, soon, by=olga)
    rounds.plan(season, soon, by=olga)
    sweep()
    assert not Round.objects.exclude(number=None).exists()
    assert AuditEntry.objects.filter(deed="plan_round").count() == 1

    Round.objects.update(planned_for=timezone.now() - timedelta(seconds=1))
    sweep()
    assert list(Round.objects.values_list("number", "by")) == [(1, olga.pk)]

    opened = timezone.now() - timedelta(days=15)
    Season.objects.filter(pk=season.pk).update(round_days=7, opens_at=opened)
    sweep()
    assert Round.objects.count() == 1  # nothing came in since
    _placed((story[0].batch.owner, alloy("Ag", "Pd"), -0.3))
    for _ in range(2):
        sweep()
    assert Round.objects.get(number=2).planned_for == opened + timedelta(days=14)
    assert AuditEntry.objects.filter(deed="close_round", who="sweeper").count() == 1
    place_waiting(season.pk)
    assert audit(_run(season)).sentences == []


def test_the_command_shows_closes_and_refuses(season, story, olga, capsys):
    call_command("close_round", season.slug, by="olga", preview=True)
    foreseen = capsys.readouterr().out
    assert not Round.objects.exists()

    call_command("close_round", season.slug, by="olga", reason="the week is over")
    assert "round 1 is closed" in capsys.readouterr().out
    place_waiting(season.pk)
    call_command("close_round", season.slug, by="olga", show=1)
    assert capsys.readouterr().out == foreseen
    call_command("close_round", season.slug, by="olga")
    assert "nothing has come in" in capsys.readouterr().out
    for options, why in (({"by": "ben"}, "neither"), ({"by": "olga", "show": 9}, "no round 9")):
        with pytest.raises(CommandError, match=why):
            call_command("close_round", season.slug, **options)
    with pytest.raises(DeedRefused, match="past"):
        rounds.plan(season, timezone.now() - timedelta(days=1), by=olga)
