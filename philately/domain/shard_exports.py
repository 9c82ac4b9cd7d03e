"""Structures of a season on their way to other machines, as shards for ``python -m validation relax-shard``.

Nothing is claimed: they stay where they are, and the season's own workers go on with them. Relaxations are facts, and
the first one counts; so it does not matter who is faster, and nothing is lost where a shard never comes back.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from philately.domain.files import chunks
from philately.domain.judges import accepted_values, settings_of
from philately.domain.relaxations import known_hashes
from philately.models import Candidate, Season
from philately.states import CandidateState
from validation.crystal import Crystal
from validation.scales import judge_identity
from validation.shard_files import Order, Ordered, write_shard

_ASKED = 1000  # structures a statement


class ExportRefused(Exception):
    """The shards cannot be written like this; the message says why."""


@dataclass(frozen=True, slots=True)
class Exported:
    """A shard that was written."""

    path: Path
    n_structures: int
    n_atoms: int


def export_shards(
    season: Season, folder: Path, *, structures: int, skip: int = 0, limit: int | None = None
) -> Iterator[Exported]:
    """Write what waits to be relaxed, in order of arrival and each structure once, so many to a shard.

    skip: this many at the front are left to the season's own workers. Raises ExportRefused where the folder has shards
    of the season already.
    """
    folder.mkdir(parents=True, exist_ok=True)
    there = sorted(folder.glob(f"{season.slug}-*.parquet"))
    if there:
        raise ExportRefused(f"{folder} has shards of {season.slug} already, such as {there[0].name}; take another one")
    waiting = islice(_waiting(season), skip, None if limit is None else skip + limit)
    number = 0
    while some := list(islice(waiting, structures)):
        number += 1
        name = f"{season.slug}-{number:04}"
        path = folder / f"{name}.parquet"
        write_shard(path, _order(season, name), some)
        yield Exported(path, len(some), sum(len(one.crystal) for one in some))


def _order(season: Season, name: str) -> Order:
    scale = season.scale
    return Order(
        name=name,
        judge=scale.judge,
        model=scale.model,
        settings=settings_of(scale),
        scale=scale.identity,
        accepted=accepted_values(judge_identity(scale.identity)) or {},
    )


def _waiting(season: Season) -> Iterator[Ordered]:
    """Each structure once, though several candidates may have it; without those whose relaxation is a fact already."""
    seen: set[str] = set()
    candidates = Candidate.objects.filter(season=season, state=CandidateState.PARSED).order_by("arrival")
    for some in chunks(list(candidates.values_list("pk", "content_hash")), _ASKED):
        hashes = {content_hash for _, content_hash in some}
        seen |= known_hashes(season.scale_id, hashes)
        new = {content_hash: pk for pk, content_hash in reversed(some) if content_hash not in seen}
        seen |= hashes
        blobs = dict(
            Candidate.objects.filter(pk__in=new.values()).order_by("arrival").values_list("pk", "detail__geometry")
        )
        for pk, blob in blobs.items():
            yield Ordered(str(pk), Crystal.unpack(blob or b""))
