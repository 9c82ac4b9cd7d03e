"""The hull in rational arithmetic: no rounding, no tolerance, and nothing shared with the code under test.

Every energy is taken as the exact number that its float is. The programme is solved by a tableau of fractions under
Bland's rule; ``cheapest_of_all_bases`` solves it again by trying every basis, to hold the tableau itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from itertools import combinations

from hull.entries import SYMBOLS, Entry, Formula

Column = tuple[Fraction, ...]


class RationalHull:
    """The lowest energy of every composition, and what follows from it."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self.lowest: dict[Formula, tuple[Fraction, int]] = {}  # (eV/atom, entry id), the lower id of two equal energies
        for entry in entries:
            here = (Fraction(entry.energy_per_atom), entry.entry_id)
            self.lowest[entry.formula] = min(here, self.lowest.get(entry.formula, here))
        self._optima: dict[Formula, tuple[Fraction, dict[Formula, Fraction]]] = {}

    def missing(self, formula: Formula) -> tuple[str, ...]:
        return tuple(symbol for symbol in formula.elements if Formula.of({symbol: 1}) not in self.lowest)

    def hull_energy(self, formula: Formula) -> Fraction | None:
        """eV/atom over all other compositions; None for an element or where a reference is missing."""
        return None if formula.is_element or self.missing(formula) else self.decomposition(formula)[0]

    def decomposition(self, formula: Formula) -> tuple[Fraction, dict[Formula, Fraction]]:
        """The optimum over all other compositions, and one mixture that has it (fractions of the atoms)."""
        if formula not in self._optima:
            columns, energies, names = self.programme(formula)
            optimum, parts = exact_minimum(columns, energies, fractions_in(formula, formula.elements))
            self._optima[formula] = optimum, {names[column]: part for column, part in parts.items()}
        return self._optima[formula]

    def programme(self, formula: Formula) -> tuple[list[Column], list[Fraction], list[Formula]]:
        """Columns, energies and names of all other compositions of these elements, the elements themselves first."""
        symbols = formula.elements
        inside = [one for one in self.lowest if one != formula and set(one.elements) <= set(symbols)]
        names = sorted(inside, key=lambda one: (not one.is_element, one.elements, one))
        return [fractions_in(one, symbols) for one in names], [self.lowest[one][0] for one in names], names

    def depth(self, formula: Formula) -> Fraction | None:
        """How far the lowest energy lies below all others, eV/atom; negative above them."""
        hull = self.hull_energy(formula)
        return None if hull is None else hull - self.lowest[formula][0]

    def is_vertex(self, formula: Formula) -> bool:
        depth = self.depth(formula)
        return formula.is_element if depth is None else depth > 0

    def e_above_hull(self, entry: Entry) -> Fraction | None:
        """eV/atom; None where a reference is missing."""
        if self.missing(entry.formula):
            return None
        hull, lowest = self.hull_energy(entry.formula), self.lowest[entry.formula][0]
        return Fraction(entry.energy_per_atom) - (lowest if hull is None else min(hull, lowest))

    def stable_entries(self) -> list[int]:
        return sorted(number for formula, (_, number) in self.lowest.items() if self.is_vertex(formula))


def fractions_in(formula: Formula, symbols: Sequence[str]) -> Column:
    amounts = {SYMBOLS[number - 1]: amount for number, amount in formula.amounts}
    return tuple(Fraction(amounts.get(symbol, 0), formula.n_atoms) for symbol in symbols)


def exact_minimum(
    columns: Sequence[Column], energies: Sequence[Fraction], target: Column
) -> tuple[Fraction, dict[int, Fraction]]:
    """min Σ λ_v E_v with Σ λ_v x_v = target, λ ≥ 0; the first len(target) columns are the unit vectors in order.

    Returns the optimum and λ of the columns in the mixture.
    """
    size = len(target)
    assert all(columns[row] == tuple(Fraction(row == place) for place in range(size)) for row in range(size))
    rows = [[column[place] for column in columns] + [target[place]] for place in range(size)]
    costs = [energy - _dot(column, energies[:size]) for column, energy in zip(columns, energies, strict=True)]
    basis = list(range(size))
    while (entering := next((place for place, cost in enumerate(costs) if cost < 0), None)) is not None:
        ratios = [(row[-1] / row[entering], basis[place], place) for place, row in enumerate(rows) if row[entering] > 0]
        leaving = min(ratios)[2]
        _pivot(rows, costs, leaving, entering)
        basis[leaving] = entering
    parts = {column: row[-1] for column, row in zip(basis, rows, strict=True) if row[-1]}
    return sum((part * energies[column] for column, part in parts.items()), Fraction(0)), parts


def cheapest_of_all_bases(columns: Sequence[Column], energies: Sequence[Fraction], target: Column) -> Fraction:
    """The same optimum by brute force: every choice of as many columns as there are elements."""
    found = []
    for basis in combinations(range(len(columns)), len(target)):
        parts = _solved([columns[place] for place in basis], target)
        if parts is not None and min(parts) >= 0:
            found.append(_dot(parts, [energies[place] for place in basis]))
    return min(found)


def _pivot(rows: list[list[Fraction]], costs: list[Fraction], leaving: int, entering: int) -> None:
    pivot = rows[leaving][entering]
    rows[leaving] = [number / pivot for number in rows[leaving]]
    for place, row in enumerate(rows):
        if place != leaving and row[entering]:
            factor = row[entering]
            rows[place] = [number - factor * other for number, other in zip(row, rows[leaving], strict=True)]
    factor = costs[entering]
    costs[:] = [cost - factor * other for cost, other in zip(costs, rows[leaving][:-1], strict=True)]


def _solved(columns: Sequence[Column], target: Column) -> list[Fraction] | None:
    """λ with Σ λ_v x_v = target by elimination; None where the columns are dependent."""
    size = len(target)
    rows = [[column[place] for column in columns] + [target[place]] for place in range(size)]
    for place in range(size):
        leading = next((row for row in range(place, size) if rows[row][place]), None)
        if leading is None:
            return None
        rows[place], rows[leading] = rows[leading], rows[place]
        _pivot(rows, [Fraction(0)] * size, place, place)
    return [row[-1] for row in rows]


def _dot(one: Sequence[Fraction], other: Sequence[Fraction]) -> Fraction:
    return sum((left * right for left, right in zip(one, other, strict=True)), Fraction(0))
