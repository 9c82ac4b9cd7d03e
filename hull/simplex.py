"""The linear programme under every distance: the cheapest mixture of phases with a given composition.

A dense revised primal simplex, compiled. The programmes are tiny (some ten columns, at most nine rows), so the inverse
of the basis is kept explicitly: updated at every pivot, made anew before an answer is believed. Ties are decided by the
compositions in play, never by the order of the columns, so that the answer is a function of the set of columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hull.compiled import inner, kernel
from hull.memory import MAX_ELEMENTS, N_PIVOTS, N_SOLVED, empty_memory, tables

LP_TOLERANCE = 1e-10  # eV/atom: below it two energies are the same to the linear programme
DEGENERATE_STEPS = 30  # steps without progress before Bland's rule takes over from Dantzig's
PIVOT_TOLERANCE = 1e-10  # dimensionless: smaller elements of a direction do not bound a step
EXACT = 1e-14  # eV/atom, and fraction of the atoms: residuals up to here are rounding
RATIO_TOLERANCE = 1e-12  # fraction of the atoms: ratios closer than this are tied, steps shorter are degenerate

STALLED, OPTIMAL = 0, 1

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Solution:
    """The cheapest mixture at a composition of d elements."""

    optimum: float  # eV/atom
    duals: Floats  # eV/atom, shape (d,): the chemical potential of each element; duals @ target is the optimum
    basis: NDArray[np.intp]  # shape (d,): rows of the phases in the mixture, some perhaps with fraction 0
    fractions: Floats  # shape (d,): fraction of the atoms in each of them, >= 0, sum 1


class NoReference(ValueError):
    """An element without a column of its own: there is nothing to start from, and the hull is undefined."""


class Stalled(ArithmeticError):
    """More pivots than any sane programme needs: the columns are too nearly dependent for this arithmetic."""


def minimise(
    compositions: ArrayLike, energies: ArrayLike, target: ArrayLike, *, tolerance: float = LP_TOLERANCE
) -> Solution:
    """min Σ λ_v E_v subject to Σ λ_v x_v = x, λ ≥ 0.

    compositions: atomic fractions x_v, shape (n, d), rows sum to 1, every element's unit vector among them.
    energies: E_v, eV/atom, shape (n,). target: x, shape (d,). tolerance: eV/atom; no column lies further than this
    below the plane of the duals (times the steepness of that plane where it exceeds 1 eV/atom: rounding grows with it).

    Starts from the elemental references, the lowest of each, whose basis is the identity. Dantzig's pricing until
    DEGENERATE_STEPS steps in a row brought nothing, Bland's rule from there to the next progress (R. G. Bland, Math.
    Oper. Res. 2 (1977) 103, doi:10.1287/moor.2.2.103). Raises NoReference where an element has no column of its own.
    """
    given = np.asarray(compositions, dtype=np.float64)
    total = np.asarray(energies, dtype=np.float64)
    count, elements = given.shape
    references = _references(given, total)
    order = np.concatenate([references, np.setdiff1d(np.arange(count), references)])
    columns = np.empty((count, elements + 1))
    columns[:, 0] = (total - given @ total[references])[order]  # small numbers, so rounding stays small
    columns[:, 1:] = given[order]
    memory = empty_memory()._replace(work=columns.ravel())
    goal, duals, fractions = memory.small[: 3 * MAX_ELEMENTS].reshape(3, MAX_ELEMENTS)[:, :elements]
    goal[:] = np.asarray(target, dtype=np.float64)
    if _minimise(memory.addresses(), count, elements, tolerance) != OPTIMAL:
        raise Stalled(f"{count} columns of {elements} elements did not come to an optimum")
    potentials = duals + total[references]
    return Solution(float(potentials @ goal), potentials, order[memory.small_i[:elements]], fractions.copy())


def _references(columns: Floats, energies: Floats) -> NDArray[np.intp]:
    """Row of the lowest elemental reference of each element."""
    basis = np.full(columns.shape[1], -1, dtype=np.intp)
    for row, element in zip(*np.nonzero(columns == 1.0), strict=True):
        if basis[element] < 0 or energies[row] < energies[basis[element]]:
            basis[element] = row
    if (basis < 0).any():
        raise NoReference(f"no elemental reference for the elements at {np.flatnonzero(basis < 0).tolist()}")
    return basis


@kernel
def _minimise(address: Any, count: Any, d: Any, tolerance: Any) -> Any:
    return optimise(tables(address), count, d, tolerance)


@inner
def optimise(m: Any, count: Any, d: Any, tolerance: Any) -> Any:
    """The programme of the columns in `work` at `target`: basis, duals and fractions; a function of these alone.

    Columns are formation energies (eV/atom) and atomic fractions; the first d are the elements, in order.
    """
    columns, basis, duals, fractions, direction, inverse = m.work, m.basis, m.duals, m.fractions, m.direction, m.inverse
    for i in range(d):
        basis[i] = i
        duals[i] = 0.0
        fractions[i] = m.target[i]
        for j in range(d):
            inverse[9 * i + j] = 1.0 if i == j else 0.0
    m.counters[N_SOLVED] += 1
    fresh = False
    stuck = 0
    for _ in range(1000 + 20 * count):
        bland = stuck >= DEGENERATE_STEPS
        entering, depth = _entering(m, count, d, tolerance, bland)
        if entering < 0:
            if fresh or _is_exact(m, d):
                return OPTIMAL
            _sort_basis(m, d)
            if not _refactor(m, d):
                return STALLED
            fresh = True
            continue
        m.counters[N_PIVOTS] += 1
        fresh = False
        start = entering * (d + 1) + 1
        for i in range(d):
            total = 0.0
            for j in range(d):
                total += inverse[9 * i + j] * columns[start + j]
            direction[i] = total
        leaving, step = _leaving(m, d, bland)
        if leaving < 0:  # no number in the target or in a column
            return STALLED
        stuck = stuck + 1 if step <= RATIO_TOLERANCE else 0
        pivot = 1.0 / direction[leaving]
        for j in range(d):
            inverse[9 * leaving + j] *= pivot
            duals[j] += depth * inverse[9 * leaving + j]
        for i in range(d):
            if i != leaving:
                factor = direction[i]
                fractions[i] = max(fractions[i] - factor * step, 0.0)
                for j in range(d):
                    inverse[9 * i + j] -= factor * inverse[9 * leaving + j]
        fractions[leaving] = step
        basis[leaving] = entering
    return STALLED


@inner
def _is_exact(m: Any, d: Any) -> Any:
    """Whether duals and fractions solve their equations to rounding, so that the inverse need not be made anew."""
    columns, basis, duals, fractions, target = m.work, m.basis, m.duals, m.fractions, m.target
    for i in range(d):
        start = basis[i] * (d + 1)
        wrong = columns[start]
        for j in range(d):
            wrong -= duals[j] * columns[start + 1 + j]
        if abs(wrong) > EXACT:
            return False
        left = target[i]
        for j in range(d):
            left -= fractions[j] * columns[basis[j] * (d + 1) + 1 + i]
        if abs(left) > EXACT:
            return False
    return True


@inner
def _entering(m: Any, count: Any, d: Any, tolerance: Any, bland: Any) -> Any:
    """The column that lies deepest below the plane of the duals (Bland: the first that does), or -1; and how deep."""
    columns, duals = m.work, m.duals
    steepest = 1.0
    for i in range(d):
        steepest = max(steepest, abs(duals[i]))
    limit = -tolerance * steepest
    if bland:
        return _first_below(m, count, d, limit)
    best, entering, tied = limit, -1, False
    if d == 3:
        a, b, c = duals[0], duals[1], duals[2]
        for column in range(count):
            at = 4 * column
            reduced = columns[at] - a * columns[at + 1] - b * columns[at + 2] - c * columns[at + 3]
            if reduced <= best:
                tied = reduced == best
                best, entering = reduced, column
    elif d == 4:
        a, b, c, e = duals[0], duals[1], duals[2], duals[3]
        for column in range(count):
            at = 5 * column
            reduced = columns[at] - a * columns[at + 1] - b * columns[at + 2] - c * columns[at + 3]
            reduced -= e * columns[at + 4]
            if reduced <= best:
                tied = reduced == best
                best, entering = reduced, column
    else:
        for column in range(count):
            at = column * (d + 1)
            reduced = columns[at]
            for i in range(d):
                reduced -= duals[i] * columns[at + 1 + i]
            if reduced <= best:
                tied = reduced == best
                best, entering = reduced, column
    if entering >= 0 and (tied or best == limit or _is_basic(m, entering, d)):
        return _deepest_below(m, count, d, limit)
    return entering, best


@inner
def _is_basic(m: Any, column: Any, d: Any) -> Any:
    found = False
    for i in range(d):
        found = found or m.basis[i] == column
    return found


@inner
def _reduced(m: Any, column: Any, d: Any) -> Any:
    """How far above the plane of the duals a column lies, eV/atom."""
    columns, at = m.work, column * (d + 1)
    reduced = columns[at]
    for i in range(d):
        reduced -= m.duals[i] * columns[at + 1 + i]
    return reduced


@inner
def _deepest_below(m: Any, count: Any, d: Any, limit: Any) -> Any:
    """As `_entering`, where columns of the basis are below the plane by rounding, or several are equally deep."""
    best, entering = limit, -1
    for column in range(count):
        reduced = _reduced(m, column, d)
        if reduced >= limit or reduced > best or _is_basic(m, column, d):
            continue
        if entering < 0 or reduced < best or comes_before(m, d, column, entering):
            best, entering = reduced, column
    return entering, best


@inner
def _first_below(m: Any, count: Any, d: Any, limit: Any) -> Any:
    """Bland's choice."""
    best, entering = limit, -1
    for column in range(count):
        reduced = _reduced(m, column, d)
        below = reduced < limit and not _is_basic(m, column, d)
        if below and (entering < 0 or comes_before(m, d, column, entering)):
            best, entering = reduced, column
    return entering, best


