"""A release from other people's structures: relaxed again by the judge, because energies of two scales never meet."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from hull.reference import Coverage, DamagedRelease, Release, read_release
from validation.acceptance import accept_relaxed
from validation.blocks import Block, split_file
from validation.checks import check_initial
from validation.crystal import Crystal
from validation.flight import Ended, Failed, relax_batch
from validation.potentials import Judge
from validation.reading import read_structure
from validation.reduction import primitive
from validation.references import reference_crystal, reference_phase
from validation.relaxation import Relaxation
from validation.rules import Reason, Rejected, RelaxationSettings, Rules
from validation.scales import scale_digest, scale_of
from validation.uploads import structures_of


class ReleaseRefused(Exception):
    """The file cannot become a release; the message says why."""


@dataclass(frozen=True, slots=True)
class Source:
    """One structure of a file: what it is called there, and the crystal or the reason why there is none."""

    label: str
    crystal: Crystal | None
    problem: Rejected | None = None


@dataclass(frozen=True, slots=True)
class Built:
    """A release and what was left out of it: (label, why)."""

    release: Release
    left_out: tuple[tuple[str, str], ...]


def read_sources(path: Path, rules: Rules) -> Iterator[Source]:
    """The structures of a folder of CIFs, of an archive or a file as participants send it, of a JSON of pymatgen
    entries, or of a Parquet file.

    Raises ReleaseRefused where nothing of the file can be judged.
    """
    if not path.exists():
        raise ReleaseRefused(f"there is no file or folder {path}")
    if path.is_dir():
        files = sorted(path.rglob("*.cif"))
        if not files:
            raise ReleaseRefused(f"the folder {path} holds no .cif file")
        for file in files:
            for block in split_file(file.read_bytes(), file.name):
                yield _source(str(file.relative_to(path)), block, rules)
    elif path.suffix == ".json":
        yield from _entry_sources(path)
    elif path.suffix == ".parquet":
        yield from _parquet_sources(path)
    else:
        with path.open("rb") as stream:
            for found in structures_of(stream, path.name):
                if found.block is None:
                    yield Source(found.file, None, found.problem)
                else:
                    yield _source(found.file, found.block, rules)


def relax_release(
    sources: Iterable[Source],
    judge: Judge,
    settings: RelaxationSettings,
    rules: Rules,
    *,
    name: str,
    coverage: Coverage,
    progress: Callable[[str], None] = lambda line: None,
) -> Built:
    """Relax every structure and keep those that the rules accept; the formation-energy limit does not apply.

    Raises ReleaseRefused where none is left.
    """
    taking = _Taking(judge, settings, rules, progress)
    for ended in relax_batch(taking.starts(sources), judge, settings):
        taking.take(ended)
    if not taking.kept:
        raise ReleaseRefused("none of its structures could be relaxed; the lines above say why")
    phases = tuple(
        reference_phase(number, found.crystal, found.energy_per_atom, label=label[:200])
        for number, (_, (label, found)) in enumerate(sorted(taking.kept.items()), start=1)
    )
    scale = scale_of(judge, settings)
    release = Release(name=name, coverage=coverage, scale=scale, scale_digest=scale_digest(scale), phases=phases)
    return Built(release, tuple(why for _, why in sorted(taking.left_out.items())))


class _Taking:
    """Structures on their way into a release, by their number in the source; labels beside them."""

    def __init__(
        self, judge: Judge, settings: RelaxationSettings, rules: Rules, progress: Callable[[str], None]
    ) -> None:
        self.kept: dict[int, tuple[str, Relaxation]] = {}
        self.left_out: dict[int, tuple[str, str]] = {}
        self._under_way: dict[int, tuple[str, Crystal]] = {}
        self._judge, self._settings, self._rules, self._progress = judge, settings, rules, progress

    def starts(self, sources: Iterable[Source]) -> Iterator[tuple[int, Crystal]]:
        for number, source in enumerate(sources):
            try:
                start = _start(source, self._judge, self._rules)
            except Rejected as rejection:
                self._leave_out(number, source.label, str(rejection))
                continue
            self._under_way[number] = source.label, start
            yield number, start

    def take(self, ended: Ended) -> None:
        number = cast(int, ended.key)
        label, start = self._under_way.pop(number)
        if isinstance(ended, Failed):
            why = f"the judge failed on it, {type(ended.error).__name__}: {ended.error}"
            self._leave_out(number, label, why)
            return
        found = ended.relaxation
        try:
            accept_relaxed(start, found.crystal, found, rules=self._rules, settings=self._settings)
        except Rejected as rejection:
            self._leave_out(number, label, str(rejection))
            return
        self.kept[number] = label, found
        self._progress(f"{label}: {found.crystal.formula} {found.energy_per_atom:.4f} eV/atom")

    def _leave_out(self, number: int, label: str, why: str) -> None:
        self.left_out[number] = label, why
        self._progress(f"{label}: left out, {why}")


def _start(source: Source, judge: Judge, rules: Rules) -> Crystal:
    """The primitive cell to relax. Raises Rejected."""
    if source.crystal is None:
        raise source.problem or Rejected(Reason.UNREADABLE, "there is no structure")
    check_initial(source.crystal, rules, judge.elements)
    return primitive(source.crystal)


def _source(file: str, block: Block, rules: Rules) -> Source:
    label = f"{file}#{block.name}" if block.name else file
    try:
        return Source(label, read_structure(block.text, rules, format=block.format, first_line=block.line))
    except Rejected as problem:
        return Source(label, None, problem)


def _entry_sources(path: Path) -> Iterator[Source]:
    """pymatgen entries; one without a structure cannot be judged, and its energy is of another scale."""
    try:
        entries = json.loads(path.read_text())
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ReleaseRefused(f"{path.name} is not JSON: {error}") from error
    entries = entries.get("entries", entries) if isinstance(entries, dict) else entries
    if not isinstance(entries, list):
        raise ReleaseRefused(f"{path.name} holds no list of entries")
    bare = [entry for entry in entries if not (isinstance(entry, dict) and entry.get("structure"))]
    if bare:
        raise ReleaseRefused(
            f"{len(bare)} of the {len(entries)} entries have no structure. Their energies were computed on another "
            "scale (DFT, say) and cannot enter a hull that is judged; give ComputedStructureEntry objects, whose "
            "structures the judge relaxes again."
        )
    for number, entry in enumerate(entries, start=1):
        yield _entry_source(str(entry.get("entry_id") or number), entry["structure"])


def _entry_source(label: str, structure: dict[str, Any]) -> Source:
    from pymatgen.core import Structure  # late: a second of imports

    try:
        found = Structure.from_dict(structure)
    except (KeyError, ValueError, TypeError) as error:
        return Source(label, None, Rejected(Reason.UNREADABLE, f"pymatgen cannot read its structure: {error}"))
    if not found.is_ordered:
        return Source(label, None, Rejected(Reason.DISORDERED, "some of its sites are partly occupied"))
    return Source(label, Crystal.from_structure(found))


_COLUMNS = ("lattice_vectors", "cartesian_site_positions", "species_at_sites")


def _parquet_sources(path: Path) -> Iterator[Source]:
    """Our own releases of another scale, or any table with OPTIMADE's structure columns."""
    try:
        release = read_release(path)
    except DamagedRelease:
        yield from _table_sources(path)
        return
    for phase in release.phases:
        yield Source(phase.label or str(phase.number), reference_crystal(phase))


def _table_sources(path: Path) -> Iterator[Source]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise ReleaseRefused(f"{path.name} cannot be read as Parquet: {error}") from error
    if missing := [name for name in _COLUMNS if name not in table.schema_arrow.names]:
        raise ReleaseRefused(
            f"{path.name} has no column {', '.join(missing)}: there is no structure that could be relaxed"
        )
    names = [*_COLUMNS, *(["immutable_id"] if "immutable_id" in table.schema_arrow.names else [])]
    number = 0
    for batch in table.iter_batches(1000, columns=names):
        for row in batch.to_pylist():
            number += 1
            label = str(row.get("immutable_id") or number)
            try:
                yield Source(label, Crystal.from_sites(*(row[name] for name in _COLUMNS)))
            except (ValueError, KeyError, TypeError) as error:
                problem = Rejected(Reason.UNREADABLE, f"its columns make no structure: {error}")
                yield Source(label, None, problem)
