"""The store beside pymatgen's PhaseDiagram, built anew for one chemical system after the other: answers and times."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
from pymatgen.core import Composition

from benchmark.hull_arrivals import entry_of, hull_energy, new_formula
from benchmark.workload import system_keys
from hull.arrays import EntryArrays
from hull.entries import Entry
from hull.store import STABLE_TOLERANCE, HullStore

MOST_ELEMENTS = 6  # of a diagram: of eight it takes many seconds
ARRIVALS_EV = (-0.05, 0.10)  # eV/atom from the hull, of the new entry that each diagram is asked for

Bits = NDArray[np.uint64]


@dataclass(slots=True)
class Comparison:
    """What was found so far."""

    differences: list[NDArray[np.float64]] = field(default_factory=list)  # eV/atom
    flags: int = 0
    theirs_s: float = 0.0  # CPU time to build diagrams and ask each for one new entry
    ours_s: float = 0.0  # CPU time to insert these entries

    @property
    def count(self) -> int:
        return sum(map(len, self.differences))

    def add(self, ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> None:
        self.differences.append(np.abs(ours - theirs))
        self.flags += int(np.count_nonzero((ours <= STABLE_TOLERANCE) != (theirs <= STABLE_TOLERANCE)))


def agreement(store: HullStore, arrays: EntryArrays, *, at_least: int, seed: int = 5) -> dict[str, float]:
    """Distances of all entries of random systems and all their subsystems, and the signed one of a new entry each.

    As many systems as give at_least comparisons. The store is left as it was found.
    """
    comparison, dice = Comparison(), np.random.default_rng(seed)
    words = _element_bits(arrays)
    for row in _systems(arrays, dice):
        if comparison.count >= at_least:
            break
        inside = np.flatnonzero(((words & ~words[row]) == 0).all(axis=1))
        entries = [_pd_entry(entry_of(arrays, one)) for one in inside.tolist()]
        arrival = _arrival(store, arrays, row, dice)
        started = time.process_time()
        diagram = PhaseDiagram(entries)
        theirs = diagram.get_e_above_hull(_pd_entry(arrival), allow_negative=True)
        built = time.process_time()
        ours = store.insert(arrival).on_arrival.e_above_hull_on_arrival
        comparison.theirs_s += built - started
        comparison.ours_s += time.process_time() - built
        store.withdraw(arrival.entry_id)
        comparison.add(np.array([ours], dtype=np.float64), np.array([theirs], dtype=np.float64))
        distances = [diagram.get_e_above_hull(entry, allow_negative=True) for entry in entries]
        comparison.add(store.stored_e_above_hull(arrays.entry_ids[inside]), np.array(distances, dtype=np.float64))
    return {
        "compared": comparison.count,
        "max_abs_difference_ev_per_atom": float(np.concatenate(comparison.differences).max()),
        "flag_differences": comparison.flags,
        "speedup_over_phase_diagram": comparison.theirs_s / comparison.ours_s,
    }


def _systems(arrays: EntryArrays, dice: np.random.Generator) -> Iterator[int]:
    """Rows in random order, each of another system of two to MOST_ELEMENTS elements."""
    sizes, keys, seen = np.count_nonzero(arrays.amounts, axis=1), system_keys(arrays), set()
    for row in dice.permutation(np.flatnonzero((sizes > 1) & (sizes <= MOST_ELEMENTS))).tolist():
        if keys[row] not in seen:
            seen.add(keys[row])
            yield row


def _arrival(store: HullStore, arrays: EntryArrays, row: int, dice: np.random.Generator) -> Entry:
    """An entry at a new composition of the row's system, near the hull."""
    formula = new_formula(store, entry_of(arrays, row).formula.elements, dice)
    energy = hull_energy(store, formula) + float(dice.uniform(*ARRIVALS_EV))
    return Entry(int(arrays.entry_ids.max()) + 1, formula, energy)


def _element_bits(arrays: EntryArrays) -> Bits:
    """Shape (n, 2): one bit an element."""
    words: Bits = np.zeros((len(arrays), 2), dtype=np.uint64)
    for column in range(arrays.atomic_numbers.shape[1]):
        numbers = arrays.atomic_numbers[:, column].astype(np.uint64)
        bits = np.where(numbers > 0, np.uint64(1) << (numbers % np.uint64(64)), np.uint64(0))
        words[:, 0] |= np.where(numbers < 64, bits, np.uint64(0))
        words[:, 1] |= np.where(numbers < 64, np.uint64(0), bits)
    return words


def _pd_entry(entry: Entry) -> PDEntry:
    amounts = {symbol: part * entry.formula.n_atoms for symbol, part in entry.formula.fractions.items()}
    return PDEntry(Composition(amounts), entry.energy_per_atom * entry.formula.n_atoms)
