"""Who would move where on the leaderboard if another run were the official one."""

from dataclasses import dataclass

from django.db.models import Count, QuerySet

from philately.models import Phase, Run
from philately.queries.standings import names_of, points_of, ranked
from philately.states import PhaseStatus


@dataclass(frozen=True, slots=True)
class Move:
    """Of one participant; before and after are those of the two runs."""

    name: str
    rank_before: int
    points_before: float
    rank_after: int
    points_after: float
    finds_before: int = 0  # phases on record that they found first
    finds_after: int = 0
    finds_gained: int = 0
    finds_lost: int = 0


def moves(before: Run | None, after: Run) -> list[Move]:
    """In the order of the leaderboard afterwards. Seven queries."""
    names = names_of(after.season)
    old, new = (
        {member: sum(points.get(member, (0.0, 0.0))) for member in names}
        for points in (points_of(before), points_of(after))
    )
    old_ranks = dict(ranked(old, names))
    counts = [_by_member(finds) for finds in _finds(before, after)]
    return [
        Move(
            names[member],
            old_ranks[member],
            old[member],
            rank,
            new[member],
            *(count.get(member, 0) for count in counts),
        )
        for member, rank in ranked(new, names)
    ]


def _finds(before: Run | None, after: Run) -> list[QuerySet[Phase]]:
    """Finds of the one run, of the other, those that are new in the other and those that are missing there."""
    mine = Phase.objects.filter(first_candidate__isnull=False, status=PhaseStatus.ON_RECORD)
    old, new = mine.filter(run=before), mine.filter(run=after)
    gained = new.exclude(first_candidate__in=old.values("first_candidate"))
    lost = old.exclude(first_candidate__in=new.values("first_candidate"))
    return [old, new, gained, lost]


def _by_member(finds: QuerySet[Phase]) -> dict[int, int]:
    owner = "first_candidate__batch__owner"
    return dict(finds.order_by(owner).values_list(owner).annotate(n=Count("pk")))
