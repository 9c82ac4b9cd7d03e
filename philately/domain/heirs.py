"""Parked twins of what a run leaves out: in that run the earliest of them takes the place of its original.

It was the same initial structure, so it has the original's relaxation, and its turn comes at its own arrival number.
Its state stays PARKED: in the runs that have the original it is a twin as before, so any of them may be official again.
"""

from django.db.models import Exists, OuterRef, QuerySet, Subquery

from philately.models import Candidate, Run, RunExclusion
from philately.states import CandidateState

_MAY_HAVE_HEIRS = (CandidateState.RELAXED, CandidateState.PLACED, CandidateState.PARKED)


def heirs_of(run: Run, ready: QuerySet[Candidate]) -> list[int]:
    """Keys of those of ``ready`` that take their original's place in the run; they have its relaxation from then on."""
    if not run.exclusions.exists():
        return []
    left_out = RunExclusion.objects.filter(run=run).values("candidate")
    standing = Candidate.objects.filter(state=CandidateState.PARKED, twin_of__in=left_out).exclude(pk__in=left_out)
    earlier = standing.filter(twin_of=OuterRef("twin_of"), arrival__lt=OuterRef("arrival"))
    relaxed = ready.filter(twin_of__state__in=_MAY_HAVE_HEIRS, twin_of__relaxation__isnull=False)
    heirs = list(relaxed.filter(~Exists(earlier), pk__in=standing.values("pk")).values_list("pk", flat=True))
    original = Candidate.objects.filter(pk=OuterRef("twin_of")).values("relaxation")
    bare = Candidate.objects.filter(pk__in=heirs, relaxation=None)
    bare.update(relaxation=Subquery(original[:1]))
    return heirs
