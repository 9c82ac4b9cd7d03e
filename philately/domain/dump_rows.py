"""The rows of a dump: every phase of a run, sorted, as Arrow tables of some thousand rows.

They are made a column at a time, by numpy and Arrow; an object a row would cost ten times as much.
"""

import json
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hull.entries import SYMBOLS
from hull.store import STABLE_TOLERANCE, HullStore
from philately.domain.dump_facts import FactReader, Facts
from philately.domain.dump_phases import Phases
from philately.models import Run
from philately.states import PhaseStatus
from validation.packed_crystals import cells_of
from validation.prototype_labels import prototype_of
from validation.spacegroup import symbol_of

_CHUNK = 10_000
_GROUPS = 230

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


def tables(run: Run, phases: Phases, hull: HullStore) -> Iterator[pa.Table]:
    """Rows sorted by chemical system, formula, energy and number; what was withdrawn is not among them.

    Needs the run's ``release``, ``scale`` and ``season``. No statement is open between two tables.
    """
    reader, maker = FactReader(), _Maker(run, phases, hull)
    for some in phases.in_order(_CHUNK):
        yield maker.table(some, reader.of(some))


class _Maker:
    """Of tables of one run."""

    def __init__(self, run: Run, phases: Phases, hull: HullStore) -> None:
        self._run, self._phases, self._hull = run, phases, hull

    def table(self, phases: pa.RecordBatch, facts: Facts) -> pa.Table:
        relaxed, sent, release = facts.relaxed, facts.sent, facts.release
        is_found = phases["arrival"].is_valid()
        systems = phases["chemical_system"]
        elements = pc.split_pattern(systems, "-")
        columns: dict[str, pa.Array] = {
            "immutable_id": self._ids(phases["number"]),
            "origin": pc.if_else(phases["release_phase"].is_valid(), "release", "season"),
            "chemical_formula_reduced": phases["formula"],
            "chemical_system": systems,
            "elements": elements,
            "nelements": pc.list_value_length(elements),
            **_cells(facts, phases["energy_per_atom"]),
            "energy_per_atom": phases["energy_per_atom"],
            "formation_energy_per_atom": phases["formation_energy_per_atom"],
            "status": phases["status"],
            **self._distances(phases),
            **_symmetries(facts),
            "label": _unless(is_found, release["label"]),
            "note": _unless(is_found, release["note"]),
            "participant": sent["participant"],
            "method": sent["method"],
            "submitted_at": sent["submitted_at"],
            "arrival": phases["arrival"],
            "e_above_hull_on_arrival": phases["e_above_hull_on_arrival"],
            "initial_content_hash": relaxed["initial_hash"],
            "relaxation_steps": relaxed["steps"],
            "fmax_ev_per_ang": relaxed["fmax_ev_per_ang"],
            "smax_ev_per_ang3": relaxed["smax_ev_per_ang3"],
            **_made_with(relaxed["provenance"]),
        }
        for name, value in self._everywhere().items():
            columns[name] = pa.repeat(pa.scalar(value, SCHEMA.field(name).type), len(phases))
        return pa.Table.from_arrays([columns[name] for name in SCHEMA.names], schema=SCHEMA)

    def _everywhere(self) -> dict[str, Any]:
        run = self._run
        return {
            "judge": run.scale.name,
            "scale_digest": run.scale.digest,
            "release_sha256": run.release.sha256,
            "rules_digest": run.rules_digest,
            "log_position": run.log_position,
        }

    def _ids(self, numbers: pa.Array) -> pa.Array:
        prefix = pa.scalar(f"{self._run.season.slug}-{self._run.number}-")
        return pc.binary_join_element_wise(prefix, numbers.cast(pa.string()), "")

    def _distances(self, phases: pa.RecordBatch) -> dict[str, pa.Array]:
        """Null where a phase is not in the hull, or undefined in it."""
        rows = np.flatnonzero(pc.equal(phases["status"], PhaseStatus.ON_RECORD.value))
        found = self._hull.entry_positions(phases["number"].to_numpy()[rows])
        n_parts = np.zeros(len(phases), np.int32)
        n_parts[rows] = found.n_parts
        mixtures = pa.StructArray.from_arrays(
            [
                self._ids(pa.array(found.part_ids)),
                self._phases.formulas_of(found.part_ids),
                pa.array(found.part_fractions),
            ],
            fields=list(SCHEMA.field("decomposition").type.value_type),
        )
        above = _in_rows(rows, found.e_above_hull, len(phases))
        return {
            "e_above_hull": above,
            "decomposition_energy": _in_rows(rows, found.decomposition_energy, len(phases)),
            "is_stable": pc.less_equal(above, STABLE_TOLERANCE),
            "decomposition": pa.ListArray.from_arrays(_offsets(n_parts), mixtures, mask=above.is_null()),
        }


