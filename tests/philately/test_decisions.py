"""Organisers decide on what is held: a fact with a place in the order, so that every run comes to the same."""

import pytest
from ase.build import bulk
from django.core.management import CommandError, call_command
from django.db import transaction
from django.urls import reverse
from facts import Killed, add_candidate, before_statement, bells, kill, rows_of
from stories import alloy, stretched, warm_hull

from philately.domain import place
from philately.domain.audits import audit
from philately.domain.decisions import decide, held
from philately.domain.evaluations import Plan, changed_rules, evaluate, make_official, open_evaluation
from philately.domain.hull_snapshots import load_or_rebuild, save
from philately.domain.organisers import DeedRefused
from philately.domain.place import place_waiting
from philately.domain.replays import replay
from philately.domain.runs import hull_of
from philately.domain.withdrawals import ask
from philately.models import AuditEntry, Candidate, Decision, LogEntry, Phase, Placement, Run, ScoreEntry
from philately.states import CandidateState, PhaseStatus, Role

S = CandidateState
HELD = 8  # of the story: gold far below its reference


@pytest.fixture(autouse=True)
def _cold():
    place.forget()


@pytest.fixture
def olga(join_as):
    return join_as("olga", Role.ORGANISER).user


def _decide(season, olga, *candidates, accepted=True, reason="looked at"):
    season.refresh_from_db()
    found = decide(season, [one.pk for one in candidates], accepted=accepted, by=olga, reason=reason)
    place_waiting(season.pk)
    return found


def _run(season):
    season.refresh_from_db()
    return Run.objects.select_related("release", "scale").get(pk=season.official_run_id)


def _check(season):
    run = _run(season)
    assert audit(run).sentences == []
    assert [str(point) for point in hull_of(run).points()] == [str(point) for point in warm_hull(run).points()]


def _same_again(season):
    """A new run of the same facts is the same, row by row; it must be told from which sequencer's memory."""
    official = _run(season)
    run = open_evaluation(season, Plan(release=official.release, rules=changed_rules(official, {})))
    place.forget()
    evaluate(run)
    place.forget()
    assert rows_of(run) == rows_of(official)
    assert audit(run).sentences == []


def _reasons(candidate, run):
    rows = ScoreEntry.objects.filter(candidate=candidate, run=run).order_by("number")
    return list(rows.values_list("reason", flat=True))


def test_what_is_accepted_comes_onto_the_record_with_points_and_dethrones(season, story, olga):
    gold = Phase.objects.get(run=_run(season), formula="Au", release_phase__isnull=False)
    assert [one.candidate_id for one in held(_run(season))] == [story[HELD].pk]

    assert _decide(season, olga, story[HELD]).new == 1

    phase = Phase.objects.get(run=_run(season), first_candidate=story[HELD])
    placement = Placement.objects.get(run=_run(season), candidate=story[HELD])
    assert (phase.status, placement.verdict, placement.decision.reason) == (PhaseStatus.ON_RECORD, "held", "looked at")
    told = list(LogEntry.objects.filter(decision__candidate=story[HELD]).values_list("kind", "phase__number"))
    assert told[:2] == [("accepted", phase.number), ("stable", phase.number)]
    assert ("dethroned", gold.number) in told
    assert _reasons(story[HELD], _run(season)) == ["unique", "stable"]
    assert not held(_run(season))
    _check(season)
    _same_again(season)


def test_what_is_refused_stays_outside_with_its_duplicates(season, story, olga, join_as):
    ben = join_as("ben")
    again = add_candidate(ben, bulk("Au", cubic=True), -0.5)
    place_waiting(season.pk)
    before = rows_of(_run(season))

    _decide(season, olga, story[HELD], accepted=False, reason="an artefact")

    after = rows_of(_run(season))
    for rows in ("log", "hull", "scores"):
        assert after[rows] == before[rows]
    assert Phase.objects.get(run=_run(season), first_candidate=story[HELD]).status == PhaseStatus.REFUSED
    late = add_candidate(ben, bulk("Au", cubic=True), -0.5)
    place_waiting(season.pk)
    verdicts = Placement.objects.filter(run=_run(season), candidate__in=[again, late]).values_list("verdict", flat=True)
    assert set(verdicts) == {"duplicate"}
    _check(season)
    _same_again(season)


