"""Owners take candidates back: before placement at once, after it by the sequencer; the hull is as if the phase had
never been, and nobody else loses a point."""

from collections import defaultdict

import pyarrow.parquet as pq
import pytest
from ase.build import bulk
from django.core.management import CommandError, call_command
from django.db import transaction
from driving import ordered_alloy
from facts import Killed, add_batch, add_candidate, before_statement, bells, kill, let_expire, rows_of
from stories import STORY, alloy, stretched, warm_hull

from philately.domain import place
from philately.domain.audits import audit
from philately.domain.dumps import dump_season
from philately.domain.hull_snapshots import load_or_rebuild, save
from philately.domain.place import place_waiting
from philately.domain.replays import replay
from philately.domain.runs import hull_of
from philately.domain.sweep import sweep
from philately.domain.withdrawals import WithdrawalRefused, ask, unsettled
from philately.models import (
    Candidate,
    Lock,
    LogEntry,
    Phase,
    Placement,
    RelaxationFact,
    Run,
    ScoreEntry,
    Withdrawal,
)
from philately.states import CandidateState, PhaseStatus, Role
from validation.scoring import PointsFor

S = CandidateState


@pytest.fixture(autouse=True)
def _cold():
    place.forget()


@pytest.fixture
def story(season, join_as):
    """Placed, all of them."""
    candidates = [add_candidate(join_as(name), atoms, energy) for atoms, energy, name in STORY]
    place_waiting(season.pk)
    return candidates


def _placed(*arrivals):
    """(membership, atoms, eV/atom) in order of arrival."""
    candidates = [add_candidate(member, atoms, energy) for member, atoms, energy in arrivals]
    place_waiting(arrivals[0][0].season_id)
    return candidates


def _withdraw(*candidates, **changes):
    """By their owner, who is one and the same."""
    ask(_rows(*candidates), **{"by": candidates[0].batch.owner.user, **changes})
    place_waiting(candidates[0].season_id)


def _rows(*candidates):
    return Candidate.objects.filter(pk__in=[one.pk for one in candidates])


def _run(season) -> Run:
    return Run.objects.select_related("release", "scale").get(pk=season.official_run_id)


def _points(season):
    """By member's name."""
    points = defaultdict(float)
    for name, worth in ScoreEntry.objects.filter(run=_run(season)).values_list("member__user__username", "points"):
        points[name] += worth
    return points


def _reasons(candidate):
    return list(ScoreEntry.objects.filter(candidate=candidate).order_by("number").values_list("reason", flat=True))


def _log_of(candidate):
    log = LogEntry.objects.filter(withdrawal__candidate=candidate).order_by("position")
    return list(log.values_list("kind", "phase__number", "by__number"))


def _check(season):
    """The rows are those of the hull built again, from the sequencer's memory as from the disk and from the rows."""
    run = _run(season)
    assert audit(run).sentences == []
    assert [str(point) for point in hull_of(run).points()] == [str(point) for point in warm_hull(run).points()]


def _state(candidate):
    return Candidate.objects.get(pk=candidate.pk).state


