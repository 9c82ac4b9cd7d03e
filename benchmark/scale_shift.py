"""How far two energy scales are apart by composition: shifts by robust least squares.

Formation energies on two scales differ by more than the mistakes of their judges: the ones are of energies corrected
for anions, the others are not, and pseudopotentials and elemental references differ. What is linear in the composition
is of the scales; what is left is of the crystal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from benchmark.anions import anion_of
from hull.entries import Formula

HUBER_EV_PER_ATOM = 0.05  # beyond it a difference pulls by its sign alone
RIDGE = 0.03  # as if this many atoms of each element had shown no shift: an element seen once or twice has a small one
_ROUNDS = 100
_FOLDS = 10

Shares = Callable[[Formula], Mapping[str, float]]
Differences = NDArray[np.float64]


def by_element(formula: Formula) -> Mapping[str, float]:
    """Atomic fractions; none for an element, whose formation energy is about 0 on any scale."""
    return {} if formula.is_element else formula.fractions


def by_anion(formula: Formula) -> Mapping[str, float]:
    """The atomic fraction of the anion alone."""
    anion = anion_of(formula)
    return {anion: formula.fractions[anion]} if anion else {}


def fitted(formulas: Sequence[Formula], differences: Differences, shares: Shares) -> dict[str, float]:
    """eV per atom of each symbol: what the first scale's formation energies lie above the second's.

    differences: eV/atom, (n,). Huber's loss by iteratively reweighted least squares, with a ridge: deterministic, and
    the same in whatever order the crystals come, up to rounding.
    """
    symbols = sorted({symbol for formula in formulas for symbol in shares(formula)})
    parts = _parts(formulas, symbols, shares)
    weights: Differences = np.ones(len(differences))
    ridge = RIDGE * np.eye(len(symbols))
    shifts = np.zeros(len(symbols))
    for _ in range(_ROUNDS):
        weighted = parts * weights[:, None]
        shifts[:] = np.linalg.solve(weighted.T @ parts + ridge, weighted.T @ differences)
        left = np.abs(differences - parts @ shifts)
        weights = HUBER_EV_PER_ATOM / np.maximum(left, HUBER_EV_PER_ATOM)
    return dict(zip(symbols, shifts.tolist(), strict=True))


def shift_of(formula: Formula, shifts: Mapping[str, float], shares: Shares) -> float:
    """eV/atom; a symbol that was not fitted has none."""
    return sum(share * shifts.get(symbol, 0.0) for symbol, share in shares(formula).items())


def left_over(formulas: Sequence[Formula], differences: Differences, shares: Shares) -> Differences:
    """What no fit explains that did not see the formula: each tenth of them by a fit to the other nine, (n,)."""
    place = {formula: number for number, formula in enumerate(sorted(set(formulas), key=str))}
    fold = np.array([place[formula] % _FOLDS for formula in formulas])
    left = differences.copy()
    for number in range(_FOLDS):
        others = np.flatnonzero(fold != number).tolist()
        shifts = fitted([formulas[row] for row in others], differences[others], shares)
        for row in np.flatnonzero(fold == number).tolist():
            left[row] -= shift_of(formulas[row], shifts, shares)
    return left


def _parts(formulas: Sequence[Formula], symbols: Sequence[str], shares: Shares) -> NDArray[np.float64]:
    """Shape (formulas, symbols)."""
    column = {symbol: number for number, symbol in enumerate(symbols)}
    parts = np.zeros((len(formulas), len(symbols)))
    for row, formula in enumerate(formulas):
        for symbol, share in shares(formula).items():
            parts[row, column[symbol]] = share
    return parts
