"""Opinions: relaxed structures relaxed again by the auditors of a run, each on a scale of its own.

They are facts, like relaxations. A sequencer asks for those that it needs (``auditors.ask``), relax workers take them
before candidates, and each one that is given rings for the sequencers that may wait for it.
"""

import logging
from collections.abc import Collection, Sequence
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.db.models.functions import Now

from philately.broker import ring
from philately.counted import count
from philately.domain import relaxations
from philately.domain.files import storable
from philately.domain.relax_queue import Queue
from philately.domain.transitions import expired, lease_end
from philately.models import Opinion, RelaxationFact, Season
from philately.states import OpinionState
from validation.crystal import Crystal
from validation.relaxation import Relaxation

log = logging.getLogger(__name__)

_FREE = {"lease": None, "lease_until": None}


class OpinionQueue(Queue[Opinion]):
    """What the scale's judge is asked as an auditor, in the order in which it was asked."""

    atoms = "relaxation__n_sites"

    def __init__(self, scale_id: int) -> None:
        self._scale_id = scale_id

    def waiting(self) -> QuerySet[Opinion]:
        """One that failed rests for a while."""
        rested = Q(attempts=0) | Q(changed_at__lt=Now() - timedelta(seconds=settings.RETRY_AFTER_S))
        waiting = Opinion.objects.filter(rested, scale_id=self._scale_id, state=OpinionState.WAITING)
        return waiting.filter(attempts__lt=settings.MAX_ATTEMPTS)

    def in_order(self) -> QuerySet[Opinion]:
        return self.waiting().order_by("pk")

    def claim(self, keys: list[int], token: str) -> list[Opinion]:
        Opinion.objects.filter(pk__in=keys, state=OpinionState.WAITING).update(
            state=OpinionState.RELAXING, lease=token, lease_until=lease_end(), attempts=F("attempts") + 1
        )
        mine = Opinion.objects.filter(lease=token, pk__in=keys).order_by("pk")
        return list(mine.select_related("relaxation__geometry"))

    def initial_hash(self, row: Opinion) -> str:
        return self.start(row).content_hash

    def start(self, row: Opinion) -> Crystal:
        return Crystal.unpack(row.relaxation.geometry.crystal)

    def save(self, made: Sequence[tuple[Opinion, Relaxation]], provenance: dict[str, object]) -> list[RelaxationFact]:
        return relaxations.save_opinions(made, self._scale_id, provenance)

    def commit(self, ended: Sequence[tuple[Opinion, RelaxationFact]]) -> set[int]:
        given = {"state": OpinionState.GIVEN, "problem": "", "changed_at": Now(), **_FREE}
        with transaction.atomic():
            mine = {
                row.pk
                for row, fact in ended
                if Opinion.objects.filter(pk=row.pk, lease=row.lease).update(result=fact, **given)
            }
        ring_sequencers(self._scale_id)
        return mine

    def fail(self, row: Opinion, error: Exception, token: str) -> None:
        problem = storable(f"attempt {row.attempts} failed: {type(error).__name__}: {error}")[:2000]
        mine = Opinion.objects.filter(pk=row.pk, lease=token)
        mine.update(state=OpinionState.WAITING, problem=problem, changed_at=Now(), **_FREE)

    def renew(self, token: str) -> int:
        return Opinion.objects.filter(lease=token).update(lease_until=lease_end())

    def held(self, token: str) -> set[int]:
        return set(Opinion.objects.filter(lease=token).values_list("pk", flat=True))

    def give_back(self, keys: Collection[int], token: str) -> None:
        mine = Opinion.objects.filter(lease=token, pk__in=keys)
        mine.update(state=OpinionState.WAITING, attempts=F("attempts") - 1, **_FREE)


def sweep() -> None:
    """Take from workers that died; set aside what failed too often, which holds the find that it is about."""
    died = {"state": OpinionState.WAITING, "problem": "its worker stopped without a word", "changed_at": Now()}
    died_with = Opinion.objects.filter(expired(), state=OpinionState.RELAXING).update(**died, **_FREE)
    count("leases_expired", "opinion", died_with)
    _give_up_forgotten()
    spent = Opinion.objects.filter(state=OpinionState.WAITING, attempts__gte=settings.MAX_ATTEMPTS)
    for opinion in spent.select_related("scale", "relaxation")[:1000]:
        if spent.filter(pk=opinion.pk).update(state=OpinionState.SET_ASIDE, changed_at=Now()):
            about = {"opinion": opinion.pk, "scale": opinion.scale_id}
            log.error("opinion %s (%s) is set aside: %s", opinion.pk, opinion, opinion.problem, extra=about)
            ring_sequencers(opinion.scale_id)


def _give_up_forgotten() -> None:
    """One that waits for PLACE_DEADLINE_S, while the auditor said something about what it was asked later, will not be
    heard. Where nobody was heard since, nobody works, and nobody is to blame."""
    patience = timedelta(seconds=settings.PLACE_DEADLINE_S)
    old = Opinion.objects.filter(state=OpinionState.WAITING, changed_at__lt=Now() - patience)
    later = Opinion.objects.filter(
        scale=OuterRef("scale"), pk__gt=OuterRef("pk"), state=OpinionState.GIVEN, changed_at__gte=OuterRef("changed_at")
    )
    passed = old.filter(Exists(later), attempts__lt=settings.MAX_ATTEMPTS)
    passed.update(attempts=settings.MAX_ATTEMPTS, problem=f"not heard {patience} after it was asked, others were")


def ring_sequencers(scale_id: int) -> None:
    """Of the seasons whose official run has an auditor on this scale."""
    for season in Season.objects.filter(official_run__auditors__release__scale=scale_id).values_list("pk", flat=True):
        ring("place", season, queue="place")
