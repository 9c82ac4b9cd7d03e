"""The whole way as a model: whatever workers, owners and the sweeper do and however they die, nothing is lost, nothing
doubled, and the outcome is that of an undisturbed run of the same facts."""

import hashlib
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest
from ase.build import bulk
from django.db import transaction
from django.db.models import F
from driving import cif, ordered_alloy, submit
from facts import Killed, before_statement, kill, let_expire, long_ago, rows_of
from hypothesis import HealthCheck, Phase
from hypothesis import settings as how_many
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from philately import queries
from philately.domain import comparisons, evaluations, parse, place, twins, withdrawals
from philately.domain import sweep as sweeping
from philately.domain.audits import audit
from philately.domain.intake import read_batches
from philately.domain.relax import CandidateQueue
from philately.domain.transitions import move, new_token
from philately.models import (
    Batch,
    Candidate,
    Lock,
    RelaxationFact,
    RelaxationGeometry,
    Season,
    Shard,
    Withdrawal,
)
from philately.queries.grounds import vertices_of
from philately.states import CANDIDATE_EDGES, FINAL, BatchState, CandidateState, ShardState
from validation.crystal import Crystal
from validation.relaxation import Stopped
from validation.rules import Rules

S = CandidateState


def _pool():
    """Texts of structures that share formulas and phases, of twins, and of what is no structure."""
    cu3au = ordered_alloy("Cu", "Au", lattice_ang=3.7)
    return [
        cif(cu3au),
        cif(cu3au * (2, 1, 1)),
        cif(ordered_alloy("Cu", "Au", lattice_ang=3.78)),
        cif(ordered_alloy("Cu", "Au", lattice_ang=3.8, n_minority=2)),
        cif(ordered_alloy("Au", "Cu", lattice_ang=3.9)),
        cif(ordered_alloy("Ag", "Pd", lattice_ang=4.0)),
        cif(ordered_alloy("Ag", "Pd", lattice_ang=4.0, n_minority=2)),
        cif(bulk("Ni")),
        "no structure at all",
    ]


def _closure():
    """Where a candidate may be after any number of steps."""
    reached = {state: {state} for state in S}
    for _ in S:
        for source, target in CANDIDATE_EDGES:
            for known in reached.values():
                if source in known:
                    known.add(target)
    return reached


POOL, REACHED = _pool(), _closure()
SOME = st.integers(0, 5)
STATEMENTS = st.one_of(st.none(), st.integers(1, 60))  # before which of them the process is killed


def _fact(row):
    """What a judge makes of a structure: depends on the structure alone. One in five does not converge."""
    number = int(hashlib.sha256(row.content_hash.encode()).hexdigest()[:8], 16)
    crystal = Crystal.unpack(row.detail.geometry)
    fact, is_new = RelaxationFact.objects.get_or_create(
        initial_hash=row.content_hash,
        scale=row.season.scale,
        defaults={
            "made_for": row.batch,
            "formula": row.formula,
            "n_sites": len(crystal),
            "stopped": Stopped.CONVERGED if number % 5 else Stopped.MAX_STEPS,
            "energy_per_atom": -0.3 + 0.4 * (number % 1000) / 1000,
            "fmax_ev_per_ang": 0.0 if number % 5 else 1.0,
            "smax_ev_per_ang3": 0.0,
            "rmsd_ang": 0.0,
            "volume_change": 0.0,
            "steps": 1,
            "seconds": 0.1,
            "provenance": {"device": "cpu", "versions": {}},
        },
    )
    if is_new:
        RelaxationGeometry.objects.create(relaxation=fact, crystal=crystal.pack(), forces=b"", stress=b"", history=b"")
    return fact


