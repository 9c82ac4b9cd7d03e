"""Phase 1: a shard's texts become checked crystals, or rejections that say why."""

import logging
import math
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q, QuerySet

from philately.broker import ring
from philately.domain import bulk, files, intake, likenesses, reading, twins
from philately.domain.caution import narrowed
from philately.domain.transitions import SESSION_LOST, WorkerDied, expired, fail, lease_end, move, new_token, say_all
from philately.logs import about, carries
from philately.models import Candidate, CandidateDetail, InitialFingerprint, Season, Shard
from philately.states import CandidateState, ShardState, Stage
from validation.answers import Fault, Read, Text
from validation.blocks import Format
from validation.crystal import Crystal
from validation.rules import Rejected, Rules

log = logging.getLogger(__name__)


_Results = list[tuple[Candidate, Read]]
_A_LITTLE_S = 5.0
_LOOKED_AT = 1000  # candidates that are done again, for their shards

_n_turns = 0  # of this process


@carries("shard")
def parse_shard(shard_id: int, *, limit_s: float | None = None, at_work: Callable[[], None] = lambda: None) -> bool:
    """Read and check a shard's candidates; False where another worker has the shard or it is done.

    limit_s: after so many seconds it ends, and the rest of the shard waits again. at_work: called again and again.

    What failed, or killed its worker, is read in smaller and smaller parts, at last one candidate at a time, which is
    then to blame.
    """
    shard = _claim(shard_id)
    if shard is None:
        return False
    with about(batch=shard.batch_id, season=shard.batch.season_id):
        try:
            done = _parse_carefully(shard) if shard.attempts > 1 else _commit(shard, _read(shard, limit_s, at_work))
        except Exception:
            Shard.objects.filter(pk=shard.pk, lease=shard.lease).update(lease=None, lease_until=None)
            raise
        if not done:
            log.warning("shard %s was taken over by another worker", shard.pk)
            return True
    with about(shard=None):  # whose turn it is, in whichever shard
        intake.ring_when_waited_for(shard.batch.season_id)
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


def parse_next(shard_id: int) -> bool:
    """As a bell for a shard has it; but every second time what an organiser has done again comes first."""
    global _n_turns
    _n_turns += 1
    season_id = Shard.objects.filter(pk=shard_id).values_list("batch__season", flat=True).first()
    if season_id is not None and _n_turns % 2:
        for shard in shards_of_reruns(season_id)[:1]:
            if shard != shard_id and parse_shard(shard):
                ring("parse", shard_id, queue="parse")  # its own turn comes
                return True
    return parse_shard(shard_id)


def parse_a_little(season_id: int, at_work: Callable[[], None]) -> bool:
    """Of one shard that waits, by a worker that has something else to do as well."""
    season = Season.objects.get(pk=season_id)
    return any(parse_shard(shard, limit_s=_A_LITTLE_S, at_work=at_work) for shard in shards_waiting(season)[:1])


def _claim(shard_id: int) -> Shard | None:
    free = Q(lease__isnull=True) | expired()
    token = new_token()
    won = Shard.objects.filter(free, pk=shard_id, state=ShardState.WAITING, attempts__lt=settings.MAX_ATTEMPTS).update(
        lease=token, lease_until=lease_end(), attempts=F("attempts") + 1
    )
    return Shard.objects.select_related("batch__season__scale").get(pk=shard_id, lease=token) if won else None


def _parse_carefully(shard: Shard) -> bool:
    """A part at a time, each of which is committed; the last attempt reads one at a time. False where the lease was
    lost."""
    alone = shard.attempts >= settings.MAX_ATTEMPTS
    size = 1 if alone else narrowed(settings.SHARD_SIZE, shard.attempts - 1)
    content, waiting = files.read_shard(shard), _waiting(shard)
    for some in files.chunks(waiting, size):
        is_ours = _parse_alone(shard, some[0], content) if size == 1 else _parse_part(shard, some, content)
        if not is_ours:
            return False
    return _commit(shard, [])


def _parse_part(shard: Shard, candidates: Sequence[Candidate], content: bytes) -> bool:
    return _commit_part(shard, _reads(shard, candidates, content))


def _parse_alone(shard: Shard, candidate: Candidate, content: bytes) -> bool:
    """Its attempt is noted before it is read: where this worker dies now, the candidate is to blame, not its shard."""
    if candidate.attempts >= settings.MAX_ATTEMPTS:
        fail(candidate, Stage.PARSE, WorkerDied("reading it stopped its worker"))
        return True
    candidate.attempts += 1
    with transaction.atomic():
        Candidate.objects.filter(pk=candidate.pk, state=CandidateState.RECEIVED).update(attempts=candidate.attempts)
        Shard.objects.filter(pk=shard.pk, lease=shard.lease).update(attempts=settings.MAX_ATTEMPTS - 1)
    try:
        return _commit_part(shard, _reads(shard, [candidate], content), noted=True)
    except SESSION_LOST:
        raise
    except Exception as error:
        log.exception("reading candidate %s failed", candidate.pk)
        fail(candidate, Stage.PARSE, error)
        return True


