"""Batches: which somebody may see, how far one is, how many of its structures had which outcome."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from django.contrib.auth.models import AnonymousUser
from django.db.models import Count, Q, QuerySet

from philately.models import Batch, Candidate, Placement, User
from philately.queries.blind import shown_as
from philately.queries.fates import ACCEPTED, DISQUALIFIED, REFUSED, left_out, placed
from philately.queries.permissions import batches_for, candidates_for
from philately.queries.remembered import remembered
from philately.queries.seasons import View
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


@dataclass(frozen=True, slots=True)
class BatchLine:
    """A batch in the list of one's own. as_of: when its structures were counted, None where that was just now."""

    batch: Batch
    n_structures: int
    n_final: int
    as_of: datetime | None


def batches_of(user: User, *, before: int | None = None, size: int = 50) -> list[BatchLine]:
    """The user's own, newest first; two queries, one more row than ``size``."""
    mine = Batch.objects.filter(owner__user=user).select_related("season")
    if before is not None:
        mine = mine.filter(pk__lt=before)
    batches = list(mine.order_by("-pk")[: size + 1])
    keys = [batch.pk for batch in batches]
    kept = remembered(f"batches:{user.pk}:{before}:{size}", partial(_sizes, keys))
    new = [key for key in keys if key not in kept.figure]  # since it was counted
    sizes = {**kept.figure, **(_sizes(new) if new else {})}
    return [BatchLine(batch, *sizes[batch.pk], None if batch.pk in new else kept.as_of) for batch in batches]


def _sizes(batches: Sequence[int]) -> dict[int, tuple[int, int]]:
    """By batch: its structures, and those of them that are final. Counted in an index."""
    candidates = Candidate.objects.filter(batch__in=batches).order_by("batch")
    final = Count("state", filter=Q(state__in=FINAL))
    rows = candidates.values_list("batch").annotate(n=Count("state"), n_final=final)
    counted = {batch: (n, n_final) for batch, n, n_final in rows}
    return {batch: counted.get(batch, (0, 0)) for batch in batches}


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
    return _progress(batch, *_states_of(batch.pk))


def _progress(batch: Batch, counts: Mapping[str, int], n_leaving: int) -> Progress:
    n_final = sum(counts.get(state, 0) for state in FINAL)
    steps, total = steps_of(counts), sum(counts.values())
    return Progress(batch.state, batch.problem, batch.n_found, steps, total, n_final, n_leaving)


def _states_of(batch_id: int) -> tuple[dict[str, int], int]:
    """Candidates by state, and how many are about to be withdrawn."""
    leaving = Count("withdrawal", filter=Q(withdrawal__done_at=None))
    candidates = Candidate.objects.filter(batch=batch_id).order_by("state")
    by_state = list(candidates.values_list("state").annotate(n=Count("pk"), leaving=leaving))
    return {state: n for state, n, _ in by_state}, sum(leaving for _, _, leaving in by_state)


@dataclass(frozen=True, slots=True)
class Tallies:
    """Counts by outcome (as the table has it: disqualified, the verdict, else the state) and by reason code."""

    outcomes: tuple[tuple[str, int], ...]
    reasons: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Account:
    """What a batch's page counts. as_of: when it was counted, None where that was just now."""

    progress: Progress
    tallies: Tallies
    as_of: datetime | None


def account_of(view: View, batch: Batch) -> Account:
    """Four queries. Of one count, the progress first: where that says finished, the tallies are the last ones.

    What is counted for those to whom the season is veiled is kept apart from what is counted for the others.
    """
    whose = "veiled" if view.veiled else "all"
    kept = remembered(f"batch:{batch.pk}:{batch.state}:{whose}", partial(_counted, batch, veiled=view.veiled))
    states, tallies = kept.figure
    return Account(_progress(batch, *states), tallies, kept.as_of)


def _counted(batch: Batch, *, veiled: bool) -> tuple[tuple[dict[str, int], int], Tallies]:
    return _states_of(batch.pk), tallies_of(batch, veiled=veiled)


def n_standing(view: View, batch: Batch) -> int:
    """Structures that may be withdrawn still."""
    progress = account_of(view, batch).progress
    gone = sum(step.count for step in progress.steps if step.key == "withdrawn")
    return progress.total - gone - progress.n_leaving


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
