"""Withdrawals: owners take candidates back.

A wish is recorded at once. What was not placed yet is withdrawn at once, too, unless it is being relaxed: a relaxation
is a fact that others may share, so it is let come to its end. What was placed is taken out by the sequencer, which
alone writes to a run.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.db.models.functions import Now

from philately.broker import ring
from philately.domain.amendments import refuse_moved
from philately.domain.audit_log import About, Deed, record
from philately.domain.files import storable
from philately.domain.locks import LockLost
from philately.domain.removals import take_out
from philately.domain.transitions import SESSION_LOST, move
from philately.domain.twins import promote
from philately.models import Batch, Candidate, Placement, Run, Season, User, Withdrawal
from philately.queries.permissions import may_withdraw
from philately.states import BatchState, CandidateState
from validation.placing import Fold

log = logging.getLogger(__name__)

S = CandidateState

_AT_ONCE = (S.PARKED, *(state for state in S if state not in (S.PARKED, S.RELAXING, S.PLACED, S.WITHDRAWN)))
_CHUNK = 200
_TOLD = 1000  # keys in an entry of the audit log

TakenUp = Callable[[Run], AbstractContextManager[Fold]]


class Held(Protocol):
    def confirm(self) -> None: ...


class WithdrawalRefused(Exception):
    """These candidates are not to be withdrawn by this user; the message says why."""


def ask(candidates: QuerySet[Candidate], *, by: User, reason: str = "") -> int:
    """Record that these are taken back, and do so with what was not placed; says how many wishes are new.

    Raises WithdrawalRefused where ``by`` neither owns them nor organises their season, where an organiser gives no
    reason, and where the season is frozen.
    """
    _refuse_strangers(candidates, by)
    with transaction.atomic():
        standing = candidates.filter(withdrawal=None).exclude(state=S.WITHDRAWN)
        wanted = list(standing.order_by("pk").values_list("pk", "season"))
        _write_down(standing, wanted, by, reason)
        wishes = [Withdrawal(season_id=season, candidate_id=key, by=by, reason=reason) for key, season in wanted]
        Withdrawal.objects.bulk_create(wishes, batch_size=1000, ignore_conflicts=True)
    for season_id in sorted({season for _, season in wanted}):
        log.info("user %s takes %s structures back", by.pk, len(wanted), extra={"season": season_id})
        carry_out_unplaced(season_id)
        ring("place", season_id, queue="place")
    return len(wanted)


def end_release(batch: Batch, *, by: User, reason: str = "") -> int:
    """What of a batch is not in the queue yet will never be: from now on it is as large as what was released of it.
    Says how many structures that leaves out. Raises WithdrawalRefused."""
    candidates = Candidate.objects.filter(batch=batch)
    _refuse_strangers(candidates, by)
    _refuse_unexplained(candidates, by, reason)
    with transaction.atomic():
        current = Batch.objects.select_for_update().get(pk=batch.pk)
        if current.state != BatchState.UPLOADED or not current.n_released or current.n_counted is None:
            return 0
        n_left = current.n_counted - current.n_released
        whole = {"n_counted": current.n_released, "n_found": current.n_released}
        sentence = f"{n_left:,} structures were withdrawn before they entered the queue"
        Batch.objects.filter(pk=batch.pk).update(state=BatchState.READ, problem=sentence, **whole)
    return n_left


def _write_down(standing: QuerySet[Candidate], wanted: Sequence[tuple[int, int]], by: User, reason: str) -> None:
    """One entry a season, locked so that it is not frozen meanwhile. Raises WithdrawalRefused."""
    if wanted:
        _refuse_unexplained(standing, by, reason)
    for season in Season.objects.select_for_update().filter(pk__in={key for _, key in wanted}).order_by("pk"):
        if season.frozen_at is not None:
            raise WithdrawalRefused(f"{season} ended on {season.frozen_at:%Y-%m-%d}, and stays as it is")
        mine = [candidate for candidate, key in wanted if key == season.pk]
        batches = list(Batch.objects.filter(season=season, candidates__in=mine[:_TOLD]).distinct()[:2])
        only = Candidate.objects.get(pk=mine[0]) if len(mine) == 1 else None
        about = About(season=season, batch=batches[0] if len(batches) == 1 else None, candidate=only)
        told = {"candidates": mine[:_TOLD], "count": len(mine)}
        record(Deed.WITHDRAW, about, by=by, reason=reason, parameters=told)


def _refuse_unexplained(candidates: QuerySet[Candidate], by: User, reason: str) -> None:
    if not reason.strip() and candidates.exclude(batch__owner__user=by.pk).exists():
        raise WithdrawalRefused("say why: not all of these are yours, and their owners are told")


def _refuse_strangers(candidates: QuerySet[Candidate], by: User) -> None:
    if not may_withdraw(by, candidates):
        raise WithdrawalRefused(f"{by} neither owns all of these candidates nor organises their season")


def unsettled(season_id: int) -> QuerySet[Withdrawal]:
    """Wishes that are not carried out, in order; without those that failed too often, which an organiser looks at. Few,
    and found by an index of their own: a sequencer asks before each chunk."""
    open_ones = Withdrawal.objects.filter(season=season_id, done_at=None)
    return open_ones.filter(attempts__lt=settings.MAX_ATTEMPTS).order_by("pk")


def carry_out_unplaced(season_id: int) -> int:
    """Withdraw what is wished for and has no place in the official run; says how many."""
    done = 0
    while some := _withdraw_some(season_id):
        done += some
    if done:
        ring("place", season_id, queue="place")  # the others' turn may have come
    return done


def _withdraw_some(season_id: int) -> int:
    """Twins come first, so that none is promoted that is withdrawn itself. The season's row keeps its run from being
    swapped for another in which one of these is placed."""
    with transaction.atomic():
        season = Season.objects.select_for_update().get(pk=season_id)
        placed = Placement.objects.filter(run=season.official_run_id, candidate=OuterRef("pk"))
        wished = Candidate.objects.filter(~Exists(placed), withdrawal__in=unsettled(season_id).values("pk"))
        for state in _AT_ONCE:
            keys = list(wished.filter(state=state).order_by("pk").values_list("pk", flat=True)[:_CHUNK])
            if keys:
                return _withdraw_unplaced(season, keys, state)
    return 0


def _withdraw_unplaced(season: Season, keys: Sequence[int], state: CandidateState) -> int:
    """Those that are in this state and unplaced still, once they are locked; who is parked under them is promoted."""
    locked = _locked(keys)
    placed = set(Placement.objects.filter(run=season.official_run_id, candidate__in=keys).values_list("candidate"))
    mine = [candidate for candidate in locked if candidate.state == state and (candidate.pk,) not in placed]
    _withdraw(mine, state)
    twins = Candidate.objects.filter(twin_of__in=[one.pk for one in mine], state=S.PARKED)
    originals = set(twins.values_list("twin_of", flat=True))
    for candidate in mine:
        if candidate.pk in originals:
            promote(candidate)
    return len(mine)


def _locked(keys: Iterable[int]) -> list[Candidate]:
    return list(Candidate.objects.select_for_update(of=("self",)).filter(pk__in=keys).order_by("pk"))


def _withdraw(candidates: Sequence[Candidate], state: CandidateState) -> None:
    """All of them are in this state and locked."""
    keys = [candidate.pk for candidate in candidates]
    move(Candidate.objects.filter(pk__in=keys), state, S.WITHDRAWN)
    Withdrawal.objects.filter(candidate__in=keys).update(done_at=Now())


def carry_out_placed(run: Run, hold: Held, taken_up: TakenUp, *, official: bool = True) -> int:
    """Take out of a run what is wished for and was placed in it; says how many of at most a chunk. The caller holds the
    lock under which the run is written. Raises LockLost.

    Of a run that is not official only what was withdrawn already is taken out.
    """
    wishes = list((_of_official(run) if official else _of_other(run)).select_related("candidate__batch")[:_CHUNK])
    for wish in wishes:
        try:
            _carry_out(wish, run, hold, taken_up, official=official)
        except (LockLost, *SESSION_LOST):
            raise
        except Exception as error:
            if not official:
                raise
            log.exception("taking %s out of %s failed", wish, run)
            _fail(wish, error)
            run.refresh_from_db()  # what it had come to in memory is undone
    return len(wishes)


def _carry_out(wish: Withdrawal, run: Run, hold: Held, taken_up: TakenUp, *, official: bool) -> None:
    with taken_up(run) as fold, transaction.atomic():
        hold.confirm()
        refuse_moved(run)
        placement = Placement.objects.filter(run=run, candidate=wish.candidate, withdrawn_after=None).first()
        if placement is not None:
            placement.candidate = wish.candidate
            take_out(run, fold, wish, placement)
        if official:
            (candidate,) = _locked([wish.candidate_id])
            _withdraw([candidate], CandidateState(candidate.state))
            promote(candidate)


def _fail(wish: Withdrawal, error: Exception) -> None:
    """After three attempts the others no longer wait for it, and an organiser looks at it."""
    problem = storable(f"attempt {wish.attempts + 1} failed: {type(error).__name__}: {error}")[:2000]
    Withdrawal.objects.filter(pk=wish.pk).update(attempts=F("attempts") + 1, problem=problem)
    if wish.attempts + 1 >= settings.MAX_ATTEMPTS:
        log.error("%s is set aside: %s", wish, problem)


def _of_official(run: Run) -> QuerySet[Withdrawal]:
    placed = Placement.objects.filter(run=run, candidate=OuterRef("candidate"))
    settled = unsettled(run.season_id).exclude(candidate__state=S.RELAXING)
    return settled.filter(Q(candidate__state=S.PLACED) | Exists(placed))


def _of_other(run: Run) -> QuerySet[Withdrawal]:
    placed = Placement.objects.filter(run=run, candidate=OuterRef("candidate"), withdrawn_after=None)
    done = Withdrawal.objects.filter(season=run.season_id, done_at__isnull=False)
    return done.filter(Exists(placed)).order_by("pk")
