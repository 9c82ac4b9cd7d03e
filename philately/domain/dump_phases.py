"""The phases of a run in memory: what its hull is built from, what a dump is sorted by, what decompositions name.

Some 150 bytes a phase. Everything else about a phase is read when its turn has come (``dump_facts``).
"""

from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hull.store import HullStore
from hull.texts import entries_of
from philately.domain.dump_reading import aligned, batch_of, rows_of
from philately.models import Candidate, Phase, Placement, Run
from philately.states import PhaseStatus

_PAGE = 20_000
_OWN = [
    ("number", pa.int64()),
    ("status", pa.string()),
    ("formula", pa.string()),
    ("chemical_system", pa.string()),
    ("energy_per_atom", pa.float64()),  # eV/atom, and so are the others
    ("formation_energy_per_atom", pa.float64()),
    ("release_phase", pa.int64()),
]
_PHASE = pa.schema([*_OWN, ("first_candidate", pa.int64()), ("candidate", pa.int64())])
_CANDIDATE = pa.schema([("id", pa.int64()), ("arrival", pa.int64()), ("batch", pa.int64()), ("relaxation", pa.int64())])
_PLACEMENT = pa.schema([("candidate", pa.int64()), ("e_above_hull_on_arrival", pa.float64())])
_KEPT = pa.schema(
    [
        *_OWN,
        ("arrival", pa.int64()),  # the first finder's, and so are the next two
        ("batch", pa.int64()),
        ("e_above_hull_on_arrival", pa.float64()),
        ("relaxation", pa.int64()),  # the representative's
    ]
)
_ORDER = ("chemical_system", "formula", "energy_per_atom", "number")


class Phases:
    """Those of a run that were not withdrawn, by number."""

    def __init__(self, run: Run, *, keep: Callable[[], None]) -> None:
        """keep: called after every few thousand, so that a lock can be kept."""
        self._run = run
        self._table = pa.Table.from_batches(_pages(run, keep), _KEPT).combine_chunks()
        self._numbers: NDArray[np.int64] = self._table["number"].to_numpy()

    def hull(self, *, keep: Callable[[], None]) -> HullStore:
        """Of those on record, as ``runs.hull_of`` has it."""
        store = HullStore(self._run.scale.digest)
        on_record = self._table.filter(pc.equal(self._table["status"], PhaseStatus.ON_RECORD.value))
        for some in on_record.to_batches(max_chunksize=_PAGE):
            columns = (some["number"], some["energy_per_atom"])
            numbers, energies = (np.array(column) for column in columns)  # copies: kernels are compiled for these
            store.insert_arrays(entries_of(numbers, some["formula"].to_pylist(), energies))
            keep()
        return store

    def in_order(self, count: int) -> Iterator[pa.RecordBatch]:
        """By chemical system, formula (both as bytes), energy and number, at most so many at a time."""
        order = pc.sort_indices(self._table, sort_keys=[(name, "ascending") for name in _ORDER])
        for start in range(0, len(order), count):
            yield from self._table.take(order[start : start + count]).combine_chunks().to_batches()

    def formulas_of(self, numbers: NDArray[np.int64]) -> pa.Array:
        """Of phases that are among these."""
        places = pa.array(np.searchsorted(self._numbers, numbers))
        return self._table["formula"].take(places).combine_chunks()


def _pages(run: Run, keep: Callable[[], None]) -> Iterator[pa.RecordBatch]:
    """No cursor stays open between two: ``keep`` may write, on SQLite too."""
    phases = Phase.objects.filter(run=run).exclude(status=PhaseStatus.WITHDRAWN).order_by("number")
    rows, last = phases.values_list(*_PHASE.names), 0
    while some := list(rows.filter(number__gt=last)[:_PAGE]):
        yield _with_finders(run, batch_of(some, _PHASE))
        keep()
        last = some[-1][0]


def _with_finders(run: Run, phases: pa.RecordBatch) -> pa.RecordBatch:
    """Phases, candidates and placements were written in one order: here their rows lie together, in a dump's they
    would have to be looked up all over the disk."""
    finders, own = phases["first_candidate"], phases["candidate"]
    candidates = rows_of(Candidate, _CANDIDATE, pa.concat_arrays([finders, own]))
    first = aligned(candidates, finders)
    placed = aligned(rows_of(Placement, _PLACEMENT, finders, run=run.pk), finders)
    columns = {name: phases[name] for name in _PHASE.names}
    columns |= {name: first[name] for name in ("arrival", "batch")}
    columns |= {"e_above_hull_on_arrival": placed["e_above_hull_on_arrival"]}
    columns |= {"relaxation": aligned(candidates, own)["relaxation"]}
    return pa.RecordBatch.from_arrays([columns[name] for name in _KEPT.names], schema=_KEPT)
