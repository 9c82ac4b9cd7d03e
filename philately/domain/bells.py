"""How often to ring: a relax worker that found work rings for itself again, so more bells would only pile up."""

from django.conf import settings
from django.db.models.functions import Now

from philately.broker import ring
from philately.models import Candidate, Scale
from philately.states import CandidateState


def ring_relax(scale: Scale) -> None:
    """Ring once for each relax worker that is idle, and once only where the judge was refused last."""
    candidates = Candidate.objects.filter(season__scale=scale)
    if not candidates.filter(state=CandidateState.PARSED).exists():
        return
    at_work = candidates.filter(state=CandidateState.RELAXING, lease_until__gte=Now()).values("lease").distinct()
    idle = settings.RELAX_WORKERS - at_work.count()
    if idle > 0:
        ring("relax", scale.pk, queue="relax", times=1 if scale.problem else idle)
