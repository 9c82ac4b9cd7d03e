"""Chemical systems: the compositions of each set of elements, as arrays, and which systems contain which."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from math import isnan

import numpy as np
from numpy.typing import NDArray

from hull.entries import Formula
from hull.simplex import Floats

Elements = tuple[int, ...]  # atomic numbers, ascending
Rows = NDArray[np.intp]


@dataclass(slots=True, eq=False)
class Composition:
    """One composition of the store: where its numbers lie, and its polymorphs from the lowest up."""

    formula: Formula
    system: System
    row: int
    polymorphs: list[tuple[float, int]]  # (eV/atom, entry id), ascending; empty once all are withdrawn

    @property
    def lowest_energy(self) -> float:
        """eV/atom; inf without polymorphs."""
        return self.polymorphs[0][0] if self.polymorphs else float("inf")

    @property
    def hull_energy(self) -> float | None:
        """eV/atom, leave-one-out; None for an element or a missing reference."""
        energy = float(self.system.hull[self.row])
        return None if isnan(energy) else energy

    @property
    def is_vertex(self) -> bool:
        return bool(self.system.vertex[self.row])

    @property
    def is_near(self) -> bool:
        return bool(self.system.near[self.row])

    def set_energy(self) -> None:
        """Tell the system of the lowest polymorph."""
        self.system.energies[self.row] = self.lowest_energy
        self.system.changed()

    def set_flags(self, *, near: bool, vertex: bool) -> None:
        self.system.near[self.row], self.system.vertex[self.row] = near, vertex
        self.system.changed()

    def set_hull(self, energy: float, potentials: Floats | float) -> None:
        """eV/atom; nan for undefined."""
        self.system.hull[self.row] = energy
        self.system.potentials[self.row] = potentials


@dataclass(frozen=True, slots=True)
class Columns:
    """The competing phases of one linear programme."""

    fractions: Floats  # shape (n, d)
    energies: Floats  # eV/atom, shape (n,)
    blocks: tuple[tuple[System, Rows], ...]  # where the columns come from, in order

    def composition(self, column: int) -> Composition:
        for system, rows in self.blocks:
            if column < len(rows):
                return system.compositions[int(rows[column])]
            column -= len(rows)
        raise IndexError(column)


class System:
    """The compositions of exactly these d elements. The arrays have a row each, and spare rows at the end."""

    __slots__ = (
        "_keys",
        "_order",
        "_views",
        "compositions",
        "elements",
        "energies",
        "fractions",
        "hull",
        "near",
        "potentials",
        "subsystems",
        "vertex",
    )

    def __init__(self, elements: Elements) -> None:
        self.elements = elements
        self.compositions: list[Composition] = []
        self.fractions: Floats = np.zeros((4, len(elements)))
        self.energies: Floats = np.full(4, np.inf)  # eV/atom of the lowest polymorph; inf where there is none
        self.hull: Floats = np.full(4, np.nan)  # eV/atom, leave-one-out; nan where undefined, and for elements
        self.potentials: Floats = np.full((4, len(elements)), np.nan)  # eV/atom, the duals of that programme
        self.near: NDArray[np.bool_] = np.zeros(4, dtype=np.bool_)  # on the hull or within a hair of it
        self.vertex: NDArray[np.bool_] = np.zeros(4, dtype=np.bool_)
        self.subsystems: list[tuple[System, Rows]] = []  # with the places of their elements; itself included
        self._keys: list[Formula] = []
        self._order: Rows = np.zeros(0, dtype=np.intp)  # rows by formula, so that no answer depends on arrival
        self._views: dict[bool, tuple[Rows, Floats, Floats]] = {}

    def composition(self, formula: Formula) -> Composition:
        """The row of a formula, a new one where it never was here."""
        place = bisect_left(self._keys, formula)
        if place < len(self._keys) and self._keys[place] == formula:
            return self.compositions[int(self._order[place])]
        row = len(self.compositions)
        if row == len(self.energies):
            self._grow()
        self.fractions[row] = fractions_of(formula)
        self._keys.insert(place, formula)
        self._order = np.insert(self._order, place, row)
        self.compositions.append(Composition(formula, self, row, []))
        return self.compositions[row]

    def changed(self) -> None:
        """An energy or a `near` flag is not what it was."""
        self._views.clear()

    def columns(self, *, everything: bool) -> tuple[Rows, Floats, Floats]:
        """Rows, fractions and energies by formula: of all compositions, or of those near the hull."""
        view = self._views.get(everything)
        if view is None:
            rows = self._order[(np.isfinite(self.energies) if everything else self.near)[self._order]]
            view = self._views[everything] = (rows, self.fractions[rows], self.energies[rows])
        return view

    def _grow(self) -> None:
        spare = len(self.energies)
        self.fractions = np.concatenate([self.fractions, np.zeros_like(self.fractions)])
        self.energies = np.concatenate([self.energies, np.full(spare, np.inf)])
        self.hull = np.concatenate([self.hull, np.full(spare, np.nan)])
        self.potentials = np.concatenate([self.potentials, np.full_like(self.potentials, np.nan)])
        self.near = np.concatenate([self.near, np.zeros(spare, dtype=np.bool_)])
        self.vertex = np.concatenate([self.vertex, np.zeros(spare, dtype=np.bool_)])


class Lattice:
    """Every chemical system that was ever used, and the order between them."""

    def __init__(self) -> None:
        self.systems: dict[Elements, System] = {}
        self._containing: dict[Elements, list[tuple[System, Rows]]] = {}

    def system(self, elements: Elements) -> System:
        """The system of these elements, made if it is new."""
        found = self.systems.get(elements)
        if found is not None:
            return found
        system = self.systems[elements] = System(elements)
        system.subsystems = list(self.below(elements))
        for subset, places in _subsets(elements):
            self._containing.setdefault(subset, []).append((system, places))
        for larger, places in self._containing[elements]:
            if larger is not system:
                insort(larger.subsystems, (system, places), key=_rank)
        return system

    def below(self, elements: Elements) -> Iterator[tuple[System, Rows]]:
        """The systems of these elements and of every subset, small ones first, with the places of their elements."""
        for subset, places in _subsets(elements):
            if subset in self.systems:
                yield self.systems[subset], places

    def above(self, elements: Elements) -> list[tuple[System, Rows]]:
        """The systems that contain these elements, with the places of these among theirs; itself included."""
        return self._containing.get(elements, [])

    def columns(self, elements: Elements, *, everything: bool, without: Composition | None) -> Columns:
        """The phases that compete at a composition of these elements, in an order that only the set decides."""
        known = self.systems.get(elements)
        blocks, fractions, energies = [], [], []
        for system, places in known.subsystems if known else self.below(elements):
            rows, inside, energy = system.columns(everything=everything)
            if without is not None and without.system is system:
                kept = rows != without.row
                rows, inside, energy = rows[kept], inside[kept], energy[kept]
            block = np.zeros((len(rows), len(elements)))
            block[:, places] = inside
            blocks.append((system, rows))
            fractions.append(block)
            energies.append(energy)
        return Columns(np.concatenate(fractions), np.concatenate(energies), tuple(blocks))


def elements_of(formula: Formula) -> Elements:
    """Atomic numbers, ascending."""
    return tuple(number for number, _ in formula.amounts)


def fractions_of(formula: Formula) -> Floats:
    """Atomic fractions in the order of the atomic numbers."""
    amounts = np.array([amount for _, amount in formula.amounts], dtype=np.float64)
    return amounts / amounts.sum()  # type: ignore[no-any-return]


def _rank(item: tuple[System, Rows]) -> tuple[int, Elements]:
    elements = item[0].elements
    return len(elements), elements


def _subsets(elements: Elements) -> Iterator[tuple[Elements, Rows]]:
    """Every subset but the empty one, small ones first, with the places of its elements."""
    for chosen, places in _choices(len(elements)):
        yield tuple(elements[place] for place in chosen), places


@cache
def _choices(count: int) -> tuple[tuple[tuple[int, ...], Rows], ...]:
    chosen = (places for size in range(1, count + 1) for places in combinations(range(count), size))
    return tuple((places, np.array(places, dtype=np.intp)) for places in chosen)
