"""A synthetic chemistry to measure hulls with: seeded, as large as wanted, made as arrays.

89 elements; most entries are ternary and quaternary; a few elements and a few systems get most of the attention, as in
real databases. The formation energy of a composition is minus the variance of an electronegativity over its atoms,
minus a term of its chemical system, plus noise; what two entries at one composition share is computed from a hash of
it, so it needs no memory. 30 % of the entries are ground states of their compositions, the others polymorphs above
these. Of a million entries some 65,000 are on the hull in the end.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hull.arrays import EntryArrays

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Numbers = NDArray[np.uint8]  # atomic numbers
Keys = NDArray[np.uint64]

NOBLE_GASES = (2, 10, 18, 36, 54)
ELEMENTS: Numbers = np.array([number for number in range(1, 95) if number not in NOBLE_GASES], dtype=np.uint8)
WIDTH = 9  # columns of EntryArrays
ZIPF_EXPONENT = 0.6  # how much more often one element is used than the next
SHARES = {2: 0.05, 3: 0.45, 4: 0.40, 5: 0.07, 6: 0.02, 7: 0.007, 8: 0.003}  # of the entries, by number of elements
SYSTEMS_PER_ENTRY = {2: 1 / 12, 3: 1 / 6, 4: 1 / 3, 5: 1 / 2, 6: 2 / 3, 7: 1.0, 8: 1.0}  # of that many elements
COUNT_PROBABILITY, LARGEST_COUNT = 0.45, 6  # geometric, atoms of one element in a formula
VARIANCE_EV = 0.08  # eV/atom per squared unit of electronegativity
SYSTEM_EV = 0.01  # eV/atom, mean of the exponential term of a system of three elements or more
NOISE_EV = 0.06  # eV/atom, sigma, per composition
POLYMORPH_EV = 0.06  # eV/atom, mean of the exponential distance above the composition's ground state
POLYMORPH_SHARE = 0.7
CHUNK = 1_000_000  # entries made at a time: bounds the memory of what lies between

_GOLDEN, _MIX_A, _MIX_B = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB  # of splitmix64


@dataclass(frozen=True, slots=True)
class Systems:
    """Chemical systems of d elements and how often each is used."""

    atomic_numbers: Numbers  # shape (m, d), ascending
    up_to: Floats  # shape (m,): cumulative share, the last is 1

    def draw(self, dice: np.random.Generator, count: int) -> Numbers:
        rows = np.searchsorted(self.up_to, dice.random(count), side="right")
        return self.atomic_numbers[np.minimum(rows, len(self.up_to) - 1)]


class Workload:
    """The chemistry of n entries; the same n and seed give the same bytes."""

    def __init__(self, n_entries: int, *, seed: int = 0) -> None:
        """n_entries: the elemental references included, so not fewer than there are elements."""
        if n_entries < len(ELEMENTS):
            raise ValueError(f"{n_entries} entries are fewer than the {len(ELEMENTS)} elements")
        self.n_entries, self.seed = n_entries, seed
        dice = np.random.default_rng([seed, 0])
        self.electronegativity: Floats = _by_number(dice.uniform(0.7, 4.0, len(ELEMENTS)))
        self.reference: Floats = _by_number(-dice.uniform(1.0, 10.0, len(ELEMENTS)))  # eV/atom, total energy
        favourites = dice.permutation(ELEMENTS)
        self.systems = {
            size: _drawn_systems(dice, favourites, size, max(1, round(SYSTEMS_PER_ENTRY[size] * share * n_entries)))
            for size, share in SHARES.items()
        }

    def entries(self) -> EntryArrays:
        """The elements first, with formation energy 0, then everything else in random order; ids from 1 on."""
        made = _empty(self.n_entries, first_id=1)
        made.atomic_numbers[: len(ELEMENTS), 0] = ELEMENTS
        made.amounts[: len(ELEMENTS), 0] = 1
        made.energies_per_atom[: len(ELEMENTS)] = self.reference[ELEMENTS]
        self._fill(made, len(ELEMENTS), np.random.default_rng([self.seed, 1]))
        return made

    def more(self, count: int, *, draw: int = 0) -> EntryArrays:
        """Further entries of the same systems, none of them elements; some compositions are those of entries()."""
        made = _empty(count, first_id=self.n_entries + 1)
        self._fill(made, 0, np.random.default_rng([self.seed, 2, draw]))
        return made

    def _fill(self, made: EntryArrays, start: int, dice: np.random.Generator) -> None:
        for first in range(start, len(made.entry_ids), CHUNK):
            rows = np.arange(first, min(first + CHUNK, len(made.entry_ids)))
            sizes = dice.choice(list(SHARES), size=len(rows), p=list(SHARES.values()))
            for size in SHARES:
                self._fill_size(made, rows[sizes == size], size, dice)

    def _fill_size(self, made: EntryArrays, rows: Integers, size: int, dice: np.random.Generator) -> None:
        """Ground states of so many compositions, and polymorphs of these; in random order."""
        if len(rows) == 0:
            return
        ground = max(1, round((1 - POLYMORPH_SHARE) * len(rows)))
        numbers = self.systems[size].draw(dice, ground)
        counts = np.minimum(dice.geometric(COUNT_PROBABILITY, (ground, size)), LARGEST_COUNT)
        counts //= np.gcd.reduce(counts, axis=1, keepdims=True)
        above = dice.exponential(POLYMORPH_EV, len(rows) - ground)
        which = np.concatenate([np.arange(ground), dice.integers(0, ground, len(above))])
        rows = dice.permutation(rows)
        made.atomic_numbers[rows, :size] = numbers[which]
        made.amounts[rows, :size] = counts[which]
        made.energies_per_atom[rows] = self._ground_states(numbers, counts)[which]
        made.energies_per_atom[rows[ground:]] += above

    def _ground_states(self, numbers: Numbers, counts: Integers) -> Floats:
        """eV/atom, total energy, of compositions of as many elements as there are columns."""
        fractions = counts / counts.sum(axis=1, keepdims=True)
        charge = self.electronegativity[numbers]
        mean = (fractions * charge).sum(axis=1, keepdims=True)
        ionic = (fractions * (charge - mean) ** 2).sum(axis=1) * VARIANCE_EV
        many_body = self._many_body(numbers) if numbers.shape[1] > 2 else 0.0
        noise = _normal(_hashed(numbers, counts, seed=self.seed)) * NOISE_EV
        formation = noise - ionic - many_body
        return (fractions * self.reference[numbers]).sum(axis=1) + formation  # type: ignore[no-any-return]

    def _many_body(self, numbers: Numbers) -> Floats:
        """eV/atom by which a system of three elements or more is bound, whatever the composition."""
        return -np.log(_uniform(_hashed(numbers, seed=self.seed))) * SYSTEM_EV


def take(arrays: EntryArrays, rows: Integers | slice) -> EntryArrays:
    """Some of the entries, in the order of rows."""
    return EntryArrays(
        arrays.entry_ids[rows], arrays.atomic_numbers[rows], arrays.amounts[rows], arrays.energies_per_atom[rows]
    )


def by_system(arrays: EntryArrays) -> EntryArrays:
    """The same entries system by system, small systems first, so that the elements still lead; otherwise stable."""
    return take(arrays, np.lexsort((system_keys(arrays), np.count_nonzero(arrays.amounts, axis=1))))


def system_keys(arrays: EntryArrays) -> Keys:
    """One number a chemical system: 7 bits an element, the lightest element in the highest of them."""
    keys = np.zeros(len(arrays.entry_ids), dtype=np.uint64)
    for column in range(WIDTH):
        keys = (keys << np.uint64(7)) | arrays.atomic_numbers[:, column].astype(np.uint64)
    return keys


def composition_keys(arrays: EntryArrays) -> Keys:
    """One number a composition, by hashing: two compositions share one with a chance of 5e-20."""
    return _hashed(arrays.atomic_numbers, arrays.amounts)


def _empty(count: int, *, first_id: int) -> EntryArrays:
    return EntryArrays(
        np.arange(first_id, first_id + count, dtype=np.int64),
        np.zeros((count, WIDTH), dtype=np.uint8),
        np.zeros((count, WIDTH), dtype=np.int32),
        np.zeros(count, dtype=np.float64),
    )


def _by_number(values: Floats) -> Floats:
    """A table with the atomic number as index; nan where there is no element of the workload."""
    table = np.full(int(ELEMENTS[-1]) + 1, np.nan)
    table[ELEMENTS] = values
    return table


def _drawn_systems(dice: np.random.Generator, favourites: Numbers, size: int, count: int) -> Systems:
    """Zipf without replacement, element after element; a system that is drawn twice gets both shares."""
    weights = np.arange(1.0, len(favourites) + 1) ** -ZIPF_EXPONENT
    up_to = np.cumsum(weights / weights.sum())
    ranks = np.searchsorted(up_to, dice.random((count, size)), side="right")
    for column in range(1, size):
        again = np.flatnonzero((ranks[:, :column] == ranks[:, column, None]).any(axis=1))
        while len(again):
            ranks[again, column] = np.searchsorted(up_to, dice.random(len(again)), side="right")
            again = again[(ranks[again, :column] == ranks[again, column, None]).any(axis=1)]
    shares = np.cumsum(dice.exponential(size=count))
    return Systems(np.sort(favourites[ranks], axis=1), shares / shares[-1])


def _hashed(numbers: Numbers, counts: Integers | NDArray[np.int32] | None = None, *, seed: int = 0) -> Keys:
    """splitmix64 over the columns of each row."""
    state = np.full(len(numbers), seed, dtype=np.uint64)
    for column in range(numbers.shape[1]):
        part = numbers[:, column].astype(np.uint64)
        if counts is not None:
            part |= counts[:, column].astype(np.uint64) << np.uint64(8)
        state = _mixed(state ^ part)
    return state


def _mixed(state: Keys) -> Keys:
    state = state + np.uint64(_GOLDEN)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(_MIX_A)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(_MIX_B)
    return state ^ (state >> np.uint64(31))


def _uniform(state: Keys) -> Floats:
    """In (0, 1), from the upper 53 bits."""
    return ((state >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53


def _normal(state: Keys) -> Floats:
    """Box and Muller's first of two."""
    angle = 2.0 * np.pi * _uniform(_mixed(state))
    return np.sqrt(-2.0 * np.log(_uniform(state))) * np.cos(angle)
