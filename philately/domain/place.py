"""Phase 3: one sequencer a run places what is relaxed, in order of arrival, a chunk a transaction."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Protocol, TypeVar

from django.conf import settings
from django.db import DatabaseError, transaction
from django.db.models import F

from philately.domain import (
    bulk,
    comparisons,
    hull_snapshots,
    occasions,
    outcomes,
    statistics,
    warm_folds,
    withdrawals,
)
from philately.domain.amendments import refuse_moved
from philately.domain.auditors import WaitsForAuditors, are_at_it, ask
from philately.domain.caution import Caution
from philately.domain.collector import collector_paused
from philately.domain.locks import LockLost, lock
from philately.domain.outcomes import Placed
from philately.domain.recall import Judged, finds_and_ledger, open_systems, phases_near
from philately.domain.runs import hull_of
from philately.domain.transitions import SESSION_LOST, WorkerDied, fail, move
from philately.domain.turns import Turn, Waiting, arrival_of, frontier, turn_of
from philately.logs import carries
from philately.models import Candidate, Run, Season
from philately.queries.grounds import grounds_of
from philately.queries.opinions import auditors_of, heard_of
from philately.states import CandidateState, Stage
from validation.auditing import Unheard
from validation.memory import Memory
from validation.placing import Arrival, Fold
from validation.rules import Rules
from validation.scoring import Ledger

_Given = TypeVar("_Given")
_Made = TypeVar("_Made")

log = logging.getLogger(__name__)


class Held(Protocol):
    """One lock or several, as ``locks.Hold`` has it."""

    def keep(self) -> None: ...

    def confirm(self) -> None: ...


class Withdrawn(Exception):
    """A candidate was withdrawn while it was being placed: nothing of the chunk may be committed."""


class Faulty(Exception):
    """A candidate that cannot be placed by a fault of ours, which is the cause of this; the fold is of no use then."""

    def __init__(self, candidate: int) -> None:
        super().__init__(candidate)
        self.candidate = candidate


@carries("season")
def place_waiting(season_id: int, *, stop: Callable[[], bool] = lambda: False) -> int:
    """Place everything whose turn it is in the season's official run; says how many candidates were placed.

    stop: asked before each chunk; what is left then is for whoever is rung for next.
    """
    placed = 0
    bulk.make_room()  # each task has a connection of its own, whatever is still in memory
    with lock(f"place:{season_id}") as hold:
        caution = Caution(settings.PLACE_CHUNK, hold.deaths if hold is not None else 0)
        while hold is not None and not stop():
            season = Season.objects.select_related("official_run__release__scale").get(pk=season_id)
            if season.official_run is None or season.frozen_at is not None:
                break
            taken_out = _take_out(season.official_run, hold)
            done, more = place_chunk(season.official_run, hold, caution=caution)
            placed += done
            if not (more or taken_out):
                break
    return placed


def leave() -> None:
    """Keep the hulls for a fast start, the one that was used last first; to be called at an orderly end of the
    process. What cannot be kept costs whoever comes next the time to build it."""
    for run in reversed(warm_folds.kept()):
        try:
            _leave(run)
        except (DatabaseError, LockLost) as error:
            log.error("the hull of run %s could not be kept for a fast start: %s", run, error, extra={"run": run})


def _leave(key: int) -> None:
    run = Run.objects.select_related("release", "scale").filter(pk=key).first()
    if run is None:  # given up meanwhile
        return
    with lock(f"place:{run.season_id}") as hold:
        if hold is None:
            return
        run.refresh_from_db(fields=["placed_to", "log_position", "next_phase_number"])  # others may have placed
        if (fold := warm_folds.take(run)) is not None:
            hull_snapshots.save_at_end(run, fold.hull)
            warm_folds.keep(run, fold)


def forget() -> None:
    """As in a process that has placed nothing yet."""
    warm_folds.forget()


@contextmanager
def taken_up(run: Run, hold: Held) -> Iterator[Fold]:
    """The run's fold, for a change that is committed in here and takes the fold along."""
    fold = _fold(run, hold)
    yield fold
    warm_folds.keep(run, fold)


def _carry_out(run: Run, hold: Held) -> None:
    """What organisers decided, or the close of a round, whose turn it is. Raises LockLost; then nothing was done."""
    occasion = occasions.following(run)
    assert occasion is not None  # a turn named it; such facts do not go away
    with taken_up(run, hold) as fold, transaction.atomic():
        hold.confirm()
        refuse_moved(run)
        occasions.carry_out(run, fold, occasion)
        run.save(update_fields=["placed_to", "log_position"])


