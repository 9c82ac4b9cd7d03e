"""Attempts on disk: the work file that lets a killed build go on, and the table that is published beside a release."""

from __future__ import annotations

import base64
import io
import json
import os
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hull.atomic import atomic_file
from validation.attempts import Attempt, Task

_TABLE_DIGITS = 6


class OtherWork(ValueError):
    """A work file that holds attempts of another judge or of other settings."""


class WorkFile:
    """JSON lines: first whose work it is, then one attempt a line, each on disk before the next begins.

    owner: JSON-able; what has to be equal for old attempts to count.
    """

    def __init__(self, path: Path, owner: dict[str, Any]) -> None:
        self._path = path
        self._owner = owner

    def attempts(self) -> tuple[Attempt, ...]:
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
        return tuple(_from_json(json.loads(line)) for line in lines[1:])

    def append(self, attempt: Attempt) -> None:
        fresh = not self._path.exists() or not self._path.stat().st_size
        with self._path.open("a", encoding="utf-8") as file:
            if fresh:
                file.write(json.dumps(self._owner) + "\n")
            file.write(json.dumps(_to_json(attempt)) + "\n")
            file.flush()
            os.fsync(file.fileno())


def write_attempts(attempts: Iterable[Attempt], kept: Iterable[Task], path: Path) -> None:
    """Every attempt as Parquet (zstd), sorted by element, prototype and start, without its cell.

    Columns: element, prototype, start_factor, n_atoms, energy_per_atom (eV/atom), volume_ratio, steps, stopped,
    converged (to the build's own limits), kept, refused.
    """
    chosen = set(kept)
    rows = [_row(attempt, attempt.task in chosen) for attempt in sorted(attempts, key=lambda attempt: attempt.task)]
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=_SCHEMA), buffer, compression="zstd")
    with atomic_file(path) as file:
        file.write(buffer.getvalue())


_SCHEMA = pa.schema(
    [
        ("element", pa.string()),
        ("prototype", pa.string()),
        ("start_factor", pa.float64()),
        ("n_atoms", pa.int64()),
        ("energy_per_atom", pa.float64()),  # eV/atom
        ("volume_ratio", pa.float64()),
        ("steps", pa.int64()),
        ("stopped", pa.string()),
        ("converged", pa.bool_()),
        ("kept", pa.bool_()),
        ("refused", pa.string()),
    ]
)


def _row(attempt: Attempt, kept: bool) -> dict[str, Any]:
    energy = attempt.energy_per_atom
    return {
        **asdict(attempt.task),
        "n_atoms": attempt.n_atoms,
        "energy_per_atom": None if energy is None else round(energy, _TABLE_DIGITS),
        "volume_ratio": round(attempt.volume_ratio, 4),
        "steps": attempt.steps,
        "stopped": attempt.stopped,
        "converged": attempt.stopped == "converged",
        "kept": kept,
        "refused": attempt.refused,
    }


def _to_json(attempt: Attempt) -> dict[str, Any]:
    return asdict(attempt) | {"crystal": base64.b64encode(attempt.crystal).decode()}


def _from_json(data: dict[str, Any]) -> Attempt:
    return Attempt(**data | {"task": Task(**data["task"]), "crystal": base64.b64decode(data["crystal"])})
