"""Evaluations: another run of a season from the same facts, and making it the official one."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef
from django.db.models.functions import Now

from philately.domain import auditors, bulk
from philately.domain.audit_log import About, Deed, record
from philately.domain.locks import Hold, LockLost, lock
from philately.domain.occasions import following
from philately.domain.place import Faulty, leave, place_chunk, taken_up
from philately.domain.runs import open_run
from philately.domain.transitions import move
from philately.domain.withdrawals import carry_out_placed
from philately.models import (
    Candidate,
    HullAudit,
    HullPoint,
    LogEntry,
    Phase,
    Placement,
    Release,
    Run,
    RunAuditor,
    RunExclusion,
    ScoreEntry,
    Season,
    User,
)
from philately.queries.opinions import releases_of
from philately.states import CandidateState
from validation.rules import Rules

_TOLD = 1000  # keys in an entry of the audit log
_DELETED = 2000  # rows a transaction
_PHASES_DELETED = 20_000  # of a run at most: each is looked for in all points and log entries

# Rules that decide in phase 3. The others decided before, and what they decided is a fact.
OF_PLACEMENT = frozenset(
    {
        "duplicate",
        "duplicate_window_ev_per_atom",
        "refine_ev_per_atom",
        "max_formation_energy_ev_per_atom",
        "held_below_reference_ev_per_atom",
        "held_formation_energy_ev_per_atom",
        "held_on_arrival_ev_per_atom",
        "held_auditor_difference_ev_per_atom",
        "stable_on_arrival_ev_per_atom",
        "metastable_ev_per_atom",
        "points",
    }
)


class EvaluationRefused(Exception):
    """A run cannot be made, gone on with or made official like this; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How another run differs from the official one, and who wants it why."""

    release: Release
    rules: Rules
    without: Iterable[int] = ()  # keys of candidates, beside those that the official run leaves out
    readmit: Iterable[int] = ()  # keys of such of them as take part again
    reason: str = ""
    by: User | None = None
    auditors: Sequence[Release] | None = None  # of second judges; None: those of the official run
    deed: Deed = Deed.NEW_RUN


def changed_rules(run: Run, changes: Mapping[str, Any]) -> Rules:
    """The run's rules with some of them changed, parts of a rule included. Raises EvaluationRefused."""
    changed = dict(run.rules)
    for name, value in changes.items():
        parts = changed.get(name)
        changed[name] = {**parts, **value} if isinstance(parts, dict) and isinstance(value, dict) else value
    try:
        before, after = Rules.from_json(run.rules), Rules.from_json(changed)
    except (TypeError, ValueError) as error:
        raise EvaluationRefused(f"these rules cannot be used: {error}") from error
    settled = [
        rule.name
        for rule in fields(Rules)
        if rule.name not in OF_PLACEMENT and getattr(before, rule.name) != getattr(after, rule.name)
    ]
    if settled:
        raise EvaluationRefused(f"{', '.join(settled)}: decided before placement, and stays as it was")
    return after


def open_evaluation(season: Season, plan: Plan) -> Run:
    """A run in which nothing is placed yet. Raises EvaluationRefused."""
    wanted, readmitted = set(plan.without), set(plan.readmit)
    mine = set(Candidate.objects.filter(season=season, pk__in=wanted).values_list("pk", flat=True))
    if unknown := sorted(wanted - mine):
        raise EvaluationRefused(f"{season} has no candidate {', '.join(map(str, unknown))}")
    before = {row.candidate_id: row for row in RunExclusion.objects.filter(run=season.official_run_id)}
    if strange := sorted(readmitted - before.keys()):
        raise EvaluationRefused(f"the official run does not leave out candidate {', '.join(map(str, strange))}")
    if plan.release.scale_id != season.scale_id:
        raise EvaluationRefused(f"the release {plan.release} is on another scale than the season {season}")
    with transaction.atomic():
        run = open_run(season, plan.release, plan.rules, reason=plan.reason)
        second = releases_of(season.official_run) if plan.auditors is None else plan.auditors
        try:
            auditors.name(run, second)
        except auditors.AuditorRefused as refusal:
            raise EvaluationRefused(str(refusal)) from refusal
        new = [RunExclusion(run=run, candidate_id=key, reason=plan.reason, by=plan.by) for key in sorted(mine)]
        kept = [
            RunExclusion(run=run, candidate_id=key, reason=row.reason, by_id=row.by_id)
            for key, row in sorted(before.items())
            if key not in mine | readmitted
        ]
        RunExclusion.objects.bulk_create([*new, *kept], batch_size=1000)
        _write_down(run, plan, sorted(mine))
    return run