def _take_out(run: Run, hold: Held) -> bool:
    """What owners took back leaves the run before anything else is placed; says whether to look again."""
    if not withdrawals.unsettled(run.season_id).exists():
        return False
    withdrawals.carry_out_unplaced(run.season_id)
    try:
        return withdrawals.carry_out_placed(run, hold, partial(taken_up, hold=hold)) > 0
    except LockLost as lost:
        log.warning("withdrawing in %s stops here, another sequencer goes on: %s", run, lost)
        return False


@carries("run")
@collector_paused()
def place_chunk(run: Run, hold: Held, *, official: bool = True, caution: Caution | None = None) -> tuple[int, bool]:
    """Place the next candidates in order; the second value says whether to look again.

    caution: what fails as a whole, or killed a sequencer, is placed in smaller and smaller chunks, at last alone; and
    then the candidate is to blame. Without it such a fault is raised.

    A run that is not official takes what is placed already, too, and leaves the candidates' states alone. Its caller
    gets LockLost and, where a candidate cannot be placed, Faulty.
    """
    careful, caution = caution is not None, caution or Caution(settings.PLACE_CHUNK)
    turn = turn_of(run, again=not official, size=caution.size)
    is_through = turn.passed_to == run.placed_to
    if is_through and turn.then is None:
        return 0, False
    if official and turn.waiting and are_at_it(run, turn.waiting[0].relaxation):
        return 0, False
    if caution.alone and not all(map(_may_try, turn.waiting)):
        return 0, True
    try:
        if is_through:
            _carry_out(run, hold)
            return 0, True
        placed, unheard = _place_turn(run, turn, hold, official=official)
    except LockLost as lost:
        _forgive(turn, caution)
        if not official:
            raise
        log.warning("placing in %s stops here, another sequencer goes on: %s", run, lost)
        return 0, False
    except Withdrawn as withdrawn:
        _forgive(turn, caution)
        log.info("a chunk of %s is placed anew: %s", run, withdrawn)
        return 0, True
    except Faulty as fault:
        if not official:
            raise
        log.exception("placing candidate %s failed", fault.candidate, extra={"candidate": fault.candidate})
        _fail(fault, noted=caution.alone)
        return 0, True
    except SESSION_LOST:
        raise
    except Exception as error:
        if not careful or not turn.waiting or (caution.alone and len(turn.waiting) > 1):
            raise
        log.exception("placing %s candidates from arrival %s failed", len(turn.waiting), turn.waiting[0].arrival)
        if caution.alone:
            alone = Faulty(turn.waiting[0].candidate)
            alone.__cause__ = error
            _fail(alone, noted=True)
        caution.fell()
        return 0, True
    if unheard:
        _forgive(turn, caution)
    caution.passed(len(turn.waiting))
    if unheard and not official:
        raise WaitsForAuditors(unheard)
    return placed, not unheard


def _place_turn(run: Run, turn: Turn, hold: Held, *, official: bool) -> tuple[int, int]:
    """Place these, as far as their auditors were heard, and commit; says how many, and how many wait for auditors.

    Raises LockLost, Withdrawn or Faulty; then nothing has been done.
    """
    fold = _fold(run, hold)
    heard = heard_of(run, [waiting.relaxation for waiting in turn.waiting])
    arrivals = [_tried(waiting.candidate, partial(arrival_of, heard=heard), waiting) for waiting in turn.waiting]
    judged = _judged(run, fold, arrivals, hold)
    unheard = arrivals[len(judged) :]
    turn = turn.before(unheard[0].candidate) if unheard else turn
    placed = _awarded(run, fold, judged)
    with transaction.atomic():
        hold.confirm()
        _commit(run, fold, placed, turn.passed_to)
        if official:
            _move(turn)
    warm_folds.keep(run, fold)
    _tell(run, turn, placed)
    statistics.renew(run)
    hull_snapshots.save_when_due(run, fold.hull)
    return len(placed), ask(run, fold, unheard) if unheard else 0


def _tell(run: Run, turn: Turn, placed: Sequence[Placed]) -> None:
    """A line a chunk, and one a structure for whoever wants them all."""
    first = min((one.arrival for one in (*turn.waiting, *turn.left_out)), default=turn.passed_to)
    log.info("%s placed, arrivals %s to %s, log position %s", len(placed), first, turn.passed_to, run.log_position)
    if log.isEnabledFor(logging.DEBUG):
        for arrival, outcome, _ in placed:
            told = {"candidate": arrival.candidate}
            log.debug("candidate %s is placed: %s", arrival.candidate, outcome.verdict, extra=told)


