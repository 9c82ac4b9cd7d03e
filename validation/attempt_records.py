"""Attempts on disk: the work file that lets a killed build go on, and the table that is published beside a release."""

from __future__ import annotations

import base64
import io
import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Generic

import pyarrow as pa
import pyarrow.parquet as pq

from hull.atomic import atomic_file
from validation.attempts import Attempt, TaskT
from validation.element_tasks import ElementAttempt, Task

TABLE_DIGITS = 6


class OtherWork(ValueError):
    """A work file that holds attempts of another judge or of other settings."""


class WorkFile(Generic[TaskT]):
    """JSON lines: first whose work it is, then one attempt a line, each on disk before the next begins.

    owner: JSON-able; what has to be equal for old attempts to count. task_of: makes a task of the JSON of its fields.
    """

    def __init__(self, path: Path, owner: dict[str, Any], task_of: Callable[[dict[str, Any]], TaskT]) -> None:
        self._path = path
        self._owner = owner
        self._task_of = task_of

    def attempts(self) -> tuple[Attempt[TaskT], ...]:
        """What was done before; a last line that a killed build left unfinished is dropped from the file.

        Raises OtherWork.
        """
        if not self._path.exists():
            return ()
        content = self._path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            os.truncate(self._path, len(whole))
        lines = whole.splitlines()
        if lines and json.loads(lines[0]) != self._owner:
            raise OtherWork(f"{self._path} holds the work of another judge or of other settings; name another folder")
        return tuple(self._attempt(json.loads(line)) for line in lines[1:])

    def append(self, attempt: Attempt[TaskT]) -> None:
        fresh = not self._path.exists() or not self._path.stat().st_size
        with self._path.open("a", encoding="utf-8") as file:
            if fresh:
                file.write(json.dumps(self._owner) + "\n")
            file.write(json.dumps(_to_json(attempt)) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def _attempt(self, data: dict[str, Any]) -> Attempt[TaskT]:
        return Attempt(**data | {"task": self._task_of(data["task"]), "crystal": base64.b64decode(data["crystal"])})


def element_task(fields: dict[str, Any]) -> Task:
    return Task(**fields)


def write_element_attempts(attempts: Iterable[ElementAttempt], kept: Iterable[Task], path: Path) -> None:
    """Every attempt as Parquet (zstd), sorted by element, prototype and start, without its cell.

    Columns: element, prototype, start_factor, then those of ``OUTCOME``.
    """
    chosen = set(kept)
    ordered = sorted(attempts, key=lambda attempt: attempt.task)
    rows = [asdict(attempt.task) | outcome_row(attempt, kept=attempt.task in chosen) for attempt in ordered]
    write_rows(rows, {"element": pa.string(), "prototype": pa.string(), "start_factor": pa.float64()} | OUTCOME, path)


# converged: to the build's own limits; energy_per_atom: eV/atom
OUTCOME: dict[str, pa.DataType] = {
    "n_atoms": pa.int64(),
    "energy_per_atom": pa.float64(),
    "volume_ratio": pa.float64(),
    "steps": pa.int64(),
    "stopped": pa.string(),
    "converged": pa.bool_(),
    "kept": pa.bool_(),
    "refused": pa.string(),
}


def outcome_row(attempt: Attempt[Any], *, kept: bool) -> dict[str, Any]:
    """What the table says of an attempt whatever its task: the columns of ``OUTCOME``."""
    energy = attempt.energy_per_atom
    return {
        "n_atoms": attempt.n_atoms,
        "energy_per_atom": None if energy is None else round(energy, TABLE_DIGITS),
        "volume_ratio": round(attempt.volume_ratio, 4),
        "steps": attempt.steps,
        "stopped": attempt.stopped,
        "converged": attempt.stopped == "converged",
        "kept": kept,
        "refused": attempt.refused,
    }


def write_rows(rows: list[dict[str, Any]], columns: Mapping[str, pa.DataType], path: Path) -> None:
    """Parquet (zstd), in the order given."""
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=pa.schema(list(columns.items()))), buffer, compression="zstd")
    with atomic_file(path) as file:
        file.write(buffer.getvalue())


def _to_json(attempt: Attempt[Any]) -> dict[str, Any]:
    return asdict(attempt) | {"crystal": base64.b64encode(attempt.crystal).decode()}
