"""A season as it looks after a while, with rows by the million: written in bulk, nothing of it relaxed or placed.

Batches of all sizes, one of them large; rejections with reasons, twins, relaxations, duplicates, finds in every
position of a hull that is the hull of these energies, its log and points; at the end what is still under way. What
costs time and is not looked at is made up: decompositions, geometries, who finds what.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from django.db import connection, models, transaction

from benchmark.filled_rows import Plan
from benchmark.seasons import make, opened
from philately.domain import bulk
from philately.domain.seasons import join
from philately.models import (
    Batch,
    Candidate,
    Membership,
    Season,
    User,
)
from philately.states import BatchState, Role

LARGEST = 100_000  # structures of one batch, as far as there are ten times as many


@dataclass(frozen=True, slots=True)
class Filled:
    """What there is to look at. states: candidates by state."""

    season: Season
    largest: Batch
    organiser: User
    states: dict[str, int]


def fill(count: int, folder: Path, *, slug: str = "benchmark", all_placed: bool = False, seed: int = 0) -> Filled:
    """A season of so many candidates. all_placed: each is a phase of its own, nothing is rejected or under way."""
    bulk.make_room()
    made = make(count, seed=seed)
    season = opened(made, folder, slug=slug)
    organiser = join(season, User.objects.create_user(f"{slug}-organiser"), Role.ORGANISER).user
    with transaction.atomic():
        plan = Plan(made, season, _batches(season, count), all_placed=all_placed, seed=seed)
        plan.write()
    renew_statistics()
    states = {str(state): n for state, n in sorted(Counter(plan.states).items())}
    return Filled(season, plan.batches[0], organiser, states)


def filled_before(slug: str) -> Filled:
    """The season of this name that ``fill`` made, in this process or another. Raises DoesNotExist."""
    season = Season.objects.select_related("official_run").get(slug=slug)
    largest = Batch.objects.select_related("owner__user").filter(season=season).order_by("pk")[0]
    states = (
        Candidate.objects.filter(season=season).order_by("state").values_list("state").annotate(n=models.Count("pk"))
    )
    return Filled(season, largest, User.objects.get(username=f"{slug}-organiser"), dict(states))


def _batches(season: Season, count: int) -> list[Batch]:
    """The largest first, though it comes in the middle; sizes from ten to some ten thousand, by some 200 members."""
    dice = np.random.default_rng(5)
    largest = min(LARGEST, max(1, count // 10))
    sizes = [largest]
    while (left := count - sum(sizes)) > 0:
        sizes.append(min(left, int(10 * 10 ** dice.uniform(0.0, 3.3))))
    n_members = max(2, min(200, len(sizes) // 3))
    accounts = [User.objects.create_user(f"{season.slug}-{number}") for number in range(n_members)]
    members = [join(season, account) for account in accounts]
    return [_batch(members[number % n_members], number, size) for number, size in enumerate(sizes)]


def _batch(member: Membership, number: int, size: int) -> Batch:
    return Batch.objects.create(
        season=member.season,
        owner=member,
        sha256=f"{number:064x}",
        file_name=f"batch-{number}.zip",
        n_bytes=700 * size,
        n_counted=size,
        n_found=size,
        method=f"made up {number % 7}",
        licence="CC BY 4.0",
        submitted_at=member.joined_at,
        state=BatchState.READ,
    )


def renew_statistics() -> None:
    """As the server does by itself within minutes."""
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE" if connection.vendor == "postgresql" else "PRAGMA optimize = 0x10002")
