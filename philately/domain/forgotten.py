"""What no bell would bring on: states in which no worker will ever look for a candidate again."""

import logging
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.db.models.functions import Now

from philately.domain.arrivals import next_arrivals
from philately.domain.transitions import move, say
from philately.domain.twins import promote
from philately.models import Candidate, Placement, Season, Shard
from philately.states import CandidateState, ShardState

log = logging.getLogger(__name__)

_SOME = 500


def sweep() -> None:
    """Each is given FORGOTTEN_AFTER_S to be in order by itself."""
    _read_what_was_passed_over()
    _set_aside_without_shard()
    for season in Season.objects.exclude(official_run=None).select_related("official_run"):
        _number_anew(season)


def _long_since(**which: object) -> QuerySet[Candidate]:
    since = Now() - timedelta(seconds=settings.FORGOTTEN_AFTER_S)
    return Candidate.objects.filter(changed_at__lt=since, **which)


def _read_what_was_passed_over() -> None:
    """Unread, in a shard that counts as read: the shard is read again, and of it only what is unread."""
    unread = Candidate.objects.filter(shard=OuterRef("pk"), state=CandidateState.RECEIVED)
    unread = unread.filter(changed_at__lt=Now() - timedelta(seconds=settings.FORGOTTEN_AFTER_S))
    for shard in _shards_of_unread(ShardState.PARSED):
        mine = Shard.objects.filter(Exists(unread), pk=shard, state=ShardState.PARSED)
        if mine.update(state=ShardState.WAITING, attempts=0):
            log.warning("shard %s counted as read and is not, it waits again", shard)


def _shards_of_unread(state: ShardState) -> list[int]:
    """The first few such. Few candidates are unread for so long, and they are found in an index."""
    seasons = Season.objects.values_list("pk", flat=True)
    found: set[int] = set()
    for season in seasons:
        unread = _long_since(season=season, state=CandidateState.RECEIVED, shard__state=state)
        found.update(unread.order_by("arrival").values_list("shard", flat=True)[:_SOME])
    return sorted(found)


def _set_aside_without_shard() -> None:
    """Unread, in a shard that was set aside: nobody will read it."""
    sentence = "its shard cannot be read; an organiser looks at it"
    for shard in _shards_of_unread(ShardState.SET_ASIDE):
        for candidate in Candidate.objects.filter(shard=shard, state=CandidateState.RECEIVED):
            with transaction.atomic():
                mine = Candidate.objects.filter(pk=candidate.pk, shard__state=ShardState.SET_ASIDE)
                if move(mine, CandidateState.RECEIVED, CandidateState.SET_ASIDE):
                    say(candidate.pk, sentence)
                    promote(candidate)
        log.error("candidates of shard %s are set aside: %s", shard, sentence)


def _number_anew(season: Season) -> None:
    """Relaxed, and the run has passed its arrival number: it takes the next one, as whatever comes late."""
    run = season.official_run
    assert run is not None  # the caller's filter
    placed = Placement.objects.filter(run=run, candidate=OuterRef("pk"))
    late = _long_since(season=season, state=CandidateState.RELAXED, arrival__lte=run.placed_to)
    for key in late.filter(~Exists(placed)).order_by("arrival").values_list("pk", flat=True)[:_SOME]:
        with transaction.atomic():
            arrival = next_arrivals(season.pk)
            mine = Candidate.objects.filter(pk=key, state=CandidateState.RELAXED, arrival__lte=run.placed_to)
            moved = mine.update(arrival=arrival, changed_at=Now())
        if moved:
            log.warning("candidate %s came too late for its turn, it has arrival number %s now", key, arrival)
