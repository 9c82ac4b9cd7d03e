"""The states of candidates as a person thinks of them: the steps on the way of a batch."""

from collections.abc import Mapping
from dataclasses import dataclass

from philately.states import CandidateState

S = CandidateState

STEPS: tuple[tuple[str, str, tuple[CandidateState, ...]], ...] = (
    ("reading", "reading", (S.RECEIVED, S.CHECKED)),
    ("relaxing", "relaxing", (S.PARSED, S.RELAXING)),
    ("waiting", "waiting for its turn", (S.RELAXED,)),
    ("failed", "failed, will be tried again", (S.FAILED,)),
    ("placed", "placed", (S.PLACED,)),
    ("rejected", "rejected", (S.REJECTED,)),
    ("parked", "twin", (S.PARKED,)),
    ("set-aside", "set aside", (S.SET_ASIDE,)),
    ("withdrawn", "withdrawn", (S.WITHDRAWN,)),
)


@dataclass(frozen=True, slots=True)
class Step:
    """How many candidates are at one step. before: how many are at the steps ahead of it in the list."""

    key: str
    label: str
    count: int
    before: int


def steps_of(counts: Mapping[str, int]) -> tuple[Step, ...]:
    """The steps that anything is at, from counts by state."""
    steps: list[Step] = []
    before = 0
    for key, label, states in STEPS:
        count = sum(counts.get(state, 0) for state in states)
        if count:
            steps.append(Step(key, label, count, before))
        before += count
    return tuple(steps)
