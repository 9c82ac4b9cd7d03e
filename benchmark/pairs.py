"""Pairs of crystals at the structure matcher's limit: how far the second is deformed is found by bisection.

Displacements are random and collective, strains of all kinds, and some crystals are nearly superstructures of smaller
ones. Then cell, origin, orientation, hand and order of sites of the second are changed, which must not matter.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from validation.crystal import Crystal
from validation.fitting import may_fit
from validation.reduction import primitive, reduced
from validation.rules import Tolerances

MAX_ATOMS = 24  # in the primitive cell
_MAX_DISGUISED = 40  # sites of a supercell: pymatgen's reduction takes seconds for larger ones
_MAX_PARENT = 8  # atoms of which a nearly superstructure is made
_FURTHEST = 3.0  # amplitude at which nothing fits any more; 1 is nominally the limit
_BISECTIONS = 7
_OF_THE_LIMIT = (0.85, 1.04)  # of the amplitude found; beyond 1 is just not matching
_FOLD_ANG = (0.0, 0.35)  # pymatgen sees a smaller cell up to 0.25
_NOISE_ANG = (0.01, 0.06)

Floats = NDArray[np.float64]
Dice = np.random.Generator


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """kind: how it was made. noisy: of a supercell whose cells differ, which the matcher alone may miss."""

    a: Crystal
    b: Crystal
    kind: str
    noisy: bool


def pair(bases: Sequence[Crystal], tolerances: Tolerances, seed: Sequence[int]) -> Pair | None:
    """One of the pairs that there are; None where the matcher has no limit in the direction that was drawn."""
    dice = np.random.default_rng(seed)
    base = bases[int(dice.integers(len(bases)))]
    if dice.random() < 0.1:
        return _of_a_fold(base, tolerances, dice)
    if dice.random() < 0.2 and len(base) <= _MAX_PARENT:
        base = primitive(_modulated(base, dice))
    pattern = _PATTERNS[dice.integers(len(_PATTERNS))]
    strain = _STRAINS[dice.integers(len(_STRAINS))]
    change = _Change.drawn(base, pattern, strain, dice)
    if (limit := _limit(base, change, tolerances)) is None:
        return None
    other = change.applied(base, limit * dice.uniform(*_OF_THE_LIMIT), tolerances)
    noise = dice.uniform(*_NOISE_ANG) if dice.random() < 0.05 else 0.0
    name = f"{pattern.__name__.strip('_')}, {strain.__name__.strip('_')}"
    return Pair(base, disguised(other, dice, noise_ang=noise), name, noise > 0)


@dataclass(frozen=True, slots=True, eq=False)
class _Change:
    """displacements: shape (n, 3), the largest norm 1, in units of the tolerance of a site. strain: shape (3, 3),
    symmetric, in units of the tolerance of a length."""

    displacements: Floats
    strain: Floats

    @classmethod
    def drawn(cls, crystal: Crystal, pattern: Pattern, strain: Strain, dice: Dice) -> _Change:
        moved = pattern(crystal, dice)
        moved = moved - moved.mean(axis=0)  # the matcher finds the best shift
        moved /= max(np.linalg.norm(moved, axis=1).max(), 1e-9)
        shares = [(1.0, 0.0), (0.0, 1.0), (1.0, 1.0), (1.0, 0.5), (0.5, 1.0)][dice.integers(5)]
        if len(crystal) == 1:
            shares = (0.0, 1.0)
        stretched = strain(crystal, dice)
        return cls(shares[0] * moved, shares[1] * stretched / np.abs(stretched).max())

    def applied(self, crystal: Crystal, amplitude: float, tolerances: Tolerances) -> Crystal:
        unit = (crystal.volume / len(crystal)) ** (1 / 3)
        lattice = crystal.lattice @ (np.eye(3) + amplitude * tolerances.ltol * self.strain)
        cart = crystal.frac_coords @ lattice + amplitude * tolerances.stol * unit * self.displacements
        return Crystal.of(lattice, cart @ np.linalg.inv(lattice), crystal.numbers)


def _limit(crystal: Crystal, change: _Change, tolerances: Tolerances) -> float | None:
    """The amplitude at which the changed crystal ceases to fit, in either direction."""
    start = reduced(crystal)

    def fits(amplitude: float) -> bool:
        return any(may_fit(start, reduced(change.applied(crystal, amplitude, tolerances)), tolerances))

    low, high = 0.0, _FURTHEST
    if fits(high):
        return None
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def disguised(crystal: Crystal, dice: Dice, *, noise_ang: float = 0.0) -> Crystal:
    """The same crystal described in another way. noise_ang: root mean square, put upon the sites of a supercell."""
    lattice, frac, numbers = crystal.lattice, crystal.frac_coords, crystal.numbers
    if (noise_ang or dice.random() < 0.1) and 2 * len(crystal) <= _MAX_DISGUISED:
        crystal = times(crystal, _hermite(int(dice.integers(2, 1 + min(4, _MAX_DISGUISED // len(crystal)))), dice))
        noise = dice.normal(0.0, noise_ang / 3**0.5, size=(len(crystal), 3))
        lattice, numbers = crystal.lattice, crystal.numbers
        frac = crystal.frac_coords + noise @ np.linalg.inv(lattice)
    if dice.random() < 0.3:
        frac = -frac  # the other hand
    turn, _ = np.linalg.qr(dice.normal(size=(3, 3)))
    basis = np.eye(3, dtype=np.int64)
    basis[tuple(dice.permutation(3)[:2])] = dice.integers(-2, 3)
    order = dice.permutation(len(frac))
    shifted = (frac + dice.random(3)) @ np.linalg.inv(basis)
    return Crystal.of(basis @ lattice @ turn, shifted[order], numbers[order])


def times(crystal: Crystal, matrix: NDArray[np.int64]) -> Crystal:
    """The supercell whose vectors are the rows of ``matrix``, in those of the crystal; lower triangular."""
    counts = [range(int(count)) for count in np.diag(matrix)]
    cells = np.array([[i, j, k] for i in counts[0] for j in counts[1] for k in counts[2]], dtype=np.float64)
    frac = (crystal.frac_coords[:, None] + cells[None]).reshape(-1, 3) @ np.linalg.inv(matrix)
    return Crystal.of(matrix @ crystal.lattice, frac, np.repeat(crystal.numbers, len(cells)))


def _hermite(determinant: int, dice: Dice) -> NDArray[np.int64]:
    """A random lower triangular matrix of this determinant, in Hermite's normal form."""
    divisors = [n for n in range(1, determinant + 1) if determinant % n == 0]
    first = int(dice.choice(divisors))
    second = int(dice.choice([n for n in divisors if (determinant // first) % n == 0]))
    matrix = np.diag([first, second, determinant // (first * second)])
    matrix[1, 0], matrix[2, 0], matrix[2, 1] = (dice.integers(n) for n in (first, first, second))
    return matrix


def _of_a_fold(base: Crystal, tolerances: Tolerances, dice: Dice) -> Pair:
    """A crystal and one that is a superstructure of it, up to or just beyond where pymatgen sees the smaller cell."""
    while len(base) > _MAX_PARENT:
        base = primitive(Crystal.of(base.lattice, base.frac_coords[: len(base) // 2], base.numbers[: len(base) // 2]))
    parent, other = base, _modulated(base, dice)
    if dice.random() < 0.5:
        change = _Change.drawn(parent, _each_its_own, _any_way, dice)
        parent = change.applied(parent, dice.uniform(0.3, 1.0), tolerances)
    return Pair(parent, disguised(other, dice), "fold", True)


def _modulated(base: Crystal, dice: Dice) -> Crystal:
    """A supercell whose cells differ by a wave, or by chance."""
    crystal = times(base, _hermite(int(dice.integers(2, 4)), dice))
    moved = (_wave if dice.random() < 0.5 else _each_its_own)(crystal, dice)
    moved *= dice.uniform(*_FOLD_ANG) / max(np.linalg.norm(moved, axis=1).max(), 1e-9)
    return Crystal.of(crystal.lattice, crystal.frac_coords + moved @ np.linalg.inv(crystal.lattice), crystal.numbers)


Pattern = Callable[[Crystal, Dice], Floats]
Strain = Callable[[Crystal, Dice], Floats]


def _directions(shape: tuple[int, ...], dice: Dice) -> Floats:
    vectors = dice.normal(size=shape)
    unit: Floats = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return unit


def _each_its_own(crystal: Crystal, dice: Dice) -> Floats:
    lengths = dice.random((len(crystal), 1)) ** dice.choice([0.0, 0.3, 1.0])
    moved: Floats = _directions((len(crystal), 3), dice) * lengths
    return moved


def _one_site(crystal: Crystal, dice: Dice) -> Floats:
    moved = np.zeros((len(crystal), 3))
    moved[dice.integers(len(crystal))] = _directions((3,), dice)
    return moved


def _sublattice(crystal: Crystal, dice: Dice) -> Floats:
    """All of one element one way."""
    chosen = crystal.numbers == dice.choice(crystal.numbers)
    if chosen.all():
        return _half(crystal, dice)
    moved: Floats = np.outer(chosen, _directions((3,), dice))
    return moved


def _half(crystal: Crystal, dice: Dice) -> Floats:
    """Half of the sites one way, the others the other way."""
    signs = np.where(dice.permutation(len(crystal)) % 2, 1.0, -1.0)
    moved: Floats = np.outer(signs, _directions((3,), dice))
    return moved


def _to_neighbours(crystal: Crystal, dice: Dice) -> Floats:
    """Each site toward its nearest neighbour, or away from it."""
    moved = _nearest(crystal)
    return moved * (1.0 if dice.random() < 0.5 else -1.0)


def _pairs(crystal: Crystal, dice: Dice) -> Floats:
    """Sites in pairs, which approach each other."""
    toward, moved = _nearest(crystal), np.zeros((len(crystal), 3))
    order = dice.permutation(len(crystal))
    for first, second in zip(order[::2], order[1::2], strict=False):
        moved[first] = toward[first]
        moved[second] = -toward[first]
    return moved


def _breathing(crystal: Crystal, dice: Dice) -> Floats:
    """Away from a site, or toward it; all as far, or those as far as they are near."""
    apart = crystal.frac_coords - crystal.frac_coords[dice.integers(len(crystal))]
    vectors = (apart - np.round(apart)) @ crystal.lattice
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    moved: Floats = vectors / np.maximum(lengths, 1e-9)
    return moved if dice.random() < 0.5 else moved / np.maximum(lengths, 1.0)


def _wave(crystal: Crystal, dice: Dice) -> Floats:
    """A wave of the cell or of its double, along one direction."""
    vector = dice.integers(-2, 3, size=3) * dice.choice([0.5, 1.0])
    phase = np.cos(2 * np.pi * (crystal.frac_coords @ vector + dice.random()))
    sizes = np.sign(phase) if dice.random() < 0.5 else phase
    moved: Floats = np.outer(sizes, _directions((3,), dice))
    return moved


def _nearest(crystal: Crystal) -> Floats:
    """Unit vectors to the nearest neighbours among the images next to the cell, shape (n, 3)."""
    images = np.array(np.meshgrid(*[[-1, 0, 1]] * 3)).reshape(3, -1).T
    apart = crystal.frac_coords[None, :, None] - crystal.frac_coords[:, None, None] + images[None, None]
    vectors = (apart @ crystal.lattice).reshape(len(crystal), -1, 3)
    lengths = np.linalg.norm(vectors, axis=2)
    lengths[lengths < 1e-6] = np.inf
    rows = np.arange(len(crystal))
    nearest: Floats = vectors[rows, lengths.argmin(axis=1)] / lengths.min(axis=1)[:, None]
    return nearest


def _any_way(crystal: Crystal, dice: Dice) -> Floats:
    drawn = dice.normal(size=(3, 3))
    strain: Floats = drawn + drawn.T
    return strain


def _pure_shear(crystal: Crystal, dice: Dice) -> Floats:
    """One direction longer, another shorter by as much."""
    turn, _ = np.linalg.qr(dice.normal(size=(3, 3)))
    strain: Floats = turn @ np.diag([1.0, -1.0, 0.0]) @ turn.T
    return strain


def _uniaxial(crystal: Crystal, dice: Dice) -> Floats:
    axis = _directions((3,), dice)
    strain: Floats = np.outer(axis, axis) * dice.choice([-1.0, 1.0])
    return strain


def _along_the_cell(crystal: Crystal, dice: Dice) -> Floats:
    """Along one vector of the reduced cell."""
    vector = reduced(crystal).lattice[dice.integers(3)]
    strain: Floats = np.outer(vector, vector) / (vector @ vector) * dice.choice([-1.0, 1.0])
    return strain


def _angle(crystal: Crystal, dice: Dice) -> Floats:
    """The angle between two vectors of the reduced cell."""
    first, second = reduced(crystal).lattice[dice.permutation(3)[:2]]
    strain: Floats = (np.outer(first, second) + np.outer(second, first)) * dice.choice([-1.0, 1.0])
    return strain


_PATTERNS: tuple[Pattern, ...] = (
    *(_each_its_own, _one_site, _sublattice, _half),
    *(_to_neighbours, _pairs, _breathing, _wave),
)
_STRAINS: tuple[Strain, ...] = (_any_way, _pure_shear, _uniaxial, _along_the_cell, _angle)
