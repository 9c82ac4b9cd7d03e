"""What has been relaxed of a shard so far: a folder of small files beside the results, until they are whole.

A process may be killed at any time: what is in a file stays, what was in its memory is relaxed again. Which structures
it had in hand is written down too, so that one that kills its process is found.
"""

from __future__ import annotations

import fcntl
import glob
import os
import shutil
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from validation.shard_files import BadShard, Results, Shard, joined, read_results, write_results


class Busy(Exception):
    """Another process is relaxing this shard."""


class Parts:
    """The parts of one shard's results, in the hands of this process alone; a context manager.

    Entering raises Busy where another process has them, BadShard where they are of another shard, OSError.
    """

    def __init__(self, shard: Shard, target: Path) -> None:
        self._shard, self._target = shard, target
        self._folder = target.with_name(f"{target.name}.parts")
        self._found: list[Results] = []
        self._lock = -1
        self._needed = True

    def __enter__(self) -> Self:
        self._folder.mkdir(exist_ok=True)
        self._lock = _locked(self._folder / "lock")
        try:
            for half in self._target.parent.glob(f".{glob.escape(self._target.name)}.*"):  # of one that was killed
                half.unlink()
            self._found = [self._of_this_shard(path) for path in sorted(self._folder.glob("*.parquet"))]
        except BaseException:
            os.close(self._lock)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._lock)
        if not self._needed or not any(self._folder.glob("*.*")):
            shutil.rmtree(self._folder, ignore_errors=True)  # what stays, such as NFS's open files, harms nobody

    def _of_this_shard(self, path: Path) -> Results:
        found = read_results(path)
        if found.shard_sha256 != self._shard.sha256:
            raise BadShard(f"{path} was made of another shard than {self._shard.order.name}; move {path.parent} away")
        return found

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [row for part in self._found for row in part.rows]

    def save(self, rows: list[dict[str, Any]], provenance: dict[str, Any]) -> None:
        """One more part; once this returns it is safe."""
        part = Results(self._shard.order.name, self._shard.sha256, self._shard.order.scale, (provenance,), tuple(rows))
        write_results(self._folder / f"{len(self._found):06}-{uuid.uuid4().hex[:8]}.parquet", part)
        self._found.append(part)

    def finish(self) -> Results:
        """Write all of it to the target. Raises BadShard where a structure is missing."""
        whole = joined(self._found, self._shard.structures)
        write_results(self._target, whole)
        self.forget()
        return whole

    def forget(self) -> None:
        """The results stand in the target, so the parts are removed at the end."""
        self._needed = False

    def times_killed(self) -> Counter[str]:
        """By id, in how many processes a structure was in hand that never came to their end."""
        times: Counter[str] = Counter()
        for path in self._folder.glob("*.in-hand"):
            times.update(set(path.read_text(encoding="utf-8").splitlines()))
        return times

    @contextmanager
    def in_hand(self) -> Iterator[InHand]:
        """Says what is in hand; forgotten where the block comes to its end, and not where it is killed or raises."""
        path = self._folder / f"{uuid.uuid4().hex[:8]}.in-hand"
        with path.open("w", encoding="utf-8") as file:
            yield InHand(file)
        path.unlink()


class InHand:
    """A file with a line for each structure that was taken up."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def take(self, id: str) -> None:
        self._file.write(f"{id}\n")
        self._file.flush()  # to the system, which outlives this process; not to the disk


def _locked(path: Path) -> int:
    """The open file; closing it, or the end of this process, lets go of it. Raises Busy."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise Busy(f"another process is at work in {path.parent}") from None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
