"""Batches: which somebody may see, how far one is, how many of its structures had which outcome."""

import hashlib
from collections import Counter
from dataclasses import dataclass

from django.contrib.auth.models import AnonymousUser
from django.db.models import Count, Q, QuerySet

from philately.models import Batch, Candidate, Placement, User
from philately.queries.blind import shown_as
from philately.queries.fates import ACCEPTED, DISQUALIFIED, REFUSED, left_out, placed
from philately.queries.permissions import batches_for, candidates_for
from philately.queries.steps import Step, steps_of
from philately.states import FINAL, BatchState, CandidateState
from validation.placing import Verdict


def visible_batches(user: User | AnonymousUser) -> QuerySet[Batch]:
    """One's own; an organiser's whole season; for staff all."""
    return batches_for(user).select_related("season__scale", "season__official_run__release", "owner__user")


def visible_batch(user: User | AnonymousUser, batch_id: int) -> Batch | None:
    """One query; None where there is no such batch for this user."""
    return visible_batches(user).filter(pk=batch_id).first()


def visible_candidate(user: User | AnonymousUser, candidate_id: int) -> Candidate | None:
    """One query; None where there is no such candidate for this user."""
    related = ("detail", "batch__owner__user", "season__scale", "season__official_run__release")
    return candidates_for(user).filter(pk=candidate_id).select_related(*related).first()


def batches_of(user: User, *, before: int | None = None, size: int = 50) -> list[Batch]:
    """The user's own, newest first, with ``n_structures`` and ``n_final``; one query, one more row than ``size``."""
    batches = Batch.objects.filter(owner__user=user).select_related("season")
    if before is not None:
        batches = batches.filter(pk__lt=before)
    return list(
        batches.annotate(
            n_structures=Count("candidates"), n_final=Count("candidates", filter=Q(candidates__state__in=FINAL))
        ).order_by("-pk")[: size + 1]
    )


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a batch is. mark: changes whenever a number here does."""

    state: str
    problem: str
    n_found: int  # while it is being read
    steps: tuple[Step, ...]
    total: int
    n_final: int
    n_leaving: int  # that are about to be withdrawn

    @property
    def is_finished(self) -> bool:
        """Nothing more will come of it, unless somebody decides so."""
        return self.state != BatchState.UPLOADED and self.n_final == self.total

    @property
    def mark(self) -> str:
        told = (
            self.state,
            self.problem,
            self.n_found,
            self.n_leaving,
            *((step.key, step.count) for step in self.steps),
        )
        return hashlib.sha256(repr(told).encode()).hexdigest()[:16]


def progress_of(batch: Batch) -> Progress:
    """One query."""
    leaving = Count("withdrawal", filter=Q(withdrawal__done_at=None))
    by_state = batch.candidates.order_by("state").values_list("state").annotate(n=Count("pk"), leaving=leaving)
    counts = {state: n for state, n, _ in by_state}
    n_final = sum(counts.get(state, 0) for state in FINAL)
    n_leaving = sum(leaving for _, _, leaving in by_state)
    steps, total = steps_of(counts), sum(counts.values())
    return Progress(batch.state, batch.problem, batch.n_found, steps, total, n_final, n_leaving)


@dataclass(frozen=True, slots=True)
class Tallies:
    """Counts by outcome (as the table has it: disqualified, the verdict, else the state) and by reason code."""

    outcomes: tuple[tuple[str, int], ...]
    reasons: tuple[tuple[str, int], ...]


def tallies_of(batch: Batch, *, veiled: bool = False) -> Tallies:
    """Three queries. veiled: outcomes as ``blind.shown_as`` has them."""
    run = batch.season.official_run
    outcomes: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    outcomes[DISQUALIFIED] = batch.candidates.filter(left_out(run)).count()
    others = batch.candidates.exclude(left_out(run) | placed(run)).exclude(state=CandidateState.PLACED)
    for state, reason, n in others.order_by("state").values_list("state", "reason").annotate(n=Count("pk")):
        outcomes[state] += n
        reasons[reason if state != CandidateState.WITHDRAWN else ""] += n
    verdicts = Placement.objects.filter(run=run, candidate__in=batch.candidates.filter(placed(run)))
    kinds = verdicts.order_by("verdict").values_list("verdict", "reason", "decision__accepted")
    for verdict, reason, accepted, n in kinds.annotate(n=Count("pk")):
        decided = verdict if accepted is None else (ACCEPTED if accepted else REFUSED)
        outcomes[shown_as(verdict) if veiled else decided] += n
        reasons[reason] += n
    del reasons[""]
    outcomes = +outcomes
    known = [*Verdict, ACCEPTED, REFUSED, DISQUALIFIED, *CandidateState]
    return Tallies(
        tuple(sorted(outcomes.items(), key=lambda item: known.index(item[0]))),
        tuple(sorted(reasons.items(), key=lambda item: (-item[1], item[0]))),
    )
