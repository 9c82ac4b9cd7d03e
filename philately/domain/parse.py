"""Phase 1: a shard's texts become checked crystals, or rejections that say why."""

import logging
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q

from philately.domain import bulk, files, likenesses, reading, twins
from philately.domain.transitions import expired, lease_end, move, new_token
from philately.logs import about, carries
from philately.models import Candidate, CandidateDetail, InitialFingerprint, Season, Shard
from philately.states import CandidateState, ShardState, Stage
from validation.answers import Fault, Read, Text
from validation.blocks import Format
from validation.crystal import Crystal
from validation.rules import Rejected, Rules

log = logging.getLogger(__name__)


_Results = list[tuple[Candidate, Read]]


@carries("shard")
def parse_shard(shard_id: int) -> bool:
    """Read and check a shard's candidates; False where another worker has the shard or it is done."""
    shard = _claim(shard_id)
    if shard is None:
        return False
    with about(batch=shard.batch_id, season=shard.batch.season_id):
        results = _read(shard)
        if not _commit(shard, results):
            log.warning("shard %s was taken over by another worker", shard.pk)
            return True
        _tell(shard, results)
    with about(shard=None):  # whose turn it is, in whichever shard
        twins.settle(shard.batch.season_id)
    return True


def _tell(shard: Shard, results: _Results) -> None:
    """A line a shard, and one a structure for whoever wants them all."""
    n_rejected = sum(read.rejection is not None for _, read in results)
    n_failed = sum(read.fault is not None for _, read in results)
    arrivals = f"arrivals {results[0][0].arrival} to {results[-1][0].arrival}" if results else "no arrivals"
    told = (len(results) - n_rejected - n_failed, n_rejected, n_failed)
    log.info("shard %s is read, %s: %s pass, %s rejected, %s failed", shard.pk, arrivals, *told)
    if log.isEnabledFor(logging.DEBUG):
        for candidate, read in results:
            verdict = "rejected" if read.rejection else "failed" if read.fault else "read"
            log.debug("candidate %s is %s", candidate.pk, verdict, extra={"candidate": candidate.pk})


def _claim(shard_id: int) -> Shard | None:
    free = Q(lease__isnull=True) | expired()
    token = new_token()
    won = Shard.objects.filter(free, pk=shard_id, state=ShardState.WAITING, attempts__lt=settings.MAX_ATTEMPTS).update(
        lease=token, lease_until=lease_end(), attempts=F("attempts") + 1
    )
    return Shard.objects.select_related("batch__season__scale").get(pk=shard_id, lease=token) if won else None


def _read(shard: Shard) -> _Results:
    """What the children make of each text, in order of arrival."""
    season = shard.batch.season
    content = files.read_shard(shard)
    waiting = shard.candidates.filter(state=CandidateState.RECEIVED).select_related("detail").order_by("arrival")
    candidates = list(waiting)
    reads = reading.readers().read(
        (_text(candidate.detail, content) for candidate in candidates),
        rules=Rules.from_json(season.rules),
        known_elements=frozenset(season.scale.identity["elements"]),
    )
    with closing(reads):
        return list(zip(candidates, _while_leased(reads, shard), strict=True))


def _text(detail: CandidateDetail, content: bytes) -> Text:
    return Text(content[detail.offset : detail.offset + detail.length], detail.line, Format(detail.format))


def _while_leased(reads: Generator[Read], shard: Shard) -> Iterator[Read]:
    """The results, while the lease is renewed at half its time."""
    renewed = time.monotonic()
    for read in reads:
        if time.monotonic() - renewed > settings.LEASE_S / 2:
            Shard.objects.filter(pk=shard.pk, lease=shard.lease).update(lease_until=lease_end())
            renewed = time.monotonic()
        yield read


def _commit(shard: Shard, results: _Results) -> bool:
    """Write the results while the lease holds; False where it was lost."""
    with transaction.atomic():
        won = Shard.objects.filter(pk=shard.pk, lease=shard.lease).update(
            state=ShardState.PARSED, lease=None, lease_until=None, attempts=0
        )
        if won != 1:
            return False
        _write(shard.batch.season_id, results)
        if shard.candidates.filter(state=CandidateState.RECEIVED).exists():  # sent back here while it was being read
            Shard.objects.filter(pk=shard.pk).update(state=ShardState.WAITING)
    return True


def _write(season_id: int, results: _Results) -> None:
    """All of a shard in a handful of statements."""
    _write_accepted(season_id, [(one.pk, read, read.crystal) for one, read in results if read.crystal is not None])
    _write_rejected([(one.pk, read.rejection) for one, read in results if read.rejection is not None])
    _write_failed([(one.pk, read.fault) for one, read in results if read.fault is not None])


def _write_accepted(season_id: int, accepted: Sequence[tuple[int, Read, Crystal]]) -> None:
    keys = [key for key, _, _ in accepted]
    texts = [(str(crystal.formula), crystal.content_hash, len(crystal), key) for key, _, crystal in accepted]
    bulk.update(Candidate, ("formula", "content_hash", "n_atoms"), texts)
    bulk.update(CandidateDetail, ("geometry", "sentence"), [(crystal.pack(), "", key) for key, _, crystal in accepted])
    InitialFingerprint.objects.filter(candidate__in=keys).delete()  # of an earlier reading
    likenesses.write(season_id, ((key, one) for key, read, _ in accepted for one in read.fingerprints))
    move(Candidate.objects.filter(pk__in=keys), CandidateState.RECEIVED, CandidateState.CHECKED, attempts=0)


def _write_rejected(rejected: Sequence[tuple[int, Rejected]]) -> None:
    _say([(files.storable(rejection.detail), key) for key, rejection in rejected])
    for reason in sorted({rejection.reason for _, rejection in rejected}):
        mine = Candidate.objects.filter(pk__in=[key for key, rejection in rejected if rejection.reason == reason])
        move(mine, CandidateState.RECEIVED, CandidateState.REJECTED, reason=reason)


def _write_failed(failed: Sequence[tuple[int, Fault]]) -> None:
    for key, fault in failed:
        about_it = {"candidate": key, "traceback": fault.traceback}
        log.error("reading candidate %s failed: %s", key, fault, extra=about_it)
    _say([(files.storable(f"reading failed: {fault}")[:2000], key) for key, fault in failed])
    mine = Candidate.objects.filter(pk__in=[key for key, _ in failed])
    changes = {"failed_in": Stage.PARSE, "attempts": F("attempts") + 1}
    move(mine, CandidateState.RECEIVED, CandidateState.FAILED, **changes)


def _say(sentences: Sequence[tuple[str, int]]) -> None:
    bulk.update(CandidateDetail, ("sentence",), sentences)


def shards_waiting(season: Season) -> list[int]:
    """Shards that nobody holds, in order."""
    free = Q(lease__isnull=True) | expired()
    waiting = Shard.objects.filter(free, batch__season=season, state=ShardState.WAITING)
    return list(waiting.order_by("pk").values_list("pk", flat=True))