class Life(RuleBasedStateMachine):
    """Two participants, any number of workers of each kind, an organiser and the sweeper."""

    members = ()
    folder = Path()
    configure = None
    held = Bundle("held")  # tokens of relax workers

    @initialize(someone_withdraws=st.booleans())
    def begin(self, someone_withdraws):
        self.someone_withdraws = someone_withdraws
        self._point = transaction.savepoint()
        type(self).n_examples += 1
        self.configure.MEDIA_ROOT = self.folder / f"files-{self.n_examples}"
        comparisons._crystal.cache_clear()
        vertices_of.cache_clear()
        place.forget()
        self.season = Season.objects.get()
        self.queue = CandidateQueue(self.season.scale_id)
        self.sent = {}  # structures of each batch, by its key
        self.before = {}  # states by key
        self.owner_of_arrival = {}
        self.n_uploads = 0

    def teardown(self):
        if not hasattr(self, "season"):
            return
        try:
            self._drain()
            self._all_is_well()
        finally:
            transaction.savepoint_rollback(self._point)

    def _until(self, statement, deed, *arguments):
        """Do it, or be killed before one of its statements."""
        if statement is None:
            deed(*arguments)
            return
        with suppress(Killed), before_statement(statement, kill):
            deed(*arguments)
        if deed is place.place_waiting:
            place.forget()  # what died keeps nothing in memory
        let_expire(Lock.objects.exclude(token=""))
        let_expire(Shard.objects.exclude(lease=None))

    @rule(who=st.integers(0, 1), which=st.lists(st.integers(0, len(POOL) - 1), min_size=1, max_size=7))
    def upload(self, who, which):
        self.n_uploads += 1
        texts = {f"{self.n_uploads}-{place}.cif": POOL[number] for place, number in enumerate(which)}
        self.sent[submit(self.members[who], texts).pk] = len(texts)

    @rule(statement=STATEMENTS)
    def intake(self, statement):
        self._until(statement, read_batches, self.season.pk)

    @rule(number=SOME, statement=STATEMENTS)
    def parse(self, number, statement):
        if shards := list(Shard.objects.filter(state=ShardState.WAITING).order_by("pk")):
            self._until(statement, parse.parse_next, shards[number % len(shards)].pk)

    @rule(statement=STATEMENTS)
    def settle(self, statement):
        self._until(statement, twins.settle, self.season.pk)

    @rule(target=held, n=st.integers(1, 4))
    def claim(self, n):
        token = new_token()
        self.queue.claim(list(self.queue.in_order().values_list("pk", flat=True)[:n]), token)
        return token

    @rule(token=held)
    def finish(self, token):
        rows = self._in_hand(token)[:2]
        assert self._finish(rows) == {row.pk for row in rows}

    @rule(token=held)
    def fail(self, token):
        for row in self._in_hand(token)[:1]:
            self.queue.fail(row, RuntimeError("ours"), token)

    @rule(token=held)
    def give_back(self, token):
        self.queue.give_back([row.pk for row in self._in_hand(token)], token)

    @rule(token=held)
    def die(self, token):
        """And come back after the sweeper was there, which changes nothing any more."""
        rows = self._in_hand(token)
        let_expire(Candidate.objects.filter(lease=token))
        sweeping.sweep()
        assert not self._finish(rows)

    @rule(statement=STATEMENTS)
    def place(self, statement):
        self._until(statement, place.place_waiting, self.season.pk)

    @precondition(lambda self: self.someone_withdraws)
    @rule(number=SOME)
    def withdraw(self, number):
        keys = list(Candidate.objects.order_by("pk").values_list("pk", flat=True))
        if keys:
            candidate = Candidate.objects.filter(pk=keys[number * 7 % len(keys)])
            withdrawals.ask(candidate, by=candidate.get().batch.owner.user)

    @rule()
    def sweep(self):
        long_ago(Candidate.objects.filter(state=S.FAILED), days=1)
        sweeping.sweep()

    @rule()
    def do_again(self):
        """As an organiser has it done who found what was wrong."""
        for candidate in Candidate.objects.filter(state=S.SET_ASIDE):
            Season.objects.update(next_arrival=F("next_arrival") + 1)
            target = S.PARSED if candidate.content_hash else S.RECEIVED
            if target == S.RECEIVED:
                Shard.objects.filter(pk=candidate.shard_id).update(state=ShardState.WAITING, attempts=0)
            changes = {"arrival": Season.objects.get().next_arrival - 1, "attempts": 0, "is_rerun": True}
            move(Candidate.objects.filter(pk=candidate.pk), S.SET_ASIDE, target, **changes, failed_in="")

    @invariant()
    def each_is_where_an_edge_leads(self):
        if not hasattr(self, "season"):
            return
        states = dict(Candidate.objects.values_list("pk", "state"))
        assert states.keys() >= self.before.keys()
        for key, state in self.before.items():
            assert states[key] in REACHED[S(state)], f"{state} → {states[key]}"
        self.before = states

    @invariant()
    def nothing_is_lost_or_doubled(self):
        if not hasattr(self, "season"):
            return
        in_batches = Counter(Candidate.objects.values_list("batch", flat=True))
        for batch in Batch.objects.all():
            assert in_batches[batch.pk] == batch.n_released <= self.sent[batch.pk]
            assert batch.n_counted in (None, self.sent[batch.pk])
            if batch.state == BatchState.READ:
                assert batch.n_released == self.sent[batch.pk]

    @invariant()
    def an_arrival_number_is_one_candidate_s_for_ever(self):
        if not hasattr(self, "season"):
            return
        following = Season.objects.get().next_arrival
        for key, arrival in Candidate.objects.values_list("pk", "arrival"):
            assert self.owner_of_arrival.setdefault(arrival, key) == key
            assert arrival < following

    @invariant()
    def leases_are_held_while_relaxing_and_twins_parked_under_somebody_alive(self):
        if not hasattr(self, "season"):
            return
        assert not Candidate.objects.exclude(state=S.RELAXING).exclude(lease=None).exists()
        fallen = Candidate.objects.filter(state=S.PARKED, twin_of__state__in=[S.WITHDRAWN, S.SET_ASIDE, S.CHECKED])
        assert not fallen.exists()

    @invariant()
    def pages_count_the_rows(self):
        if not hasattr(self, "season"):
            return
        for batch in Batch.objects.select_related("season__official_run", "season__scale")[:2]:
            n = batch.candidates.count()
            progress = queries.progress_of(batch)
            assert progress.total == n == sum(step.count for step in progress.steps)
            assert sum(count for _, count in queries.tallies_of(batch).outcomes) == n

    def _in_hand(self, token):
        mine = Candidate.objects.filter(lease=token).order_by("arrival")
        return list(mine.select_related("detail", "season__official_run", "season__scale", "batch"))

    def _finish(self, rows):
        return self.queue.commit([(row, _fact(row)) for row in rows])

    def _drain(self):
        for _ in range(60):
            read_batches(self.season.pk)
            for shard in Shard.objects.filter(state=ShardState.WAITING).order_by("pk"):
                parse.parse_shard(shard.pk)
            twins.settle(self.season.pk)
            self.claim(100)
            for row in Candidate.objects.filter(state=S.RELAXING).values_list("lease", flat=True).distinct():
                self._finish(self._in_hand(row))
            place.place_waiting(self.season.pk)
            self.sweep()
            waiting = Batch.objects.filter(state=BatchState.UPLOADED)
            if not waiting.exists() and not Candidate.objects.exclude(state__in=FINAL).exists():
                return
        raise AssertionError(f"not final: {Counter(Candidate.objects.values_list('state', flat=True))}")

    def _all_is_well(self):
        place.place_waiting(self.season.pk)
        run = Season.objects.get().official_run
        assert not audit(run).sentences
        assert not Withdrawal.objects.filter(done_at=None).exists()
        taken_out = Candidate.objects.filter(state=S.WITHDRAWN, placements__run=run).exists()
        left_out = Candidate.objects.filter(state=S.PARKED, placements__run=run).exists()
        if taken_out or left_out or not Candidate.objects.filter(state=S.PLACED).exists():
            return  # what was taken out later leaves traces in the log, which an undisturbed run does not have
        again = evaluations.open_evaluation(
            self.season, evaluations.Plan(release=run.release, rules=Rules.from_json(run.rules))
        )
        evaluations.evaluate(again)
        type(self).n_compared += 1
        official, undisturbed = rows_of(run), rows_of(again)
        for name in ("placements", "phases", "log", "hull", "scores"):
            assert official[name] == undisturbed[name], name


def _run(season, join_as, tmp_path, django_settings, **how):
    django_settings.SHARD_SIZE, django_settings.RELEASE_AHEAD = 3, 6
    django_settings.RETRY_AFTER_S = 0.0
    django_settings.DUMP_DIR.mkdir()
    Life.members = (join_as("ann"), join_as("ben"))
    Life.folder, Life.configure, Life.n_examples, Life.n_compared = tmp_path, django_settings, 0, 0
    run_state_machine_as_test(
        Life,
        settings=how_many(
            phases=[Phase.generate], deadline=None, suppress_health_check=[*HealthCheck], print_blob=True, **how
        ),
    )
    assert Life.n_compared >= Life.n_examples // 5


def test_whatever_happens_nothing_is_lost_or_doubled_and_the_outcome_is_the_same(season, join_as, tmp_path, settings):
    _run(season, join_as, tmp_path, settings, max_examples=5, stateful_step_count=25, derandomize=True)


@pytest.mark.slow
def test_whatever_happens_in_many_long_stories_nothing_is_lost_or_doubled(season, join_as, tmp_path, settings):
    _run(season, join_as, tmp_path, settings, max_examples=60, stateful_step_count=40)
