"""Closing a season, freezing it when all is settled, and re-opening it.

Closed: nothing more is uploaded; what is in flight is finished. Frozen: its official run, points and pages stay as they
are; the last round is paid and the last dump is written.
"""

import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models.functions import Now

from philately.broker import ring
from philately.domain import dumps, occasions, rounds
from philately.domain.audit_log import About, Deed, record
from philately.domain.locks import LockLost, lock
from philately.domain.organisers import DeedRefused, refuse_frozen, refuse_strangers, refuse_without_reason
from philately.domain.place import place_waiting
from philately.domain.withdrawals import unsettled
from philately.models import Batch, Candidate, Season, User
from philately.queries import clock
from philately.queries.seasons import is_closed
from philately.states import FINAL, BatchState

_PAUSE_S = 0.2


@dataclass(frozen=True, slots=True)
class InFlight:
    """What keeps a season from being frozen."""

    batches: int  # that are not read yet
    structures: int  # that are under way
    withdrawals: int  # that are not carried out

    @property
    def sentence(self) -> str:
        parts = ((self.batches, "uploads to read"), (self.structures, "structures"), (self.withdrawals, "withdrawals"))
        return ", ".join(f"{count:,} {noun}" for count, noun in parts if count)


def close(season: Season, *, by: User, reason: str, at: datetime | None = None) -> bool:
    """Take no more uploads, from now on or from a moment to come; False where it is closed already, or will be at that
    moment. Raises DeedRefused."""
    refuse_strangers(by, season)
    refuse_without_reason(reason)
    with transaction.atomic():
        season = _locked(season)
        refuse_frozen(season)
        now = clock.now()
        if at is not None and at <= now:
            raise DeedRefused(f"{at:%Y-%m-%d %H:%M} UTC is past, and what was uploaded since counts; close it now")
        if (at is None and is_closed(season)) or (at is not None and at == season.closes_at):
            return False
        before, season.closes_at = season.closes_at, at or now
        if season.closes_at <= season.opens_at:
            raise DeedRefused(f"it would close before it opens, on {season.opens_at:%Y-%m-%d %H:%M} UTC")
        season.save(update_fields=["closes_at"])
        told = {"before": _text(before), "after": _text(season.closes_at)}
        record(Deed.CLOSE_SEASON, About(season=season), by=by, reason=reason, outcome=told)
    return True


def reopen(season: Season, *, by: User, reason: str, closes_at: datetime | None = None) -> bool:
    """Take uploads again, until ``closes_at`` where it is given; a frozen season moves on again. False where it is open
    like that already. Raises DeedRefused."""
    refuse_strangers(by, season)
    refuse_without_reason(reason)
    with transaction.atomic():
        season = _locked(season)
        if closes_at is not None and closes_at <= clock.now():
            raise DeedRefused(f"{closes_at:%Y-%m-%d %H:%M} UTC is past; it would be closed still")
        before = {"closes_at": _text(season.closes_at), "frozen_at": _text(season.frozen_at)}
        if season.frozen_at is None and season.closes_at == closes_at:
            return False
        season.closes_at, season.frozen_at = closes_at, None
        season.save(update_fields=["closes_at", "frozen_at"])
        told = {"before": before, "closes_at": _text(closes_at)}
        record(Deed.REOPEN_SEASON, About(season=season), by=by, reason=reason, outcome=told)
        ring("place", season.pk, queue="place")
    return True


def in_flight(season: Season) -> InFlight:
    """Four queries. What is set aside is not in flight: nothing comes of it unless an organiser has it judged again."""
    return InFlight(
        Batch.objects.filter(season=season, state=BatchState.UPLOADED).count(),
        Candidate.objects.filter(season=season).exclude(state__in=FINAL).count(),
        unsettled(season.pk).count(),
    )


def freeze(season: Season, *, by: User, reason: str, wait_s: float = 600.0) -> dict[str, Any]:
    """Pay the last round, let nothing change from then on, and write the dump; returns its manifest.

    May be run again where it was stopped in between: what is done is not done twice. Raises DeedRefused, or DumpRefused
    where the season is frozen and only its dump is missing.
    """
    refuse_strangers(by, season)
    refuse_without_reason(reason)
    season = Season.objects.get(pk=season.pk)
    if season.frozen_at is None:
        _refuse_in_flight(season)
        rounds.close(season, by=by, reason=reason, even_if_quiet=True)
        _let_sequencer_finish(season, wait_s)
        _freeze(season, by, reason)
    season = Season.objects.select_related("official_run").get(pk=season.pk)
    return dict(dumps.offer(season).manifest)


def _refuse_in_flight(season: Season) -> None:
    if not is_closed(season):
        raise DeedRefused(f"{season} is open still; close it first")
    left = in_flight(season)
    if left.sentence:
        raise DeedRefused(f"in flight still: {left.sentence}")


def _let_sequencer_finish(season: Season, wait_s: float) -> None:
    """Until the round's turn has come: here, or in the worker that is at it."""
    until = time.monotonic() + wait_s
    while True:
        place_waiting(season.pk)
        if not occasions.wait(Season.objects.select_related("official_run").get(pk=season.pk)):
            return
        if time.monotonic() > until:
            raise DeedRefused("the sequencer is busy; the round is closed, and is paid soon; try again later")
        time.sleep(_PAUSE_S)


def _freeze(season: Season, by: User, reason: str) -> None:
    """While no sequencer places anything, and no upload is being read."""
    with lock(f"place:{season.pk}") as hold:
        if hold is None:
            raise DeedRefused("the sequencer is busy; try again later")
        try:
            with transaction.atomic():
                hold.confirm()
                season = Season.objects.select_for_update(of=("self",)).select_related("official_run").get(pk=season.pk)
                _refuse_in_flight(season)
                if occasions.wait(season):
                    raise DeedRefused("something was decided in between; try again")
                Season.objects.filter(pk=season.pk, frozen_at=None).update(frozen_at=Now())
                run = season.official_run
                told = {} if run is None else {"run": run.number, "log_position": run.log_position}
                record(Deed.FREEZE_SEASON, About(season=season, run=run), by=by, reason=reason, outcome=told)
        except LockLost as lost:
            raise DeedRefused("another sequencer took over; try again") from lost


def _locked(season: Season) -> Season:
    return Season.objects.select_for_update().get(pk=season.pk)


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
