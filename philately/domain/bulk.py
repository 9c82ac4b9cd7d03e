"""Many rows in few statements: an object and a statement a row would cost ten times as much.

Values go to the database as they are: text for JSON, ids for foreign keys. SQLite takes a list of rows; PostgreSQL
takes new rows by COPY, and one array a column where rows may stand already.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

from django.db import connection, models, transaction

from philately.queries import clock

Row = Sequence[Any]


def make_room() -> None:
    """Let this connection keep the indexes that it writes at random places in memory: SQLite's 2 MB hold those of a
    few thousand rows. Written back to the file when 40 MB have changed, instead of 4."""
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA cache_size = -262144")  # KB
            cursor.execute("PRAGMA wal_autocheckpoint = 10000")  # pages


def reserve_ids(model: type[models.Model], count: int) -> list[int]:
    """Primary keys for rows that are about to be inserted. Belongs into the transaction that inserts them: on SQLite
    it is the only writer, so whatever follows the last key is free."""
    table = model._meta.db_table
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            sequence = "SELECT nextval(pg_get_serial_sequence(%s, 'id')) FROM generate_series(1, %s)"
            cursor.execute(sequence, [table, count])
            return [key for (key,) in cursor.fetchall()]
        cursor.execute("SELECT seq FROM sqlite_sequence WHERE name = %s", [table])
        found = cursor.fetchone()
    first = found[0] + 1 if found else 1
    return list(range(first, first + count))


def insert(model: type[models.Model], names: Sequence[str], rows: Sequence[Row]) -> None:
    """New rows with these fields."""
    columns = ", ".join(_columns(model, names))
    if not rows:
        return
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            statement = f"COPY {_table(model)} ({columns}) FROM STDIN"
            with connection.wrap_database_errors, cursor.copy(statement) as copy:  # Django wraps the call alone
                for row in rows:
                    copy.write_row(row)
            return
        cursor.executemany(f"INSERT INTO {_table(model)} ({columns}) VALUES ({_places(names)})", rows)


def insert_missing(
    model: type[models.Model], names: Sequence[str], rows: Sequence[Row], *, unique: Sequence[str]
) -> None:
    """New rows with these fields; where a row with the same ``unique`` fields stands already, or is being written, it
    stays as it is."""
    _insert_unless(model, names, rows, unique, "NOTHING")


def upsert(model: type[models.Model], names: Sequence[str], rows: Sequence[Row], *, unique: Sequence[str]) -> None:
    """Rows with these fields; a row with the same ``unique`` fields that stands already gets the other values."""
    others = _columns(model, [name for name in names if name not in unique])
    changes = ", ".join(f"{column} = excluded.{column}" for column in others)
    _insert_unless(model, names, rows, unique, f"UPDATE SET {changes}")


def update(model: type[models.Model], names: Sequence[str], rows: Sequence[Row]) -> None:
    """New values of these fields; each row ends with the primary key that it is for."""
    columns, primary = _columns(model, names), model._meta.pk
    assert primary is not None  # Django makes one
    (key,) = _columns(model, [primary.name])
    if connection.vendor == "postgresql":
        setting = ", ".join(f"{column} = new.{column}" for column in columns)
        source = f"unnest({_arrays(model, (*names, primary.name))}) AS new ({', '.join((*columns, key))})"
        _execute_with_arrays(
            f"UPDATE {_table(model)} AS old SET {setting} FROM {source} WHERE old.{key} = new.{key}", rows
        )
    else:
        setting = ", ".join(f"{column} = %s" for column in columns)
        _execute_with_rows(f"UPDATE {_table(model)} SET {setting} WHERE {key} = %s", rows)


def select(
    model: type[models.Model], names: Sequence[str], *, by: str, among: Iterable[int], **equal: int
) -> list[Row]:
    """These fields of the rows whose field ``by`` is among so many numbers, as the database gives them (JSON as text),
    in no order. equal: numbers that other fields have.

    The numbers are one value: a placeholder for each costs more than its row, and SQLite keeps every statement of
    another text, with a programme as long as its list, for as long as the connection lasts.
    """
    wanted = ",".join([str(int(one)) for one in among])
    if not wanted:
        return []
    conditions = [f"{column} = %s" for column in _columns(model, equal)]
    conditions += [f"{column} {_AMONG[connection.vendor]}" for column in _columns(model, [by])]
    columns = ", ".join(_columns(model, names))
    numbers = f"{{{wanted}}}" if connection.vendor == "postgresql" else f"[{wanted}]"
    statement = f"SELECT {columns} FROM {_table(model)} WHERE {' AND '.join(conditions)}"
    return _found_by_index(statement, [*equal.values(), numbers])


_AMONG = {"postgresql": "= ANY (%s::bigint[])", "sqlite": "IN (SELECT value FROM json_each(%s))"}


def as_table(rows: Sequence[Row], types: Sequence[str]) -> tuple[str, list[Any]]:
    """Rows as a query to select from, and its values. types: PostgreSQL's, one a column."""
    if connection.vendor == "postgresql":
        arrays = ", ".join(f"%s::{kind}[]" for kind in types)
        return f"SELECT * FROM unnest({arrays})", _columns_of(rows)
    row = f"({_places(types)})"
    return f"VALUES {', '.join([row] * len(rows))}", [value for row in rows for value in row]


