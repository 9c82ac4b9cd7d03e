"""What a hull store is asked: where things lie and what is on the hull. Nothing here changes it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import inf, isnan

import numpy as np
from numpy.typing import NDArray

from hull import packing, queries, texts
from hull.arrays import Distances, EntryArrays, PointArrays, Positions
from hull.entries import (
    ATOMIC_NUMBER,
    SYMBOLS,
    Formula,
    UnknownElement,
    UnknownEntry,
    checked_energy,
)
from hull.memory import (
    AMOUNTS,
    ENERGY,
    ENTRY_COMPOSITION,
    ENTRY_ENERGY,
    ENTRY_ID,
    ENTRY_WORDS,
    FLAGS,
    HULL,
    KEY,
    LOWEST,
    MAX_ELEMENTS,
    N_COMPOSITIONS,
    N_ENTRIES,
    N_NEAR,
    N_STALLED,
    PLACES,
    SYSTEM,
    VERTEX,
    Memory,
    empty_memory,
)
from hull.moved import Moved
from hull.positions import HullPoint, Position
from hull.room import fitted
from hull.simplex import Stalled

FRACTION_TOLERANCE = 1e-10  # fraction of the atoms below which a phase is no part of a mixture

_NOWHERE = np.empty(0, np.int32)
_QUESTION = -1  # amounts of a formula that is only asked for: row 0 of `wide`


class Questions:
    """The half of a hull store that reads. It keeps the arrays alive whose addresses the kernels are given."""

    def __init__(self, scale: str, *, memory: Memory | None = None) -> None:
        """memory: of a snapshot; its numbers are believed as they are."""
        self.scale = scale
        self._use(fitted(memory or empty_memory()))
        self._wide = {tuple(row): -1 - number for number, row in enumerate(self._memory.wide.tolist()) if number}
        self._numbers, self._owners = np.empty(3 + 2 * MAX_ELEMENTS), np.empty(MAX_ELEMENTS, np.int64)

    def _use(self, memory: Memory) -> None:
        """Work on these arrays. Numbers one by one are read through views: a fraction of what arrays take."""
        self._memory = memory
        self._address = memory.addresses()
        self._counters = memory.counters.data
        self._pool, self._pool_h = memory.pool.data, memory.pool.view(np.int32).data
        self._pool_f = memory.pool.view(np.float64).data
        self._entries, self._entries_h = memory.entries.data, memory.entries.view(np.int32).data
        self._entries_f = memory.entries.view(np.float64).data

    def __len__(self) -> int:
        return int(self._counters[N_ENTRIES])

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

    def entry_positions(self, entry_ids: NDArray[np.int64]) -> Positions:
        """As `entry_position`, of many entries. Raises UnknownEntry."""
        ids = np.ascontiguousarray(entry_ids, np.int64)
        room = len(ids) * MAX_ELEMENTS
        distances, n_parts = np.empty((2, len(ids))), np.empty(len(ids), np.int64)
        part_ids, fractions = np.empty(room, np.int64), np.empty(room)
        scratch = (self._numbers, self._owners)
        unknown = queries.positions(
            self._address, ids, FRACTION_TOLERANCE, distances, n_parts, part_ids, fractions, *scratch
        )
        self._settle_question()
        if unknown >= 0:
            raise UnknownEntry(f"entry {ids[unknown]} is not in the store")
        count = n_parts.sum()
        above, decomposition = distances
        return Positions(above, decomposition, n_parts, part_ids[:count].copy(), fractions[:count].copy())

    def distances(self, entries: EntryArrays) -> Distances:
        """Where entries would sit if each arrived now, alone. Changes nothing; their ids do not matter.

        Raises BadComposition, UnknownElement or BadEnergy.
        """
        keys, amounts, wide = packing.packed(entries)
        energies = np.ascontiguousarray(entries.energies_per_atom, np.float64)
        found = np.empty((len(keys), 3))
        if len(wide) == 0:
            queries.measure(self._address, keys, amounts, energies, found)
            self._settle_question()
            return Distances(*np.ascontiguousarray(found.T))
        for row in range(len(keys)):
            position = self.position(packing.formula_in(entries, row), float(energies[row]))
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

    def point_arrays(self, moved: Iterable[Moved] | None = None) -> PointArrays:
        """The states of the compositions that moved in any of these changes of this store, or of all that have entries:
        many times as fast as ``points``."""
        halves, floats = self._memory.pool.view(np.int32), self._memory.pool.view(np.float64)
        gone = np.empty(0, np.int64)
        if moved is None:
            places = np.empty(self._memory.counters[N_COMPOSITIONS], np.int64)
            queries.compositions_of(self._address, places)
        else:
            places = np.unique(np.concatenate([_NOWHERE, *(some.places for some in moved)])).astype(np.int64)
            has_entry = floats[places + ENERGY] < inf
            places, gone = places[has_entry], places[~has_entry]
        numbers, amounts = self._numbers_and_amounts(places)
        return PointArrays(
            formulas=texts.formulas_of(numbers, amounts),
            chemical_systems=texts.chemical_systems_of(numbers),
            hull_energies=floats[places + HULL],
            lowest_energies=floats[places + ENERGY],
            lowest_entries=self._ids(halves[2 * places + LOWEST]),
            is_vertex=halves[2 * places + FLAGS] & VERTEX != 0,
            gone=texts.formulas_of(*self._numbers_and_amounts(gone)),
        )

    def stable_entries(self, elements: Iterable[str] | None = None) -> list[int]:
        """Ids of the entries on the hull, ascending: the lowest polymorph by (energy, entry id) of every vertex.

        Of the chemical system of these elements with all its subsystems, or of everything. Raises UnknownElement.
        """
        rows = self._memory.pool.view(np.int32)[2 * self._vertices(elements) + LOWEST]
        return sorted(self._ids(rows).tolist())

    def stable_points(self, elements: Iterable[str] | None = None) -> Iterator[HullPoint]:
        """The states of the compositions on the hull, in no order; of a chemical system or of everything, as above."""
        found = self._vertices(elements)
        for composition, formula in zip(found.tolist(), self._formulas(found), strict=True):
            yield self._point(composition, formula)

    def _vertices(self, elements: Iterable[str] | None) -> NDArray[np.int64]:
        allowed = np.zeros(PLACES, np.int64)
        allowed[[_atomic_number(symbol) for symbol in elements] if elements is not None else slice(None)] = 1
        found = np.empty(self._memory.counters[N_NEAR] + PLACES, np.int64)
        return found[: queries.vertices(self._address, allowed, found)]

    def _packed(self, formula: Formula) -> tuple[int, int]:
        """Key and amounts of a formula in question."""
        key, amounts = packing.key_of(formula), packing.amounts_of(formula)
        if amounts is None:
            wide = packing.wide_amounts_of(formula)
            amounts = self._wide.get(wide)
            if amounts is None:
                self._memory.wide[0], amounts = wide, _QUESTION
        return key, amounts

    def _row(self, entry_id: int) -> int:
        return int(queries.row_of(self._address, entry_id)) if -(2**63) <= entry_id < 2**63 else 0

    def _known_row(self, entry_id: int) -> int:
        row = self._row(entry_id)
        if row == 0:
            raise UnknownEntry(f"entry {entry_id} is not in the store")
        return row

    def _energy(self, row: int) -> float:
        return float(self._entries_f[row * ENTRY_WORDS + ENTRY_ENERGY])

    def _composition(self, row: int) -> int:
        return int(self._entries_h[2 * ENTRY_WORDS * row + ENTRY_COMPOSITION])

    def _ids(self, rows: NDArray[np.int32]) -> NDArray[np.int64]:
        ids: NDArray[np.int64] = self._memory.entries[rows.astype(np.int64) * ENTRY_WORDS + ENTRY_ID]
        return ids

    def _numbers_and_amounts(self, compositions: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
        """Shapes (n, 9)."""
        return packing.numbers_and_amounts_of(*self._packed_at(compositions), self._memory.wide)

    def _formulas(self, compositions: NDArray[np.int64]) -> list[Formula]:
        return packing.formulas_of(*self._packed_at(compositions), self._memory.wide)

    def _packed_at(self, compositions: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Keys and amounts, shapes (n,)."""
        pool = self._memory.pool
        systems = pool.view(np.int32)[2 * compositions + SYSTEM]
        return pool[systems + KEY], pool[compositions + AMOUNTS]

    def _formula(self, composition: int) -> Formula:
        key = self._pool[self._pool_h[2 * composition + SYSTEM] + KEY]
        return packing.formula_of(key, self._pool[composition + AMOUNTS], self._memory.wide)

    def _locate(self, formula: Formula, row: int = 0) -> int:
        """The composition, or 0; the programme's numbers in `_numbers` and `_owners`."""
        composition = queries.locate(self._address, row, *self._packed(formula), self._numbers, self._owners)
        self._settle_question()
        return int(composition)

    def _settle_question(self) -> None:
        """Raises Stalled if a programme did not come to an end. Nothing was changed by it."""
        if self._memory.counters[N_STALLED]:
            self._memory.counters[N_STALLED] = 0
            raise Stalled("a linear programme did not come to an optimum")

    def _point(self, composition: int, formula: Formula) -> HullPoint:
        return HullPoint(
            formula,
            _defined(self._pool_f[composition + HULL]),
            self._pool_f[composition + ENERGY],
            self._lowest_entry(composition),
            self._is_vertex(composition),
        )

    def _is_vertex(self, composition: int) -> bool:
        return self._pool_h[2 * composition + FLAGS] & VERTEX != 0

    def _position(self, formula: Formula, energy: float, composition: int) -> Position:
        """From what `locate` wrote."""
        lowest, hull, met, *rest = self._numbers.tolist()
        if isnan(hull) and not (formula.is_element and lowest < inf):
            missing = (number for number, _ in formula.amounts if self._memory.references[number] == inf)
            return Position(None, None, None, (), (), tuple(sorted(SYMBOLS[number - 1] for number in missing)))
        if formula.is_element:
            arrival = None if met == inf else energy - met
            above = max(0.0, energy - lowest)
            potentials = ((formula.elements[0], lowest),)
            return Position(above, arrival, None, ((self._lowest_entry(composition), 1.0),), potentials)
        d = len(formula.amounts)
        parts = zip(self._owners[:d].tolist(), rest[MAX_ELEMENTS : MAX_ELEMENTS + d], strict=True)
        mixture = [(owner, part) for owner, part in parts if part > FRACTION_TOLERANCE]
        if composition and self._is_vertex(composition):
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
        return int(self._entries[self._pool_h[2 * composition + LOWEST] * ENTRY_WORDS + ENTRY_ID])


def _defined(number: float) -> float | None:
    return None if isnan(number) else float(number)


def _atomic_number(symbol: str) -> int:
    if symbol not in ATOMIC_NUMBER:
        raise UnknownElement(f"{symbol!r} is not an element")
    return ATOMIC_NUMBER[symbol]
