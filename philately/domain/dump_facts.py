"""What a dump tells of phases beyond what is held of all of them: read when their turn has come, a table at a time."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from philately.domain.dump_reading import aligned, batch_of, rows_of
from philately.models import Batch, RelaxationFact, RelaxationGeometry, ReleasePhase

_KEPT = 100_000  # batches that are remembered from one reading to the next

# The first field of each is the key.
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

    sent: pa.RecordBatch  # the first finder's batch
    relaxed: pa.RecordBatch  # the representative's relaxation
    geometry: pa.RecordBatch  # and what it led to
    release: pa.RecordBatch


class _Sent(NamedTuple):
    """A batch, as far as the rows of its finds tell of it."""

    participant: str
    method: str
    submitted_at: Any


class FactReader:
    """What stays between two readings are batches, of which there are few."""

    def __init__(self) -> None:
        self._batches: dict[int, _Sent] = {}

    def of(self, phases: pa.RecordBatch) -> Facts:
        facts, releases = phases["relaxation"], phases["release_phase"]
        return Facts(
            self._sent(phases["batch"]),
            aligned(rows_of(RelaxationFact, _FACT, facts), facts),
            aligned(rows_of(RelaxationGeometry, _GEOMETRY, facts), facts),
            aligned(rows_of(ReleasePhase, _RELEASE, releases), releases),
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
        return aligned(batch_of([(key, *self._batches[key]) for key in wanted], _BATCH), batches)
