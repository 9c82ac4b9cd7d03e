"""How often to ring: a relax worker that found work rings for itself again, so more bells would only pile up."""

from itertools import chain

from django.conf import settings
from django.db.models.functions import Now

from philately.broker import ring
from philately.models import Candidate, Opinion, Scale
from philately.states import CandidateState, OpinionState


def ring_relax(scale: Scale) -> None:
    """Ring once for each relax worker that is idle, and once only where the judge was refused last."""
    candidates, opinions = Candidate.objects.filter(season__scale=scale), Opinion.objects.filter(scale=scale)
    waiting = candidates.filter(state=CandidateState.PARSED), opinions.filter(state=OpinionState.WAITING)
    if not any(some.exists() for some in waiting):
        return
    relaxing = candidates.filter(state=CandidateState.RELAXING), opinions.filter(state=OpinionState.RELAXING)
    leases = (some.filter(lease_until__gte=Now()).values_list("lease", flat=True).distinct() for some in relaxing)
    idle = settings.RELAX_WORKERS - len(set(chain.from_iterable(leases)))
    if idle > 0:
        ring("relax", scale.pk, queue="relax", times=1 if scale.problem else idle)
