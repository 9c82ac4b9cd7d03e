"""Fingerprints by the million: shapes of real crystals that other elements take, varied, and a crowd of one formula."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np
from numpy.typing import NDArray

from hull.entries import SYMBOLS, Formula
from validation.crystal import Crystal
from validation.fingerprint import Fingerprint

_ELEMENTS = [number for number in range(1, 95) if SYMBOLS[number - 1] not in ("He", "Ne", "Ar", "Kr", "Xe")]
_POLYMORPH_SHARE = 0.01  # of the rows: of a formula that is looked up, and of another one's shape
_TWIN_SHARE = 0.05  # of what is looked up has a twin among the rows
_SPREAD = 0.03  # of distances and of lengths, between crystals of one shape
_TWIN_SPREAD = 1e-4

Wanted = tuple[int, Fingerprint]
Dice = random.Random  # ten times faster than numpy's, one number at a time


@dataclass(slots=True)
class Stock:
    """Rows, and the crystal behind each: of its shape, made of its elements.

    crystals: primitive cells that are looked up, with their fingerprints. Row n belongs to candidate ``first + n``.
    """

    crystals: Sequence[Crystal]
    fingerprints: Sequence[Fingerprint]
    first: int
    shapes: list[int] = field(default_factory=list)
    formulas: list[Formula] = field(default_factory=list)

    def rows(self, count: int) -> Iterator[Wanted]:
        """So many more. Twins of what is looked up come first."""
        dice = random.Random(len(self.shapes))
        if not self.shapes:
            for shape in range(0, len(self.crystals), round(1 / _TWIN_SHARE)):
                yield self._row(shape, self.crystals[shape].formula, _TWIN_SPREAD, dice)
        kinds, alike = [_kind(crystal) for crystal in self.crystals], self._by_shape()
        while len(self.shapes) < count:
            shape = dice.randrange(len(self.crystals))
            formula = self.crystals[dice.choice(alike[kinds[shape]])].formula
            if dice.random() > _POLYMORPH_SHARE or formula == self.crystals[shape].formula:
                formula = _substituted(self.crystals[shape].formula, dice)
            yield self._row(shape, formula, _SPREAD, dice)

    def crystal(self, candidate: int) -> Crystal:
        row = candidate - self.first
        shape = self.crystals[self.shapes[row]]
        kinds = np.unique(shape.numbers, return_inverse=True)[1]  # the shape's n-th element becomes the row's n-th
        numbers = np.array([number for number, _ in self.formulas[row].amounts])
        return Crystal(shape.lattice, shape.frac_coords, numbers[kinds])

    @property
    def twins(self) -> int:
        return len(range(0, len(self.crystals), round(1 / _TWIN_SHARE)))

    def _row(self, shape: int, formula: Formula, spread: float, dice: Dice) -> Wanted:
        like = self.fingerprints[shape]
        self.shapes.append(shape)
        self.formulas.append(formula)
        key = f"{formula}:{like.n_atoms}"
        return self.first + len(self.shapes) - 1, varied(like, spread, dice, key=key)

    def _by_shape(self) -> dict[tuple[object, ...], list[int]]:
        """Numbers of the crystals that can be of each other's shape."""
        alike: dict[tuple[object, ...], list[int]] = defaultdict(list)
        for number, crystal in enumerate(self.crystals):
            alike[_kind(crystal)].append(number)
        return alike


def varied(like: Fingerprint, spread: float, dice: Dice, *, key: str | None = None) -> Fingerprint:
    """A fingerprint near another one: all distances differ together, as a wave along k, and each by itself."""
    waves, steps = _differences()
    wave, step = waves[dice.randrange(len(waves))], steps[dice.randrange(len(steps))]
    distances = like.distances + np.float32(spread * dice.gauss(0.0, 1.0)) * wave[: len(like.distances)]
    return Fingerprint(key or like.key, distances, np.sort(like.lengths + np.float32(spread) * step))


@cache
def _differences() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Of distances and of lengths, in units of the spread; shapes (1009, 800) and (1013, 13)."""
    dice = np.random.default_rng(0)
    phases, periods = dice.uniform(0, 2 * np.pi, (1009, 1)), dice.uniform(2, 20, (1009, 1))
    waves = np.cos(phases + np.arange(800) / periods) + 0.3 * dice.normal(size=(1009, 800))
    return waves.astype(np.float32), dice.normal(size=(1013, 13)).astype(np.float32)


def _kind(crystal: Crystal) -> tuple[object, ...]:
    """Equal where the elements, in the order of their atomic numbers, have as many atoms."""
    return len(crystal), *np.unique(crystal.numbers, return_counts=True)[1].tolist()


def _substituted(formula: Formula, dice: Dice) -> Formula:
    """Other elements with the same amounts, in the order of their atomic numbers."""
    drawn = sorted(dice.sample(_ELEMENTS, len(formula.amounts)))
    return Formula(tuple((number, amount) for number, (_, amount) in zip(drawn, formula.amounts, strict=True)))
