"""The sweeper: takes work from workers that died, tries again what failed, rings for what was forgotten."""

import logging
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now

from philately.broker import ring
from philately.domain import audits, dry_runs, dumps, opinions, resumable, twins, withdrawals
from philately.domain.bells import ring_relax
from philately.domain.files import chunks
from philately.domain.locks import is_free, within_reach
from philately.domain.parse import shards_waiting
from philately.domain.place import blocking
from philately.domain.transitions import expired, move, say
from philately.models import Batch, Candidate, CandidateDetail, Scale, Season, Shard
from philately.states import BatchState, CandidateState, ShardState, Stage

log = logging.getLogger(__name__)

_SHARDS_RUNG_FOR = 8  # so that several workers find work again after a broker lost its messages
_BACK_TO = {
    Stage.PARSE: CandidateState.RECEIVED,
    Stage.RELAX: CandidateState.PARSED,
    Stage.PLACE: CandidateState.RELAXED,
}


def sweep() -> None:
    """One round. Any number of sweepers may run: each step is conditional on the state that it leaves."""
    _take_from_the_dead()
    _set_aside_shards()
    _try_again()
    _set_aside_what_blocks()
    opinions.sweep()
    for season in Season.objects.select_related("official_run"):
        _ring_for(season)
    for scale in Scale.objects.all():
        ring_relax(scale)
    dry_runs.sweep()
    resumable.sweep()


def _take_from_the_dead() -> None:
    dead = Candidate.objects.filter(expired(), state=CandidateState.RELAXING)
    for candidate in dead[:1000]:
        held = Candidate.objects.filter(expired(), pk=candidate.pk, lease=candidate.lease)
        if move(held, CandidateState.RELAXING, CandidateState.FAILED, failed_in=Stage.RELAX):
            say(candidate.pk, "its worker stopped without a word")
            log.warning("candidate %s was taken from a worker that stopped", candidate.pk)


def _set_aside_shards() -> None:
    free = Q(lease__isnull=True) | expired()
    spent = Shard.objects.filter(free, state=ShardState.WAITING, attempts__gte=settings.MAX_ATTEMPTS)
    for shard in spent:
        sentence = f"reading its shard failed {shard.attempts} times; an organiser looks at it"
        with transaction.atomic():
            if not Shard.objects.filter(free, pk=shard.pk, state=ShardState.WAITING).update(
                state=ShardState.SET_ASIDE, problem=sentence, lease=None, lease_until=None
            ):
                continue
            CandidateDetail.objects.filter(candidate__in=shard.candidates.filter(state=CandidateState.RECEIVED)).update(
                sentence=sentence
            )
            move(Candidate.objects.filter(shard=shard), CandidateState.RECEIVED, CandidateState.SET_ASIDE)
            failed = Candidate.objects.filter(shard=shard, failed_in=Stage.PARSE)
            move(failed, CandidateState.FAILED, CandidateState.SET_ASIDE)  # they would go back to a shard nobody reads
        log.error("shard %s is set aside: %s", shard.pk, sentence)


def _try_again() -> None:
    seasons = list(Season.objects.values_list("pk", flat=True))  # with which the index of states begins
    failed = Candidate.objects.filter(season__in=seasons, state=CandidateState.FAILED)
    for candidate in failed.filter(attempts__gte=settings.MAX_ATTEMPTS)[:1000]:
        _set_aside(candidate)
    for attempts in range(settings.MAX_ATTEMPTS):
        wait = timedelta(seconds=settings.RETRY_AFTER_S * 2 ** max(0, attempts - 1))
        for stage, target in _BACK_TO.items():
            rested = failed.filter(attempts=attempts, failed_in=stage, changed_at__lt=Now() - wait)
            for some in chunks(list(rested.values_list("pk", flat=True)), 500):
                _back(some, stage, target)


def _back(rested: list[int], stage: Stage, target: CandidateState) -> None:
    """Their shards are read again. Setting a shard that already waits to waiting keeps a parser that is just done with
    it from closing it before these candidates are back in it."""
    candidates = Candidate.objects.filter(pk__in=rested)
    with transaction.atomic():
        if stage is Stage.PARSE:
            shards = list(candidates.values_list("shard", flat=True).distinct())
            Shard.objects.filter(pk__in=shards).exclude(state=ShardState.SET_ASIDE).update(state=ShardState.WAITING)
        move(candidates, CandidateState.FAILED, target, failed_in="")


def _set_aside(candidate: Candidate, sentence: str = "") -> None:
    """After three attempts an organiser decides; whoever was parked under it is promoted."""
    with transaction.atomic():
        mine = Candidate.objects.filter(pk=candidate.pk)
        if move(mine, CandidateState(candidate.state), CandidateState.SET_ASIDE):
            if sentence:
                say(candidate.pk, sentence)
            twins.promote(candidate)
            log.error("candidate %s is set aside", candidate.pk)


def _set_aside_what_blocks() -> None:
    """One candidate may hold up the others for so long and no longer."""
    patience = timedelta(seconds=settings.PLACE_DEADLINE_S)
    for season in Season.objects.select_related("official_run"):
        candidate = blocking(season)
        if candidate is None or candidate.state == CandidateState.RELAXING:
            continue
        old = Candidate.objects.filter(changed_at__lt=Now() - patience)
        behind = old.filter(season=season, state=CandidateState.RELAXED, arrival__gt=candidate.arrival)
        if old.filter(pk=candidate.pk).exists() and behind.exists():  # the second looks at all that wait
            _set_aside(candidate, f"not finished {patience} after the ones behind it; an organiser looks at it")


def _ring_for(season: Season) -> None:
    """At most one bell a kind of work, and none where somebody is at it."""
    if Batch.objects.filter(season=season, state=BatchState.UPLOADED).exists() and is_free(f"intake:{season.pk}"):
        ring("intake", season.pk, queue="parse")
    reading = Shard.objects.filter(batch__season=season, lease_until__gte=Now())
    if (shards := shards_waiting(season)) and not reading.exists():
        for shard in shards[:_SHARDS_RUNG_FOR]:
            ring("parse", shard, queue="parse")
    candidates = Candidate.objects.filter(season=season)
    if candidates.filter(state=CandidateState.CHECKED).exists() and is_free(f"twins:{season.pk}"):
        ring("settle", season.pk, queue="parse")
    to_place = candidates.filter(state=CandidateState.RELAXED).exists() or _to_withdraw(season)
    if to_place and within_reach(f"place:{season.pk}"):
        ring("place", season.pk, queue="place")
    if dumps.due(season) and is_free(f"dump:{season.pk}"):
        ring("dump", season.pk, queue="parse")
    if audits.due(season) and is_free(f"audit:{season.official_run_id}"):
        ring("audit", season.pk, queue="parse")


def _to_withdraw(season: Season) -> bool:
    """Whether an owner's wish waits, and not for the end of a relaxation."""
    return withdrawals.unsettled(season.pk).exclude(candidate__state=CandidateState.RELAXING).exists()
