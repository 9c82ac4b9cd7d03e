"""Allotropes of one element that nobody found: close-packed layers in every order, and random dense packings."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice, product

import numpy as np
from numpy.typing import NDArray

from hull.entries import ATOMIC_NUMBER
from validation.crystal import Crystal
from validation.lattices import reduced_lattice

ELEMENT = "C"
_VOLUME_ANG3 = 8.0  # an atom
_LAYERS = range(2, 15)
_ATOMS = (4, 13)
_APART_ANG = 1.9  # that packings are pushed to
_LEAST_ANG = 1.2
_PUSHES = 60
_LONGEST = 3.0  # over the shortest vector of a cell

Dice = np.random.Generator


def allotropes(count: int, seed: int = 0) -> list[Crystal]:
    """All polytypes there are of up to 14 layers, at most a tenth of the count, and random packings, shuffled."""
    dice = np.random.default_rng(seed)
    made = list(islice(polytypes(), count // 10))
    made += islice(packings(dice), count - len(made))
    return [made[place] for place in dice.permutation(count)]


def polytypes() -> Iterator[Crystal]:
    """Close-packed layers, the shortest period first; each order of them once."""
    radius = (_VOLUME_ANG3 * 2**0.5) ** (1 / 3) / 2
    side, height = 2 * radius, 2 * radius * (2 / 3) ** 0.5
    plane = np.array([[side, 0.0, 0.0], [-0.5 * side, 0.75**0.5 * side, 0.0]])
    for steps in _orders():
        at = np.cumsum((0, *steps[:-1])) % 3 / 3  # A, B and C
        frac = np.column_stack([at, 2 * at, np.arange(len(steps)) / len(steps)])
        yield _carbon(np.vstack([plane, [0.0, 0.0, height * len(steps)]]), frac)


def _orders() -> Iterator[tuple[int, ...]]:
    """Steps of +1 or -1 from one layer to the next, after G. Hägg (1943): periodic, and none a rotation, a mirror image
    or a reversal of another."""
    for layers in _LAYERS:
        for steps in product((1, -1), repeat=layers):
            if sum(steps) % 3 == 0 and steps == max(_same(steps)) and not _repeats(steps):
                yield steps


def _same(steps: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    for order in (steps, steps[::-1]):
        for turn in range(len(steps)):
            turned = order[turn:] + order[:turn]
            yield turned
            yield tuple(-step for step in turned)


def _repeats(steps: tuple[int, ...]) -> bool:
    """Within fewer layers, that close by themselves."""
    n = len(steps)
    parts = (part for part in range(1, n) if n % part == 0)
    return any(sum(steps[:part]) % 3 == 0 and steps == steps[:part] * (n // part) for part in parts)


def packings(dice: Dice, atoms: tuple[int, int] = _ATOMS) -> Iterator[Crystal]:
    """Sites thrown into a random cell and pushed apart. atoms: from, and below."""
    while True:
        count = int(dice.integers(*atoms))
        lattice = reduced_lattice(dice.normal(size=(3, 3)) + 2.2 * np.eye(3))
        lattice *= (_VOLUME_ANG3 * count / abs(np.linalg.det(lattice))) ** (1 / 3)
        lengths = np.linalg.norm(lattice, axis=1)
        if lengths.max() > _LONGEST * lengths.min():
            continue
        frac, least = _pushed_apart(lattice, dice.random((count, 3)))
        if least > _LEAST_ANG:
            yield _carbon(lattice, frac)


def _pushed_apart(lattice: NDArray[np.float64], frac: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Sites, and the least distance between two of them (Å)."""
    inverse = np.linalg.inv(lattice)
    for _ in range(_PUSHES):
        apart = frac[:, None] - frac[None]
        vectors = (apart - np.round(apart)) @ lattice
        lengths = np.linalg.norm(vectors, axis=-1) + 9.0 * np.eye(len(frac))
        if lengths.min() > _APART_ANG:
            break
        lacking = np.maximum(_APART_ANG + 0.1 - lengths, 0.0) / lengths
        frac = (frac + 0.3 * (vectors * lacking[..., None]).sum(axis=1) @ inverse) % 1.0
    return frac, float(lengths.min())


def _carbon(lattice: NDArray[np.float64], frac: NDArray[np.float64]) -> Crystal:
    return Crystal.of(lattice, frac, [ATOMIC_NUMBER[ELEMENT]] * len(frac))
