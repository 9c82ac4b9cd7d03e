"""What relaxations on a scale took lately, and how many workers are at it: the facts that estimates go by."""

from datetime import timedelta

from django.db.models import Q
from django.db.models.functions import Now

from philately.models import Candidate, Opinion, RelaxationFact
from philately.states import CandidateState, OpinionState
from validation.effort import Effort, Usual, usual

_SAMPLE = 500
_LATELY = timedelta(days=7)  # what is older tells of steps, but no longer of the pace

IN_LINE = (CandidateState.RECEIVED, CandidateState.CHECKED, CandidateState.PARSED, CandidateState.RELAXING)
TO_RELAX = Q(state__in=(*IN_LINE, CandidateState.FAILED), relaxation=None)


def usual_of(scale_id: int) -> Usual:
    """One query of at most 500 rows, however many relaxations there are."""
    latest = RelaxationFact.objects.filter(scale=scale_id).order_by("-created_at")[:_SAMPLE]
    return usual(
        [
            Effort(n_sites, steps, seconds if shard is None and at > now - _LATELY else None, at.timestamp())
            for n_sites, steps, seconds, at, shard, now in latest.values_list(
                "n_sites", "steps", "seconds", "created_at", "provenance__shard", Now()
            )
        ]
    )


def workers_on(scale_id: int) -> int:
    """How many workers hold structures of the scale now, by their tokens; one query."""
    held = Candidate.objects.filter(state=CandidateState.RELAXING, lease_until__isnull=False, season__scale=scale_id)
    asked = Opinion.objects.filter(state=OpinionState.RELAXING, scale=scale_id)
    return len(held.order_by().values_list("lease").union(asked.order_by().values_list("lease")))
