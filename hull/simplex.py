"""The linear programme under every distance: the cheapest mixture of phases with a given composition.

A dense revised primal simplex. The programmes are tiny (some ten columns, at most nine rows), so the inverse of the
basis is kept explicitly: updated at every pivot, made anew before an answer is believed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

LP_TOLERANCE = 1e-10  # eV/atom: below it two energies are the same to the linear programme
DEGENERATE_STEPS = 30  # steps without progress before Bland's rule takes over from Dantzig's
PIVOT_TOLERANCE = 1e-10  # dimensionless: smaller elements of a direction do not bound a step
RATIO_TOLERANCE = 1e-12  # fraction of the atoms: ratios closer than this are tied, steps shorter are degenerate

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
    columns = np.asarray(compositions, dtype=np.float64)
    goal = np.asarray(target, dtype=np.float64)
    total = np.asarray(energies, dtype=np.float64)
    basis = _references(columns, total)
    references = total[basis]
    costs = total - columns @ references  # formation energies: small numbers, so rounding stays small
    inverse = np.eye(len(goal))
    fresh, stuck = True, 0
    for _ in range(1000 + 20 * len(costs)):
        duals = costs[basis] @ inverse
        reduced = costs - columns @ duals
        improving = reduced < -tolerance * max(1.0, float(np.abs(duals).max()))
        improving[basis] = False
        if not improving.any():
            if fresh:
                fractions = np.maximum(inverse @ goal, 0.0)
                potentials = duals + references
                return Solution(float(potentials @ goal), potentials, basis, fractions)
            inverse[:], fresh = np.linalg.inv(columns[basis].T), True
            continue
        bland = stuck >= DEGENERATE_STEPS
        entering = int(np.argmax(improving)) if bland else int(np.argmin(np.where(improving, reduced, np.inf)))
        direction = inverse @ columns[entering]
        leaving, step = _ratio_test(np.maximum(inverse @ goal, 0.0), direction, basis, bland=bland)
        stuck = stuck + 1 if step <= RATIO_TOLERANCE else 0
        pivot_row = inverse[leaving] / direction[leaving]
        inverse -= np.outer(direction, pivot_row)
        inverse[leaving] = pivot_row
        basis[leaving], fresh = entering, False
    raise Stalled(f"{len(costs)} columns of {len(goal)} elements did not come to an optimum")


def _references(columns: Floats, energies: Floats) -> NDArray[np.intp]:
    """Row of the lowest elemental reference of each element."""
    basis = np.full(columns.shape[1], -1, dtype=np.intp)
    for row, element in zip(*np.nonzero(columns == 1.0), strict=True):
        if basis[element] < 0 or energies[row] < energies[basis[element]]:
            basis[element] = row
    if (basis < 0).any():
        raise NoReference(f"no elemental reference for the elements at {np.flatnonzero(basis < 0).tolist()}")
    return basis


def _ratio_test(fractions: Floats, direction: Floats, basis: NDArray[np.intp], *, bland: bool) -> tuple[int, float]:
    """Which phase leaves the mixture, and the fraction of the one that enters.

    Ties: the largest pivot leaves, under Bland's rule the first column.
    """
    bounding = direction > PIVOT_TOLERANCE  # never empty: the elements of a direction sum to 1
    ratios = np.full(len(direction), np.inf)
    np.divide(fractions, direction, out=ratios, where=bounding)
    step = float(ratios.min())
    tied = ratios <= step + RATIO_TOLERANCE
    leaving = (
        np.argmin(np.where(tied, basis, np.iinfo(np.intp).max)) if bland else np.argmax(np.where(tied, direction, 0.0))
    )
    return int(leaving), step
