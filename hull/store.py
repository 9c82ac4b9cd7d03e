"""The hull store: every entry so far, the convex hull of their energies, every distance current."""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Iterator
from math import inf

from hull.entries import (
    ATOMIC_NUMBER,
    SYMBOLS,
    BadEnergy,
    DuplicateEntry,
    Entry,
    Formula,
    MixedScales,
    UnknownElement,
    UnknownEntry,
    checked_energy,
)
from hull.landscape import Changes, Landscape, point_of
from hull.positions import STABLE_TOLERANCE, Event, EventKind, HullPoint, Insertion, Position, Withdrawal
from hull.simplex import LP_TOLERANCE
from hull.systems import Composition, elements_of

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


class HullStore:
    """Entries on one energy scale, with the hull kept current. Not thread-safe: one writer at a time.

    Nothing that is returned depends on the order of arrival: events are sorted by kind (those that came, then those
    that left) and entry id, formulas and points by formula, mixtures by entry id, chemical potentials by symbol.
    """

    def __init__(self, scale: str, *, landscape: Landscape | None = None) -> None:
        """landscape: of a snapshot; its numbers are believed as they are."""
        self.scale = scale
        self.landscape = landscape or Landscape()
        self._entries: dict[int, tuple[Composition, float]] = {  # with the entry's energy, eV/atom
            entry_id: (composition, energy)
            for composition in self.landscape.compositions.values()
            for energy, entry_id in composition.polymorphs
        }

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, entry_id: object) -> bool:
        return entry_id in self._entries

    def position(self, formula: Formula, energy_per_atom: float) -> Position:
        """Where an entry of this energy (eV/atom) would sit if it arrived now. Changes nothing.

        The decomposition is the composition's own vertex where there is one, else the leave-one-out optimum; the
        chemical potentials are always the leave-one-out duals, Σ x µ = H (for an element: its reference).
        Raises BadEnergy.
        """
        lowest = self._lowest_energy(formula)
        return self._position(formula, float(checked_energy(energy_per_atom)), lowest=lowest, met=lowest)

    def entry_position(self, entry_id: int) -> Position:
        """Where a stored entry sits now; "on arrival" as if it arrived last, against everything else in the store.

        That one is None for the only entry of an element: there is nothing to measure it against. Raises UnknownEntry.
        """
        composition, energy = self._entry(entry_id)
        met = min((other for other, number in composition.polymorphs[:2] if number != entry_id), default=inf)
        return self._position(composition.formula, energy, lowest=composition.lowest_energy, met=met)

    def e_above_hull(self, entry_id: int) -> float | None:
        """eV/atom, >= 0; None where an element of the entry has no reference. Raises UnknownEntry."""
        composition, energy = self._entry(entry_id)
        if composition.formula.is_element:
            return energy - composition.lowest_energy
        hull = composition.hull_energy
        return None if hull is None else max(0.0, energy - min(composition.lowest_energy, hull))

    def point(self, formula: Formula) -> HullPoint | None:
        """The state of one composition; None where the store has no entry of it."""
        composition = self.landscape.compositions.get(formula)
        return None if composition is None else point_of(composition)

    def points(self) -> Iterator[HullPoint]:
        """The state of every composition, by formula."""
        for formula in sorted(self.landscape.compositions):
            point = self.point(formula)
            if point is not None:
                yield point

    def stable_entries(self, elements: Iterable[str] | None = None) -> list[int]:
        """Ids of the entries on the hull, ascending: the lowest polymorph by (energy, entry id) of every vertex.

        Of the chemical system of these elements with all its subsystems, or of everything. Raises UnknownElement.
        """
        wanted = None if elements is None else {_atomic_number(symbol) for symbol in elements}
        return sorted(
            system.compositions[row].polymorphs[0][1]
            for system in self.landscape.lattice.systems.values()
            if wanted is None or wanted.issuperset(system.elements)
            for row in system.vertex.nonzero()[0]
        )

    def insert(self, entry: Entry, *, scale: str | None = None) -> Insertion:
        """Add an entry. Raises MixedScales or DuplicateEntry; then nothing has been done."""
        return self.insert_many([entry], scale=scale)[0]

    def insert_many(self, entries: Iterable[Entry], *, scale: str | None = None) -> list[Insertion]:
        """Add entries in this order, all of them or none. Raises MixedScales or DuplicateEntry."""
        if scale is not None and scale != self.scale:
            raise MixedScales(f"an energy on scale {scale!r} does not belong on a hull of scale {self.scale!r}")
        batch = list(entries)
        seen: set[int] = set()
        for entry in batch:
            if entry.entry_id in self._entries or entry.entry_id in seen:
                raise DuplicateEntry(f"entry {entry.entry_id} is in the store already")
            seen.add(entry.entry_id)
        return [self._insert(entry.entry_id, entry.formula, float(entry.energy_per_atom)) for entry in batch]

    def lower(self, entry_id: int, energy_per_atom: float) -> Insertion:
        """Give an entry a lower energy (eV/atom), as if it arrived again: its old energy is part of what it meets.

        Raises UnknownEntry, or BadEnergy where the energy is higher than before.
        """
        composition, old = self._entry(entry_id)
        energy = float(checked_energy(energy_per_atom))
        if energy > old:
            raise BadEnergy(f"{energy} eV/atom is higher than the {old} eV/atom of entry {entry_id}")
        return self._insert(entry_id, composition.formula, energy, instead_of=old)

    def withdraw(self, entry_id: int) -> Withdrawal:
        """Take an entry out again. Where the last reference of an element goes, its chemistry is undefined again.

        Raises UnknownEntry.
        """
        composition, energy = self._entry(entry_id)
        changes = Changes()
        changes.touch(composition)
        del self._entries[entry_id]
        composition.polymorphs.remove((energy, entry_id))
        if composition.lowest_energy > energy:
            self.landscape.raised(composition, changes)
        return Withdrawal(changes.events(entry_id, EventKind.RESTORED), changes.moved())

    def _insert(self, entry_id: int, formula: Formula, energy: float, *, instead_of: float | None = None) -> Insertion:
        on_arrival = self.position(formula, energy)
        composition = self.landscape.add(formula)
        changes = Changes()
        changes.touch(composition)
        lowest = composition.lowest_energy
        if instead_of is not None:
            composition.polymorphs.remove((instead_of, entry_id))
        insort(composition.polymorphs, (energy, entry_id))
        self._entries[entry_id] = (composition, energy)
        if energy < lowest:
            self.landscape.lowered(composition, changes)
        return Insertion(on_arrival, changes.events(entry_id, EventKind.STABLE), changes.moved())

    def _position(self, formula: Formula, energy: float, *, lowest: float, met: float) -> Position:
        """lowest: eV/atom of the lowest polymorph; met: of the lowest that an arrival would meet; inf for none."""
        missing = self.landscape.missing(formula)
        if missing:
            return Position(None, None, None, (), (), missing)
        composition = self.landscape.compositions.get(formula)
        if composition is not None and formula.is_element:
            arrival = None if met == inf else energy - met
            potentials = ((formula.elements[0], lowest),)
            return Position(max(0.0, energy - lowest), arrival, None, _ids([(composition, 1.0)]), potentials)
        competition = self.landscape.compete(formula)
        hull, mixture = competition.hull_energy, competition.mixture
        if composition is not None and composition.hull_energy is not None:
            hull = composition.hull_energy  # the same programme, the same number to the last bit as in its HullPoint
            mixture = ((composition, 1.0),) if composition.is_vertex else mixture
        symbols = (SYMBOLS[number - 1] for number in elements_of(formula))
        return Position(
            e_above_hull=max(0.0, energy - min(lowest, hull)),
            e_above_hull_on_arrival=energy - min(met, hull),
            decomposition_energy=energy - hull,
            decomposition=_ids(mixture),
            chemical_potentials=tuple(sorted(zip(symbols, competition.potentials.tolist(), strict=True))),
        )

    def _lowest_energy(self, formula: Formula) -> float:
        composition = self.landscape.compositions.get(formula)
        return inf if composition is None else composition.lowest_energy

    def _entry(self, entry_id: int) -> tuple[Composition, float]:
        if entry_id not in self._entries:
            raise UnknownEntry(f"entry {entry_id} is not in the store")
        return self._entries[entry_id]


def _ids(mixture: Iterable[tuple[Composition, float]]) -> tuple[tuple[int, float], ...]:
    """(entry id, fraction of the atoms) of the lowest polymorphs, by entry id."""
    return tuple(sorted((composition.polymorphs[0][1], part) for composition, part in mixture))


def _atomic_number(symbol: str) -> int:
    if symbol not in ATOMIC_NUMBER:
        raise UnknownElement(f"{symbol!r} is not an element")
    return ATOMIC_NUMBER[symbol]