def test_its_owner_reads_why_on_the_pages(client, season, story, olga, join_as):
    url = reverse("candidate", args=[story[HELD].pk])
    duplicate = add_candidate(join_as("ben"), bulk("Au", cubic=True), -0.5)
    place_waiting(season.pk)
    client.force_login(story[HELD].batch.owner.user)

    _decide(season, olga, story[HELD], accepted=False, reason="an artefact of the judge")
    for page in (url, reverse("batch", args=[story[HELD].batch_id])):
        text = client.get(page).content.decode()
        assert "refused by an organiser" in text and "an artefact of the judge" in text
        assert "held for an organiser" not in text
    client.force_login(duplicate.batch.owner.user)
    text = client.get(reverse("candidate", args=[duplicate.pk])).content.decode()
    assert "an organiser refused that phase: an artefact of the judge" in text

    client.force_login(story[HELD].batch.owner.user)
    _decide(season, olga, story[HELD], reason="measured after all")
    text = client.get(url).content.decode()
    assert "accepted by an organiser" in text and "measured after all" in text
    assert "on the hull" in text
    listed = client.get(reverse("batch", args=[story[HELD].batch_id]), {"outcome": "accepted"}).content.decode()
    assert f'href="{url}"' in listed
    stable = client.get(reverse("stable", args=[season.slug])).content.decode()
    assert "accepted by an organiser" in stable


def test_a_refusal_may_be_taken_back_and_an_acceptance_may_not(season, story, olga):
    _decide(season, olga, story[HELD], accepted=False)
    _decide(season, olga, story[HELD])
    assert Phase.objects.get(run=_run(season), first_candidate=story[HELD]).status == PhaseStatus.ON_RECORD

    with pytest.raises(DeedRefused, match="disqualify"):
        _decide(season, olga, story[HELD], accepted=False)
    _same_again(season)


def test_twice_is_once(season, story, olga):
    _decide(season, olga, story[HELD])
    before, arrival, told = rows_of(_run(season)), season.next_arrival, AuditEntry.objects.count()

    found = _decide(season, olga, story[HELD])

    season.refresh_from_db()
    assert (found.new, found.before) == (0, 1)
    assert (rows_of(_run(season)), season.next_arrival, AuditEntry.objects.count()) == (before, arrival, told)


def test_it_waits_for_what_arrived_before_and_comes_before_what_arrived_after(season, story, olga, join_as):
    """So the speed of workers has no say in who finds what on which hull."""
    ann = join_as("ann")
    slow = add_candidate(ann, alloy("Ag", "Au"), state=S.PARSED)
    decide(season, [story[HELD].pk], accepted=True, by=olga, reason="looked at")
    late = add_candidate(ann, alloy("Al", "Au"), -0.3)
    place_waiting(season.pk)
    assert Phase.objects.get(run=_run(season), first_candidate=story[HELD]).status == PhaseStatus.HELD

    donor = add_candidate(ann, alloy("Ag", "Au"), -0.2)
    Candidate.objects.filter(pk=slow.pk).update(state=S.RELAXED, relaxation=donor.relaxation)
    place_waiting(season.pk)

    rows = Placement.objects.filter(run=_run(season)).order_by("pk").values_list("candidate", flat=True)
    decision = LogEntry.objects.filter(decision__isnull=False).order_by("position")
    positions = dict(LogEntry.objects.filter(candidate__in=[slow, late]).values_list("candidate", "position"))
    assert list(rows)[-3:-1] == [slow.pk, late.pk]
    assert positions[slow.pk] < decision.first().position <= decision.last().position < positions[late.pk]
    _check(season)
    _same_again(season)


def test_a_held_refinement_lowers_its_phase_when_it_is_accepted(season, participant, olga):
    compound = alloy("Ag", "Al")
    found = add_candidate(participant, compound, -0.1)
    place_waiting(season.pk)
    run = _run(season)
    run.rules["held_formation_energy_ev_per_atom"] = Placement.objects.get().formation_energy_per_atom - 0.003
    run.save()
    place.forget()
    lower = add_candidate(participant, compound, -0.107)
    rival = add_candidate(participant, stretched(1.3, majority="Ag", minority="Al"), -0.104)
    place_waiting(season.pk)
    assert list(Placement.objects.order_by("pk").values_list("verdict", flat=True)) == ["stable", "held", "held"]

    _decide(season, olga, rival)
    _decide(season, olga, lower)

    phase = Phase.objects.get(run=_run(season), first_candidate=found)
    assert (phase.energy_per_atom, phase.candidate, phase.status) == (pytest.approx(-0.107), lower, "on_record")
    assert LogEntry.objects.filter(decision__candidate=lower, kind="refined", phase=phase).exists()
    _check(season)
    ask(Candidate.objects.filter(pk=lower.pk), by=participant.user)  # and is a proper part of it from then on
    ask(Candidate.objects.filter(pk=found.pk), by=participant.user)
    place_waiting(season.pk)
    _check(season)


