"""The sweeper: takes work from workers that died, tries again what failed, rings for what was forgotten."""

import logging
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import NamedTuple

from django.conf import settings
from django.db import transaction
from django.db.models import Count, Q, Sum
from django.db.models.functions import Now

from philately.broker import declare_queues, ring
from philately.counted import count
from philately.domain import (
    audits,
    dry_runs,
    dumps,
    forgotten,
    intake,
    occasions,
    opinions,
    resumable,
    rounds,
    silence,
    tallies,
    tidying,
    twins,
    withdrawals,
    write_ahead,
)
from philately.domain.auditors import are_at_it
from philately.domain.bells import first_waiting, ring_relax
from philately.domain.files import chunks
from philately.domain.locks import give_up, is_free, within_reach
from philately.domain.parse import shards_waiting
from philately.domain.place import blocking
from philately.domain.transitions import SESSION_LOST, expired, ids, move, say
from philately.domain.turns import turn_of
from philately.models import (
    Batch,
    Candidate,
    CandidateDetail,
    DryRun,
    Lock,
    RelaxationFact,
    Scale,
    Season,
    Shard,
)
from philately.queries.efforts import workers_on
from philately.states import BatchState, CandidateState, ShardState, Stage

log = logging.getLogger(__name__)

_SHARDS_RUNG_FOR = 8  # so that several workers find work again after a broker lost its messages
_BACK_TO = {
    Stage.PARSE: CandidateState.RECEIVED,
    Stage.SETTLE: CandidateState.CHECKED,
    Stage.RELAX: CandidateState.PARSED,
    Stage.PLACE: CandidateState.RELAXED,
}


def sweep() -> None:
    """One round. Any number of sweepers may run: each step is conditional on the state that it leaves. One that fails
    keeps none of the others from being done."""
    for step in (
        declare_queues,
        *(_take_from_the_dead, _set_aside_shards, forgotten.sweep, _try_again, _set_aside_what_blocks, _close_rounds),
        *(opinions.sweep, _ring, dry_runs.sweep, resumable.sweep, tidying.tidy_when_due, tallies.swept),
        write_ahead.keep_short,
    ):
        try:
            step()
        except SESSION_LOST:
            raise
        except Exception:
            log.exception("a step of the sweeper failed, the next round tries again: %s", step.__qualname__)


def _take_from_the_dead() -> None:
    dead = Candidate.objects.filter(expired(), state=CandidateState.RELAXING)
    for candidate in dead[:1000]:
        held = Candidate.objects.filter(expired(), pk=candidate.pk, lease=candidate.lease)
        if move(held, CandidateState.RELAXING, CandidateState.FAILED, failed_in=Stage.RELAX):
            say(candidate.pk, "its worker stopped without a word")
            count("leases_expired", "candidate")
            log.warning("candidate %s was taken from a worker that stopped", candidate.pk, extra=ids(candidate))


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
        about = {"shard": shard.pk, "batch": shard.batch_id}
        log.error("shard %s is set aside: %s", shard.pk, sentence, extra=about)


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
        moved = move(candidates, CandidateState.FAILED, target, failed_in="")
    log.info("%s candidates are tried again (%s): %s", moved, stage, " ".join(map(str, rested)))


def _set_aside(candidate: Candidate, sentence: str = "") -> None:
    """After three attempts an organiser decides; whoever was parked under it is promoted."""
    with transaction.atomic():
        mine = Candidate.objects.filter(pk=candidate.pk)
        if move(mine, CandidateState(candidate.state), CandidateState.SET_ASIDE):
            if sentence:
                say(candidate.pk, sentence)
            twins.promote(candidate)
            log.error("candidate %s is set aside: %s", candidate.pk, sentence or "it failed", extra=ids(candidate))


def _set_aside_what_blocks() -> None:
    """One candidate may hold up the others for so long and no longer. That others behind it were served since it was
    where it is tells it from one that waits because nobody works."""
    patience = timedelta(seconds=settings.PLACE_DEADLINE_S)
    for season in Season.objects.select_related("official_run"):
        candidate = blocking(season)
        if candidate is None or candidate.state == CandidateState.RELAXING:
            continue
        old = Candidate.objects.filter(changed_at__lt=Now() - patience)
        behind = old.filter(season=season, state=CandidateState.RELAXED, arrival__gt=candidate.arrival)
        passed = behind.filter(changed_at__gte=candidate.changed_at)
        if old.filter(pk=candidate.pk).exists() and passed.exists():  # the second looks at all that wait
            _set_aside(candidate, f"not finished {patience} after the ones behind it; an organiser looks at it")