def _waiting(shard: Shard) -> list[Candidate]:
    """In order of arrival."""
    waiting = shard.candidates.filter(state=CandidateState.RECEIVED).select_related("detail")
    return list(waiting.order_by("arrival"))


def _read(shard: Shard, limit_s: float | None, at_work: Callable[[], None]) -> _Results:
    return _reads(shard, _waiting(shard), files.read_shard(shard), limit_s=limit_s, at_work=at_work)


def _reads(
    shard: Shard,
    candidates: Sequence[Candidate],
    content: bytes,
    *,
    limit_s: float | None = None,
    at_work: Callable[[], None] = lambda: None,
) -> _Results:
    """What the children make of each text, in order; of the first ones only where the time is up."""
    season = shard.batch.season
    reads = reading.readers().read(
        (_text(candidate.detail, content) for candidate in candidates),
        rules=Rules.from_json(season.rules),
        known_elements=frozenset(season.scale.identity["elements"]),
    )
    ends = math.inf if limit_s is None else time.monotonic() + limit_s
    results: _Results = []
    with closing(reads):
        for candidate, read in zip(candidates, _while_leased(reads, shard), strict=True):
            results.append((candidate, read))
            at_work()
            if time.monotonic() > ends:
                break
    return results


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
    _tell(shard, results)
    return True


def _commit_part(shard: Shard, results: _Results, *, noted: bool = False) -> bool:
    """The same of a part of the shard, which stays in hand. noted: whether these candidates' attempts count already."""
    with transaction.atomic():
        if Shard.objects.filter(pk=shard.pk, lease=shard.lease).update(lease_until=lease_end()) != 1:
            return False
        _write(shard.batch.season_id, results, noted=noted)
    _tell(shard, results)
    return True


def _write(season_id: int, results: _Results, *, noted: bool = False) -> None:
    """All of them in a handful of statements."""
    _write_accepted(season_id, [(one.pk, read, read.crystal) for one, read in results if read.crystal is not None])
    _write_rejected([(one.pk, read.rejection) for one, read in results if read.rejection is not None])
    _write_failed([(one.pk, read.fault) for one, read in results if read.fault is not None], noted=noted)


def _write_accepted(season_id: int, accepted: Sequence[tuple[int, Read, Crystal]]) -> None:
    keys = [key for key, _, _ in accepted]
    texts = [(str(crystal.formula), crystal.content_hash, len(crystal), key) for key, _, crystal in accepted]
    bulk.update(Candidate, ("formula", "content_hash", "n_atoms"), texts)
    bulk.update(CandidateDetail, ("geometry", "sentence"), [(crystal.pack(), "", key) for key, _, crystal in accepted])
    InitialFingerprint.objects.filter(candidate__in=keys).delete()  # of an earlier reading
    likenesses.write(season_id, ((key, one) for key, read, _ in accepted for one in read.fingerprints))
    move(Candidate.objects.filter(pk__in=keys), CandidateState.RECEIVED, CandidateState.CHECKED, attempts=0)


def _write_rejected(rejected: Sequence[tuple[int, Rejected]]) -> None:
    say_all((key, rejection.detail) for key, rejection in rejected)
    for reason in sorted({rejection.reason for _, rejection in rejected}):
        mine = Candidate.objects.filter(pk__in=[key for key, rejection in rejected if rejection.reason == reason])
        move(mine, CandidateState.RECEIVED, CandidateState.REJECTED, reason=reason)


def _write_failed(failed: Sequence[tuple[int, Fault]], *, noted: bool) -> None:
    for key, fault in failed:
        about_it = {"candidate": key, "traceback": fault.traceback}
        log.error("reading candidate %s failed: %s", key, fault, extra=about_it)
    say_all((key, f"reading failed: {fault}") for key, fault in failed)
    mine = Candidate.objects.filter(pk__in=[key for key, _ in failed])
    changes = {"failed_in": Stage.PARSE, "attempts": F("attempts") + (0 if noted else 1)}
    move(mine, CandidateState.RECEIVED, CandidateState.FAILED, **changes)


def shards_waiting(season: Season) -> list[int]:
    """Shards that nobody holds, in order of release; of the first two one is an organiser's who has it done again."""
    waiting = _free_shards().filter(batch__season=season).order_by("pk")
    found = list(waiting.filter(attempts__lt=settings.MAX_ATTEMPTS).values_list("pk", flat=True))
    again = shards_of_reruns(season.pk)[:1]
    return [*again, *(shard for shard in found if shard not in again)]


def shards_of_reruns(season_id: int) -> list[int]:
    """Of what an organiser has done again and is to be read: the first few shards that nobody holds."""
    again = Candidate.objects.filter(season=season_id, state=CandidateState.RECEIVED, is_rerun=True)
    first = list(again.order_by("arrival").values_list("shard", flat=True)[:_LOOKED_AT])
    free = _free_shards().filter(pk__in=first, attempts__lt=settings.MAX_ATTEMPTS)
    return list(free.order_by("pk").values_list("pk", flat=True))


def _free_shards() -> QuerySet[Shard]:
    return Shard.objects.filter(Q(lease__isnull=True) | expired(), state=ShardState.WAITING)