def test_what_was_accepted_may_be_withdrawn_and_replayed_around(season, story, olga, join_as):
    _decide(season, olga, story[HELD])
    between = add_candidate(join_as("ben"), alloy("Au", "Ag"), -0.35)
    place_waiting(season.pk)
    ask(Candidate.objects.filter(pk=story[HELD].pk), by=story[HELD].batch.owner.user)
    place_waiting(season.pk)
    after = add_candidate(join_as("ben"), alloy("Au", "Al"), -0.35)
    place_waiting(season.pk)

    for candidate in (*story, between, after):
        assert replay(Candidate.objects.get(pk=candidate.pk)).differences == ()
    assert Phase.objects.get(run=_run(season), first_candidate=story[HELD]).status == PhaseStatus.WITHDRAWN
    assert sum(ScoreEntry.objects.filter(candidate=story[HELD]).values_list("points", flat=True)) == 0
    _check(season)


def test_where_its_finder_withdrew_who_inherits_may_be_accepted(season, story, olga, join_as):
    heir = add_candidate(join_as("ben"), bulk("Au", cubic=True), -0.5)
    place_waiting(season.pk)
    ask(Candidate.objects.filter(pk=story[HELD].pk), by=story[HELD].batch.owner.user)
    place_waiting(season.pk)

    _decide(season, olga, heir)

    assert Phase.objects.get(run=_run(season), first_candidate=heir).status == PhaseStatus.ON_RECORD
    _check(season)


def test_a_snapshot_from_before_the_decision_goes_on_after_it(season, story, olga):
    save(_run(season), warm_hull(_run(season)))
    _decide(season, olga, story[HELD])

    def never():
        raise AssertionError("the snapshot was not used")

    loaded = load_or_rebuild(_run(season), never)

    assert [str(point) for point in loaded.points()] == [str(point) for point in hull_of(_run(season)).points()]


def test_a_run_that_does_not_hold_it_has_nothing_to_decide(season, story, olga):
    _decide(season, olga, story[HELD], accepted=False)
    official = _run(season)
    rules = changed_rules(official, {"held_below_reference_ev_per_atom": 9.0})
    run = open_evaluation(season, Plan(release=official.release, rules=rules))
    evaluate(run)
    place.forget()

    assert Placement.objects.get(run=run, candidate=story[HELD]).verdict == "stable"
    assert Placement.objects.get(run=run, candidate=story[HELD]).decision is None
    make_official(run)
    assert audit(_run(season)).sentences == []


def test_killed_before_any_statement_it_is_carried_out_by_the_next_one(season, story, olga):
    with transaction.atomic():
        _decide(season, olga, story[HELD])
        expected = rows_of(_run(season))
        transaction.set_rollback(True)
    place.forget()
    decide(season, [story[HELD].pk], accepted=True, by=olga, reason="looked at")
    statement, survived = 0, False
    while not survived:
        statement += 3
        try:
            with transaction.atomic(), before_statement(statement, kill):
                place_waiting(season.pk)
            survived = True
        except Killed:
            place.forget()
    assert statement > 10
    assert rows_of(_run(season)) == expected


def test_it_is_written_down_and_rings(season, story, olga, django_capture_on_commit_callbacks):
    bells("place")
    with django_capture_on_commit_callbacks(execute=True):
        decide(season, [story[HELD].pk], accepted=True, by=olga, reason="looked at")

    entry = AuditEntry.objects.get(deed="decide")
    assert (entry.by, entry.reason, entry.candidate, entry.season) == (olga, "looked at", story[HELD], season)
    assert entry.outcome == {"decision": "accepted", "arrival": Decision.objects.get().arrival}
    assert ("place", season.pk) in bells("place")


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"by": "ben"}, "neither organises"),
        ({"by": "nobody"}, "no user"),
        ({"reason": " "}, "say why"),
        ({"candidate": [999_999]}, "no candidate 999999"),
        ({"candidate": [0]}, "nothing is held"),
    ],
)
def test_the_command_refuses_in_one_sentence_and_changes_nothing(season, story, olga, options, why):
    season.refresh_from_db()
    before = season.next_arrival
    candidates = [story[0].pk if key == 0 else key for key in options.pop("candidate", [story[HELD].pk])]
    with pytest.raises(CommandError, match=why):
        call_command("decide", *candidates, **{"accept": True, "by": "olga", "reason": "looked at", **options})
    season.refresh_from_db()
    assert (Decision.objects.count(), season.next_arrival) == (0, before)


def test_the_commands_list_what_is_held_and_decide(season, story, olga, capsys):
    call_command("held", season.slug)
    printed = capsys.readouterr().out
    assert str(story[HELD].pk) in printed and "below the reference of its element" in printed

    call_command("decide", story[HELD].pk, reject=True, by="olga", reason="an artefact")
    place_waiting(season.pk)
    call_command("held", season.slug)
    assert "nothing is held" in capsys.readouterr().out
    with pytest.raises(CommandError, match="either"):
        call_command("decide", story[HELD].pk, by="olga", reason="an artefact")
