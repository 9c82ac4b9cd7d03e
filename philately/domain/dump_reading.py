"""Rows of the database as Arrow's batches, by the thousand and by their keys: what a dump is read with.

No statement joins two tables: for thousands of keys PostgreSQL reads what is joined from end to end, each time.
"""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from django.db.models import Model

from philately.domain import bulk


def batch_of(rows: Sequence[Any], schema: pa.Schema) -> pa.RecordBatch:
    """Rows as the database gives them."""
    columns = zip(*rows, strict=True) if rows else ([] for _ in schema)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def rows_of(model: type[Model], schema: pa.Schema, keys: pa.Array, **equal: int) -> pa.RecordBatch:
    """The rows of these keys, each once, in no order. schema: fields of the model, the first of them the key. equal:
    numbers that other fields have."""
    wanted = pc.unique(keys.drop_null()).to_pylist()
    return batch_of(bulk.select(model, schema.names, by=schema.names[0], among=wanted, **equal), schema)


def aligned(rows: pa.RecordBatch, keys: pa.Array) -> pa.RecordBatch:
    """The row of each key, nulls for no key. Raises LookupError where one is missing."""
    places = pc.index_in(keys, value_set=rows.column(0))
    if places.null_count != keys.null_count:
        raise LookupError(f"{places.null_count - keys.null_count} rows that others name are not there")
    return rows.take(places)
