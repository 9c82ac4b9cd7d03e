"""Releases: immutable, checksummed reference phases on one energy scale, as sorted Parquet."""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
from collections import Counter
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hull.atomic import atomic_file
from hull.entries import Formula, HullError, checked_energy

FORMAT_VERSION = 1
METADATA_KEY = b"release"

Vector = tuple[float, float, float]


class BadRelease(HullError):
    """Phases that contradict themselves or each other; such a release is never made."""


class MissingReference(HullError, KeyError):
    """An element without an elemental reference in the release."""


class DamagedRelease(ValueError):
    """A file that is no release, or not the one whose checksum was given."""


class Coverage(StrEnum):
    """How much of the known chemistry a release holds: what "on the hull" means against it."""

    ELEMENTS = "elements"  # elemental references only
    PROTOTYPES = "prototypes"  # and common prototypes
    FULL = "full"  # and the known phases of every system


@dataclass(frozen=True, slots=True)
class ReferencePhase:
    """One phase of a release, relaxed on its scale. Raises BadRelease where its parts disagree."""

    number: int  # 1..n, its id in the release
    formula: Formula
    energy_per_atom: float  # eV/atom, total energy on the release's scale
    lattice_vectors: tuple[Vector, Vector, Vector]  # Å, one vector a row
    cartesian_site_positions: tuple[Vector, ...]  # Å
    species_at_sites: tuple[str, ...]  # element symbols
    label: str  # prototype name or source id
    note: str = ""  # warnings, e.g. "deviates by 0.20 eV/atom from published DFT"

    def __post_init__(self) -> None:
        checked_energy(self.energy_per_atom)
        if len(self.species_at_sites) != len(self.cartesian_site_positions):
            raise BadRelease(
                f"phase {self.number}: {len(self.species_at_sites)} species at "
                f"{len(self.cartesian_site_positions)} positions"
            )
        if not self.species_at_sites or Formula.of(Counter(self.species_at_sites)) != self.formula:
            raise BadRelease(f"phase {self.number}: its sites are not {self.formula}")
        vectors = (*self.lattice_vectors, *self.cartesian_site_positions)
        if len(self.lattice_vectors) != 3 or any(len(vector) != 3 for vector in vectors):
            raise BadRelease(f"phase {self.number}: a vector has three components, a lattice three vectors")
        if not all(math.isfinite(component) for vector in vectors for component in vector):
            raise BadRelease(f"phase {self.number}: a coordinate is not finite")

    @property
    def n_sites(self) -> int:
        return len(self.species_at_sites)


@dataclass(frozen=True)
class Release:
    """Reference phases on one scale, by number. Raises BadRelease where the numbers are not 1..n in order."""

    name: str
    coverage: Coverage
    scale: dict[str, Any]  # JSON-able description of the energy scale
    scale_digest: str  # of that description, as whoever described it made it
    phases: tuple[ReferencePhase, ...]

    def __post_init__(self) -> None:
        if [phase.number for phase in self.phases] != list(range(1, len(self.phases) + 1)):
            raise BadRelease("the phases are not numbered 1, 2, 3 in order")

    @cached_property
    def _elemental(self) -> dict[str, float]:
        references: dict[str, float] = {}
        for phase in self.phases:
            if phase.formula.is_element:
                symbol = phase.formula.elements[0]
                references[symbol] = min(phase.energy_per_atom, references.get(symbol, math.inf))
        return references

    @property
    def elements(self) -> tuple[str, ...]:
        """Symbols of the elements that have an elemental reference, alphabetical."""
        return tuple(sorted(self._elemental))

    def elemental_reference(self, symbol: str) -> float:
        """eV/atom of the lowest phase of an element. Raises MissingReference."""
        if symbol not in self._elemental:
            raise MissingReference(f"release {self.name} has no reference of {symbol}")
        return self._elemental[symbol]

    def formation_energy_per_atom(self, formula: Formula, energy_per_atom: float) -> float | None:
        """eV/atom against the elemental references; None where the release lacks an element. Raises BadEnergy."""
        checked_energy(energy_per_atom)
        if any(symbol not in self._elemental for symbol in formula.elements):
            return None
        return energy_per_atom - sum(part * self._elemental[symbol] for symbol, part in formula.fractions.items())


