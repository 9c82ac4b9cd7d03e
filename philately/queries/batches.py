"""Batches: which somebody may see, how far one is, how many of its structures had which outcome."""

import hashlib
from collections import Counter
from dataclasses import dataclass

from django.contrib.auth.models import AnonymousUser
from django.db.models import Count, Exists, OuterRef, Q, QuerySet

from philately.models import Batch, Membership, Placement, User
from philately.queries.steps import Step, steps_of
from philately.states import FINAL, BatchState, CandidateState, Role
from validation.placing import Verdict


def visible_batches(user: User | AnonymousUser) -> QuerySet[Batch]:
    """One's own; an organiser's whole season; for staff all."""
    batches = Batch.objects.select_related("season__scale", "season__official_run__release", "owner__user")
    if user.is_staff:
        return batches
    organised = Membership.objects.filter(season=OuterRef("season"), user=user.pk, role=Role.ORGANISER)
    return batches.filter(Q(owner__user=user.pk) | Exists(organised)) if user.pk is not None else batches.none()


def visible_batch(user: User | AnonymousUser, batch_id: int) -> Batch | None:
    """One query; None where there is no such batch for this user."""
    return visible_batches(user).filter(pk=batch_id).first()


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
    steps: tuple[Step, ...]
    total: int
    n_final: int

    @property
    def is_finished(self) -> bool:
        """Nothing more will come of it, unless somebody decides so."""
        return self.state != BatchState.UPLOADED and self.n_final == self.total

    @property
    def mark(self) -> str:
        told = (self.state, self.problem, *((step.key, step.count) for step in self.steps))
        return hashlib.sha256(repr(told).encode()).hexdigest()[:16]


def progress_of(batch: Batch) -> Progress:
    """One query."""
    counts = dict(batch.candidates.order_by("state").values_list("state").annotate(n=Count("pk")))
    n_final = sum(counts.get(state, 0) for state in FINAL)
    return Progress(batch.state, batch.problem, steps_of(counts), sum(counts.values()), n_final)


@dataclass(frozen=True, slots=True)
class Tallies:
    """Counts by outcome (the verdict where there is one, else the state) and by reason code."""

    outcomes: tuple[tuple[str, int], ...]
    reasons: tuple[tuple[str, int], ...]


def tallies_of(batch: Batch) -> Tallies:
    """Two queries."""
    outcomes: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    for state, reason, n in batch.candidates.order_by("state").values_list("state", "reason").annotate(n=Count("pk")):
        if state != CandidateState.PLACED:
            outcomes[state] += n
            reasons[reason] += n
    placed = Placement.objects.filter(
        run=batch.season.official_run_id, candidate__batch=batch, candidate__state=CandidateState.PLACED
    )
    for verdict, reason, n in placed.order_by("verdict").values_list("verdict", "reason").annotate(n=Count("pk")):
        outcomes[verdict] += n
        reasons[reason] += n
    del reasons[""]
    known = [*Verdict, *CandidateState]
    return Tallies(
        tuple(sorted(outcomes.items(), key=lambda item: known.index(item[0]))),
        tuple(sorted(reasons.items(), key=lambda item: (-item[1], item[0]))),
    )