class TestTheOnlyOneOfItsPhase:
    def test_leaves_record_and_hull_and_what_it_kept_off_comes_back(self, season, join_as):
        ann, ben = join_as("ann"), join_as("ben")
        kept_off, gone = _placed((ben, alloy(), -0.10), (ann, stretched(1.3), -0.20))
        before = _points(season)

        _withdraw(gone)

        phase = Phase.objects.get(first_candidate=gone)
        back = Phase.objects.get(first_candidate=kept_off)
        assert (_state(gone), phase.status) == (S.WITHDRAWN, PhaseStatus.WITHDRAWN)
        assert _log_of(gone) == [
            ("withdrawn", phase.number, None),
            ("restored", back.number, phase.number),
            ("dethroned", phase.number, None),
        ]
        assert _points(season) == {"ann": 0, "ben": before["ben"] + 10}
        assert _reasons(kept_off)[-1] == PointsFor.BACK_ON_HULL
        _check(season)

    def test_takes_its_composition_along(self, season, participant):
        (gone,) = _placed((participant, alloy(), -0.10))
        assert _run(season).hull_points.filter(formula="AuCu3").exists()

        _withdraw(gone)

        assert not _run(season).hull_points.filter(formula="AuCu3").exists()
        _check(season)

    def test_of_any_verdict_leaves_a_hull_that_is_built_again_from_the_rows(self, season, story):
        for candidate in story:
            others = _points(season)
            others.pop(candidate.batch.owner.user.username)
            with transaction.atomic():
                place.forget()
                _withdraw(candidate)
                _check(season)
                now = _points(season)
                assert all(now[name] >= points for name, points in others.items())
                assert not sum(_worth(candidate))
                transaction.set_rollback(True)

    def test_all_of_them_in_turn_leave_the_hull_of_the_release(self, season, story):
        run = _run(season)
        hull = {str(point) for point in hull_of(run).points()}
        assert len(hull) > run.release.n_phases

        for candidate in story:
            _withdraw(candidate)
            _check(season)

        assert len(hull_of(run)) == run.release.n_phases
        assert set(_points(season).values()) == {0}
        assert not Phase.objects.filter(run=run, release_phase=None).exclude(status=PhaseStatus.WITHDRAWN).exists()

    def test_may_be_found_again_and_is_a_new_find(self, season, join_as):
        (gone,) = _placed((join_as("ann"), alloy(), -0.10))
        _withdraw(gone)

        (again,) = _placed((join_as("ben"), alloy(), -0.10))

        assert Placement.objects.get(candidate=again).verdict == "stable"
        assert _points(season)["ben"] == 11  # its system is open already
        _check(season)

    def test_leaves_its_relaxation_its_verdict_and_its_log(self, season, participant):
        (gone,) = _placed((participant, alloy(), -0.10))
        facts, verdicts, log = (rows.objects.count() for rows in (RelaxationFact, Placement, LogEntry))

        _withdraw(gone)

        assert (RelaxationFact.objects.count(), Placement.objects.count()) == (facts, verdicts)
        assert LogEntry.objects.filter(withdrawal=None).count() == log
        assert replay(Candidate.objects.get(pk=gone.pk)).differences == ()


def _worth(candidate):
    return ScoreEntry.objects.filter(candidate=candidate).values_list("points", flat=True)


