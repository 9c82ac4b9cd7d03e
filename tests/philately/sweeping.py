"""Rounds of the sweeper, as if time had passed between them."""

from facts import long_ago

from philately.domain import sweep
from philately.models import Candidate
from philately.states import CandidateState

S = CandidateState


def sweep_rounds(n=8):
    """The sweeper's rounds, as if the rests between them were over."""
    for _ in range(n):
        long_ago(Candidate.objects.filter(state=S.FAILED), days=1)
        sweep.sweep()


def all_in(states):
    return sorted(Candidate.objects.order_by("arrival").values_list("state", flat=True)) == sorted(states)
