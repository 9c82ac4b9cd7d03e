"""What a participant may still send. All is counted from rows when it is asked for, so nothing can drift.

A day is the last 24 hours. What was refused, and what is set aside, which is our fault, uses up nothing. An unfinished
upload counts with its whole length, relaxations as ``atom_steps`` says. Dry runs use up nothing of this; they have the
same limits for themselves.
"""

from dataclasses import dataclass, fields
from datetime import timedelta

from django.conf import settings
from django.db import connection
from django.db.models import Count, Q, QuerySet, Sum
from django.db.models.functions import Now

from philately.domain import atom_steps
from philately.domain.refusals import QuotaUsedUp, TooLarge
from philately.models import Batch, Candidate, DryRun, Membership, ResumableUpload, Season
from philately.states import BatchState, CandidateState, DryRunState
from validation.effort import rough

_DAY = timedelta(days=1)
_COUNTS_NOT = (BatchState.REFUSED, BatchState.SET_ASIDE)
_DRY_COUNTS_NOT = (DryRunState.REFUSED, DryRunState.SET_ASIDE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Amounts:
    """Limits, or what is left of them."""

    upload_bytes: int  # of one upload
    upload_bytes_a_day: int
    uploads_a_day: int
    uploads_unfinished: int  # at a time
    structures_a_day: int
    structures_a_season: int
    atom_steps_a_day: int
    atom_steps_a_season: int


@dataclass(frozen=True, slots=True)
class Quota:
    """What a participant of a season may have, and what of it is left now."""

    limits: Amounts
    left: Amounts

    @property
    def structures_left(self) -> int:
        return min(self.left.structures_a_day, self.left.structures_a_season)


NAMES = tuple(one.name for one in fields(Amounts))


def limits_of(season: Season, member: Membership | None = None) -> Amounts:
    """A participant's own limits, the season's where they have none, and the installation's where it has none."""
    own = {} if member is None else member.own_limits
    return Amounts(**{name: _first(own.get(name), getattr(season, name), _usual(name)) for name in NAMES})


def _usual(name: str) -> int:
    """Of the whole installation."""
    return int(getattr(settings, "UPLOAD_LIMIT_BYTES" if name == "upload_bytes" else name.upper()))


def _first(*limits: int | None) -> int:
    return next(limit for limit in limits if limit is not None)


def unused(season: Season) -> Quota:
    """Of somebody who has not sent anything yet."""
    limits = limits_of(season)
    return Quota(limits, limits)


def quota_left(member: Membership, *, is_dry_run: bool = False, without: Batch | None = None) -> Quota:
    """Eight queries at most. without: a batch whose structures are not to count."""
    limits = limits_of(member.season, member)
    n_bytes, n_uploads, n_structures, n_structures_today = (
        _dry_runs(member) if is_dry_run else _batches(member, without)
    )
    steps_today, steps = (0, 0) if is_dry_run else _atom_steps(member)
    unfinished = _unfinished(member)
    kind = "dry" if is_dry_run else "real"
    left = Amounts(
        upload_bytes=limits.upload_bytes,
        upload_bytes_a_day=_rest(limits.upload_bytes_a_day, n_bytes + unfinished[f"{kind}_bytes"]),
        uploads_a_day=_rest(limits.uploads_a_day, n_uploads + unfinished[kind]),
        uploads_unfinished=_rest(limits.uploads_unfinished, unfinished["all"]),
        structures_a_day=_rest(limits.structures_a_day, n_structures_today),
        structures_a_season=_rest(limits.structures_a_season, n_structures),
        atom_steps_a_day=_rest(limits.atom_steps_a_day, steps_today),
        atom_steps_a_season=_rest(limits.atom_steps_a_season, steps),
    )
    return Quota(limits, left)


def lock(member: Membership) -> None:
    """Let nobody else look at the member's quota until this transaction ends, so that what is left now is left then.

    SQLite has one writing transaction at a time, which has the same effect.
    """
    if not connection.in_atomic_block:
        raise RuntimeError("a quota is looked at and used in one transaction")
    Membership.objects.select_for_update().get(pk=member.pk)


def refuse_upload(member: Membership, n_bytes: int, *, is_dry_run: bool = False) -> None:
    """Raises TooLarge or QuotaUsedUp where an upload of so many bytes is more than the member may send now."""
    refuse_too_large(member.season, n_bytes, member)
    quota = quota_left(member, is_dry_run=is_dry_run)
    limits, left = quota.limits, quota.left
    of_what = "dry runs" if is_dry_run else "uploads"
    if left.uploads_a_day < 1:
        raise QuotaUsedUp(f"at most {limits.uploads_a_day:,} {of_what} may be made within 24 hours, and you made them")
    if n_bytes > left.upload_bytes_a_day:
        raise QuotaUsedUp(
            f"the file has {n_bytes:,} bytes, and {left.upload_bytes_a_day:,} are left of the "
            f"{limits.upload_bytes_a_day:,} bytes of {of_what} that you may send within 24 hours"
        )
    if not is_dry_run and quota.structures_left < 1:
        raise QuotaUsedUp(_structures_used_up(quota))
    if not is_dry_run and min(left.atom_steps_a_day, left.atom_steps_a_season) < 1:
        raise QuotaUsedUp(_atom_steps_used_up(member, limits))


def refuse_unfinished(member: Membership) -> None:
    """Raises QuotaUsedUp where the member has begun as many uploads as may be unfinished at a time."""
    limit = limits_of(member.season, member).uploads_unfinished
    if _unfinished(member)["all"] >= limit:
        raise QuotaUsedUp(f"at most {limit:,} of your uploads may be unfinished; finish or cancel one first")


def refuse_too_large(season: Season, n_bytes: int, member: Membership | None = None) -> None:
    """Raises TooLarge."""
    limit = limits_of(season, member).upload_bytes
    if n_bytes > limit:
        raise TooLarge(f"the file has {n_bytes:,} bytes; at most {limit:,} are accepted at once")


def refuse_too_many(batch: Batch, n_structures: int) -> None:
    """Write down how many structures a batch holds, or raise QuotaUsedUp where they are more than its owner has left.

    For the reader of a season's batches, which is one process at a time.
    """
    quota = quota_left(batch.owner, without=batch)
    if n_structures > quota.structures_left:
        a_day = quota.left.structures_a_day <= quota.left.structures_a_season
        limit = quota.limits.structures_a_day if a_day else quota.limits.structures_a_season
        raise QuotaUsedUp(
            f"it holds {n_structures:,} structures, and {quota.structures_left:,} are left of the {limit:,} that you "
            f"may submit {'within 24 hours' if a_day else 'to this season'}; nothing of it was counted"
        )
    Batch.objects.filter(pk=batch.pk).update(n_counted=n_structures)


def _structures_used_up(quota: Quota) -> str:
    a_season = quota.left.structures_a_season < 1
    limit = quota.limits.structures_a_season if a_season else quota.limits.structures_a_day
    where = "to this season" if a_season else "within 24 hours"
    return f"at most {limit:,} structures may be submitted {where}, and you submitted them"


def _atom_steps_used_up(member: Membership, limits: Amounts) -> str:
    """Of both limits the season's is told first: nothing but an organiser changes that."""
    used = atom_steps.used(member)
    a_season = used.a_season >= limits.atom_steps_a_season
    limit = limits.atom_steps_a_season if a_season else limits.atom_steps_a_day
    spent = used.a_season if a_season else used.a_day
    at = None if a_season else used.room_again_at(limit)
    at = at and at + timedelta(seconds=59)  # told to the minute, and not too early
    room = "once an organiser raises the limit" if at is None else f"on {at:%Y-%m-%d} at {at:%H:%M} UTC"
    return (
        f"relaxing takes at most {limit:,} atom-steps (atoms × steps) of a participant "
        f"{'in this season' if a_season else 'within 24 hours'}, and what you submitted takes "
        f"{f'about {rough(spent, digits=3):,}' if used.to_come else f'{spent:,}'}; there is room again {room}"
    )


def _rest(limit: int, used: int) -> int:
    return max(0, limit - used)


def _batches(member: Membership, without: Batch | None) -> tuple[int, int, int, int]:
    """Bytes and number of a day's batches, structures of the season and of a day."""
    today = Q(submitted_at__gt=Now() - _DAY)
    batches = Batch.objects.filter(owner=member).exclude(state__in=_COUNTS_NOT)
    if without is not None:
        batches = batches.exclude(pk=without.pk)
    sent = batches.aggregate(
        n_bytes=Sum("n_bytes", filter=today),
        uploads=Count("pk", filter=today),
        structures=Sum("n_counted"),
        structures_today=Sum("n_counted", filter=today),
    )
    set_aside = Candidate.objects.filter(batch__in=batches, state=CandidateState.SET_ASIDE).aggregate(
        all=Count("pk"), today=Count("pk", filter=Q(batch__submitted_at__gt=Now() - _DAY))
    )
    structures = (sent["structures"] or 0) - set_aside["all"]
    return sent["n_bytes"] or 0, sent["uploads"], structures, (sent["structures_today"] or 0) - set_aside["today"]


def _atom_steps(member: Membership) -> tuple[int, int]:
    """Of a day and of the season."""
    used = atom_steps.used(member)
    return used.a_day, used.a_season


def _dry_runs(member: Membership) -> tuple[int, int, int, int]:
    """Bytes and number of a day's dry runs; they hold no structure that counts."""
    runs: QuerySet[DryRun] = DryRun.objects.filter(owner=member, created_at__gt=Now() - _DAY)
    sent = runs.exclude(state__in=_DRY_COUNTS_NOT).aggregate(n_bytes=Sum("n_bytes"), uploads=Count("pk"))
    return sent["n_bytes"] or 0, sent["uploads"], 0, 0


def _unfinished(member: Membership) -> dict[str, int]:
    """Number and bytes of what is on its way; what expired is not."""
    begun = ResumableUpload.objects.filter(owner=member, finished_at=None, expires_at__gt=Now())
    dry, real = Q(is_dry_run=True), Q(is_dry_run=False)
    counts = begun.aggregate(
        all=Count("pk"),
        dry=Count("pk", filter=dry),
        real=Count("pk", filter=real),
        dry_bytes=Sum("length", filter=dry),
        real_bytes=Sum("length", filter=real),
    )
    return {name: count or 0 for name, count in counts.items()}
