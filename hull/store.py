"""The hull store: every entry so far, the convex hull of their energies, every distance current."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hull import landscape, packing, queries, withdrawal
from hull.arrays import EVENT_ARRAY, ArraysInsertion, EntryArrays
from hull.compositions import DETHRONED
from hull.entries import (
    BadEnergy,
    DuplicateEntry,
    Entry,
    Formula,
    MixedScales,
    checked_energy,
    checked_id,
)
from hull.memory import (
    EVENT,
    FLAGS,
    LARGEST_SYSTEM,
    MAX_ELEMENTS,
    MOVED,
    N_EVENTS,
    N_MOVED,
    N_NEAR,
    N_RECORDS,
    N_STALLED,
    Memory,
)
from hull.moved import NOTHING_MOVED, Moved
from hull.positions import STABLE_TOLERANCE, Event, EventKind, HullPoint, Insertion, Position, Withdrawal
from hull.questions import Questions
from hull.room import COLUMNS, ENOUGH, EVENTS, MOVED_LIST, OWNERS, SOME, WORK, grown
from hull.simplex import LP_TOLERANCE, Stalled

__all__ = [
    "LP_TOLERANCE",
    "STABLE_TOLERANCE",
    "Event",
    "EventKind",
    "HullPoint",
    "HullStore",
    "Insertion",
    "Moved",
    "Position",
    "Withdrawal",
]


_MANY = 16  # compositions, from which on arrays are quicker than one after the other


class _One(NamedTuple):
    """The arrays of a batch of one, used again and again."""

    ids: NDArray[np.int64]
    keys: NDArray[np.int64]
    amounts: NDArray[np.int64]
    energies: NDArray[np.float64]
    arrivals: NDArray[np.float64]


class HullStore(Questions):
    """Entries on one energy scale, with the hull kept current. Not thread-safe: one writer or reader at a time.

    Nothing that is returned depends on the order of arrival: events are sorted by kind (those that came, then those
    that left) and entry id, formulas and points by formula, mixtures by entry id, chemical potentials by symbol.
    """

    def __init__(self, scale: str, *, memory: Memory | None = None) -> None:
        super().__init__(scale, memory=memory)
        self._broken = False  # a programme stalled in the middle of a change
        ids, keys, amounts = (np.empty(1, np.int64) for _ in range(3))
        self._one = _One(ids, keys, amounts, np.empty(1), np.empty((1, 2)))

    def insert(self, entry: Entry, *, scale: str | None = None) -> Insertion:
        """Add an entry. Raises MixedScales, DuplicateEntry or BadEntryId; then nothing has been done."""
        self._check_sound()
        self._check_scale(scale)
        if self._row(checked_id(entry.entry_id)):
            raise DuplicateEntry(f"entry {entry.entry_id} is in the store already")
        return self._insert(entry)

    def insert_many(self, entries: Iterable[Entry], *, scale: str | None = None) -> list[Insertion]:
        """Add entries in this order, all of them or none. Raises MixedScales, DuplicateEntry or BadEntryId."""
        self._check_sound()
        self._check_scale(scale)
        batch = list(entries)
        self._check_ids(np.array([checked_id(entry.entry_id) for entry in batch], dtype=np.int64))
        return [self._insert(entry) for entry in batch]

    def insert_arrays(self, entries: EntryArrays, *, scale: str | None = None) -> ArraysInsertion:
        """Add entries in this order, all of them or none: many times as fast as `insert_many`, which says more.

        Raises MixedScales, DuplicateEntry, BadComposition, UnknownElement or BadEnergy.
        """
        self._check_sound()
        self._check_scale(scale)
        keys, amounts, wide = packing.packed(entries)
        ids = np.ascontiguousarray(entries.entry_ids, np.int64)
        self._check_ids(ids)
        for row in wide.tolist():
            amounts[row] = self._kept_amounts(packing.formula_in(entries, row))
        energies = np.ascontiguousarray(entries.energies_per_atom, np.float64)
        arrivals = np.empty((len(ids), 2))
        self._insert_all(ids, keys, amounts, energies, arrivals)
        events = self._event_rows()
        found = np.empty(len(events), EVENT_ARRAY)
        found["step"], found["kind"], found["entry_id"] = events[:, 2], events[:, 0], self._ids(events[:, 1])
        moved = self._take_moved()
        return ArraysInsertion(arrivals[:, 0], arrivals[:, 1], np.sort(found), len(moved))

    def lower(self, entry_id: int, energy_per_atom: float) -> Insertion:
        """Give an entry a lower energy (eV/atom), as if it arrived again: its old energy is part of what it meets.

        Raises UnknownEntry, or BadEnergy where the energy is higher than before.
        """
        self._check_sound()
        row = self._known_row(entry_id)
        energy, old = float(checked_energy(energy_per_atom)), self._energy(row)
        if energy > old:
            raise BadEnergy(f"{energy} eV/atom is higher than the {old} eV/atom of entry {entry_id}")
        formula = self._formula(self._composition(row))
        on_arrival = self.position(formula, energy)
        if energy == old:
            return Insertion(on_arrival, (), NOTHING_MOVED)
        self._insert_one(entry_id, formula, energy, lowered=row)
        return Insertion(on_arrival, self._take_events(entry_id, EventKind.STABLE), self._take_moved())

    def withdraw(self, entry_id: int) -> Withdrawal:
        """Take an entry out again. Where the last reference of an element goes, its chemistry is undefined again.

        Raises UnknownEntry.
        """
        self._check_sound()
        row = self._known_row(entry_id)
        self._make_room_to_withdraw(row)
        withdrawal.withdraw(self._address, row)
        return Withdrawal(self._take_events(entry_id, EventKind.RESTORED), self._take_moved())

    def _insert(self, entry: Entry) -> Insertion:
        on_arrival = self.position(entry.formula, entry.energy_per_atom)
        self._insert_one(entry.entry_id, entry.formula, entry.energy_per_atom)
        return Insertion(on_arrival, self._take_events(entry.entry_id, EventKind.STABLE), self._take_moved())

    def _insert_one(self, entry_id: int, formula: Formula, energy: float, *, lowered: int = 0) -> None:
        one = self._one
        one.ids[0], one.keys[0], one.amounts[0] = entry_id, packing.key_of(formula), self._kept_amounts(formula)
        one.energies[0] = energy
        self._insert_all(*one, lowered=lowered)

    def _insert_all(
        self,
        ids: NDArray[np.int64],
        keys: NDArray[np.int64],
        amounts: NDArray[np.int64],
        energies: NDArray[np.float64],
        arrivals: NDArray[np.float64],
        *,
        lowered: int = 0,
    ) -> None:
        start = 0
        while start < len(ids):
            start, short, needed = landscape.insert_many(
                self._address, ids, keys, amounts, energies, start, arrivals, lowered
            )
            if short != ENOUGH:
                self._grow(short, needed)

    # -- room

    def _grow(self, what: int, needed: int) -> None:
        self._use(grown(self._memory, what, needed))

    def _make_room_to_withdraw(self, row: int) -> None:
        """Everything that leans on an entry may come onto the hull without it."""
        words, concerned = withdrawal.room_to_withdraw(self._address, row)
        columns = concerned + self._counters[N_NEAR] + self._counters[LARGEST_SYSTEM] + 2 + MAX_ELEMENTS
        needs = {
            COLUMNS: words,
            EVENTS: EVENT * (concerned + 4),
            SOME: concerned + 1,
            MOVED_LIST: self._counters[N_RECORDS] + 1,
            OWNERS: columns,
            WORK: columns * (MAX_ELEMENTS + 1),
        }
        for what, needed in needs.items():
            if self._memory[what].size < needed:
                self._grow(what, needed)

    # -- what a change did

    def _event_rows(self) -> NDArray[np.int32]:
        """Kind, row and step, shape (n, 3)."""
        count = int(self._memory.counters[N_EVENTS])
        self._memory.counters[N_EVENTS] = 0
        return self._memory.events[: EVENT * count].reshape(count, EVENT)

    def _take_events(self, by: int, kind: EventKind) -> tuple[Event, ...]:
        if self._counters[N_EVENTS] == 0:
            return ()
        rows = self._event_rows()
        came = sorted(self._ids(rows[rows[:, 0] != DETHRONED, 1]).tolist())
        left = sorted(self._ids(rows[rows[:, 0] == DETHRONED, 1]).tolist())
        return (
            *(Event(kind, entry, None if entry == by else by) for entry in came),
            *(Event(EventKind.DETHRONED, entry, by) for entry in left),
        )

    def _take_moved(self) -> Moved:
        """The compositions whose points are other than before, of a change that came to its end."""
        count = self._counters[N_MOVED]
        moved = self._memory.moved[:count].copy()
        self._counters[N_MOVED] = 0
        if count > _MANY:
            self._memory.pool.view(np.int32)[2 * moved.astype(np.int64) + FLAGS] &= ~MOVED
        else:
            for composition in moved.tolist():
                self._pool_h[2 * composition + FLAGS] &= ~MOVED
        self._settle()
        return Moved(moved, self._formulas)

    def _settle(self) -> None:
        """Raises Stalled if a programme did not come to an end: this store is to be built anew then."""
        self._broken = self._broken or self._counters[N_STALLED] != 0
        self._check_sound()

    def _check_sound(self) -> None:
        if self._broken:
            raise Stalled("a linear programme did not come to an optimum; this hull must be built again")

    # -- what comes in

    def _kept_amounts(self, formula: Formula) -> int:
        """Amounts of a formula that comes into the store."""
        amounts = packing.amounts_of(formula)
        if amounts is not None:
            return amounts
        wide = packing.wide_amounts_of(formula)
        if wide not in self._wide:
            self._wide[wide] = -1 - len(self._memory.wide)
            self._use(self._memory._replace(wide=np.concatenate([self._memory.wide, [wide]])))
        return self._wide[wide]

    def _check_scale(self, scale: str | None) -> None:
        if scale is not None and scale != self.scale:
            raise MixedScales(f"an energy on scale {scale!r} does not belong on a hull of scale {self.scale!r}")

    def _check_ids(self, ids: NDArray[np.int64]) -> None:
        stored = queries.first_stored(self._address, ids)
        if stored >= 0:
            raise DuplicateEntry(f"entry {ids[stored]} is in the store already")
        if len(ids) > 1:
            ordered = np.sort(ids)
            twice = np.flatnonzero(ordered[1:] == ordered[:-1])
            if len(twice):
                raise DuplicateEntry(f"entry {ordered[twice[0]]} comes twice")
