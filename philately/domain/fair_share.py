"""Whose structures come next into a season's queue, and whether there is room for them.

Arrival numbers are given a slice (a shard) at a time, late: only so many structures as keep the workers busy. Turns go
by participants first, so that splitting an upload into many wins nothing, and then by their batches.

The account is that of start-time fair queueing (Goyal, Vin and Cheng, SIGCOMM 1996): each participant's ``served``
grows with every structure that is released, and whoever stands lowest is next. Who was away begins where the others
are, ``Season.served``, and has saved up nothing.
"""

from collections.abc import Collection

from django.conf import settings
from django.db.models import F, Max, Min
from django.db.models.functions import Now

from philately.models import Batch, Candidate, Membership, Season, Shard
from philately.states import BatchState, CandidateState, ShardState

_WAITS = (CandidateState.RECEIVED, CandidateState.CHECKED, CandidateState.PARSED)


def next_batch(season_id: int, *, without: Collection[int] = ()) -> Batch | None:
    """Of the batches that were read and are not released, the one whose slice is next; two queries. Depends on rows
    alone. without: keys of batches that cannot be released now."""
    unreleased = Batch.objects.filter(season=season_id, state=BatchState.UPLOADED, n_counted__isnull=False)
    unreleased = unreleased.exclude(pk__in=list(without))
    rows = list(unreleased.order_by().values_list("owner", "owner__served", "season__served").annotate(first=Min("pk")))
    if not rows:
        return None
    owner, *_ = min(rows, key=lambda row: (max(row[1], row[2]), row[1], row[3]))
    in_turns = unreleased.filter(owner=owner).annotate(latest=Max("shards__pk"))
    return in_turns.order_by(F("latest").asc(nulls_first=True), "pk").select_related("owner", "season").first()


def serve(batch: Batch, n_structures: int) -> None:
    """Enter so many structures into the account. Belongs into the transaction that releases them."""
    (stood,) = Membership.objects.filter(pk=batch.owner_id).values_list("served", flat=True)
    (clock,) = Season.objects.filter(pk=batch.season_id).values_list("served", flat=True)
    begins = max(stood, clock)
    Membership.objects.filter(pk=batch.owner_id).update(served=begins + n_structures)
    Season.objects.filter(pk=batch.season_id).update(served=begins)


def has_room(season_id: int) -> bool:
    """Whether fewer structures wait before relaxation than RELEASE_AHEAD, or than twice what workers have in hand now;
    three queries that count no further than needed."""
    mine = Candidate.objects.filter(season=season_id)
    reading = Shard.objects.filter(
        state=ShardState.WAITING,
        batch__season=season_id,
        batch__state__in=(BatchState.UPLOADED, BatchState.READ),
        lease_until__gte=Now(),
    )
    in_hand = mine.filter(state=CandidateState.RELAXING).count() + reading.count() * settings.SHARD_SIZE
    room = max(settings.RELEASE_AHEAD, 2 * in_hand)
    return mine.filter(state__in=_WAITS)[:room].count() < room
