"""Phase 3: one sequencer a run places what is relaxed, in order of arrival, a chunk a transaction."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from django.db import transaction

from philately.domain import outcomes
from philately.domain.locks import Hold, LockLost, lock
from philately.domain.outcomes import Placed
from philately.domain.runs import arrival_of, fold_of
from philately.domain.transitions import fail, move
from philately.domain.turns import Turn, frontier, turn_of
from philately.models import Candidate, Run, Season
from philately.states import CandidateState, Stage
from validation.placing import Fold

log = logging.getLogger(__name__)


class Withdrawn(Exception):
    """A candidate was withdrawn while it was being placed: nothing of the chunk may be committed."""


@dataclass(slots=True)
class _Warm:
    """The fold of the run that this process placed last, and the state of the run that it stands for."""

    run: int
    placed_to: int
    log_position: int
    fold: Fold


_warm: _Warm | None = None


def place_waiting(season_id: int) -> int:
    """Place everything whose turn it is in the season's official run; says how many candidates were placed."""
    placed = 0
    with lock(f"place:{season_id}") as hold:
        while hold is not None:
            season = Season.objects.select_related("official_run__release__scale").get(pk=season_id)
            if season.official_run is None:
                break
            done, more = _place_chunk(season.official_run, hold)
            placed += done
            if not more:
                break
    return placed


def _place_chunk(run: Run, hold: Hold) -> tuple[int, bool]:
    """Place the next candidates in order; the second value says whether to look again."""
    turn = turn_of(run)
    if turn.passed_to == run.placed_to:
        return 0, False
    try:
        return _place_turn(run, turn, hold), True
    except LockLost as lost:
        log.warning("placing in %s stops here, another sequencer goes on: %s", run, lost)
        return 0, False
    except Withdrawn as withdrawn:
        log.info("a chunk of %s is placed anew: %s", run, withdrawn)
        return 0, True


def _place_turn(run: Run, turn: Turn, hold: Hold) -> int:
    """Place these and commit; says how many. Raises LockLost or Withdrawn; then nothing has been done."""
    global _warm
    fold = _fold(run, hold)
    _warm = None  # whatever goes wrong below leaves the fold ahead of the database
    placed: list[Placed] = []
    for waiting in turn.waiting:
        hold.keep()
        try:
            arrival = arrival_of(waiting)
            placed.append((arrival, fold.place(arrival)))
        except Exception as error:
            log.exception("placing candidate %s failed", waiting.candidate)
            _fail(waiting.candidate, error)
            return 0
    with transaction.atomic():
        hold.confirm()
        _commit(run, placed, turn.passed_to)
    _warm = _Warm(run.pk, run.placed_to, run.log_position, fold)
    return len(placed)


def _fail(candidate_id: int, error: Exception) -> None:
    candidate = Candidate.objects.get(pk=candidate_id)
    candidate.attempts += 1
    candidate.state = CandidateState.RELAXED  # as it was when its turn came; what moved on since is left alone
    fail(candidate, Stage.PLACE, error)


def _fold(run: Run, hold: Hold) -> Fold:
    """The run's fold, from this process's memory where nobody else has placed anything since."""
    state = (run.pk, run.placed_to, run.log_position)
    if _warm is not None and (_warm.run, _warm.placed_to, _warm.log_position) == state:
        return _warm.fold
    return fold_of(run, keep=hold.keep)


def _commit(run: Run, placed: Sequence[Placed], passed_to: int) -> None:
    """A chunk's outcomes, all or nothing. The run is read again under the lock: it must be where the fold left it."""
    stored = Run.objects.select_for_update().get(pk=run.pk)
    if (stored.placed_to, stored.log_position) != (run.placed_to, run.log_position):
        raise LockLost(f"{run} has moved on")
    outcomes.write(run, placed)
    _move([arrival.candidate for arrival, _ in placed])
    run.placed_to = passed_to
    run.save(update_fields=["placed_to", "log_position", "next_phase_number"])


def _move(placed: Sequence[int]) -> None:
    waiting = Candidate.objects.filter(pk__in=placed)
    moved = move(waiting, CandidateState.RELAXED, CandidateState.PLACED)
    if moved != len(placed):
        raise Withdrawn(f"{len(placed) - moved} of {len(placed)} candidates were withdrawn in between")


def blocking(season: Season) -> Candidate | None:
    """The candidate that the others wait for."""
    if season.official_run is None:
        return None
    _, first_open = frontier(season.official_run)
    return None if first_open is None else Candidate.objects.get(season=season, arrival=first_open)
