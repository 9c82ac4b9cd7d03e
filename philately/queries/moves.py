"""Who would move where on the leaderboard if another run were the official one."""

from dataclasses import dataclass

from philately.models import Run
from philately.queries.standings import names_of, points_of, ranked


@dataclass(frozen=True, slots=True)
class Move:
    """Of one participant; before and after are those of the two runs."""

    name: str
    rank_before: int
    points_before: float
    rank_after: int
    points_after: float


def moves(before: Run | None, after: Run) -> list[Move]:
    """In the order of the leaderboard afterwards. Three queries."""
    names = names_of(after.season)
    old, new = (
        {member: sum(points.get(member, (0.0, 0.0))) for member in names}
        for points in (points_of(before), points_of(after))
    )
    old_ranks = dict(ranked(old, names))
    return [
        Move(names[member], old_ranks[member], old[member], rank, new[member]) for member, rank in ranked(new, names)
    ]