@inner
def _leaving(m: Any, d: Any, bland: Any) -> Any:
    """Which phase leaves the mixture, and the fraction of the one that enters.

    Ties: the largest pivot leaves, under Bland's rule and among equals the first column.
    """
    direction, fractions, basis = m.direction, m.fractions, m.basis
    step = np.inf
    for i in range(d):
        if direction[i] > PIVOT_TOLERANCE:
            step = min(step, fractions[i] / direction[i])
    leaving = -1
    for i in range(d):
        if direction[i] > PIVOT_TOLERANCE and fractions[i] / direction[i] <= step + RATIO_TOLERANCE:
            if leaving < 0:
                leaving = i
            elif bland or direction[i] == direction[leaving]:
                if comes_before(m, d, basis[i], basis[leaving]):
                    leaving = i
            elif direction[i] > direction[leaving]:
                leaving = i
    return leaving, step


@inner
def comes_before(m: Any, d: Any, one: Any, other: Any) -> Any:
    """An order of the columns that only their compositions decide."""
    for i in range(d):
        a, b = m.work[one * (d + 1) + 1 + i], m.work[other * (d + 1) + 1 + i]
        if a != b:
            return a > b
    return False


@inner
def _sort_basis(m: Any, d: Any) -> None:
    basis = m.basis
    for i in range(1, d):
        column = basis[i]
        j = i
        while j > 0 and comes_before(m, d, column, basis[j - 1]):
            basis[j] = basis[j - 1]
            j -= 1
        basis[j] = column


