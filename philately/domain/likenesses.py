"""Fingerprints of initial structures: written as they are read, searched for possible twins.

Many structures are looked for in one statement. What comes back is streamed, and of it only what is near by the whole
fingerprint is kept: a crowd of one formula costs time, but little memory.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from django.db import connection

from philately.domain import bulk
from philately.models import InitialFingerprint
from validation.fingerprint import Fingerprint, Limits, near, stacked

_FETCHED = 4096  # rows in memory at a time
_ASKED = 500  # keys a statement; SQLite takes 32,766 values
_COLUMNS = ("season", "candidate", "key", "n_atoms", "shortest", "contrast", "fourth", "packed")
_RANGES = ("shortest", "contrast", "fourth")

Wanted = tuple[int, Fingerprint]  # a candidate's primary key, and one of its fingerprints


def write(season_id: int, fingerprints: Iterable[Wanted]) -> None:
    """New ones, once for each candidate."""
    rows = [
        (season_id, candidate, one.key_number, one.n_atoms, *one.projections, one.pack())
        for candidate, one in fingerprints
    ]
    bulk.insert(InitialFingerprint, _COLUMNS, rows)


def of_candidates(formulas: Mapping[int, str]) -> list[Wanted]:
    """What is stored of these candidates, whose reduced formulas are given by primary key."""
    rows = InitialFingerprint.objects.filter(candidate__in=formulas).order_by("pk")
    return [
        (candidate, Fingerprint.unpack(f"{formulas[candidate]}:{n_atoms}", packed))
        for candidate, n_atoms, packed in rows.values_list("candidate", "n_atoms", "packed")
    ]


def candidates_near(season_id: int, wanted: Iterable[Wanted], limits: Limits) -> dict[int, list[int]]:
    """For each of these candidates: the other ones of the season that may match it, in no order."""
    crowds: dict[int, list[Wanted]] = defaultdict(list)
    for one in wanted:
        crowds[one[1].key_number].append(one)
    found: dict[int, set[int]] = defaultdict(set)
    keys = sorted(crowds)
    for begin in range(0, len(keys), _ASKED):
        boxes = [(key, *_box(crowds[key], limits)) for key in keys[begin : begin + _ASKED]]
        for key, owners, packed in _stored(season_id, boxes):
            stored = stacked(packed)
            for owner, fingerprint in crowds[key]:
                rows, _ = near(fingerprint, stored, limits)
                found[owner].update(owners[row] for row in rows)
    return {owner: list(others - {owner}) for owner, others in found.items()}


def _box(crowd: Sequence[Wanted], limits: Limits) -> Iterator[float]:
    """Lowest and highest of each projection that any of the crowd can be near to."""
    columns = zip(*(fingerprint.projections for _, fingerprint in crowd), strict=True)
    for values, reach in zip(columns, limits.reaches, strict=True):
        yield min(values) - reach
        yield max(values) + reach


def _stored(season_id: int, boxes: Sequence[bulk.Row]) -> Iterator[tuple[int, list[int], list[bytes]]]:
    """What is stored within the boxes, by key, as much at a time as fits into memory: owners, packed fingerprints."""
    source, values = bulk.as_table(boxes, ("bigint", *["double precision"] * 2 * len(_RANGES)))
    bounds = ", ".join(f"low_{name}, high_{name}" for name in _RANGES)
    within = " AND ".join(f"stored.{name} BETWEEN wanted.low_{name} AND wanted.high_{name}" for name in _RANGES)
    statement = (
        f"WITH wanted (key, {bounds}) AS ({source}) SELECT stored.key, stored.candidate_id, stored.packed FROM wanted"
        f" JOIN {connection.ops.quote_name(InitialFingerprint._meta.db_table)} AS stored"
        f" ON stored.season_id = %s AND stored.key = wanted.key AND {within}"
    )
    with connection.chunked_cursor() as cursor:
        cursor.execute(statement, [*values, season_id])
        while fetched := cursor.fetchmany(_FETCHED):
            by_key: dict[int, list[Any]] = defaultdict(list)
            for key, owner, packed in fetched:
                by_key[key].append((owner, packed))
            for key, some in by_key.items():
                yield key, [owner for owner, _ in some], [packed for _, packed in some]