def now() -> Any:
    """This moment by the database's clock, as a column takes it."""
    return moment(clock.now())


def moment(at: datetime) -> Any:
    """The same of a moment that is known."""
    return connection.ops.adapt_datetimefield_value(at)


def _table(model: type[models.Model]) -> str:
    return connection.ops.quote_name(model._meta.db_table)


def _columns(model: type[models.Model], names: Iterable[str]) -> list[str]:
    return [connection.ops.quote_name(_field(model, name).column) for name in names]


def _field(model: type[models.Model], name: str) -> Any:
    return model._meta.get_field(name)


def _places(names: Sequence[str]) -> str:
    return ", ".join(["%s"] * len(names))


def _arrays(model: type[models.Model], names: Iterable[str]) -> str:
    """One typed array a column."""
    types = (_field(model, name).db_type(connection) for name in names)
    return ", ".join(f"%s::{kind}[]" for kind in types)


def _found_by_index(statement: str, values: Sequence[Any]) -> list[Row]:
    """PostgreSQL takes each of thousands of keys for a page of its own from a slow disk, and would read the table from
    end to end instead, each time."""
    if connection.vendor != "postgresql":
        return _found(statement, values)
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL enable_seqscan = off")
        return _found(statement, values)


def _found(statement: str, values: Sequence[Any]) -> list[Row]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        found: list[Row] = cursor.fetchall()
    return found


def _insert_unless(
    model: type[models.Model], names: Sequence[str], rows: Sequence[Row], unique: Sequence[str], instead: str
) -> None:
    """instead: what to do where a row with the same ``unique`` fields stands already, as SQL has it after DO."""
    head = f"INSERT INTO {_table(model)} ({', '.join(_columns(model, names))})"
    tail = f"ON CONFLICT ({', '.join(_columns(model, unique))}) DO {instead}"
    if connection.vendor == "postgresql":
        _execute_with_arrays(f"{head} SELECT * FROM unnest({_arrays(model, names)}) {tail}", rows)
    else:
        _execute_with_rows(f"{head} VALUES ({_places(names)}) {tail}", rows)


def _execute_with_arrays(statement: str, rows: Sequence[Row]) -> None:
    if rows:
        with connection.cursor() as cursor:
            cursor.execute(statement, _columns_of(rows))


def _columns_of(rows: Sequence[Row]) -> list[Any]:
    return [_array(column) for column in zip(*rows, strict=True)]


def _array(column: Sequence[Any]) -> str | list[Any]:
    """A column as the server takes an array: as text, for psycopg looks at each value of a list for longer than the
    server needs to store it. What is neither numbers, text nor bytes is left to psycopg."""
    written = {_WRITTEN.get(kind) for kind in set(map(type, column)) - {type(None)}} or {repr}
    write = written.pop()
    if written or write is None:
        return list(column)
    return f"{{{','.join(['NULL' if value is None else write(value) for value in column])}}}"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", r"\\").replace('"', r"\"")
    return f'"{escaped}"'


def _hexadecimal(content: bytes) -> str:
    return rf'"\\x{content.hex()}"'


_WRITTEN: dict[type, Callable[[Any], str]] = {
    bool: repr,
    int: repr,
    float: repr,
    str: _quoted,
    bytes: _hexadecimal,
}


def _execute_with_rows(statement: str, rows: Sequence[Row]) -> None:
    if rows:
        with connection.cursor() as cursor:
            cursor.executemany(statement, rows)
