"""How often to ring: every idle worker should hear a bell, and more would only pile up."""

import time
from itertools import chain

from django.conf import settings
from django.db.models.functions import Now

from philately.broker import ring, ring_up_to
from philately.models import Candidate, Opinion, Scale
from philately.states import CandidateState, OpinionState


def ring_relax(scale: Scale) -> bool:
    """Ring for relax workers where anything waits; says whether it does. Once only where the judge was refused last.

    For as many as RELAX_WORKERS says, less those that hold something here. There may be more, on other machines: while
    all that are busy are as many as known, one bell lies there for whoever is idle, and whoever takes up work passes
    it on by ringing here.
    """
    candidates, opinions = Candidate.objects.filter(season__scale=scale), Opinion.objects.filter(scale=scale)
    waiting = candidates.filter(state=CandidateState.PARSED), opinions.filter(state=OpinionState.WAITING)
    if not any(some.exists() for some in waiting):
        return False
    relaxing = candidates.filter(state=CandidateState.RELAXING), opinions.filter(state=OpinionState.RELAXING)
    leases = (some.filter(lease_until__gte=Now()).values_list("lease", flat=True).distinct() for some in relaxing)
    busy = len(set(chain.from_iterable(leases)))
    idle = 1 if scale.problem else max(1, settings.RELAX_WORKERS - busy)
    ring_up_to(idle, "relax", scale.pk, queue="relax", at_least=0 if busy else 1)  # what lies there may be of others
    return True


def first_waiting(scale_id: int) -> tuple[int | None, int | None]:
    """Keys of a candidate and of an opinion that wait to be relaxed, as long as nobody takes them the same ones."""
    candidates = Candidate.objects.filter(season__scale=scale_id, state=CandidateState.PARSED)
    opinions = Opinion.objects.filter(scale=scale_id, state=OpinionState.WAITING).order_by("pk")
    return (
        candidates.order_by("season", "arrival").values_list("pk", flat=True).first(),
        opinions.values_list("pk", flat=True).first(),
    )


class SparingBell:
    """Rings for the sequencer of each season that something became ready in, but only so often.

    One bell a structure would be more than a broker on files hands over, and each costs the sequencer a look.
    """

    def __init__(self, *, every_s: float = 1.0) -> None:
        self._every_s = every_s
        self._ready: set[int] = set()
        self._rung = 0.0

    def ready(self, season_id: int) -> None:
        self._ready.add(season_id)

    def ring(self, *, now: bool = False) -> None:
        """To be called again and again. now: however short ago the last one was."""
        moment = time.monotonic()
        if self._ready and (now or moment - self._rung >= self._every_s):
            self._rung = moment
            for season_id in sorted(self._ready):
                ring("place", season_id, queue="place")
            self._ready.clear()