def _write_down(run: Run, plan: Plan, without: Sequence[int]) -> None:
    told = {
        "run": run.number,
        "release": run.release.name,
        "rules_digest": run.rules_digest,
        "without": list(without[:_TOLD]),
        "left_out": len(without),
        "readmit": sorted(plan.readmit),
    }
    record(plan.deed, About(season=run.season, run=run), by=plan.by, reason=plan.reason, parameters=told)


def evaluate(run: Run, *, on_progress: Callable[[int], None] = lambda placed: None) -> None:
    """Place everything whose turn it is in a run that is not official, from where it was left.

    on_progress: called after each chunk with how many that was. Raises EvaluationRefused.
    """
    with _own(run) as hold:
        _refuse_if_official(run)
        _refuse_discarded(run)
        _catch_up(run, hold, on_progress)


def make_official(run: Run, *, by: User | None = None, reason: str = "", wait_s: float = 600.0) -> Run | None:
    """Let the season's pages and its sequencer go on with this run; returns the one that was official.

    The sequencer waits meanwhile, and what was placed since is placed here first. Raises EvaluationRefused.
    """
    with _own(run) as own, _sequencer(run.season_id, wait_s) as sequencer:
        _refuse_if_official(run)
        _refuse_discarded(run)
        both = _Both((own, sequencer))
        _catch_up(run, both)
        with _lock_or_refusal(), transaction.atomic():
            both.confirm()
            before = _swap(run)
            told = {"before": before and before.number, "after": run.number}
            about = About(season=run.season, run=run)
            record(Deed.OFFICIAL_RUN, about, by=by, reason=reason or run.reason, outcome=told)
    leave()  # so that the sequencer, which may be another process, takes it up quickly
    return before


@dataclass(frozen=True, slots=True)
class _Both:
    """Locks that are kept and lost together."""

    holds: tuple[Hold, ...]

    def keep(self) -> None:
        for hold in self.holds:
            hold.keep()

    def confirm(self) -> None:
        for hold in self.holds:
            hold.confirm()


@contextmanager
def _own(run: Run) -> Iterator[Hold]:
    with lock(f"run:{run.pk}") as hold:
        if hold is None:
            raise EvaluationRefused(f"another process is at {run}")
        yield hold


@contextmanager
def _sequencer(season_id: int, wait_s: float) -> Iterator[Hold]:
    """The sequencer's lock, waited for."""
    until = time.monotonic() + wait_s
    while True:
        with lock(f"place:{season_id}") as hold:
            if hold is not None:
                yield hold
                return
        if time.monotonic() > until:
            raise EvaluationRefused("the sequencer is busy; try again later")
        time.sleep(0.2)


@contextmanager
def _lock_or_refusal() -> Iterator[None]:
    try:
        yield
    except LockLost as lost:
        raise EvaluationRefused("another process went on with it, because this one was stopped for long") from lost


