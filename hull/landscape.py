"""The energy landscape of all compositions: what the hull is at each of them, and how far a change reaches.

For each composition p it keeps (H_p, µ_p), the optimum and the duals of the linear programme over *all other*
compositions of p's elements. p is a vertex of the hull iff E_p < H_p - LP_TOLERANCE: a function of the set of entries
alone, so neither ties nor the order of arrival matter. A new lowest energy at q can change H_p only where q's elements
are among p's and the reduced cost E_q - µ_p·x_q is negative, so one dot product decides who is solved again.

A composition above the hull is no part of an optimum, except where p itself is what the hull passes below it with. So
p's within NEAR_MARGIN of the hull are solved against everything, all others against what is near the hull.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import nan

import numpy as np

from hull.entries import SYMBOLS, Formula
from hull.positions import Event, EventKind, HullPoint
from hull.simplex import LP_TOLERANCE, Floats, minimise
from hull.systems import Composition, Elements, Lattice, elements_of, fractions_of

RESOLVE_TOLERANCE = 1e-12  # eV/atom: a smaller reduced cost is rounding; far below LP_TOLERANCE, so no tie turns on it
NEAR_MARGIN = 1e-9  # eV/atom above the hull within which a composition stays a column of its neighbours' programmes
FRACTION_TOLERANCE = 1e-10  # fraction of the atoms below which a phase is no part of a mixture


@dataclass(frozen=True, slots=True)
class Competition:
    """The leave-one-out optimum at a composition."""

    hull_energy: float  # eV/atom
    potentials: Floats  # eV/atom, in the order of the atomic numbers
    mixture: tuple[tuple[Composition, float], ...]  # fraction of the atoms; no zeros


class Changes:
    """What one change of the store does: the points before it, compared with the points after it."""

    def __init__(self) -> None:
        self._before: dict[Composition, HullPoint | None] = {}

    def touch(self, composition: Composition) -> None:
        """To be called before anything of a composition is changed."""
        if composition not in self._before:
            self._before[composition] = point_of(composition)

    def moved(self) -> tuple[Formula, ...]:
        """Formulas whose point is another than before, sorted."""
        return tuple(sorted(one.formula for one, before in self._before.items() if point_of(one) != before))

    def events(self, by: int, kind: EventKind) -> tuple[Event, ...]:
        """The difference of the stable sets; kind: of those that came. Those that came first, then by entry id."""
        stable_before = {entry for before in self._before.values() for entry in _stable_entry(before)}
        stable_now = {entry for composition in self._before for entry in _stable_entry(point_of(composition))}
        return (
            *(Event(kind, entry, None if entry == by else by) for entry in sorted(stable_now - stable_before)),
            *(Event(EventKind.DETHRONED, entry, by) for entry in sorted(stable_before - stable_now)),
        )


class Landscape:
    """Every composition with its lowest energy, and the hull below it. Callers keep the polymorphs, this the hull."""

    def __init__(self) -> None:
        self.lattice = Lattice()
        self.compositions: dict[Formula, Composition] = {}

    def add(self, formula: Formula) -> Composition:
        """The composition of a formula, made if it is new."""
        composition = self.compositions.get(formula)
        if composition is None:
            composition = self.lattice.system(elements_of(formula)).composition(formula)
            self.compositions[formula] = composition
        return composition

    def missing(self, formula: Formula) -> tuple[str, ...]:
        """Symbols of the formula's elements without a reference, alphabetical."""
        return tuple(sorted(SYMBOLS[number - 1] for number in elements_of(formula) if not self._has_reference(number)))

    def compete(self, formula: Formula) -> Competition:
        """The leave-one-out programme of a formula whose elements all have references."""
        composition = self.compositions.get(formula)
        everything = composition is not None and composition.is_near
        columns = self.lattice.columns(elements_of(formula), everything=everything, without=composition)
        solution = minimise(columns.fractions, columns.energies, fractions_of(formula), tolerance=RESOLVE_TOLERANCE)
        parts = zip(solution.basis.tolist(), solution.fractions.tolist(), strict=True)
        mixture = tuple((columns.composition(column), part) for column, part in parts if part > FRACTION_TOLERANCE)
        return Competition(solution.optimum, solution.duals, mixture)

    def lowered(self, composition: Composition, changes: Changes) -> None:
        """A composition has a lower lowest polymorph than before, or its first."""
        first = np.isinf(composition.system.energies[composition.row])
        composition.set_energy()
        if composition.formula.is_element and first:
            composition.set_flags(near=True, vertex=True)
            self._solve_together(self._waiting_for(composition.system.elements), changes)
            return
        if not composition.formula.is_element:
            if not self._is_defined(composition.system.elements):
                return
            if composition.hull_energy is None:
                self._solve(composition)
            _flag(composition)
        for other in self._above_plane(composition, margin=-RESOLVE_TOLERANCE):
            changes.touch(other)
            self._solve(other)
            _flag(other)

    def raised(self, composition: Composition, changes: Changes) -> None:
        """The lowest polymorph of a composition is gone; the next one is higher, or there is none."""
        leaning = self._above_plane(composition, margin=NEAR_MARGIN)
        composition.set_energy()
        if not composition.polymorphs:
            _undefine(composition)
            del self.compositions[composition.formula]
            if composition.formula.is_element:
                self._undefine_above(composition.system.elements, changes)
                return
        elif composition.hull_energy is not None:
            _flag(composition)
        self._solve_together(leaning, changes)

    def _has_reference(self, number: int) -> bool:
        system = self.lattice.systems.get((number,))
        return system is not None and bool(np.isfinite(system.energies[0]))

    def _is_defined(self, elements: Elements) -> bool:
        return all(self._has_reference(number) for number in elements)

    def _waiting_for(self, element: Elements) -> list[Composition]:
        """The compositions that become defined with the reference of this element."""
        return [
            composition
            for system, _ in self.lattice.above(element)
            if system.elements != element and self._is_defined(system.elements)
            for composition in system.compositions
            if composition.polymorphs
        ]

    def _undefine_above(self, element: Elements, changes: Changes) -> None:
        for system, _ in self.lattice.above(element):
            for composition in system.compositions:
                if composition.polymorphs:
                    changes.touch(composition)
                    _undefine(composition)

    def _above_plane(self, composition: Composition, *, margin: float) -> list[Composition]:
        """The compositions whose plane of potentials this one undercuts by more than -margin (eV/atom).

        Where it is not near the hull, only what is near the hull was ever solved against it.
        """
        system, row = composition.system, composition.row
        found = []
        for larger, places in self.lattice.above(system.elements):
            count = len(larger.compositions)
            reduced = system.energies[row] - larger.potentials[:count, places] @ system.fractions[row]
            hits = reduced < margin  # nan, the undefined, is never less
            if not system.near[row]:
                hits &= larger.near[:count]
            found += [larger.compositions[hit] for hit in np.flatnonzero(hits)]
        return [other for other in found if other is not composition]

    def _solve_together(self, compositions: list[Composition], changes: Changes) -> None:
        """Solve compositions that may come onto the hull side by side: each is a column of the others' programmes."""
        for composition in compositions:
            changes.touch(composition)
            composition.set_flags(near=True, vertex=composition.is_vertex)
        for composition in compositions:
            self._solve(composition)
        for composition in compositions:
            _flag(composition)

    def _solve(self, composition: Composition) -> None:
        competition = self.compete(composition.formula)
        composition.set_hull(competition.hull_energy, competition.potentials)


def point_of(composition: Composition) -> HullPoint | None:
    """The state of a composition; None without polymorphs."""
    if not composition.polymorphs:
        return None
    energy, entry_id = composition.polymorphs[0]
    return HullPoint(composition.formula, composition.hull_energy, energy, entry_id, composition.is_vertex)


def _stable_entry(point: HullPoint | None) -> tuple[int, ...]:
    return (point.lowest_entry,) if point is not None and point.is_vertex else ()


def _flag(composition: Composition) -> None:
    """Set what follows from H and E; an element with an entry is always a vertex."""
    depth = (
        np.inf
        if composition.formula.is_element
        else composition.system.hull[composition.row] - composition.lowest_energy
    )
    composition.set_flags(near=bool(depth > -NEAR_MARGIN), vertex=bool(depth > LP_TOLERANCE))


def _undefine(composition: Composition) -> None:
    composition.set_hull(nan, nan)
    composition.set_flags(near=False, vertex=False)
