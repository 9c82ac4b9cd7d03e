"""Which structures of a batch somebody asked for: by what is told of them, a page at a time."""

from collections.abc import Sequence
from functools import reduce
from operator import or_
from typing import NamedTuple

from django.db.models import Q, QuerySet

from philately.models import Candidate
from philately.queries import blind, fates
from philately.queries.fates import ACCEPTED, DISQUALIFIED, MAY_BE_PLACED, REFUSED, left_out
from philately.queries.seasons import View
from philately.states import CandidateState
from validation.placing import Verdict

LOOKED_THROUGH = 10_000  # structures for one page of those with a verdict, some 5 µs each


class Keys(NamedTuple):
    """Of a page of what was chosen, and the rest of ``Table``."""

    page: Sequence[int]
    following: int | None
    looked_through: int | None


def chosen_keys(view: View, rest: QuerySet[Candidate], outcome: str, reason: str, size: int) -> Keys:
    """What is shown of a structure is wide: where the database has to sort, it sorts keys. No index has verdicts, so
    for those a page looks at so many structures and no more."""
    edge = _edge(rest) if _by_verdict(outcome, reason) else None
    within = rest if edge is None else rest.filter(arrival__lte=edge)
    wanted = _chosen(view, within, outcome, reason).order_by("arrival")
    found = list(wanted.values_list("pk", "arrival")[: size + 1])
    keys = [key for key, _ in found[:size]]
    if len(found) > size:
        return Keys(keys, found[size - 1][1], None)
    return Keys(keys, edge, None if edge is None else LOOKED_THROUGH)


def _by_verdict(outcome: str, reason: str) -> bool:
    """Whether what is asked for is not told by states alone."""
    return bool(reason) or outcome in {*Verdict, ACCEPTED, REFUSED, *MAY_BE_PLACED}


def _edge(candidates: QuerySet[Candidate]) -> int | None:
    """The arrival of the last one that a page looks at; None where that is all of them."""
    arrivals = candidates.order_by("arrival").values_list("arrival", flat=True)
    last_and_next = list(arrivals[LOOKED_THROUGH - 1 : LOOKED_THROUGH + 1])
    return last_and_next[0] if len(last_and_next) == 2 else None


def _chosen(view: View, candidates: QuerySet[Candidate], outcome: str, reason: str) -> QuerySet[Candidate]:
    """Looked for in order of arrival, by outcomes as the viewer is shown them."""
    run = view.season.official_run
    if outcome == DISQUALIFIED:
        return candidates.filter(left_out(run))
    if not outcome and not reason:
        return candidates
    candidates = fates.with_verdict(candidates, run)
    judged, bare = Q(state__in=MAY_BE_PLACED), ~Q(state__in=MAY_BE_PLACED) | Q(verdict=None)
    if outcome:
        shown = blind.judged(outcome) if view.veiled else fates.judged(outcome)
        ways = [judged & shown] if shown is not None else []
        ways += [Q(state=outcome) & bare & ~left_out(run)] if outcome in set(CandidateState) else []
        candidates = candidates.filter(reduce(or_, ways, Q(pk__in=[])))
    if reason:
        unjudged = Q(reason=reason) & bare & ~left_out(run) & ~Q(state=CandidateState.WITHDRAWN)
        candidates = candidates.filter((judged & Q(verdict_reason=reason)) | unjudged)
    return candidates
