"""The hull store on disk: the derived arrays as they are, so that a start-up solves nothing.

The rows of the log are the truth; a snapshot says for which position of the log it stands, and what came later is
replayed.
"""

from __future__ import annotations

import hashlib
import os
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hull.atomic import atomic_file
from hull.memory import COUNTER_OF, MASK_OF, empty_memory
from hull.store import HullStore

FORMAT_VERSION = 2
_KEPT = (  # of Memory; everything else is scratch
    *("counters", "pool", "columns", "free_blocks", "links", "pairs", "triples", "references", "entries", "wide"),
    *MASK_OF,
)

Arrays = dict[str, NDArray[Any]]


class DamagedSnapshot(ValueError):
    """A file that is no snapshot, is of another format version, or is not as it was written."""


def save(store: HullStore, path: str | os.PathLike[str], *, log_position: int) -> None:
    """Write a store; readers see the old file or the whole new one. log_position: of the last log row it includes."""
    arrays = _arrays_of(store, log_position)
    arrays["checksum"] = np.array(_checksum(arrays))
    with atomic_file(Path(path)) as file:
        np.savez(file, allow_pickle=False, **arrays)


def load(path: str | os.PathLike[str]) -> tuple[HullStore, int]:
    """The store, every number as it was saved, and its log position. Raises DamagedSnapshot, or OSError of the disk."""
    with Path(path).open("rb") as file:
        try:
            with np.load(file, allow_pickle=False) as archive:
                arrays: Arrays = {name: archive[name] for name in archive.files}
            return _store_of(arrays), int(arrays["log_position"])
        except DamagedSnapshot as damaged:
            raise DamagedSnapshot(f"{path} is not a readable snapshot: {damaged}") from damaged
        except (
            *(zipfile.BadZipFile, zlib.error, EOFError, OSError),  # the container
            *(ValueError, KeyError, TypeError, IndexError, AttributeError, SyntaxError),  # an array's header, or none
            tokenize.TokenError,
            *(NotImplementedError, RuntimeError, OverflowError, MemoryError),  # absurd methods, ciphers and sizes
        ) as error:
            raise DamagedSnapshot(f"{path} is not a readable snapshot: {error}") from error


def _arrays_of(store: HullStore, log_position: int) -> Arrays:
    """What the memory holds, without spare room and scratch."""
    memory = store.memory
    arrays: Arrays = {name: getattr(memory, name) for name in _KEPT}
    for name, (counter, width) in COUNTER_OF.items():
        arrays[name] = arrays[name][: int(memory.counters[counter]) * width]
    return arrays | {
        "format_version": np.array(FORMAT_VERSION),
        "scale": np.array(store.scale),
        "log_position": np.array(log_position, dtype=np.int64),
    }


def _store_of(arrays: Arrays) -> HullStore:
    if str(arrays.pop("checksum")) != _checksum(arrays):
        raise DamagedSnapshot("the checksum is not that of the arrays")
    if int(arrays["format_version"]) != FORMAT_VERSION:
        raise DamagedSnapshot(f"format version {arrays['format_version']}, not {FORMAT_VERSION}")
    empty = empty_memory()
    kept = {name: np.ascontiguousarray(arrays[name]) for name in _KEPT}
    for name, array in kept.items():
        if array.dtype != getattr(empty, name).dtype:
            raise DamagedSnapshot(f"{name} holds {array.dtype}, not {getattr(empty, name).dtype}")
    for name, mask in MASK_OF.items():
        if len(kept[name]) != kept["counters"][mask] + 1:
            raise DamagedSnapshot(f"{name} has {len(kept[name])} slots, not {kept['counters'][mask] + 1}")
    return HullStore(str(arrays["scale"]), memory=empty._replace(**kept))


def _checksum(arrays: Arrays) -> str:
    """SHA-256 over names, types, shapes and bytes."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {arrays[name].shape}\n".encode())
        digest.update(array.tobytes() if array.dtype.kind == "U" else array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
