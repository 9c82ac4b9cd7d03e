"""Intake: an upload becomes a batch, and a batch becomes shards and candidates.

``intake_turns`` does the second.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from django.db import transaction

from philately.broker import ring
from philately.domain import back_pressure, fair_share, files, quotas
from philately.domain.intake_turns import Desk
from philately.domain.locks import lock
from philately.domain.refusals import UploadRefused
from philately.logs import carries
from philately.models import Batch, Membership, Season
from philately.queries import clock
from philately.states import BatchState

log = logging.getLogger(__name__)

AtWork = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Method:
    """How the structures were made, in their owner's words."""

    name: str
    description: str = ""


def accept_upload(member: Membership, upload: files.Upload, method: Method, *, consent: bool) -> tuple[Batch, bool]:
    """Store an upload and queue it; the second value is False where the same bytes were accepted before.

    Raises UploadRefused.
    """
    refuse_offer(member, upload.size or 0, consent=consent)
    sha256 = files.sha256_of(upload)
    known = Batch.objects.filter(owner=member, sha256=sha256).exclude(state=BatchState.REFUSED).first()
    if known is not None:
        return known, False
    back_pressure.refuse_long_queue(member.season)
    quotas.refuse_upload(member, upload.size or 0)  # nothing is stored that could not be queued
    return submit(member, files.store(upload), method)


def submit(member: Membership, stored: files.Stored, method: Method) -> tuple[Batch, bool]:
    """Queue what is stored; the second value is False where the same bytes were accepted before.

    What was refused may be submitted again: quotas and limits change. Raises UploadRefused.
    """
    season = member.season
    refuse_closed(season)
    with transaction.atomic():
        quotas.lock(member)
        refuse_closed(Season.objects.select_for_update().get(pk=season.pk))  # nobody closes or freezes it meanwhile
        known = Batch.objects.filter(owner=member, sha256=stored.sha256).first()
        if known is not None and known.state != BatchState.REFUSED:
            return known, False
        quotas.refuse_upload(member, stored.n_bytes)
        batch = known or Batch(season=season, owner=member, sha256=stored.sha256)
        batch.file_name, batch.n_bytes, batch.stored_as = stored.file_name, stored.n_bytes, stored.stored_as
        batch.method, batch.method_description = method.name, method.description
        batch.licence, batch.submitted_at = season.data_licence, clock.now()
        batch.state, batch.problem, batch.attempts = BatchState.UPLOADED, "", 0
        batch.n_found, batch.n_counted = 0, None
        batch.save()
        ring("intake", season.pk, queue="parse")
    told = {"batch": batch.pk, "season": season.pk}
    log.info("batch %s is received: %s, %s bytes", batch.pk, batch.file_name, batch.n_bytes, extra=told)
    return batch, True


def refuse_offer(member: Membership, n_bytes: int, *, consent: bool) -> None:
    """Raises UploadRefused for what need not even be looked at."""
    if not consent:
        raise UploadRefused(f"a batch is accepted only under the data licence, {member.season.data_licence}")
    refuse_closed(member.season)
    if not n_bytes:
        raise UploadRefused("the file is empty")
    quotas.refuse_too_large(member.season, n_bytes, member)
    back_pressure.refuse_full_disk(n_bytes)


def refuse_closed(season: Season) -> None:
    """Raises UploadRefused before a season opens and after it closes."""
    now = clock.now()
    if season.frozen_at is not None:
        raise UploadRefused(f"the season ended on {season.frozen_at:%Y-%m-%d %H:%M} UTC")
    if now < season.opens_at:
        raise UploadRefused(f"the season opens on {season.opens_at:%Y-%m-%d %H:%M} UTC")
    if season.closes_at is not None and now >= season.closes_at:
        raise UploadRefused(f"the season closed on {season.closes_at:%Y-%m-%d %H:%M} UTC")


@carries("season")
def read_batches(
    season_id: int,
    *,
    stop: Callable[[], bool] = lambda: False,
    between: Callable[[AtWork], object] = lambda at_work: None,
) -> int:
    """Read and release what was uploaded to a season, as far as there is room in its queue; says how many batches came
    to an end. Raises the first fault of a batch, once everything else is done.

    One process at a time does so. stop: asked before each turn; what is left then is for whoever is rung for next.
    between: something else that this worker may do while uploads are being read, after each turn; it is to call what it
    is given again and again, to say that the work goes on.
    """
    with lock(f"intake:{season_id}") as hold:
        if hold is None:
            return 0
        desk = Desk(season_id, hold)
        try:
            while not stop() and desk.turn():
                if desk.is_reading:
                    between(hold.at_work)
            desk.give_back()
        finally:
            desk.close()
        if desk.fault is not None:
            raise desk.fault
        return desk.n_done


def is_waited_for(season_id: int) -> bool:
    """Whether something is to be read, or is to be released and has room; five small queries at most."""
    waiting = Batch.objects.filter(season=season_id, state=BatchState.UPLOADED)
    if not waiting.exists():
        return False
    return waiting.filter(n_counted=None).exists() or fair_share.has_room(season_id)


def ring_when_waited_for(season_id: int) -> None:
    if is_waited_for(season_id):
        ring("intake", season_id, queue="parse")