class TestOneOfSeveral:
    def test_a_duplicate_changes_nothing_but_its_own_state(self, season, story):
        before = rows_of(season.official_run)

        _withdraw(story[1])

        assert _state(story[1]) == S.WITHDRAWN
        after = rows_of(season.official_run)
        assert {name: rows for name, rows in after.items() if name != "candidates"} == {
            name: rows for name, rows in before.items() if name != "candidates"
        }
        _check(season)

    def test_a_find_goes_to_its_earliest_duplicate_whose_points_begin_from_there(self, season, join_as):
        ann, ben, eve = (join_as(name) for name in ("ann", "ben", "eve"))
        first, second, _ = _placed((ann, alloy(), -0.1), (ben, alloy(), -0.0995), (eve, alloy(), -0.1015))
        assert dict(_points(season)) == {"ann": 16}

        _withdraw(first)

        phase = Phase.objects.get(run=_run(season), first_candidate=second)
        assert dict(_points(season)) == {"ann": 0, "ben": 11}
        assert _reasons(second) == ["unique", "back_on_hull"]
        assert phase.energy_per_atom == pytest.approx(-0.1015)  # the lowest that is left
        assert [kind for kind, *_ in _log_of(first)] == ["replaced", "inherited"]
        _check(season)

    def test_a_find_that_another_refined_keeps_the_refined_energy(self, season, join_as):
        ann, ben = join_as("ann"), join_as("ben")
        first, refining = _placed((ann, alloy(), -0.1), (ben, alloy(), -0.105))

        _withdraw(first)

        phase = Phase.objects.get(run=_run(season), first_candidate=refining)
        assert (phase.energy_per_atom, phase.candidate) == (pytest.approx(-0.105), refining)
        assert dict(_points(season)) == {"ann": 0, "ben": 11}
        _check(season)

    def test_a_refinement_that_is_taken_back_raises_the_phase_again_and_its_finder_keeps_what_was_given(
        self, season, join_as
    ):
        """The phase came onto the hull by the refinement and leaves it again; another's points stay."""
        ann, ben, eve = (join_as(name) for name in ("ann", "ben", "eve"))
        first, refining, other = _placed((ann, alloy(), -0.100), (eve, stretched(1.3), -0.103), (ben, alloy(), -0.108))
        refining, other = other, refining
        before = _points(season)
        assert "back_on_hull" in _reasons(first)
        phase = Phase.objects.get(run=_run(season), first_candidate=first)

        _withdraw(refining)

        phase.refresh_from_db()
        assert (phase.energy_per_atom, phase.candidate) == (pytest.approx(-0.1), first)
        rival = Phase.objects.get(first_candidate=other).number
        assert _log_of(refining) == [
            ("replaced", phase.number, None),
            ("restored", rival, phase.number),
            ("dethroned", phase.number, None),
        ]
        assert dict(_points(season)) == {"ann": before["ann"], "eve": before["eve"] + 10}
        _check(season)

    def test_one_who_takes_an_own_refinement_back_keeps_nothing_for_it(self, season, join_as):
        ann, eve = join_as("ann"), join_as("eve")
        first, _, refining = _placed((ann, alloy(), -0.100), (eve, stretched(1.3), -0.103), (ann, alloy(), -0.108))
        assert _reasons(first)[-1] == "back_on_hull"

        _withdraw(refining)

        assert _reasons(first)[-1] == "dethroned"
        _check(season)

    def test_a_phase_of_the_release_goes_back_to_what_the_release_says(self, season, participant):
        gold = Phase.objects.get(run=_run(season), formula="Au")
        published = gold.energy_per_atom
        wide, lower = _placed(
            *((participant, bulk("Au", "fcc", a=4.06), published - below) for below in (0.003, 0.009))
        )

        _withdraw(lower)
        gold.refresh_from_db()
        assert (gold.energy_per_atom, gold.candidate) == (pytest.approx(published - 0.003), wide)
        _check(season)

        _withdraw(wide)
        gold.refresh_from_db()
        assert (gold.energy_per_atom, gold.candidate) == (published, None)
        assert gold.formation_energy_per_atom == pytest.approx(0, abs=1e-12)
        assert dict(_points(season)) == {}
        _check(season)

    def test_where_only_a_held_refinement_is_left_the_phase_waits_for_an_organiser(self, season, participant):
        compound = alloy("Ag", "Al")
        (found,) = _placed((participant, compound, -0.1))
        run = _run(season)
        run.rules["held_formation_energy_ev_per_atom"] = Placement.objects.get().formation_energy_per_atom - 0.003
        run.save()
        place.forget()
        (held,) = _placed((participant, compound, -0.107))
        assert Placement.objects.get(candidate=held).verdict == "held"

        _withdraw(found)

        phase = Phase.objects.get(run=_run(season), first_candidate=held)
        assert (phase.status, phase.energy_per_atom) == (PhaseStatus.HELD, pytest.approx(-0.107))
        assert set(_points(season).values()) == {0}
        _check(season)


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
            assert ask(_rows(candidate), by=participant.user) == 1

        assert _state(candidate) == S.WITHDRAWN
        assert Withdrawal.objects.get(candidate=candidate).done_at is not None
        assert ("place", participant.season_id) in bells("place")

    def test_its_twins_are_promoted(self, participant):
        original = add_candidate(participant, alloy(), state=S.PARSED)
        heir, other = (
            add_candidate(participant, alloy(), state=S.PARKED, twin_of=original, reason="TWIN") for _ in range(2)
        )

        ask(_rows(original), by=participant.user)

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
        ask(_rows(candidate), by=participant.user)
        assert (_state(candidate), Withdrawal.objects.get().done_at) == (S.RELAXING, None)
        sweep()
        place_waiting(participant.season_id)
        assert _state(candidate) == S.RELAXING

        Candidate.objects.filter(pk=candidate.pk).update(state=S.PARSED, lease=None, lease_until=None)
        bells("place")
        with django_capture_on_commit_callbacks(execute=True):
            sweep()
        assert ("place", participant.season_id) in bells("place")
        place_waiting(participant.season_id)

        assert _state(candidate) == S.WITHDRAWN
        assert not Placement.objects.exists()

    def test_one_that_was_relaxed_meanwhile_is_never_placed(self, participant):
        candidate = add_candidate(participant, alloy(), -0.1)
        Withdrawal.objects.create(season=candidate.season, candidate=candidate, by=participant.user)

        place_waiting(participant.season_id)

        assert (_state(candidate), Placement.objects.count()) == (S.WITHDRAWN, 0)


