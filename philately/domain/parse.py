"""Phase 1: a shard's texts become checked crystals, or rejections that say why."""

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q, QuerySet

from philately.domain import files, twins
from philately.domain.alarms import alarm
from philately.domain.transitions import expired, lease_end, move, new_token
from philately.models import Candidate, CandidateDetail, Season, Shard
from philately.states import CandidateState, ShardState, Stage
from validation.acceptance import accept_initial
from validation.crystal import Crystal
from validation.rules import Reason, Rejected, Rules

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Result:
    """What became of one candidate's text: a crystal, a rejection or a fault of ours."""

    candidate: Candidate
    crystal: Crystal | None = None
    rejection: Rejected | None = None
    fault: Exception | None = None


def parse_shard(shard_id: int) -> bool:
    """Read and check a shard's candidates; False where another worker has the shard or it is done."""
    shard = _claim(shard_id)
    if shard is None:
        return False
    season = shard.batch.season
    rules = Rules.from_json(season.rules)
    known = frozenset(season.scale.identity["elements"])
    text = files.read_shard(shard)
    waiting = shard.candidates.filter(state=CandidateState.RECEIVED).select_related("detail").order_by("arrival")
    results = [_read(candidate, text, rules, known) for candidate in _while_leased(waiting, shard)]
    if _commit(shard, results):
        twins.settle(season.pk)
    return True


def _claim(shard_id: int) -> Shard | None:
    free = Q(lease__isnull=True) | expired()
    token = new_token()
    won = Shard.objects.filter(free, pk=shard_id, state=ShardState.WAITING, attempts__lt=settings.MAX_ATTEMPTS).update(
        lease=token, lease_until=lease_end(), attempts=F("attempts") + 1
    )
    return Shard.objects.select_related("batch__season__scale").get(pk=shard_id, lease=token) if won else None


def _while_leased(candidates: QuerySet[Candidate], shard: Shard) -> Iterator[Candidate]:
    """The candidates, while the lease is renewed at half its time."""
    renewed = time.monotonic()
    for candidate in candidates:
        if time.monotonic() - renewed > settings.LEASE_S / 2:
            Shard.objects.filter(pk=shard.pk, lease=shard.lease).update(lease_until=lease_end())
            renewed = time.monotonic()
        yield candidate


def _read(candidate: Candidate, text: bytes, rules: Rules, known: frozenset[str]) -> _Result:
    detail = candidate.detail
    try:
        block = text[detail.offset : detail.offset + detail.length].decode()
        with alarm(settings.PARSE_LIMIT_S, _time_is_up):
            crystal = accept_initial(block, rules, known, first_line=detail.line)
    except Rejected as rejection:
        return _Result(candidate, rejection=rejection)
    except TimeoutError:
        sentence = f"reading and checking it took longer than {settings.PARSE_LIMIT_S:g} s"
        return _Result(candidate, rejection=Rejected(Reason.TOO_SLOW, sentence))
    except Exception as error:
        log.exception("reading candidate %s failed", candidate.pk)
        return _Result(candidate, fault=error)
    return _Result(candidate, crystal=crystal)


def _time_is_up(signum: int, frame: FrameType | None) -> None:
    raise TimeoutError


def _commit(shard: Shard, results: list[_Result]) -> bool:
    """Write the results while the lease holds; False where it was lost."""
    with transaction.atomic():
        won = Shard.objects.filter(pk=shard.pk, lease=shard.lease).update(
            state=ShardState.PARSED, lease=None, lease_until=None, attempts=0
        )
        if won != 1:
            return False
        for result in results:
            _write(result)
        if shard.candidates.filter(state=CandidateState.RECEIVED).exists():  # sent back here while it was being read
            Shard.objects.filter(pk=shard.pk).update(state=ShardState.WAITING)
    return True


def _write(result: _Result) -> None:
    mine = Candidate.objects.filter(pk=result.candidate.pk)
    detail = CandidateDetail.objects.filter(pk=result.candidate.pk)
    if result.crystal is not None:
        crystal = result.crystal
        fields = {"formula": str(crystal.formula), "content_hash": crystal.content_hash, "n_atoms": len(crystal)}
        move(mine, CandidateState.RECEIVED, CandidateState.CHECKED, attempts=0, **fields)
        detail.update(geometry=crystal.pack(), sentence="")
    elif result.rejection is not None:
        move(mine, CandidateState.RECEIVED, CandidateState.REJECTED, reason=result.rejection.reason)
        detail.update(sentence=files.storable(result.rejection.detail))
    else:
        error = result.fault
        move(
            mine,
            CandidateState.RECEIVED,
            CandidateState.FAILED,
            failed_in=Stage.PARSE,
            attempts=F("attempts") + 1,
        )
        detail.update(sentence=files.storable(f"reading failed: {type(error).__name__}: {error}")[:2000])


def shards_waiting(season: Season) -> list[int]:
    """Shards that nobody holds, in order."""
    free = Q(lease__isnull=True) | expired()
    waiting = Shard.objects.filter(free, batch__season=season, state=ShardState.WAITING)
    return list(waiting.order_by("pk").values_list("pk", flat=True))
