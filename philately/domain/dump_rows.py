"""The rows of a dump: every phase of a run, sorted, as Arrow tables of some thousand rows.

A chunk is read in a handful of statements and made column by column; an object a row would cost ten times as much.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from django.db.models import TextField
from django.db.models.functions import Cast
from numpy.typing import NDArray

from hull.entries import SYMBOLS
from hull.store import STABLE_TOLERANCE, HullStore, Position
from philately.models import Batch, Phase, Placement, Run
from philately.states import PhaseStatus
from validation.crystal import Crystal
from validation.prototype_labels import prototype_of
from validation.spacegroup import symbol_of

_CHUNK = 5000
_KEPT = 100_000  # formulas and batches that are remembered from chunk to chunk
_SYMBOLS = pa.array(SYMBOLS)

SCHEMA = pa.schema(
    [
        ("immutable_id", pa.string()),
        ("origin", pa.string()),  # season, or release
        ("chemical_formula_reduced", pa.string()),  # elements in alphabetical order, as OPTIMADE has it
        ("chemical_system", pa.string()),
        ("elements", pa.list_(pa.string())),
        ("nelements", pa.int32()),
        ("nsites", pa.int32()),
        ("lattice_vectors", pa.list_(pa.list_(pa.float64()))),  # Å
        ("cartesian_site_positions", pa.list_(pa.list_(pa.float64()))),  # Å
        ("species_at_sites", pa.list_(pa.string())),
        ("energy", pa.float64()),  # eV, of the cell
        ("energy_per_atom", pa.float64()),  # eV/atom, and so are the distances below
        ("formation_energy_per_atom", pa.float64()),
        ("e_above_hull", pa.float64()),
        ("e_above_hull_on_arrival", pa.float64()),
        ("decomposition_energy", pa.float64()),
        ("is_stable", pa.bool_()),
        ("status", pa.string()),
        (
            "decomposition",
            pa.list_(
                pa.struct(
                    [
                        ("immutable_id", pa.string()),
                        ("chemical_formula_reduced", pa.string()),
                        ("fraction", pa.float64()),
                    ]
                )
            ),
        ),
        ("space_group_number", pa.int16()),
        ("label", pa.string()),
        ("note", pa.string()),
        ("participant", pa.string()),
        ("method", pa.string()),
        ("submitted_at", pa.timestamp("us", tz="UTC")),
        ("arrival", pa.int64()),
        ("initial_content_hash", pa.string()),
        ("relaxation_steps", pa.int32()),
        ("fmax_ev_per_ang", pa.float64()),
        ("smax_ev_per_ang3", pa.float64()),
        ("judge", pa.string()),
        ("scale_digest", pa.string()),
        ("release_sha256", pa.string()),
        ("rules_digest", pa.string()),
        ("device", pa.string()),
        ("versions", pa.string()),  # JSON
        ("log_position", pa.int64()),
        ("space_group_symbol", pa.string()),
        ("pearson_symbol", pa.string()),
        ("prototype_label", pa.string()),  # AFLOW's notation, with the elements
        ("prototype", pa.string()),  # the same for whatever elements
    ]
)


class _Read(NamedTuple):
    """A phase with everything that is one to one with it."""

    number: int
    status: str
    formula: str
    chemical_system: str
    energy_per_atom: float
    formation_energy_per_atom: float | None
    first_candidate: int | None
    arrival: int | None
    batch: int | None
    release_phase: int | None
    release_geometry: bytes | None
    release_label: str | None
    release_note: str | None
    release_space_group: int | None
    release_pearson_symbol: str | None
    release_prototype: str | None
    relaxed: bytes | None
    initial_hash: str | None
    steps: int | None
    fmax_ev_per_ang: float | None
    smax_ev_per_ang3: float | None
    space_group: int | None
    pearson_symbol: str | None
    prototype: str | None
    provenance: str | None


_FIELDS = (
    *("number", "status", "formula", "chemical_system", "energy_per_atom", "formation_energy_per_atom"),
    *("first_candidate", "first_candidate__arrival", "first_candidate__batch", "release_phase"),
    *("release_phase__geometry", "release_phase__label", "release_phase__note", "release_phase__space_group_number"),
    *("release_phase__pearson_symbol", "release_phase__prototype_label", "candidate__relaxation__geometry__crystal"),
    *("candidate__relaxation__initial_hash", "candidate__relaxation__steps", "candidate__relaxation__fmax_ev_per_ang"),
    *("candidate__relaxation__smax_ev_per_ang3", "candidate__relaxation__space_group_number"),
    *("candidate__relaxation__pearson_symbol", "candidate__relaxation__prototype_label", "provenance"),
)


class _Sent(NamedTuple):
    """A batch, as far as the rows of its finds tell of it."""

    participant: str
    method: str
    submitted_at: Any


def tables(run: Run, hull: HullStore) -> Iterator[pa.Table]:
    """Rows sorted by chemical system, formula, energy and number; what was withdrawn is not among them.

    Needs the run's ``release`` and ``season``. No statement is open between two tables.
    """
    phases = Phase.objects.filter(run=run).exclude(status=PhaseStatus.WITHDRAWN)
    ordered = phases.order_by("chemical_system", "formula", "energy_per_atom", "number")
    keys = np.fromiter(ordered.values_list("pk", flat=True).iterator(chunk_size=20_000), np.int64)
    reader = _Reader(run, hull)
    for start in range(0, len(keys), _CHUNK):
        yield reader.table(keys[start : start + _CHUNK].tolist())


class _Reader:
    """What stays between two chunks."""

    def __init__(self, run: Run, hull: HullStore) -> None:
        self._run, self._hull = run, hull
        self._formulas: dict[int, str] = {}
        self._batches: dict[int, _Sent] = {}

    def table(self, keys: Sequence[int]) -> pa.Table:
        rows = self._read(keys)
        cells = _Cells.of([row.relaxed or row.release_geometry for row in rows])
        relaxed = [row.relaxed is not None for row in rows]
        versions = [_made_with(row.provenance) for row in rows]
        sent = self._sent(rows)
        columns: dict[str, Any] = {
            "immutable_id": [self._id(row.number) for row in rows],
            "origin": ["release" if row.release_phase else "season" for row in rows],
            "chemical_formula_reduced": [row.formula for row in rows],
            "chemical_system": [row.chemical_system for row in rows],
            "elements": [row.chemical_system.split("-") for row in rows],
            "nelements": [row.chemical_system.count("-") + 1 for row in rows],
            "nsites": cells.n_sites,
            "lattice_vectors": cells.lattice_vectors,
            "cartesian_site_positions": cells.positions,
            "species_at_sites": cells.species,
            "energy": np.array([row.energy_per_atom for row in rows]) * cells.n_sites,
            "energy_per_atom": [row.energy_per_atom for row in rows],
            "formation_energy_per_atom": [row.formation_energy_per_atom for row in rows],
            "status": [row.status for row in rows],
            **self._distances(rows),
            **_symmetries(rows, relaxed),
            "label": [None if row.arrival else row.release_label for row in rows],
            "note": [None if row.arrival else row.release_note for row in rows],
            "participant": [one and one.participant for one in sent],
            "method": [one and one.method for one in sent],
            "submitted_at": [one and one.submitted_at for one in sent],
            "arrival": [row.arrival for row in rows],
            "e_above_hull_on_arrival": self._on_arrival(rows),
            "initial_content_hash": [row.initial_hash for row in rows],
            "relaxation_steps": [row.steps for row in rows],
            "fmax_ev_per_ang": [row.fmax_ev_per_ang for row in rows],
            "smax_ev_per_ang3": [row.smax_ev_per_ang3 for row in rows],
            "device": [one and one[0] for one in versions],
            "versions": [one and one[1] for one in versions],
        }
        for name, value in self._everywhere().items():
            columns[name] = [value] * len(rows)
        arrays = [pa.array(columns[field.name], field.type) for field in SCHEMA]
        return pa.Table.from_arrays(arrays, schema=SCHEMA)

    def _everywhere(self) -> dict[str, Any]:
        run = self._run
        return {
            "judge": run.scale.name,
            "scale_digest": run.scale.digest,
            "release_sha256": run.release.sha256,
            "rules_digest": run.rules_digest,
            "log_position": run.log_position,
        }

    def _read(self, keys: Sequence[int]) -> list[_Read]:
        """In the order of the keys."""
        provenance = Cast("candidate__relaxation__provenance", TextField())
        phases = Phase.objects.filter(pk__in=keys).annotate(provenance=provenance)
        found = {key: _Read._make(rest) for key, *rest in phases.values_list("pk", *_FIELDS)}
        return [found[key] for key in keys]

    def _id(self, number: int) -> str:
        return f"{self._run.season.slug}-{self._run.number}-{number}"

    def _sent(self, rows: Sequence[_Read]) -> list[_Sent | None]:
        """The batch of each first finder."""
        wanted = {row.batch for row in rows if row.batch is not None}
        batches = Batch.objects.filter(pk__in=_missing(wanted, self._batches))
        named = batches.values_list("pk", "owner__user__username", "method", "submitted_at")
        self._batches |= {key: _Sent._make(rest) for key, *rest in named}
        return [None if row.batch is None else self._batches[row.batch] for row in rows]

    def _on_arrival(self, rows: Sequence[_Read]) -> list[float | None]:
        """Of the first finder."""
        finders = [row.first_candidate for row in rows if row.first_candidate is not None]
        placed = Placement.objects.filter(run=self._run, candidate__in=finders)
        found = dict(placed.values_list("candidate", "e_above_hull_on_arrival"))
        return [None if row.first_candidate is None else found[row.first_candidate] for row in rows]

    def _distances(self, rows: Sequence[_Read]) -> dict[str, Any]:
        """Null where a phase is not in the hull, or undefined in it."""
        positions = [self._position(row) for row in rows]
        parts = [part for position in positions if position for part in position.decomposition]
        formulas = self._formulas_of({number for number, _ in parts})
        ends = np.cumsum([len(position.decomposition) if position else 0 for position in positions]).tolist()
        starts = [
            None if position is None else end - len(position.decomposition)
            for position, end in zip(positions, ends, strict=True)
        ]
        mixtures = pa.StructArray.from_arrays(
            [
                pa.array([self._id(number) for number, _ in parts], pa.string()),
                pa.array([formulas[number] for number, _ in parts], pa.string()),
                pa.array([fraction for _, fraction in parts], pa.float64()),
            ],
            fields=list(SCHEMA.field("decomposition").type.value_type),
        )
        above = [None if position is None else position.e_above_hull for position in positions]
        return {
            "e_above_hull": above,
            "decomposition_energy": [position and position.decomposition_energy for position in positions],
            "is_stable": [None if one is None else one <= STABLE_TOLERANCE for one in above],
            "decomposition": pa.ListArray.from_arrays(pa.array([*starts, len(parts)], pa.int32()), mixtures),
        }

    def _position(self, row: _Read) -> Position | None:
        if row.status != PhaseStatus.ON_RECORD:
            return None
        position = self._hull.entry_position(row.number)
        return None if position.e_above_hull is None else position

    def _formulas_of(self, numbers: set[int]) -> dict[int, str]:
        """Of phases by number; what is part of one decomposition is part of many."""
        missing = _missing(numbers, self._formulas)
        found = Phase.objects.filter(run=self._run, number__in=missing).values_list("number", "formula")
        self._formulas |= dict(found)
        return self._formulas


def _missing(wanted: set[int], known: dict[int, Any]) -> list[int]:
    """Those that are to be read. What is known is forgotten when it has become too much."""
    if len(known) > _KEPT:
        known.clear()
    return sorted(wanted - known.keys())


def _symmetries(rows: Sequence[_Read], relaxed: Sequence[bool]) -> dict[str, Any]:
    """The representative's; null where no group was found, or none was looked for yet."""
    own = [
        (row.space_group, row.pearson_symbol, row.prototype)
        if is_relaxed
        else (row.release_space_group, row.release_pearson_symbol, row.release_prototype)
        for row, is_relaxed in zip(rows, relaxed, strict=True)
    ]
    return {
        "space_group_number": [number for number, _, _ in own],
        "space_group_symbol": [_symbol_of(number) if number else None for number, _, _ in own],
        "pearson_symbol": [pearson or None for _, pearson, _ in own],
        "prototype_label": [label or None for _, _, label in own],
        "prototype": [_prototype_of(label.partition(":")[0]) if label else None for _, _, label in own],
    }