def test_whether_anybody_withdraws_is_asked_without_a_look_at_candidates(participant):
    for _ in range(40):
        add_candidate(participant, alloy(), -0.1)
    waiting = unsettled(participant.season_id)

    plans = waiting[:1].explain(), waiting.exclude(candidate__state=S.RELAXING)[:1].explain()

    for plan in plans:  # a sequencer asks before each chunk, of a season with a million candidates
        assert "withdrawal_waits" in plan
        assert "candidate_" not in plan.replace("candidate_id", "")  # no index of theirs but their own key


def test_the_twins_of_one_that_was_placed_are_promoted(season, participant):
    (original,) = _placed((participant, alloy(), -0.1))
    twin = add_candidate(participant, alloy(), state=S.PARKED, twin_of=original, reason="TWIN")

    _withdraw(original)

    twin.refresh_from_db()
    assert (twin.state, twin.twin_of) == (S.PARSED, None)


def test_twice_is_once(season, story):
    _withdraw(story[0])
    before = rows_of(season.official_run), Withdrawal.objects.values_list("pk", "done_at").get()

    assert ask(_rows(story[0]), by=story[0].batch.owner.user) == 0
    assert place_waiting(season.pk) == 0

    assert (rows_of(season.official_run), Withdrawal.objects.values_list("pk", "done_at").get()) == before


@pytest.mark.parametrize("number", [0, 2, 4])
def test_killed_before_any_statement_it_comes_out_the_same(season, story, number):
    ask(_rows(story[number]), by=story[number].batch.owner.user)
    with transaction.atomic():
        place_waiting(season.pk)
        expected = rows_of(season.official_run)
        transaction.set_rollback(True)
    statement, alive = 1, False
    while not alive:
        with transaction.atomic():
            place.forget()
            alive = _survives(lambda: place_waiting(season.pk), statement)
            let_expire(Lock.objects.all())
            place_waiting(season.pk)
            assert rows_of(season.official_run) == expected, statement
            transaction.set_rollback(True)
        statement += 2
    assert statement > 30


def test_killed_while_the_wish_is_recorded_it_is_recorded_again(season, story, participant):
    waiting = add_candidate(participant, alloy("Ni", "Pd"), state=S.PARSED)
    mine = [waiting, story[0], story[5]]
    statement, alive = 1, False
    while not alive:
        with transaction.atomic():
            place.forget()
            alive = _survives(lambda: ask(_rows(*mine), by=participant.user), statement)
            ask(_rows(*mine), by=participant.user)
            place_waiting(season.pk)
            assert {_state(one) for one in mine} == {S.WITHDRAWN}, statement
            transaction.set_rollback(True)
        statement += 1
    assert statement > 10


def _survives(deed, statement):
    """Whether a deed ends before the statement at which it is killed."""
    try:
        with before_statement(statement, kill):
            deed()
    except Killed:
        return False
    return True


def test_asked_at_any_moment_of_a_chunk_it_is_out_and_all_others_are_placed(season, join_as):
    """Either it was placed first and was taken out after, or it never was."""
    story = [add_candidate(join_as(name), atoms, energy) for atoms, energy, name in STORY]
    mine = story[-1]
    others = [one.pk for one in story[:-1]]
    with before_statement(0, kill) as seen, transaction.atomic():
        place_waiting(season.pk)
        transaction.set_rollback(True)

    for statement in range(1, len(seen) + 1, 2):
        with transaction.atomic():
            place.forget()
            with before_statement(statement, lambda: ask(_rows(mine), by=mine.batch.owner.user)):
                place_waiting(season.pk)
            place_waiting(season.pk)
            if not Withdrawal.objects.exists():  # asked inside of the chunk's transaction, which was rolled back
                transaction.set_rollback(True)
                continue
            assert _state(mine) == S.WITHDRAWN, statement
            assert set(Placement.objects.filter(withdrawn_after=None).values_list("candidate", flat=True)) == set(
                others
            )
            _check(season)
            transaction.set_rollback(True)