def _judged(run: Run, fold: Fold, arrivals: Sequence[Arrival], hold: Held) -> list[Judged]:
    """Verdicts in order, still without points, up to the first find whose auditors were not heard. Raises Faulty."""
    memory = fold.memory
    phases = phases_near(run, arrivals, fold.rules)
    fits = comparisons.fits_among(arrivals, phases, fold.rules)
    fold.memory = Memory(Ledger(fold.rules.points), memory.systems, phases, fits=fits)
    judged = []
    for arrival in arrivals:
        hold.keep()
        try:
            judged.append((arrival, _tried(arrival.candidate, fold.judge, arrival)))
        except Unheard:
            break
    return judged


def _awarded(run: Run, fold: Fold, judged: Sequence[Judged]) -> list[Placed]:
    """The same with their points."""
    memory = fold.memory
    memory.finds, memory.ledger = finds_and_ledger(run, judged, memory.finds, fold.rules)
    return [(arrival, outcome, fold.award(arrival, outcome)) for arrival, outcome in judged]


def _tried(candidate: int, deed: Callable[[_Given], _Made], given: _Given) -> _Made:
    try:
        return deed(given)
    except Unheard:
        raise
    except Exception as error:
        raise Faulty(candidate) from error


def _may_try(waiting: Waiting) -> bool:
    """Note the attempt, for this process may die of it; after three such it failed."""
    candidate = Candidate.objects.get(pk=waiting.candidate)
    if candidate.attempts >= settings.MAX_ATTEMPTS and candidate.state == CandidateState.RELAXED:
        fail(candidate, Stage.PLACE, WorkerDied("placing it stopped the sequencer"))
        return False
    Candidate.objects.filter(pk=candidate.pk).update(attempts=F("attempts") + 1)
    return True


def _forgive(turn: Turn, caution: Caution) -> None:
    """Nothing went wrong, only nothing came of it."""
    if caution.alone:
        tried = Candidate.objects.filter(pk__in=[waiting.candidate for waiting in turn.waiting], attempts__gt=0)
        tried.update(attempts=F("attempts") - 1)


def _fail(fault: Faulty, *, noted: bool) -> None:
    """noted: whether the attempt counts already."""
    candidate = Candidate.objects.get(pk=fault.candidate)
    candidate.attempts += 0 if noted else 1
    candidate.state = CandidateState.RELAXED  # as it was when its turn came; what moved on since is left alone
    error = fault.__cause__
    assert isinstance(error, Exception)
    fail(candidate, Stage.PLACE, error)


def _fold(run: Run, hold: Held) -> Fold:
    """The run's fold, from this process's memory where nobody else has placed anything since. Kept no longer."""
    if (warm := warm_folds.take(run)) is not None:
        return warm
    warm_folds.make_room(run)
    rules = Rules.from_json(run.rules)
    memory = Memory(Ledger(rules.points), open_systems(run))
    hull = hull_snapshots.load_or_rebuild(run, partial(hull_of, run, keep=hold.keep), keep=hold.keep)
    number, auditors = run.next_phase_number, auditors_of(run)
    return Fold(grounds_of(run.release), rules, hull, memory, next_number=number, auditors=auditors)


def _commit(run: Run, fold: Fold, placed: Sequence[Placed], passed_to: int) -> None:
    """A chunk's outcomes, all or nothing."""
    refuse_moved(run)
    outcomes.write(run, fold.hull, placed)
    run.placed_to = passed_to
    run.save(update_fields=["placed_to", "log_position", "next_phase_number"])


def _move(turn: Turn) -> None:
    """Their turn has passed, also of those that are left out. Heirs stay parked."""
    done = {waiting.candidate for waiting in (*turn.left_out, *turn.waiting)} - turn.heirs
    moved = move(Candidate.objects.filter(pk__in=done), CandidateState.RELAXED, CandidateState.PLACED)
    if turn.heirs:
        heirs = Candidate.objects.select_for_update().filter(pk__in=turn.heirs, state=CandidateState.PARKED)
        moved += len(heirs.values_list("pk"))
    gone = len(done) + len(turn.heirs) - moved
    if gone:
        raise Withdrawn(f"{gone} of {len(done) + len(turn.heirs)} candidates were withdrawn in between")


def blocking(season: Season) -> Candidate | None:
    """The candidate that the others wait for."""
    if season.official_run is None:
        return None
    _, first_open = frontier(season.official_run)
    return None if first_open is None else Candidate.objects.get(season=season, arrival=first_open)
