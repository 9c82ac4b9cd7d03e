"""What a participant's structures cost the judge, in atom-steps: atoms × steps of relaxation.

A relaxation costs whoever owns the batch that it was made for; whoever shares it pays nothing, so neither do parked
twins. What is accepted and not relaxed yet counts with its atoms and the steps that are usual on the scale. What is set
aside, which is our fault, costs nothing. All of it belongs to the day on which its batch was submitted.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial

from django.db.models import Count, F, Sum
from django.db.models.functions import Now

from philately.models import Batch, Candidate, Membership, RelaxationFact
from philately.queries.efforts import TO_RELAX, usual_of
from philately.queries.remembered import remembered
from philately.states import BatchState, CandidateState
from validation.effort import Waiting

DAY = timedelta(days=1)
_NEVER = datetime.max.replace(tzinfo=UTC)  # where there is nothing whose day it could be
_COUNTS = (BatchState.UPLOADED, BatchState.READ)


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
    now: datetime  # by the database's clock

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
        return [cost for cost in self.costs if cost.submitted_at > self.now - DAY]


def used(member: Membership) -> Used:
    """Five queries, of the member's own rows and the scale's latest relaxations.

    Where summing up is costly, what batches that are read cost may be as of a while ago; a new one is counted at once.
    """
    batches = list(
        Batch.objects.filter(owner=member, state__in=_COUNTS)
        .order_by("pk")
        .values_list("pk", "submitted_at", "state", F("n_found") - F("n_released"), Now())
    )
    read = [pk for pk, _, state, *_ in batches if state == BatchState.READ]
    known = remembered(f"atom-steps:{member.pk}", partial(_spent, read)).figure
    new = [pk for pk, _, state, *_ in batches if pk not in known or state == BatchState.UPLOADED]
    spent = {**known, **(_spent(new) if new else {})}
    usual = usual_of(member.season.scale_id)
    costs = []
    for pk, at, state, n_unreleased, _ in batches:
        relaxed, to_come = spent[pk]
        if state == BatchState.UPLOADED:
            to_come = _with_unread(to_come, max(0, n_unreleased))
        costs.append(Cost(at, relaxed, usual.atom_steps(to_come)))
    return Used(tuple(costs), batches[0][-1] if batches else _NEVER)


def _spent(batches: Sequence[int]) -> dict[int, tuple[int, Waiting]]:
    """By batch: atom-steps that were used, and what is in the queue and still to be relaxed."""
    relaxed, forgiven, waiting = _relaxed(batches), _forgiven(batches), _waiting(batches)
    return {pk: (relaxed.get(pk, 0) - forgiven.get(pk, 0), waiting.get(pk, Waiting(n_structures=0))) for pk in batches}


def _with_unread(released: Waiting, n: int) -> Waiting:
    """And so many more of a batch that is being read, or waits for its turn."""
    return replace(released, n_structures=released.n_structures + n, n_unread=released.n_unread + n)


def _relaxed(batches: Sequence[int]) -> dict[int, int]:
    """Atom-steps by batch, summed up in an index. Batches are told one by one: asked for by owner, SQLite may go
    through everybody's."""
    facts = RelaxationFact.objects.filter(made_for__in=batches).order_by()
    return dict(facts.values_list("made_for").annotate(n=Sum(F("n_sites") * F("steps"))))


def _forgiven(batches: Sequence[int]) -> dict[int, int]:
    """Atom-steps by batch of what was set aside after its relaxation."""
    set_aside = Candidate.objects.filter(batch__in=batches, state=CandidateState.SET_ASIDE)
    its_own = set_aside.filter(relaxation__made_for=F("batch")).order_by()
    return dict(its_own.values_list("batch").annotate(n=Sum(F("relaxation__n_sites") * F("relaxation__steps"))))


def _waiting(batches: Sequence[int]) -> dict[int, Waiting]:
    """By batch: what is still to be relaxed."""
    candidates = Candidate.objects.filter(TO_RELAX, batch__in=batches).order_by()
    rows = candidates.values_list("batch").annotate(
        n=Count("pk"), atoms=Sum("n_atoms", default=0), unread=Count("pk") - Count("n_atoms")
    )
    return {batch: Waiting(n_structures=n, n_atoms=n_atoms, n_unread=n_unread) for batch, n, n_atoms, n_unread in rows}