def discard(run: Run, *, by: User | None = None) -> bool:
    """Delete a run that is not official, such as a preview; nobody can go on with it from the first moment. Stopped in
    between, the same call goes on. Raises EvaluationRefused.

    False where so many phases would have to be looked for in tables without an index that they stay, with the run,
    which is marked.
    """
    with _own(run), transaction.atomic():
        _refuse_if_official(run)
        if run.discarded_at is None:
            record(Deed.DISCARD_RUN, About(season=run.season), by=by, parameters={"run": run.number})
            Run.objects.filter(pk=run.pk).update(discarded_at=Now())
    for rows in (ScoreEntry, LogEntry, Placement, HullPoint):
        _delete_all(rows, run)
    if Phase.objects.filter(run=run)[_PHASES_DELETED:].exists():
        return False
    _delete_all(Phase, run)
    with transaction.atomic():
        for few in (RunExclusion, RunAuditor, HullAudit):
            few.objects.filter(run=run).delete()
        Run.objects.filter(pk=run.pk).delete()
    return True


def _delete_all(model: Any, run: Run) -> None:
    """Some thousand rows a transaction."""
    while keys := list(model.objects.filter(run=run).values_list("pk", flat=True)[:_DELETED]):
        model.objects.filter(pk__in=keys).delete()


def _refuse_if_official(run: Run) -> None:
    if Season.objects.filter(official_run=run).exists():
        raise EvaluationRefused(f"{run} is the official one")


def _refuse_discarded(run: Run) -> None:
    if Run.objects.filter(pk=run.pk, discarded_at__isnull=False).exists():
        raise EvaluationRefused(f"{run} was a preview, and is being deleted")


def _catch_up(run: Run, hold: Hold | _Both, on_progress: Callable[[int], None] = lambda placed: None) -> None:
    run.refresh_from_db()
    bulk.make_room()
    more = True
    while more:
        try:
            with _lock_or_refusal():
                taken_out = carry_out_placed(run, hold, partial(taken_up, hold=hold), official=False)
                placed, more = place_chunk(run, hold, official=False)
                more = more or taken_out > 0
        except Faulty as fault:
            why = f"{type(fault.__cause__).__name__}: {fault.__cause__}"
            raise EvaluationRefused(f"candidate {fault.candidate} cannot be placed: {why}") from fault
        except auditors.WaitsForAuditors as waits:
            raise EvaluationRefused(str(waits)) from waits
        on_progress(placed)


def _swap(run: Run) -> Run | None:
    """Within a transaction that holds both locks, so that nobody places anything."""
    season = Season.objects.select_for_update(of=("self",)).select_related("official_run").get(pk=run.season_id)
    before = season.official_run
    if season.frozen_at is not None:
        raise EvaluationRefused(f"{season} is frozen; re-open it first")
    if before is not None and (next_one := following(run)) is not None and next_one.arrival <= before.placed_to:
        raise EvaluationRefused(f"it has not come to {next_one.what} yet: an earlier structure is under way again")
    placed = Placement.objects.filter(run=run, candidate=OuterRef("pk"))
    left_out = RunExclusion.objects.filter(run=run, candidate=OuterRef("pk"))
    mine = Candidate.objects.filter(season=season)
    move(mine.filter(Exists(placed) | Exists(left_out)), CandidateState.RELAXED, CandidateState.PLACED)
    _refuse_gaps(mine, Exists(placed), Exists(placed.filter(withdrawn_after=None)), Exists(left_out))
    season.official_run = run
    season.save(update_fields=["official_run"])
    return before


def _refuse_gaps(candidates: Any, placed: Exists, standing: Exists, left_out: Exists) -> None:
    """What is placed must have a verdict in the run, and what was withdrawn since must have none."""
    missing = candidates.filter(~placed & ~left_out, state=CandidateState.PLACED).order_by("arrival").first()
    if missing is not None:
        raise EvaluationRefused(f"{missing} has no verdict in it yet: an earlier one is under way again")
    gone = candidates.filter(standing, state=CandidateState.WITHDRAWN).order_by("arrival").first()
    if gone is not None:
        raise EvaluationRefused(f"{gone} was withdrawn in between; try again")
