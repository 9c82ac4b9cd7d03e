"""What a dump tells of phases beyond the phases themselves, read some thousand at a time, a table at a time.

No statement joins two tables: for thousands of keys PostgreSQL reads what is joined from end to end, each time.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
from django.db.models import Model

from philately.domain import bulk
from philately.domain.dump_phases import batch_of
from philately.models import (
    Batch,
    Candidate,
    Placement,
    RelaxationFact,
    RelaxationGeometry,
    ReleasePhase,
    Run,
)

_KEPT = 100_000  # batches that are remembered from one reading to the next

# The first field of each is the key.
_CANDIDATE = pa.schema([("id", pa.int64()), ("arrival", pa.int64()), ("batch", pa.int64()), ("relaxation", pa.int64())])
_PLACEMENT = pa.schema([("candidate", pa.int64()), ("e_above_hull_on_arrival", pa.float64())])
_SYMMETRY = [("space_group_number", pa.int16()), ("pearson_symbol", pa.string()), ("prototype_label", pa.string())]
_FACT = pa.schema(
    [
        ("id", pa.int64()),
        ("initial_hash", pa.string()),
        ("steps", pa.int32()),
        ("fmax_ev_per_ang", pa.float64()),
        ("smax_ev_per_ang3", pa.float64()),
        ("provenance", pa.string()),  # JSON
        *_SYMMETRY,
    ]
)
_GEOMETRY = pa.schema([("relaxation", pa.int64()), ("crystal", pa.binary())])
_RELEASE = pa.schema(
    [("id", pa.int64()), ("geometry", pa.binary()), ("label", pa.string()), ("note", pa.string()), *_SYMMETRY]
)
_BATCH = pa.schema(
    [
        ("id", pa.int64()),
        ("participant", pa.string()),
        ("method", pa.string()),
        ("submitted_at", pa.timestamp("us", tz="UTC")),
    ]
)


@dataclass(frozen=True, slots=True)
class Facts:
    """Of n phases, a row each in their order; nulls where a phase has nothing of the kind."""

    first: pa.RecordBatch  # the first finder's candidate
    on_arrival: pa.RecordBatch  # and what it met
    sent: pa.RecordBatch  # and its batch
    relaxed: pa.RecordBatch  # the representative's relaxation
    geometry: pa.RecordBatch  # and what it led to
    release: pa.RecordBatch


class _Sent(NamedTuple):
    """A batch, as far as the rows of its finds tell of it."""

    participant: str
    method: str
    submitted_at: Any


class FactReader:
    """Of a run; what stays between two readings are batches, of which there are few."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._batches: dict[int, _Sent] = {}

    def of(self, phases: pa.RecordBatch) -> Facts:
        finders, own = phases["first_candidate"], phases["candidate"]
        candidates = _read(Candidate, _CANDIDATE, pa.concat_arrays([finders, own]))
        first, facts = _aligned(candidates, finders), _aligned(candidates, own)["relaxation"]
        placements = _read(Placement, _PLACEMENT, finders, run=self._run.pk)
        releases = phases["release_phase"]
        return Facts(
            first,
            _aligned(placements, finders),
            self._sent(first["batch"]),
            _aligned(_read(RelaxationFact, _FACT, facts), facts),
            _aligned(_read(RelaxationGeometry, _GEOMETRY, facts), facts),
            _aligned(_read(ReleasePhase, _RELEASE, releases), releases),
        )

    def _sent(self, batches: pa.Array) -> pa.RecordBatch:
        wanted = pc.unique(batches.drop_null()).to_pylist()
        if len(self._batches) > _KEPT:
            self._batches.clear()
        missing = [key for key in wanted if key not in self._batches]
        named = Batch.objects.filter(pk__in=missing).values_list(
            "pk", "owner__user__username", "method", "submitted_at"
        )
        self._batches |= {key: _Sent._make(rest) for key, *rest in named}
        return _aligned(batch_of([(key, *self._batches[key]) for key in wanted], _BATCH), batches)


def _read(model: type[Model], schema: pa.Schema, keys: pa.Array, **equal: int) -> pa.RecordBatch:
    """The rows of these keys, each once."""
    wanted = pc.unique(keys.drop_null()).to_pylist()
    return batch_of(bulk.select(model, schema.names, by=schema.names[0], among=wanted, **equal), schema)


def _aligned(rows: pa.RecordBatch, keys: pa.Array) -> pa.RecordBatch:
    """The row of each key, nulls for no key. Raises LookupError where one is missing."""
    places = pc.index_in(keys, value_set=rows.column(0))
    if places.null_count != keys.null_count:
        raise LookupError(f"{places.null_count - keys.null_count} rows named by phases are not there")
    return rows.take(places)
