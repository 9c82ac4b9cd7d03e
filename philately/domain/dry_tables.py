"""The table of a dry run's answers, written as a Parquet file."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from philately.domain import files
from philately.queries.dry_runs import TABLE_SCHEMA, DryRow

ROWS_A_GROUP = 2000  # of which a page that shows ten rare rows reads as many groups, of a million rows


class Table:
    """Rows on their way into a Parquet file, a group at a time."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._writer = pq.ParquetWriter(file, TABLE_SCHEMA, compression="zstd")
        self._rows: list[dict[str, Any]] = []

    def add(self, row: DryRow) -> None:
        self._rows.append(row.values())
        if len(self._rows) >= ROWS_A_GROUP:
            self._flush()

    def store(self, name: str) -> str:
        """Its name in the storage."""
        self._flush()
        self.close()
        return files.put(name, self._file)

    def close(self) -> None:
        """May be called twice."""
        self._writer.close()

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_table(pa.Table.from_pylist(self._rows, schema=TABLE_SCHEMA))
            self._rows = []


@contextmanager
def table() -> Iterator[Table]:
    """An empty table in a temporary file."""
    with tempfile.TemporaryFile() as file:
        rows = Table(file)
        try:
            yield rows
        finally:
            rows.close()
