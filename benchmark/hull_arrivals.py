"""What it costs to give the hull one entry: any entry, and one that becomes a vertex and moves what lies above it."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from hull.arrays import EntryArrays
from hull.entries import SYMBOLS, Entry, Formula
from hull.store import HullStore

DEPTHS_EV = (0.001, 0.050)  # eV/atom below the hull, of made vertices
LARGEST_COUNT = 12  # of one element in a made formula: twice what the workload has, so that new ones can be found


def entry_of(arrays: EntryArrays, row: int) -> Entry:
    """One of the entries, with its formula reduced."""
    present = arrays.amounts[row] > 0
    symbols = [SYMBOLS[number - 1] for number in arrays.atomic_numbers[row, present].tolist()]
    amounts = dict(zip(symbols, arrays.amounts[row, present].tolist(), strict=True))
    return Entry(int(arrays.entry_ids[row]), Formula.of(amounts), float(arrays.energies_per_atom[row]))


def single_inserts(store: HullStore, arrays: EntryArrays) -> float:
    """Inserts/s of CPU time, one entry a call; they are withdrawn again."""
    entries = [entry_of(arrays, row) for row in range(len(arrays))]
    started = time.process_time()
    for entry in entries:
        store.insert(entry)
    spent = time.process_time() - started
    for entry in entries:
        store.withdraw(entry.entry_id)
    return len(entries) / spent


def vertex_times_ms(store: HullStore, arrays: EntryArrays, *, n_elements: int, count: int) -> NDArray[np.float64]:
    """CPU time in ms of each of so many insertions of a new vertex; each is withdrawn before the next.

    Their compositions are new, their systems those of stored entries, their energies DEPTHS_EV below the hull.
    Raises AssertionError where one of them did not become a vertex.
    """
    dice = np.random.default_rng([7, n_elements])
    of_this_size = np.flatnonzero(np.count_nonzero(arrays.amounts, axis=1) == n_elements)
    first_id = int(arrays.entry_ids.max()) + 1
    times = []
    for row in dice.choice(of_this_size, size=count).tolist():
        formula = new_formula(store, entry_of(arrays, row).formula.elements, dice)
        energy = hull_energy(store, formula) - float(dice.uniform(*DEPTHS_EV))
        entry = Entry(first_id, formula, energy)
        started = time.process_time()
        insertion = store.insert(entry)
        times.append(1e3 * (time.process_time() - started))
        if all(event.entry_id != first_id for event in insertion.events):
            raise AssertionError(f"{formula} at {energy} eV/atom did not become a vertex")
        store.withdraw(first_id)
    return np.array(times)


def new_formula(store: HullStore, elements: tuple[str, ...], dice: np.random.Generator) -> Formula:
    """Of exactly these elements, at a composition that the store does not have."""
    largest = LARGEST_COUNT
    while True:
        counts = dice.integers(1, largest + 1, len(elements)).tolist()
        formula = Formula.of(dict(zip(elements, counts, strict=True)))
        if store.point(formula) is None:
            return formula
        largest += 1


def hull_energy(store: HullStore, formula: Formula) -> float:
    """eV/atom of the hull of all other compositions. Raises AssertionError where it is undefined."""
    above_zero = store.position(formula, 0.0).decomposition_energy
    if above_zero is None:
        raise AssertionError(f"the hull is undefined at {formula}")
    return -above_zero
