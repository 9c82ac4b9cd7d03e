"""Everything that a season is, as Parquet: facts and evaluations of all its runs, with a manifest and checksums.

Rows are read as they were at one moment, some thousand at a time, and a folder appears when it is whole.
"""

import json
import shutil
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from django.db import transaction

from philately.domain.audit_log import About, Deed, record
from philately.domain.consistent_reads import consistent_read
from philately.domain.export_tables import TABLES, Table
from philately.domain.organisers import DeedRefused, refuse_strangers
from philately.domain.releases import file_sha256
from philately.domain.versions import provenance
from philately.models import Season, User

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
_ROWS = 2000


def export(season: Season, folder: Path, *, by: User) -> dict[str, Any]:
    """Write all of a season into a folder, replacing an older export of it; returns the manifest. Work may go on
    meanwhile. Raises DeedRefused."""
    refuse_strangers(by, season)
    if folder.exists() and not _is_export_of(season, folder):
        raise DeedRefused(f"{folder} exists and is no export of {season}; give another folder")
    fresh = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    with consistent_read():
        counts = {table.name: _write(table, season, fresh) for table in TABLES}
        manifest = _manifest(season, counts, fresh)
    (fresh / MANIFEST).write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n")
    sums = "".join(f"{file_sha256(path)}  {path.name}\n" for path in sorted(fresh.iterdir()))
    (fresh / "SHA256SUMS").write_text(sums)
    with transaction.atomic():  # nobody takes everything along unseen, whatever becomes of the folder
        record(Deed.EXPORT, About(season=season), by=by, parameters={"folder": folder.name}, outcome={"rows": counts})
    _put(fresh, folder)
    return manifest


def _is_export_of(season: Season, folder: Path) -> bool:
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        return bool(manifest["export_format_version"]) and manifest["season"]["slug"] == season.slug
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _write(table: Table, season: Season, folder: Path) -> int:
    """How many rows there are."""
    paths = [column.path for column in table.columns]
    rows = table.rows(season).order_by("pk").values_list(*paths).iterator(chunk_size=_ROWS)
    count, schema = 0, table.schema
    with pq.ParquetWriter(folder / f"{table.name}.parquet", schema, compression="zstd") as writer:
        for some in _chunks(rows):
            columns = zip(*some, strict=True)
            arrays = [
                pa.array([_plain(value) for value in values], field.type)
                for values, field in zip(columns, schema, strict=True)
            ]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
            count += len(some)
    return count


def _chunks(rows: Iterator[tuple[Any, ...]]) -> Iterator[list[tuple[Any, ...]]]:
    while some := list(islice(rows, _ROWS)):
        yield some


def _plain(value: Any) -> Any:
    """As Arrow takes it."""
    if isinstance(value, dict | list):
        return json.dumps(value, sort_keys=True, ensure_ascii=False)
    return bytes(value) if isinstance(value, memoryview) else value


def _manifest(season: Season, counts: dict[str, int], folder: Path) -> dict[str, Any]:
    run = season.official_run
    return {
        "export_format_version": FORMAT_VERSION,
        "season": {
            "slug": season.slug,
            "name": season.name,
            "data_licence": season.data_licence,
            "rules": season.rules,
            "opens_at": season.opens_at.isoformat(),
            "closes_at": None if season.closes_at is None else season.closes_at.isoformat(),
            "frozen_at": None if season.frozen_at is None else season.frozen_at.isoformat(),
        },
        "official_run": None if run is None else run.number,
        "judge": {"scale_digest": season.scale.digest, "identity": season.scale.identity},
        "versions": provenance(),
        "packed_crystal": "validation.crystal.Crystal.unpack of this project reads it",
        "tables": {
            f"{table.name}.parquet": {
                "meaning": table.meaning,
                "rows": counts[table.name],
                "sha256": file_sha256(folder / f"{table.name}.parquet"),
                "columns": {c.name: {"type": str(c.type), "meaning": c.meaning} for c in table.columns},
            }
            for table in TABLES
        },
    }


def _put(fresh: Path, folder: Path) -> None:
    """Swap folders; a reader sees the old export or the new one."""
    old = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    fresh.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