_SCHEMA = pa.schema(
    [
        ("number", pa.int64()),
        ("chemical_formula_reduced", pa.string()),
        ("elements", pa.list_(pa.string())),
        ("nsites", pa.int64()),
        ("lattice_vectors", pa.list_(pa.list_(pa.float64()))),  # Å
        ("cartesian_site_positions", pa.list_(pa.list_(pa.float64()))),  # Å
        ("species_at_sites", pa.list_(pa.string())),
        ("energy_per_atom", pa.float64()),  # eV/atom
        ("energy", pa.float64()),  # eV of the cell
        ("label", pa.string()),
        ("note", pa.string()),
    ]
)


def write_release(release: Release, path: str | os.PathLike[str]) -> str:
    """Write a release as Parquet (zstd), by number; the SHA-256 of the file's bytes.

    The same release gives the same bytes with the same version of the Parquet library. Name, coverage, scale and a
    digest of the content stand in the schema's metadata as one JSON object. Raises BadRelease where the scale is not
    JSON.
    """
    rows = [_row(phase) for phase in release.phases]
    try:
        metadata = _canonical_json(_header(release) | {"content_sha256": _content_digest(release)})
    except (TypeError, ValueError) as error:
        raise BadRelease(f"the scale is not plain JSON: {error}") from error
    table = pa.Table.from_pylist(rows, schema=_SCHEMA.with_metadata({METADATA_KEY: metadata.encode()}))
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd", write_page_checksum=True)
    content = buffer.getvalue()
    with atomic_file(Path(path)) as file:
        file.write(content)
    return hashlib.sha256(content).hexdigest()


def read_release(path: str | os.PathLike[str], *, sha256: str | None = None) -> Release:
    """Read a release and check it: against the SHA-256 of the file where given, against its own digest always.

    Raises DamagedRelease, or OSError of the disk.
    """
    content = Path(path).read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if sha256 is not None and found != sha256:
        raise DamagedRelease(f"{path} has the SHA-256 {found}, not {sha256}")
    try:
        table = pq.read_table(pa.BufferReader(content), page_checksum_verification=True)
        header = json.loads(table.schema.metadata[METADATA_KEY])
        if header["format_version"] != FORMAT_VERSION:
            raise DamagedRelease(f"{path} has the format version {header['format_version']}, not {FORMAT_VERSION}")
        release = Release(
            name=header["name"],
            coverage=Coverage(header["coverage"]),
            scale=header["scale"],
            scale_digest=header["scale_digest"],
            phases=tuple(_phase(row) for row in table.to_pylist()),
        )
    except DamagedRelease:
        raise
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedRelease(f"{path} is not a readable release: {error}") from error
    if header.get("content_sha256") != _content_digest(release):
        raise DamagedRelease(f"the content of {path} is not what was written")
    return release


def _header(release: Release) -> dict[str, Any]:
    return {
        "format_version": FORMAT_VERSION,
        "name": release.name,
        "coverage": release.coverage.value,
        "scale": release.scale,
        "scale_digest": release.scale_digest,
    }


def _row(phase: ReferencePhase) -> dict[str, Any]:
    fields = asdict(phase)
    formula = phase.formula
    del fields["formula"]
    return fields | {
        "chemical_formula_reduced": str(formula),
        "elements": list(formula.elements),
        "nsites": phase.n_sites,
        "energy": phase.energy_per_atom * phase.n_sites,
    }


def _phase(row: dict[str, Any]) -> ReferencePhase:
    first, second, third = (_vector(vector) for vector in row["lattice_vectors"])
    return ReferencePhase(
        number=row["number"],
        formula=Formula.parse(row["chemical_formula_reduced"]),
        energy_per_atom=row["energy_per_atom"],
        lattice_vectors=(first, second, third),
        cartesian_site_positions=tuple(_vector(vector) for vector in row["cartesian_site_positions"]),
        species_at_sites=tuple(row["species_at_sites"]),
        label=row["label"],
        note=row["note"],
    )


def _vector(components: list[float]) -> Vector:
    x, y, z = components
    return (x, y, z)


def _content_digest(release: Release) -> str:
    rows = [_row(phase) for phase in release.phases]
    return hashlib.sha256(_canonical_json([_header(release), rows]).encode()).hexdigest()


def _canonical_json(content: Any) -> str:
    return json.dumps(content, sort_keys=True, allow_nan=False, separators=(",", ":"), ensure_ascii=False)
