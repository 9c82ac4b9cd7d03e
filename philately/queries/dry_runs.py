"""Dry runs: one's own, and the rows of their tables, page by page."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from django.contrib.auth.models import AnonymousUser
from django.db.models import QuerySet
from django.db.models.functions import Now

from philately.models import DryRun, User
from philately.queries.permissions import dry_runs_for
from philately.storage import storage

FAULT = "FAILED"  # in place of a reason, where reading a structure was our fault
PASSED = "passed"  # asks for the rows without a reason
PAGE_SIZE = 50

TABLE_SCHEMA = pa.schema(
    [
        ("number", pa.int64()),  # place in the upload, from 1
        ("file", pa.string()),
        ("block", pa.string()),
        ("line", pa.int64()),  # where the block begins in its file
        ("formula", pa.string()),  # reduced; empty where it could not be read
        ("n_atoms", pa.int64()),  # in the primitive cell
        ("reason", pa.string()),  # empty where it passed
        ("sentence", pa.string()),
    ]
)
_REASON = TABLE_SCHEMA.get_field_index("reason")


@dataclass(frozen=True, slots=True, kw_only=True)
class DryRow:
    """What phase 1 would say about one structure. number: its place in the upload, from 1."""

    number: int
    file: str
    block: str
    line: int
    formula: str
    n_atoms: int | None
    reason: str
    sentence: str

    def values(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class DryTable:
    """One page. following: the number after which the next page begins, None on the last one."""

    rows: tuple[DryRow, ...]
    following: int | None


def dry_runs_of(user: User | AnonymousUser) -> QuerySet[DryRun]:
    """The user's own that are kept still, newest first; nobody else's."""
    related = ("owner__season__scale", "owner__season__official_run__release", "owner__user", "batch")
    kept = dry_runs_for(user).filter(expires_at__gt=Now())
    return kept.select_related(*related).order_by("-pk")


def dry_run_of(user: User | AnonymousUser, run_id: int) -> DryRun | None:
    """One query; None where there is no such run of this user's."""
    return dry_runs_of(user).filter(pk=run_id).first()


def dry_table(run: DryRun, *, reason: str = "", after: int = 0) -> DryTable:
    """A page of the rows with this reason (PASSED for none), or of all, after a number."""
    rows: list[DryRow] = []
    for row in dry_rows(run, reason=reason, after=after):
        if len(rows) == PAGE_SIZE:
            return DryTable(tuple(rows), rows[-1].number)
        rows.append(row)
    return DryTable(tuple(rows), None)


def dry_rows(run: DryRun, *, reason: str = "", after: int = 0) -> Iterator[DryRow]:
    """The same rows without an end, one group of the file in memory at a time."""
    wanted = "" if reason == PASSED else reason
    if not run.table_as or (reason and wanted not in run.counts):
        return
    with storage().open(run.table_as) as stream:
        file = pq.ParquetFile(_source(stream))
        for group in _groups(file, after):
            rows = _those_with(wanted, file, group) if reason else file.read_row_group(group)
            if rows is not None:
                yield from _from_table(rows.filter(pc.greater(rows["number"], after)))


def _groups(file: pq.ParquetFile, after: int) -> range:
    """From the one with the row that follows this number; all but the last have as many rows."""
    n = file.num_row_groups
    return range(after // file.metadata.row_group(0).num_rows, n) if n else range(0)


def _source(stream: BinaryIO) -> Any:
    """A file on this machine by its path: of a Python file Arrow reads each piece under Python's lock, for which it
    waits while other pages are made."""
    path = getattr(stream, "name", "")
    return pa.OSFile(path) if Path(path).is_absolute() else stream


def _those_with(reason: str, file: pq.ParquetFile, group: int) -> pa.Table | None:
    """What the file says of the group first, then one column: what is asked for may be rare, and a file has a million
    rows. None where there is none."""
    told = file.metadata.row_group(group).column(_REASON).statistics
    if told is not None and told.has_min_max and not told.min <= reason <= told.max:
        return None
    is_it = pc.equal(file.read_row_group(group, columns=["reason"])["reason"], reason)
    return file.read_row_group(group).filter(is_it) if pc.any(is_it).as_py() else None


def _from_table(table: pa.Table) -> Iterator[DryRow]:
    """A few at a time: a page ends long before a group does."""
    for batch in table.to_batches(max_chunksize=PAGE_SIZE):
        for values in batch.to_pylist():
            yield DryRow(**values)