def _close_rounds() -> None:
    for season_id in Season.objects.filter(frozen_at=None).values_list("pk", flat=True):
        rounds.close_when_due(season_id)


def _ring() -> None:
    """At most one bell a kind of work, and none where somebody is at it, but for relax workers, who are many. What is
    rung for and stays as it is while nobody works at all is told."""
    noted = [name for season in Season.objects.select_related("official_run") for name in _ring_for(season)]
    for scale in Scale.objects.all():
        noted += _ring_relax(scale)
    silence.tell(noted)


def _ring_for(season: Season) -> list[str]:
    """The names under which bells were noted: nobody is busy where they would be heard."""
    noted = []
    for bell in (*_bells_for_parsers(season), *_bells_for_sequencers(season)):
        for key in bell.keys:
            ring(bell.task, key, queue=bell.queue)
        if bell.mark:
            silence.note(name := f"{bell.task} for {season.slug}", bell.mark)
            noted.append(name)
    return noted


class _Bell(NamedTuple):
    """mark: where the work stands; none where a worker may hear the bell that is busy with something else."""

    task: str
    queue: str
    keys: Sequence[int]
    mark: str


def _bells_for_parsers(season: Season) -> Iterator[_Bell]:
    idle = not _is_parsing()
    if is_free(f"intake:{season.pk}") and intake.is_waited_for(season.pk):
        yield _Bell("intake", "parse", [season.pk], _standing_of_batches(season) if idle else "")
    reading = Shard.objects.filter(batch__season=season, lease_until__gte=Now())
    if (shards := shards_waiting(season)) and not reading.exists():
        n = _SHARDS_RUNG_FOR if is_free(f"intake:{season.pk}") else 1  # an only worker is at both, and bells pile up
        yield _Bell("parse", "parse", shards[:n], f"{len(shards)} from {shards[0]}" if idle else "")
    if is_free(f"twins:{season.pk}") and (first := twins.first_due(season)) is not None:
        yield _Bell("settle", "parse", [season.pk], str(first) if idle else "")
    if dumps.due(season) and is_free(f"dump:{season.pk}"):
        yield _Bell("dump", "parse", [season.pk], "")
    if audits.due(season) and is_free(f"audit:{season.official_run_id}"):
        yield _Bell("audit", "parse", [season.pk], "")


def _bells_for_sequencers(season: Season) -> Iterator[_Bell]:
    name = f"place:{season.pk}"
    if season.frozen_at is not None:
        give_up(name)
        return
    relaxed = Candidate.objects.filter(season=season, state=CandidateState.RELAXED).exists()
    to_withdraw = _to_withdraw(season)
    if not (relaxed or to_withdraw or occasions.wait(season)):
        give_up(name)
    elif within_reach(name):
        yield _Bell("place", "place", [season.pk], _standing_of_run(season, to_withdraw=to_withdraw))


def _is_parsing() -> bool:
    """Whether anybody is at work who takes from the queue of the parse workers."""
    held = Lock.objects.filter(until__gte=Now()).exclude(token="").exclude(name__startswith="place:")
    return held.exists() or any(leased.objects.filter(lease_until__gte=Now()).exists() for leased in (Shard, DryRun))


def _standing_of_batches(season: Season) -> str:
    waiting = Batch.objects.filter(season=season, state=BatchState.UPLOADED)
    n, attempts, found, released = waiting.aggregate(
        n=Count("pk"), tried=Sum("attempts"), found=Sum("n_found"), released=Sum("n_released")
    ).values()
    return f"{n} batches, {attempts} attempts, {found} structures, {released} released"


def _standing_of_run(season: Season, *, to_withdraw: bool) -> str:
    """Nothing where those who wait have to wait: for earlier ones, or for auditors."""
    run = season.official_run
    if run is None:
        return ""
    turn = turn_of(run, size=1)
    is_due = turn.passed_to > run.placed_to and not (turn.waiting and are_at_it(run, turn.waiting[0].relaxation))
    return f"placed to {run.placed_to}, log {run.log_position}" if is_due or to_withdraw else ""


def _ring_relax(scale: Scale) -> list[str]:
    """The name under which the bell was noted, where no relax worker holds anything of the scale."""
    if not ring_relax(scale) or scale.problem or workers_on(scale.pk):
        return []
    latest = RelaxationFact.objects.filter(scale=scale).order_by("-created_at").values_list("pk", flat=True).first()
    silence.note(name := f"relax for {scale.name}", f"latest {latest}, first {first_waiting(scale.pk)}")
    return [name]


def _to_withdraw(season: Season) -> bool:
    """Whether an owner's wish waits, and not for the end of a relaxation."""
    return withdrawals.unsettled(season.pk).exclude(candidate__state=CandidateState.RELAXING).exists()