def _in_rows(rows: NDArray[np.int64], numbers: NDArray[np.float64], count: int) -> pa.Array:
    """Numbers in these of so many rows; null elsewhere, and for nan."""
    spread = np.full(count, np.nan)
    spread[rows] = numbers
    return pa.array(spread, mask=np.isnan(spread))


def _cells(facts: Facts, energies_per_atom: pa.Array) -> dict[str, pa.Array]:
    """The representative's; a database constraint sees to it that each phase has a structure."""
    cells = cells_of(pc.coalesce(facts.geometry["crystal"], facts.release["geometry"]).to_pylist())
    offsets = _offsets(cells.n_sites)
    threes = _offsets(np.full(len(cells.n_sites), 3))
    return {
        "nsites": pa.array(cells.n_sites, pa.int32()),
        "lattice_vectors": pa.ListArray.from_arrays(threes, _vectors(cells.lattices)),
        "cartesian_site_positions": pa.ListArray.from_arrays(offsets, _vectors(cells.cart_coords)),
        "species_at_sites": pa.ListArray.from_arrays(offsets, _symbols().take(pa.array(cells.numbers - 1))),
        "energy": pa.array(energies_per_atom.to_numpy() * cells.n_sites),
    }


def _vectors(rows: NDArray[np.float64]) -> pa.Array:
    """Shape (…, 3) as a list of lists."""
    return pa.ListArray.from_arrays(_offsets(np.full(rows.size // 3, 3)), pa.array(rows.ravel()))


def _offsets(lengths: NDArray[Any]) -> pa.Array:
    """Where lists of these lengths begin, one after the other, and where the last ends."""
    return pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())


def _symmetries(facts: Facts) -> dict[str, pa.Array]:
    """The representative's; null where no group was found, or none was looked for yet."""
    is_relaxed = facts.geometry["crystal"].is_valid()

    def own(name: str) -> pa.Array:
        return pc.if_else(is_relaxed, facts.relaxed[name], facts.release[name])

    numbers, labels = own("space_group_number"), _told(own("prototype_label"))
    return {
        "space_group_number": numbers,
        "space_group_symbol": _group_symbols().take(pc.subtract(numbers, pa.scalar(1, pa.int16()))),
        "pearson_symbol": _told(own("pearson_symbol")),
        "prototype_label": labels,
        "prototype": _by_value(labels, lambda label: _prototype_of(label.partition(":")[0])),
    }


@lru_cache(maxsize=1)
def _symbols() -> pa.Array:
    """Made when needed: Arrow's first array imports pandas, a fifth of what a process of ours takes to start."""
    return pa.array(SYMBOLS)


@lru_cache(maxsize=1)
def _group_symbols() -> pa.Array:
    return pa.array([symbol_of(number) for number in range(1, _GROUPS + 1)])


_prototype_of = lru_cache(maxsize=65_536)(prototype_of)  # of a label without its elements, which do not count


def _made_with(provenance: pa.Array) -> dict[str, pa.Array]:
    """Device, and versions as JSON."""
    return {
        "device": _by_value(provenance, lambda text: _parsed(text)["device"]),
        "versions": _by_value(provenance, lambda text: json.dumps(_parsed(text)["versions"], sort_keys=True)),
    }


@lru_cache(maxsize=1024)
def _parsed(provenance: str) -> Any:
    return json.loads(provenance)


def _by_value(texts: pa.Array, made: Callable[[str], str]) -> pa.Array:
    """What is made of each text, once for all that are the same."""
    encoded = texts.dictionary_encode()
    return pa.array([made(text) for text in encoded.dictionary.to_pylist()], pa.string()).take(encoded.indices)


def _told(texts: pa.Array) -> pa.Array:
    """Null instead of nothing."""
    return _unless(pc.equal(texts, ""), texts)


def _unless(condition: pa.Array, values: pa.Array) -> pa.Array:
    """Null where the condition holds."""
    return pc.if_else(condition, pa.scalar(None, values.type), values)
