"""Dry runs: an upload is read and checked as phase 1 would, and nothing comes of it but an answer.

No quota of structures, no candidate, no arrival number. ``dry_reading`` does the work, in a worker.
"""

import logging
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from philately.broker import ring
from philately.domain import files, intake, quotas
from philately.domain.refusals import UploadRefused
from philately.domain.transitions import expired
from philately.models import Batch, DryRun, Membership
from philately.queries import clock
from philately.states import DryRunState

log = logging.getLogger(__name__)

FOLDER = "dry-runs"  # of the storage: uploads of batches, which are kept, lie elsewhere


def begin(member: Membership, stored: files.Stored, method: intake.Method) -> DryRun:
    """Queue a dry run of what is stored in FOLDER. Raises UploadRefused."""
    try:
        with transaction.atomic():
            quotas.lock(member)
            quotas.refuse_upload(member, stored.n_bytes, is_dry_run=True)
            return _queue(member, stored, method)
    except UploadRefused:
        files.delete(stored.stored_as)
        raise


def accept_dry_run(member: Membership, upload: files.Upload, method: intake.Method, *, consent: bool) -> DryRun:
    """Store an upload and queue its dry run. Raises UploadRefused."""
    intake.refuse_offer(member, upload.size or 0, consent=consent)
    quotas.refuse_upload(member, upload.size or 0, is_dry_run=True)
    return begin(member, files.store(upload, folder=FOLDER), method)


def submit(run: DryRun) -> tuple[Batch, bool]:
    """Make a batch of the stored upload, which is then the batch's. Raises UploadRefused."""
    stored = files.Stored(run.sha256, run.stored_as, run.file_name, run.n_bytes)
    with transaction.atomic():
        current = DryRun.objects.select_for_update().filter(pk=run.pk).first()  # the sweeper takes it first, or waits
        if current is None:
            raise UploadRefused("the dry run was removed, and its file with it; please upload it again")
        batch, is_new = intake.submit(run.owner, stored, intake.Method(run.method, run.method_description))
        DryRun.objects.filter(pk=run.pk).update(batch=batch)
    return batch, is_new


def waiting() -> QuerySet[DryRun]:
    """Runs that nobody holds and that may be tried still."""
    return DryRun.objects.filter(_free(), state=DryRunState.WAITING, attempts__lt=settings.MAX_ATTEMPTS)


def sweep() -> None:
    """Ring for what waits, set aside what failed too often, remove what was kept for long enough."""
    for run in waiting().order_by("pk")[:1]:
        ring("dry_run", run.pk, queue="parse")
    spent = DryRun.objects.filter(_free(), state=DryRunState.WAITING, attempts__gte=settings.MAX_ATTEMPTS)
    sentence = f"reading it failed {settings.MAX_ATTEMPTS} times; this is our fault, and an organiser looks at it"
    for run_id in spent.values_list("pk", flat=True):
        changes = {"state": DryRunState.SET_ASIDE, "problem": sentence, "lease": None, "lease_until": None}
        if spent.filter(pk=run_id).update(**changes):
            log.error("dry run %s is set aside", run_id, extra={"dry_run": run_id})
    ended = DryRun.objects.exclude(state=DryRunState.WAITING)  # nobody waits for an answer only to find it gone
    for run in ended.filter(_free(), expires_at__lt=Now())[:100]:
        _remove(run)


def _queue(member: Membership, stored: files.Stored, method: intake.Method) -> DryRun:
    now = clock.now()
    run = DryRun.objects.create(
        owner=member,
        sha256=stored.sha256,
        file_name=stored.file_name,
        n_bytes=stored.n_bytes,
        stored_as=stored.stored_as,
        method=method.name,
        method_description=method.description,
        created_at=now,
        expires_at=now + timedelta(seconds=settings.DRY_RUN_KEPT_S),
    )
    ring("dry_run", run.pk, queue="parse")
    return run


def _free() -> Q:
    return Q(lease__isnull=True) | expired()


def _remove(run: DryRun) -> None:
    """The row first, under its lock, so that it is not being submitted; then its files, unless a batch has them."""
    with transaction.atomic():
        current = DryRun.objects.select_for_update().filter(pk=run.pk).first()
        if current is None:
            return
        is_batchs = current.batch is not None and current.batch.stored_as == current.stored_as
        current.delete()
    if not is_batchs:
        files.delete(current.stored_as)
    files.delete_below(tables_of(run))


def tables_of(run: DryRun) -> str:
    """The folder of its table, and of those that a worker wrote which died before it could say so."""
    return f"{FOLDER}/tables/{run.pk}"
