"""How often to ring: a relax worker that found work rings for itself again, so more bells would only pile up."""

from itertools import chain

from django.conf import settings
from django.db.models.functions import Now

from philately.broker import ring
from philately.models import Candidate, Opinion, Scale
from philately.states import CandidateState, OpinionState


def ring_relax(scale: Scale) -> bool:
    """Ring once for each relax worker that is idle, and once only where the judge was refused last; says whether
    anything waits."""
    candidates, opinions = Candidate.objects.filter(season__scale=scale), Opinion.objects.filter(scale=scale)
    waiting = candidates.filter(state=CandidateState.PARSED), opinions.filter(state=OpinionState.WAITING)
    if not any(some.exists() for some in waiting):
        return False
    relaxing = candidates.filter(state=CandidateState.RELAXING), opinions.filter(state=OpinionState.RELAXING)
    leases = (some.filter(lease_until__gte=Now()).values_list("lease", flat=True).distinct() for some in relaxing)
    idle = settings.RELAX_WORKERS - len(set(chain.from_iterable(leases)))
    if idle > 0:
        ring("relax", scale.pk, queue="relax", times=1 if scale.problem else idle)
    return True


def first_waiting(scale_id: int) -> tuple[int | None, int | None]:
    """Keys of a candidate and of an opinion that wait to be relaxed, as long as nobody takes them the same ones."""
    candidates = Candidate.objects.filter(season__scale=scale_id, state=CandidateState.PARSED)
    opinions = Opinion.objects.filter(scale=scale_id, state=OpinionState.WAITING).order_by("pk")
    return (
        candidates.order_by("season", "arrival").values_list("pk", flat=True).first(),
        opinions.values_list("pk", flat=True).first(),
    )
