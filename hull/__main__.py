"""``python -m hull``: compile the hull's kernels ahead, so that nobody waits for them later."""

from __future__ import annotations

import time

import numpy as np

from hull.arrays import EntryArrays
from hull.entries import Entry, Formula
from hull.simplex import minimise
from hull.store import HullStore
from hull.texts import entries_of


def compile_kernels() -> None:
    """Call every kernel once, on a small hull."""
    store = HullStore("compile")
    store.insert_arrays(_ladder(200))
    store.distances(_ladder(3))
    store.stored_e_above_hull(np.arange(1, 4))
    store.lower(3, -9.0)
    store.withdraw(3)
    store.point(Formula.parse("HeLi"))
    sum(1 for _ in store.points())
    store.point_arrays()
    store.stable_entries()
    store.entry_position(4)
    store.entry_positions(np.arange(4, 6))
    store.e_above_hull(4)
    store.insert(Entry(-1, Formula.parse("H2Li"), -3.0))
    entries_of(np.arange(1), ["HLi"], np.zeros(1))
    minimise(np.eye(2), np.zeros(2), np.array([0.5, 0.5]))


def _ladder(length: int) -> EntryArrays:
    """Elements 1 to 3, then pairs of them in ever other proportions: enough for every table to grow."""
    numbers, amounts = np.zeros((length, 9), np.uint8), np.zeros((length, 9), np.int32)
    numbers[:3, 0], amounts[:3, 0] = [1, 2, 3], 1
    numbers[3:, :2], amounts[3:, 0], amounts[3:, 1] = [2, 3], np.arange(1, length - 2), 1
    return EntryArrays(np.arange(1, length + 1), numbers, amounts, np.full(length, -1.0))


if __name__ == "__main__":
    started = time.perf_counter()
    print("compiling the hull (about half a minute, once after an installation) ...", flush=True)
    compile_kernels()
    print(f"compiled in {time.perf_counter() - started:.0f} s")