@inner
def _refactor(m: Any, d: Any) -> Any:
    """Inverse, duals and fractions of the basis anew: Gauss-Jordan with partial pivoting. False if it is singular."""
    columns, matrix, inverse, basis = m.work, m.matrix, m.inverse, m.basis
    for i in range(d):
        for j in range(d):
            matrix[9 * i + j] = columns[basis[j] * (d + 1) + 1 + i]
            inverse[9 * i + j] = 1.0 if i == j else 0.0
    for c in range(d):
        p = c
        for i in range(c + 1, d):
            if abs(matrix[9 * i + c]) > abs(matrix[9 * p + c]):
                p = i
        if matrix[9 * p + c] == 0.0:
            return False
        if p != c:
            for j in range(d):
                matrix[9 * p + j], matrix[9 * c + j] = matrix[9 * c + j], matrix[9 * p + j]
                inverse[9 * p + j], inverse[9 * c + j] = inverse[9 * c + j], inverse[9 * p + j]
        factor = 1.0 / matrix[9 * c + c]
        for j in range(d):
            matrix[9 * c + j] *= factor
            inverse[9 * c + j] *= factor
        for i in range(d):
            factor = matrix[9 * i + c]
            if i != c and factor != 0.0:
                for j in range(d):
                    matrix[9 * i + j] -= factor * matrix[9 * c + j]
                    inverse[9 * i + j] -= factor * inverse[9 * c + j]
    for j in range(d):
        total, part = 0.0, 0.0
        for i in range(d):
            total += columns[basis[i] * (d + 1)] * inverse[9 * i + j]
            part += inverse[9 * j + i] * m.target[i]
        m.duals[j], m.fractions[j] = total, max(part, 0.0)
    return True
