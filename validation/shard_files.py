"""Shards: structures to be relaxed somewhere else, and what came of them, as two Parquet files.

Both carry a JSON object in the schema's metadata. An order names the scale and the settings; results name who made
them. Arrays are raw little-endian bytes, as the platform keeps them.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hull.atomic import atomic_file
from validation.canary import Expected
from validation.crystal import Crystal
from validation.flight import Ended, Failed
from validation.provenance import values_of, written
from validation.relaxation import Relaxation, Stopped
from validation.rules import RelaxationSettings
from validation.scales import scale_digest

FORMAT_VERSION = 1
_ORDER_KEY, _RESULTS_KEY = b"shard", b"relaxed-shard"

_ORDER_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("initial_hash", pa.string()),  # content hash of the crystal
        ("formula", pa.string()),
        ("n_atoms", pa.int32()),
        ("crystal", pa.binary()),  # packed
    ]
)
_RESULTS_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("initial_hash", pa.string()),
        ("formula", pa.string()),
        ("n_atoms", pa.int32()),
        ("made_by", pa.int32()),  # index in the metadata's list
        ("error", pa.string()),  # why there is no relaxation; all that follows is null then
        ("stopped", pa.string()),
        ("note", pa.string()),
        ("steps", pa.int32()),
        ("seconds", pa.float64()),
        ("energy_per_atom", pa.float64()),  # eV/atom
        ("fmax_ev_per_ang", pa.float64()),
        ("smax_ev_per_ang3", pa.float64()),
        ("rmsd_ang", pa.float64()),
        ("volume_change", pa.float64()),
        ("crystal", pa.binary()),  # packed
        ("forces", pa.binary()),  # float64, (n, 3), eV/Å
        ("stress", pa.binary()),  # float64, (6,), eV/Å³, ASE's Voigt order
        ("history", pa.binary()),  # float32, (steps + 1, 3): eV/atom, eV/Å, eV/Å³
        ("magmoms", pa.binary()),  # float64, (n,), μB, or null
        ("charges", pa.binary()),  # float64, (n,), e, or null
    ]
)


class BadShard(ValueError):
    """A file that is no shard, or contradicts itself; the message names it and says how."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """How a shard's structures are to be relaxed.

    judge and model: as ``load_judge`` takes them. scale: its identity. accepted: what the canary is held against where
    no values are registered for the judge.
    """

    name: str
    judge: str
    model: str
    settings: RelaxationSettings
    scale: dict[str, Any]
    accepted: Mapping[str, Expected] = field(default_factory=dict)

    @property
    def scale_digest(self) -> str:
        return scale_digest(self.scale)


@dataclass(frozen=True, slots=True)
class Ordered:
    """A structure to be relaxed; its id is unique in the shard."""

    id: str
    crystal: Crystal


@dataclass(frozen=True, slots=True)
class Shard:
    """An order with its structures. sha256: of the file."""

    order: Order
    structures: tuple[Ordered, ...]
    sha256: str


@dataclass(frozen=True, slots=True)
class Results:
    """What came of a shard. shard: its name; shard_sha256: of its file. rows: as the columns have it."""

    shard: str
    shard_sha256: str
    scale: dict[str, Any]
    provenances: tuple[dict[str, Any], ...]
    rows: tuple[dict[str, Any], ...]


def write_shard(path: Path, order: Order, structures: Iterable[Ordered]) -> None:
    """Whole or not at all."""
    rows = [
        {
            "id": one.id,
            "initial_hash": one.crystal.content_hash,
            "formula": str(one.crystal.formula),
            "n_atoms": len(one.crystal),
            "crystal": one.crystal.pack(),
        }
        for one in structures
    ]
    header = {
        "format": FORMAT_VERSION,
        "name": order.name,
        "judge": order.judge,
        "model": order.model,
        "scale": order.scale,
        "scale_digest": order.scale_digest,
        "accepted": written(order.accepted),
    }
    _write(path, rows, _ORDER_SCHEMA, _ORDER_KEY, header)


def read_shard(path: Path) -> Shard:
    """Raises BadShard, and OSError where the file cannot be read."""
    data = path.read_bytes()
    header, rows = _read(path, data, _ORDER_SCHEMA, _ORDER_KEY, "no shard of structures to relax")
    try:
        order = Order(
            name=str(header["name"]),
            judge=str(header["judge"]),
            model=str(header["model"]),
            settings=RelaxationSettings(**header["scale"]["relaxation"]),
            scale=header["scale"],
            accepted=values_of(header["accepted"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise BadShard(f"{path}: its metadata cannot be understood: {error!r}") from None
    if order.scale_digest != header.get("scale_digest"):
        raise BadShard(f"{path}: its scale is not the one whose digest it states")
    structures = tuple(_ordered(path, number, row) for number, row in enumerate(rows, start=1))
    if len({one.id for one in structures}) < len(structures):
        raise BadShard(f"{path}: two structures have the same id")
    return Shard(order, structures, hashlib.sha256(data).hexdigest())


def _ordered(path: Path, number: int, row: Mapping[str, Any]) -> Ordered:
    if row["id"] is None or row["crystal"] is None:
        raise BadShard(f"{path}: row {number} has no id or no crystal")
    try:
        crystal = Crystal.unpack(row["crystal"])
    except ValueError as error:
        raise BadShard(f"{path}: row {number} ({row['id']}): {error}") from None
    if not len(crystal) or crystal.content_hash != row["initial_hash"]:
        raise BadShard(f"{path}: row {number} ({row['id']}) is not the crystal whose hash it states")
    return Ordered(row["id"], crystal)


def result_row(one: Ordered, end: Ended) -> dict[str, Any]:
    """What is written of a structure that came to an end."""
    if isinstance(end, Failed):
        return error_row(one, f"{type(end.error).__name__}: {end.error}")
    return {**error_row(one, None), **_relaxed(end.relaxation)}


def error_row(one: Ordered, error: str | None) -> dict[str, Any]:
    """Of a structure without a relaxation."""
    return {
        **dict.fromkeys(_RESULTS_SCHEMA.names),
        "id": one.id,
        "initial_hash": one.crystal.content_hash,
        "formula": str(one.crystal.formula),
        "n_atoms": len(one.crystal),
        "made_by": 0,
        "error": error,
    }


def _relaxed(done: Relaxation) -> dict[str, Any]:
    exploded = done.stopped is Stopped.EXPLODED  # its figures have no meaning
    names = ("energy_per_atom", "fmax_ev_per_ang", "smax_ev_per_ang3", "rmsd_ang", "volume_change")
    return {
        **{name: None if exploded else getattr(done, name) for name in names},
        "stopped": done.stopped.value,
        "note": done.note,
        "steps": done.steps,
        "seconds": done.seconds,
        "crystal": done.crystal.pack(),
        "forces": done.forces.astype("<f8").tobytes(),
        "stress": done.stress.astype("<f8").tobytes(),
        "history": done.history.astype("<f4").tobytes(),
        "magmoms": None if done.magmoms is None else done.magmoms.astype("<f8").tobytes(),
        "charges": None if done.charges is None else done.charges.astype("<f8").tobytes(),
    }


def write_results(path: Path, results: Results) -> None:
    """Whole or not at all."""
    header = {
        "format": FORMAT_VERSION,
        "shard": results.shard,
        "shard_sha256": results.shard_sha256,
        "scale": results.scale,
        "scale_digest": scale_digest(results.scale),
        "provenances": results.provenances,
    }
    _write(path, results.rows, _RESULTS_SCHEMA, _RESULTS_KEY, header)


def read_results(path: Path) -> Results:
    """Raises BadShard, and OSError where the file cannot be read. What the rows say is not judged."""
    header, rows = _read(path, path.read_bytes(), _RESULTS_SCHEMA, _RESULTS_KEY, "no relaxed shard")
    try:
        results = Results(
            shard=str(header["shard"]),
            shard_sha256=str(header["shard_sha256"]),
            scale=dict(header["scale"]),
            provenances=tuple(dict(one) for one in header["provenances"]),
            rows=tuple(rows),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise BadShard(f"{path}: its metadata cannot be understood: {error!r}") from None
    if scale_digest(results.scale) != header.get("scale_digest"):
        raise BadShard(f"{path}: its scale is not the one whose digest it states")
    if any(row["made_by"] not in range(len(results.provenances)) for row in rows):
        raise BadShard(f"{path}: a row does not say who made it")
    return results


def joined(parts: Sequence[Results], order: Sequence[Ordered]) -> Results:
    """One of several on the same shard, in the order of the structures. Raises BadShard unless each is there once."""
    provenances: list[dict[str, Any]] = []
    rows: dict[str, dict[str, Any]] = {}
    for part in parts:
        provenances += [one for one in part.provenances if one not in provenances]
        places = [provenances.index(one) for one in part.provenances]
        for row in part.rows:
            if row["id"] in rows:
                raise BadShard(f"{part.shard}: {row['id']} was relaxed twice")
            rows[row["id"]] = {**row, "made_by": places[row["made_by"]]}
    ids = [one.id for one in order]
    if rows.keys() != set(ids):
        raise BadShard(f"{parts[0].shard}: {len(rows)} rows are not those of its {len(ids)} structures")
    first = parts[0]
    return Results(first.shard, first.shard_sha256, first.scale, tuple(provenances), tuple(rows[id] for id in ids))


def _refused(constant: str) -> None:
    """NaN and infinity are no JSON, and PostgreSQL keeps none."""
    raise ValueError(constant)


def _write(path: Path, rows: Sequence[Mapping[str, Any]], schema: Any, key: bytes, header: Mapping[str, Any]) -> None:
    told = schema.with_metadata({key: json.dumps(header, sort_keys=True, allow_nan=False).encode()})
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(rows), schema=told), buffer, compression="zstd")
    with atomic_file(path) as file:
        file.write(buffer.getvalue())


def _read(path: Path, data: bytes, schema: Any, key: bytes, otherwise: str) -> tuple[dict[str, Any], list[Any]]:
    """The metadata's object and the rows. otherwise: what to say of other files."""
    try:
        table = pq.read_table(pa.BufferReader(data))
    except (pa.ArrowException, OSError) as error:
        raise BadShard(f"{path} is {otherwise}: {str(error).splitlines()[0]}") from None
    try:
        header = json.loads((table.schema.metadata or {})[key], parse_constant=_refused)
    except (KeyError, ValueError):
        raise BadShard(f"{path} is {otherwise}: it lacks the metadata") from None
    if not isinstance(header, dict) or header.get("format") != FORMAT_VERSION:
        raise BadShard(f"{path} has a format that is not known here; this version writes {FORMAT_VERSION}")
    if not table.schema.remove_metadata().equals(schema):
        raise BadShard(f"{path} is {otherwise}: its columns are other ones")
    return header, table.to_pylist()
