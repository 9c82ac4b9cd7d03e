"""What a participant's structures cost the judge, in atom-steps: atoms × steps of relaxation.

A relaxation costs whoever owns the batch that it was made for; whoever shares it pays nothing, so neither do parked
twins. What is accepted and not relaxed yet counts with its atoms and the steps that are usual on the scale. What is set
aside, which is our fault, costs nothing. All of it belongs to the day on which its batch was submitted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, F, Q, Sum
from django.utils import timezone

from philately.models import Batch, Candidate, Membership, RelaxationFact
from philately.queries.efforts import TO_RELAX, UNRELAXED, usual_of
from philately.states import BatchState, CandidateState
from validation.effort import Waiting

DAY = timedelta(days=1)
_COUNTS = (BatchState.UPLOADED, BatchState.READ)
_STEPS = F("n_sites") * F("steps")
_STEPS_OF_ITS_OWN = F("relaxation__n_sites") * F("relaxation__steps")


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one batch, in atom-steps. relaxed: was used; to_come: an estimate."""

    submitted_at: datetime
    relaxed: int
    to_come: int

    @property
    def total(self) -> int:
        return self.relaxed + self.to_come


@dataclass(frozen=True, slots=True)
class Used:
    """What a participant's batches cost."""

    costs: tuple[Cost, ...]

    @property
    def a_season(self) -> int:
        return sum(cost.total for cost in self.costs)

    @property
    def a_day(self) -> int:
        return sum(cost.total for cost in self._of_today())

    @property
    def to_come(self) -> int:
        return sum(cost.to_come for cost in self.costs)

    def room_again_at(self, limit_a_day: int) -> datetime | None:
        """When enough of today's batches will be a day old that less than the limit is used; None where it is so now,
        and where no day has room."""
        used = self.a_day
        if used < limit_a_day or not limit_a_day:
            return None
        for cost in sorted(self._of_today(), key=lambda cost: cost.submitted_at):
            used -= cost.total
            if used < limit_a_day:
                return cost.submitted_at + DAY
        return None

    def _of_today(self) -> Sequence[Cost]:
        since = timezone.now() - DAY
        return [cost for cost in self.costs if cost.submitted_at > since]


def used(member: Membership) -> Used:
    """Four queries, of the member's own rows and the scale's latest relaxations."""
    usual = usual_of(member.season.scale_id)
    relaxed = _relaxed(member)
    waiting, forgiven = _candidates(member)
    costs = []
    batches = Batch.objects.filter(owner=member, state__in=_COUNTS).order_by("pk")
    for pk, at, state, n_found in batches.values_list("pk", "submitted_at", "state", "n_found"):
        to_come = _unread(n_found) if state == BatchState.UPLOADED else waiting.get(pk, Waiting(n_structures=0))
        costs.append(Cost(at, relaxed.get(pk, 0) - forgiven.get(pk, 0), usual.atom_steps(to_come)))
    return Used(tuple(costs))


def _unread(n_found: int) -> Waiting:
    """Of a batch that is being read; whatever of it is in the queue by then counts with it."""
    return Waiting(n_structures=n_found, n_unread=n_found)


def _relaxed(member: Membership) -> dict[int, int]:
    """Atom-steps by batch, summed up in an index."""
    facts = RelaxationFact.objects.filter(made_for__owner=member).order_by()
    return dict(facts.values_list("made_for").annotate(n=Sum(_STEPS)))


def _candidates(member: Membership) -> tuple[dict[int, Waiting], dict[int, int]]:
    """By batch: what waits for its relaxation, and atom-steps of what was set aside after it."""
    set_aside = Q(state=CandidateState.SET_ASIDE, relaxation__made_for=F("batch"))
    states = (*UNRELAXED, CandidateState.SET_ASIDE)  # told again, for the index
    candidates = Candidate.objects.filter(TO_RELAX | set_aside, batch__owner=member, state__in=states)
    rows = (
        candidates.order_by()
        .values_list("batch")
        .annotate(
            n=Count("pk", filter=TO_RELAX),
            atoms=Sum("n_atoms", filter=TO_RELAX, default=0),
            unread=Count("pk", filter=TO_RELAX & Q(n_atoms=None)),
            forgiven=Sum(_STEPS_OF_ITS_OWN, filter=set_aside, default=0),
        )
    )
    waiting, forgiven = {}, {}
    for batch, n, n_atoms, n_unread, atom_steps in rows:
        waiting[batch] = Waiting(n_structures=n, n_atoms=n_atoms, n_unread=n_unread)
        forgiven[batch] = atom_steps
    return waiting, forgiven