_symbol_of = lru_cache(maxsize=None)(symbol_of)
_prototype_of = lru_cache(maxsize=65_536)(prototype_of)  # of a label without its elements, which do not count


@lru_cache(maxsize=1024)
def _made_with(provenance: str | None) -> tuple[str, str] | None:
    """Device, and versions as JSON."""
    if provenance is None:
        return None
    content = json.loads(provenance)
    return content["device"], json.dumps(content["versions"], sort_keys=True)


@dataclass(frozen=True, slots=True)
class _Cells:
    """The cells of n phases."""

    n_sites: NDArray[np.int32]  # (n,)
    lattice_vectors: pa.Array  # Å
    positions: pa.Array  # Å, Cartesian
    species: pa.Array

    @classmethod
    def of(cls, blobs: Sequence[bytes | memoryview | None]) -> "_Cells":
        """Of packed crystals; a database constraint sees to it that each phase has one."""
        crystals = [Crystal.unpack(blob or b"") for blob in blobs]
        n_sites = np.array([len(crystal) for crystal in crystals], np.int32)
        starts = np.concatenate([[0], np.cumsum(n_sites)]).astype(np.int32)
        lattices = np.concatenate([crystal.lattice for crystal in crystals])
        places = np.concatenate([crystal.cart_coords for crystal in crystals])
        numbers = np.concatenate([crystal.numbers for crystal in crystals])
        return cls(
            n_sites,
            pa.ListArray.from_arrays(pa.array(3 * np.arange(len(crystals) + 1, dtype=np.int32)), _vectors(lattices)),
            pa.ListArray.from_arrays(pa.array(starts), _vectors(places)),
            pa.ListArray.from_arrays(pa.array(starts), _SYMBOLS.take(pa.array(numbers - 1))),
        )


def _vectors(rows: NDArray[np.float64]) -> pa.Array:
    """Shape (n, 3) as a list of n lists."""
    offsets = pa.array(3 * np.arange(len(rows) + 1, dtype=np.int32))
    return pa.ListArray.from_arrays(offsets, pa.array(rows.ravel()))
