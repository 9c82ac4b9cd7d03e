"""The hull store on disk: the derived arrays as they are, so that a start-up solves nothing.

The rows of the log are the truth; a snapshot says for which position of the log it stands, and what came later is
replayed.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
import zlib
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hull.atomic import atomic_file
from hull.entries import Formula, HullError
from hull.landscape import Landscape
from hull.store import HullStore

FORMAT_VERSION = 1

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
        except DamagedSnapshot:
            raise
        except (
            *(zipfile.BadZipFile, zlib.error, EOFError, OSError),  # the container
            *(ValueError, KeyError, TypeError, IndexError, AttributeError, SyntaxError),  # an array's header, or none
            *(NotImplementedError, RuntimeError, OverflowError, MemoryError),  # absurd methods, ciphers and sizes
        ) as error:
            raise DamagedSnapshot(f"{path} is not a readable snapshot: {error}") from error


def _arrays_of(store: HullStore, log_position: int) -> Arrays:
    """By formula, and entries by (energy, id) within: the same store gives the same bytes."""
    compositions = [store.landscape.compositions[formula] for formula in sorted(store.landscape.compositions)]
    amounts = list(chain.from_iterable(one.formula.amounts for one in compositions))
    polymorphs = list(chain.from_iterable(one.polymorphs for one in compositions))
    potentials = [one.system.potentials[one.row] for one in compositions]
    return {
        "format_version": np.array(FORMAT_VERSION),
        "scale": np.array(store.scale),
        "log_position": np.array(log_position, dtype=np.int64),
        "amounts": np.array(amounts, dtype=np.int64).reshape(-1, 2),
        "amount_offsets": _offsets([len(one.formula.amounts) for one in compositions]),
        "entry_ids": np.array([entry_id for _, entry_id in polymorphs], dtype=np.int64),
        "energies": np.array([energy for energy, _ in polymorphs], dtype=np.float64),
        "entry_offsets": _offsets([len(one.polymorphs) for one in compositions]),
        "hull": np.array([one.system.hull[one.row] for one in compositions], dtype=np.float64),
        "potentials": np.concatenate([*potentials, np.zeros(0)]),
        "near": np.array([one.is_near for one in compositions], dtype=np.bool_),
        "vertex": np.array([one.is_vertex for one in compositions], dtype=np.bool_),
    }


def _store_of(arrays: Arrays) -> HullStore:
    if str(arrays.pop("checksum")) != _checksum(arrays):
        raise DamagedSnapshot("the checksum is not that of the arrays")
    if int(arrays["format_version"]) != FORMAT_VERSION:
        raise DamagedSnapshot(f"format version {arrays['format_version']}, not {FORMAT_VERSION}")
    landscape = Landscape()
    polymorphs = list(zip(arrays["energies"].tolist(), arrays["entry_ids"].tolist(), strict=True))
    spans = zip(pairwise(arrays["amount_offsets"].tolist()), pairwise(arrays["entry_offsets"].tolist()), strict=True)
    try:
        for number, ((start, end), (first, last)) in enumerate(spans):
            formula = Formula(tuple((element, amount) for element, amount in arrays["amounts"][start:end].tolist()))
            composition = landscape.add(formula)
            composition.polymorphs.extend(polymorphs[first:last])
            composition.set_energy()
            composition.set_hull(float(arrays["hull"][number]), arrays["potentials"][start:end])
            composition.set_flags(near=bool(arrays["near"][number]), vertex=bool(arrays["vertex"][number]))
    except HullError as error:
        raise DamagedSnapshot(str(error)) from error
    return HullStore(str(arrays["scale"]), landscape=landscape)


def _offsets(lengths: list[int]) -> NDArray[np.int64]:
    return np.cumsum([0, *lengths], dtype=np.int64)


def _checksum(arrays: Arrays) -> str:
    """SHA-256 over names, types, shapes and bytes."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {arrays[name].shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
