"""The hull store: every entry so far, the convex hull of their energies, every distance current."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator
from math import inf, isnan

import numpy as np
from numpy.typing import NDArray

from hull import landscape, packing, queries, withdrawal
from hull.arrays import EVENT_ARRAY, ArraysInsertion, Distances, EntryArrays
from hull.compositions import DETHRONED
from hull.entries import (
    ATOMIC_NUMBER,
    SYMBOLS,
    BadComposition,
    BadEnergy,
    BadEntryId,
    DuplicateEntry,
    Entry,
    Formula,
    MixedScales,
    UnknownElement,
    UnknownEntry,
    checked_energy,
)
from hull.memory import (
    AMOUNTS,
    ENTRY_ENERGY,
    ENTRY_ID,
    ENTRY_WORDS,
    EVENT,
    FLAGS,
    KEY,
    LOWEST,
    MAX_ELEMENTS,
    MOVED,
    N_COMPOSITIONS,
    N_ENTRIES,
    N_EVENTS,
    N_MOVED,
    N_NEAR,
    N_RECORDS,
    N_STALLED,
    PLACES,
    SYSTEM,
    VERTEX,
    Memory,
    empty_memory,
)
from hull.positions import STABLE_TOLERANCE, Event, EventKind, HullPoint, Insertion, Position, Withdrawal
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
    "Position",
    "Withdrawal",
]

FRACTION_TOLERANCE = 1e-10  # fraction of the atoms below which a phase is no part of a mixture

_QUESTION = -1  # amounts of a formula that is only asked for: row 0 of `wide`


class HullStore:
    """Entries on one energy scale, with the hull kept current. Not thread-safe: one writer or reader at a time.

    Nothing that is returned depends on the order of arrival: events are sorted by kind (those that came, then those
    that left) and entry id, formulas and points by formula, mixtures by entry id, chemical potentials by symbol.
    """

    def __init__(self, scale: str, *, memory: Memory | None = None) -> None:
        """memory: of a snapshot; its numbers are believed as they are."""
        self.scale = scale
        self._memory = memory or empty_memory()
        self._address = self._memory.addresses()
        self._wide = {tuple(row): -1 - number for number, row in enumerate(self._memory.wide.tolist()) if number}
        self._numbers, self._owners = np.empty(3 + 2 * MAX_ELEMENTS), np.empty(MAX_ELEMENTS, np.int64)

    def __len__(self) -> int:
        return int(self._memory.counters[N_ENTRIES])

    def __contains__(self, entry_id: object) -> bool:
        return isinstance(entry_id, int) and self._row(entry_id) != 0

    @property
    def memory(self) -> Memory:
        """Its arrays, to be saved."""
        return self._memory

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays, spare capacity and scratch included."""
        return sum(array.nbytes for array in self._memory)

    # -- questions

    def position(self, formula: Formula, energy_per_atom: float) -> Position:
        """Where an entry of this energy (eV/atom) would sit if it arrived now. Changes nothing.

        The decomposition is the composition's own vertex where there is one, else the leave-one-out optimum; the
        chemical potentials are always the leave-one-out duals, Σ x µ = H (for an element: its reference).
        Raises BadEnergy.
        """
        energy = float(checked_energy(energy_per_atom))
        return self._position(formula, energy, self._locate(formula))

    def entry_position(self, entry_id: int) -> Position:
        """Where a stored entry sits now; "on arrival" as if it arrived last, against everything else in the store.

        That one is None for the only entry of an element: there is nothing to measure it against. Raises UnknownEntry.
        """
        row = self._known_row(entry_id)
        formula = self._formula(self._composition(row))
        return self._position(formula, self._energy(row), self._locate(formula, row))

    def e_above_hull(self, entry_id: int) -> float | None:
        """eV/atom, >= 0; None where an element of the entry has no reference. Raises UnknownEntry."""
        found = np.empty(1)
        queries.look_up_row(self._address, self._known_row(entry_id), found)
        return _defined(found[0])

    def stored_e_above_hull(self, entry_ids: NDArray[np.int64]) -> NDArray[np.float64]:
        """The same for many entries, shape (n,); nan where undefined. Raises UnknownEntry."""
        ids = np.ascontiguousarray(entry_ids, np.int64)
        found = np.empty(len(ids))
        unknown = queries.look_up(self._address, ids, found)
        if unknown >= 0:
            raise UnknownEntry(f"entry {ids[unknown]} is not in the store")
        return found

    def distances(self, entries: EntryArrays) -> Distances:
        """Where entries would sit if each arrived now, alone. Changes nothing; their ids do not matter.

        Raises BadComposition, UnknownElement or BadEnergy.
        """
        keys, amounts, wide = packing.packed(entries)
        found = np.empty((len(keys), 3))
        energies = np.ascontiguousarray(entries.energies_per_atom, np.float64)
        queries.measure(self._address, keys, amounts, energies, found)
        for row in wide.tolist():
            position = self.position(_formula_in(entries, row), float(energies[row]))
            found[row] = [
                np.nan if distance is None else distance
                for distance in (position.e_above_hull, position.e_above_hull_on_arrival, position.decomposition_energy)
            ]
        return Distances(*np.ascontiguousarray(found.T))

    def point(self, formula: Formula) -> HullPoint | None:
        """The state of one composition; None where the store has no entry of it."""
        composition = queries.composition_at(self._address, *self._packed(formula))
        return self._point(composition, formula) if composition else None

    def points(self) -> Iterator[HullPoint]:
        """The state of every composition, by formula."""
        found = np.empty(self._memory.counters[N_COMPOSITIONS], np.int64)
        queries.compositions_of(self._address, found)
        formulas = dict(zip(found.tolist(), self._formulas(found), strict=True))
        for composition in sorted(formulas, key=lambda one: formulas[one].amounts):
            yield self._point(composition, formulas[composition])

    def stable_entries(self, elements: Iterable[str] | None = None) -> list[int]:
        """Ids of the entries on the hull, ascending: the lowest polymorph by (energy, entry id) of every vertex.

        Of the chemical system of these elements with all its subsystems, or of everything. Raises UnknownElement.
        """
        allowed = np.zeros(PLACES, np.int64)
        allowed[[_atomic_number(symbol) for symbol in elements] if elements is not None else slice(None)] = 1
        found = np.empty(self._memory.counters[N_NEAR] + PLACES, np.int64)
        count = queries.vertices(self._address, allowed, found)
        rows = self._memory.pool.view(np.int32)[2 * found[:count] + LOWEST].astype(np.int64)
        return sorted(self._memory.entries[rows * ENTRY_WORDS + ENTRY_ID].tolist())

    # -- changes

    def insert(self, entry: Entry, *, scale: str | None = None) -> Insertion:
        """Add an entry. Raises MixedScales, DuplicateEntry or BadEntryId; then nothing has been done."""
        return self.insert_many([entry], scale=scale)[0]

    def insert_many(self, entries: Iterable[Entry], *, scale: str | None = None) -> list[Insertion]:
        """Add entries in this order, all of them or none. Raises MixedScales, DuplicateEntry or BadEntryId."""
        self._check_scale(scale)
        batch = list(entries)
        self._check_ids(np.array([_checked_id(entry.entry_id) for entry in batch], dtype=np.int64))
        return [self._insert(entry) for entry in batch]

    def insert_arrays(self, entries: EntryArrays, *, scale: str | None = None) -> ArraysInsertion:
        """Add entries in this order, all of them or none.

        Raises MixedScales, DuplicateEntry, BadComposition, UnknownElement or BadEnergy.
        """
        self._check_scale(scale)
        keys, amounts, wide = packing.packed(entries)
        ids = np.ascontiguousarray(entries.entry_ids, np.int64)
        self._check_ids(ids)
        for row in wide.tolist():
            amounts[row] = self._kept_amounts(_formula_in(entries, row))
        energies = np.ascontiguousarray(entries.energies_per_atom, np.float64)
        arrivals = np.empty((len(ids), 2))
        self._insert_all(ids, keys, amounts, energies, arrivals)
        events = self._event_rows()
        found = np.empty(len(events), EVENT_ARRAY)
        found["step"], found["kind"], found["entry_id"] = events[:, 2], events[:, 0], self._ids(events[:, 1])
        moved = self._take_moved()
        self._settle()
        return ArraysInsertion(arrivals[:, 0], arrivals[:, 1], np.sort(found), len(moved))

    def lower(self, entry_id: int, energy_per_atom: float) -> Insertion:
        """Give an entry a lower energy (eV/atom), as if it arrived again: its old energy is part of what it meets.

        Raises UnknownEntry, or BadEnergy where the energy is higher than before.
        """
        row = self._known_row(entry_id)
        energy, old = float(checked_energy(energy_per_atom)), self._energy(row)
        if energy > old:
            raise BadEnergy(f"{energy} eV/atom is higher than the {old} eV/atom of entry {entry_id}")
        formula = self._formula(self._composition(row))
        on_arrival = self.position(formula, energy)
        if energy == old:
            return Insertion(on_arrival, (), ())
        self._insert_one(entry_id, formula, energy, lowered=row)
        return Insertion(on_arrival, self._take_events(entry_id, EventKind.STABLE), self._moved_formulas())

    def withdraw(self, entry_id: int) -> Withdrawal:
        """Take an entry out again. Where the last reference of an element goes, its chemistry is undefined again.

        Raises UnknownEntry.
        """
        row = self._known_row(entry_id)
        self._make_room_to_withdraw(row)
        withdrawal.withdraw(self._address, row)
        return Withdrawal(self._take_events(entry_id, EventKind.RESTORED), self._moved_formulas())

    def _insert(self, entry: Entry) -> Insertion:
        on_arrival = self.position(entry.formula, entry.energy_per_atom)
        self._insert_one(entry.entry_id, entry.formula, entry.energy_per_atom)
        return Insertion(on_arrival, self._take_events(entry.entry_id, EventKind.STABLE), self._moved_formulas())

    def _insert_one(self, entry_id: int, formula: Formula, energy: float, *, lowered: int = 0) -> None:
        key, amounts = packing.key_of(formula), self._kept_amounts(formula)
        ids, keys, shapes = np.array([[entry_id], [key], [amounts]], dtype=np.int64)
        self._insert_all(ids, keys, shapes, np.array([energy], dtype=np.float64), np.empty((1, 2)), lowered=lowered)

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
        self._memory = grown(self._memory, what, needed)
        self._address = self._memory.addresses()

    def _make_room_to_withdraw(self, row: int) -> None:
        """Everything that leans on an entry may come onto the hull without it."""
        everything = int(self._memory.counters[N_RECORDS]) + PLACES
        needs = {
            COLUMNS: withdrawal.columns_to_withdraw(self._address, row),
            EVENTS: 2 * EVENT * everything,
            SOME: everything,
            MOVED_LIST: everything,
            OWNERS: 2 * everything,
            WORK: 2 * everything * (MAX_ELEMENTS + 1),
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
        rows = self._event_rows()
        if not len(rows):
            return ()
        came = sorted(self._ids(rows[rows[:, 0] != DETHRONED, 1]).tolist())
        left = sorted(self._ids(rows[rows[:, 0] == DETHRONED, 1]).tolist())
        return (
            *(Event(kind, entry, None if entry == by else by) for entry in came),
            *(Event(EventKind.DETHRONED, entry, by) for entry in left),
        )

    def _take_moved(self) -> NDArray[np.int64]:
        """The compositions whose points are other than before."""
        moved = self._memory.moved[: int(self._memory.counters[N_MOVED])].astype(np.int64)
        self._memory.counters[N_MOVED] = 0
        self._memory.pool.view(np.int32)[2 * moved + FLAGS] &= ~MOVED
        return moved

    def _moved_formulas(self) -> tuple[Formula, ...]:
        formulas = sorted(self._formulas(self._take_moved()), key=_amounts)
        self._settle()
        return tuple(formulas)

    def _settle(self) -> None:
        """Raises Stalled if a programme did not come to an end: this store is to be built anew then."""
        if self._memory.counters[N_STALLED]:
            raise Stalled("a linear programme did not come to an optimum; this hull must be built again")

    # -- rows and compositions

    def _packed(self, formula: Formula) -> tuple[int, int]:
        """Key and amounts of a formula in question."""
        key, amounts = packing.key_of(formula), packing.amounts_of(formula)
        if amounts is None:
            wide = _wide_amounts(formula)
            amounts = self._wide.get(wide)
            if amounts is None:
                self._memory.wide[0], amounts = wide, _QUESTION
        return key, amounts

    def _kept_amounts(self, formula: Formula) -> int:
        """Amounts of a formula that comes into the store."""
        amounts = packing.amounts_of(formula)
        if amounts is not None:
            return amounts
        wide = _wide_amounts(formula)
        if wide not in self._wide:
            self._wide[wide] = -1 - len(self._memory.wide)
            self._memory = self._memory._replace(wide=np.concatenate([self._memory.wide, [wide]]))
            self._address = self._memory.addresses()
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

    def _row(self, entry_id: int) -> int:
        return int(queries.row_of(self._address, entry_id)) if -(2**63) <= entry_id < 2**63 else 0

    def _known_row(self, entry_id: int) -> int:
        row = self._row(entry_id)
        if row == 0:
            raise UnknownEntry(f"entry {entry_id} is not in the store")
        return row

    def _energy(self, row: int) -> float:
        return float(self._memory.entries[row * ENTRY_WORDS + ENTRY_ENERGY : row * ENTRY_WORDS + 1].view(np.float64)[0])

    def _composition(self, row: int) -> int:
        return int(self._memory.entries[row * ENTRY_WORDS + 2 : row * ENTRY_WORDS + 3].view(np.int32)[0])

    def _ids(self, rows: NDArray[np.int32]) -> NDArray[np.int64]:
        ids: NDArray[np.int64] = self._memory.entries[rows.astype(np.int64) * ENTRY_WORDS + ENTRY_ID]
        return ids

    def _formulas(self, compositions: NDArray[np.int64]) -> list[Formula]:
        pool = self._memory.pool
        systems = pool.view(np.int32)[2 * compositions + SYSTEM]
        return packing.formulas_of(pool[systems + KEY], pool[compositions + AMOUNTS], self._memory.wide)

    def _formula(self, composition: int) -> Formula:
        return self._formulas(np.array([composition]))[0]

    def _locate(self, formula: Formula, row: int = 0) -> int:
        """The composition, or 0; the programme's numbers in `_numbers` and `_owners`."""
        return int(queries.locate(self._address, row, *self._packed(formula), self._numbers, self._owners))

    def _point(self, composition: int, formula: Formula) -> HullPoint:
        energy, hull = self._memory.pool[composition : composition + 2].view(np.float64).tolist()
        halves = self._memory.pool[composition + 4 : composition + 6].view(np.int32).tolist()
        entry_id = int(self._memory.entries[halves[0] * ENTRY_WORDS + ENTRY_ID])
        return HullPoint(formula, _defined(hull), energy, entry_id, bool(halves[2] & VERTEX))

    def _position(self, formula: Formula, energy: float, composition: int) -> Position:
        """From what `locate` wrote."""
        missing = [number for number, _ in formula.amounts if self._memory.references[number] == inf]
        if missing:
            return Position(None, None, None, (), (), tuple(sorted(SYMBOLS[number - 1] for number in missing)))
        lowest, hull, met, *rest = self._numbers.tolist()
        if formula.is_element:
            arrival = None if met == inf else energy - met
            above = max(0.0, energy - lowest)
            potentials = ((formula.elements[0], lowest),)
            return Position(above, arrival, None, ((self._lowest_entry(composition), 1.0),), potentials)
        d = len(formula.amounts)
        parts = zip(self._owners[:d].tolist(), rest[MAX_ELEMENTS : MAX_ELEMENTS + d], strict=True)
        mixture = [(owner, part) for owner, part in parts if part > FRACTION_TOLERANCE]
        if composition and lowest < inf and self._memory.pool.view(np.int32)[2 * composition + FLAGS] & VERTEX:
            mixture = [(composition, 1.0)]
        symbols = (SYMBOLS[number - 1] for number, _ in formula.amounts)
        return Position(
            e_above_hull=max(0.0, energy - min(lowest, hull)),
            e_above_hull_on_arrival=energy - min(met, hull),
            decomposition_energy=energy - hull,
            decomposition=tuple(sorted((self._lowest_entry(owner), part) for owner, part in mixture)),
            chemical_potentials=tuple(sorted(zip(symbols, rest[:d], strict=True))),
        )

    def _lowest_entry(self, composition: int) -> int:
        row = int(self._memory.pool[composition + 4]) & 0xFFFFFFFF
        return int(self._memory.entries[row * ENTRY_WORDS + ENTRY_ID])


def _amounts(formula: Formula) -> tuple[tuple[int, int], ...]:
    """The order of formulas, without the detour over their own comparison."""
    return formula.amounts


def _checked_id(entry_id: int) -> int:
    try:
        number = operator.index(entry_id)
    except TypeError:
        raise BadEntryId(f"{entry_id!r} is no entry id: these are whole numbers") from None
    if not -(2**63) <= number < 2**63:
        raise BadEntryId(f"{entry_id} is no entry id: these have 64 bits")
    return number


def _defined(number: float) -> float | None:
    return None if isnan(number) else float(number)


def _wide_amounts(formula: Formula) -> tuple[int, ...]:
    amounts = tuple(amount for _, amount in formula.amounts)
    if max(amounts) >= 2**63:
        raise BadComposition(f"an amount of {max(amounts)} is more than fits into 64 bits")
    return amounts + (0,) * (MAX_ELEMENTS - len(amounts))


def _formula_in(entries: EntryArrays, row: int) -> Formula:
    pairs = zip(entries.atomic_numbers[row].tolist(), entries.amounts[row].tolist(), strict=True)
    return Formula.of({SYMBOLS[number - 1]: amount for number, amount in pairs if number})


def _atomic_number(symbol: str) -> int:
    if symbol not in ATOMIC_NUMBER:
        raise UnknownElement(f"{symbol!r} is not an element")
    return ATOMIC_NUMBER[symbol]