def test_a_sequencer_that_lost_its_lock_takes_nothing_out(season, story):
    ask(_rows(story[4]), by=story[4].batch.owner.user)
    before = rows_of(season.official_run)
    for number in range(9, 13):
        place.forget()
        with before_statement(number, lambda: Lock.objects.filter(name__startswith="place").update(token="another")):
            place_waiting(season.pk)
        assert rows_of(season.official_run) == before
        let_expire(Lock.objects.all())

    place_waiting(season.pk)
    assert _state(story[4]) == S.WITHDRAWN


def test_a_snapshot_from_before_and_the_rows_after_are_the_hull_of_the_rows(season, story):
    """Finds that go, a refinement that goes, and what came in between."""
    run = _run(season)
    save(run, hull_of(run))
    for number in (6, 2, 0, 4):
        _withdraw(story[number])
    _placed((story[0].batch.owner, alloy("Ni", "Pd"), -0.1))

    run = _run(season)
    loaded = load_or_rebuild(run, lambda: pytest.fail("built again"))

    assert [str(point) for point in loaded.points()] == [str(point) for point in hull_of(run).points()]


def test_the_dump_no_longer_lists_it_and_names_the_finder_of_now(season, join_as, tmp_path):
    ann, ben = join_as("ann"), join_as("ben")
    inherited, heir, gone = _placed((ann, alloy(), -0.1), (ben, alloy(), -0.1), (ann, stretched(1.3), -0.2))
    _withdraw(inherited, gone)
    season.refresh_from_db()

    manifest = dump_season(season, tmp_path / "dump")

    rows = pq.read_table(tmp_path / "dump" / "phases.parquet").to_pylist()
    assert [(row["arrival"], row["participant"]) for row in rows if row["origin"] == "season"] == [
        (heir.arrival, "ben")
    ]
    assert manifest["run"]["log_position"] == _run(season).log_position


def test_an_audit_finds_what_was_withdrawn_and_not_taken_out(season, story):
    Candidate.objects.filter(pk=story[0].pk).update(state=S.WITHDRAWN)

    (sentence,) = audit(_run(season)).sentences

    assert "rebuilt withdrawn" in sentence


def test_verdicts_before_and_after_a_withdrawal_are_replayed_alike(season, join_as):
    ann, ben = join_as("ann"), join_as("ben")
    early = _placed((ann, alloy(), -0.1), (ben, stretched(1.3), -0.2), (ann, stretched(1.3), -0.205))
    _withdraw(early[1])
    late = _placed((ben, alloy(), -0.101), (ben, stretched(1.3), -0.204), (ann, stretched(1.6), -0.15))
    _withdraw(early[2])
    last = _placed(
        (ben, alloy("Au", "Cu"), -0.15), (ann, ordered_alloy("Cu", "Au", lattice_ang=3.8, n_minority=2), -0.1)
    )

    for candidate in (*early, *late, *last):
        assert replay(Candidate.objects.get(pk=candidate.pk)).differences == (), candidate.arrival


class TestWhoMay:
    def test_a_stranger_may_not(self, season, story, join_as):
        with pytest.raises(WithdrawalRefused, match="neither owns"):
            ask(_rows(story[0]), by=join_as("ben").user)
        assert not Withdrawal.objects.exists()

    def test_an_organiser_of_the_season_may_on_the_owner_s_behalf(self, season, story, join_as):
        organiser = join_as("olga", Role.ORGANISER).user
        assert ask(_rows(story[0], story[1]), by=organiser, reason="asked by mail") == 2

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
        assert {_state(one) for one in story[:2]} == {S.WITHDRAWN}

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
