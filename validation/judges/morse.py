"""A Morse potential between pairs of atoms, for a whole batch at once: for tests and benchmarks, not for science.

Sizes and depths follow from covalent radii by rules made up here, so that most ordered crystals relax in some dozen
steps to something that the checks accept, and that some compounds of unlike atoms lie below their elements and others
above. No number of it says anything about a real material.
"""

from __future__ import annotations

import hashlib
import math
import time

import numba
import numpy as np
from numpy.typing import NDArray

from validation.element_data import ATOMIC_VOLUME_ANG3, covalent_radii
from validation.evaluation import Batch, CellTooFlat, Evaluation
from validation.judges.batched_calculator import BatchedCalculator
from validation.judges.judge import Judge, UnknownJudge, package_versions
from validation.rules import Rules

DEPTH_EV = 0.35  # of the well between like atoms
STEEPNESS = 6.0  # ρ0 of ASE's MorsePotential
INNER, OUTER = 1.5, 2.0  # × the distance of the minimum: from here to there it is taken to nothing
BARE_ANG, PER_RADIUS = 1.0, 0.4  # an atom's size: so much, and so much of its covalent radius
UNLIKE = 0.5  # how much deeper the well of unlike atoms is, × the relative difference of their radii

_PAIRS_AT_ONCE = 50_000  # some hundred small cells: then numpy's calls around a step cost less than the step
_MAX_IMAGES = 20_000_000  # of pairs, looked through for one crystal; a cell this flat is no crystal any more
_N_RADII = 97  # Cordero's radii end with Cm

_Floats = NDArray[np.float64]
_Ints = NDArray[np.int64]


def load(model: str) -> Judge:
    """Of all elements that the default rules allow and that have a radius and a volume to be checked by."""
    if model:
        raise UnknownJudge("the judge morse has no models to choose from")
    evaluator = MorseEvaluator(covalent_radii()[:_N_RADII])
    constants = repr((DEPTH_EV, STEEPNESS, INNER, OUTER, BARE_ANG, PER_RADIUS, UNLIKE))
    digest = hashlib.sha256(constants.encode() + evaluator.radii.astype("<f8").tobytes())
    return Judge(
        name="morse",
        model="",
        calculator=BatchedCalculator(evaluator),
        elements=_elements(),
        cutoff_ang=float(OUTER * minimum_ang(evaluator.radii.max(), evaluator.radii.max())),
        dtype="float64",
        device="cpu",
        weights_sha256=digest.hexdigest(),
        architecture="Morse",
        versions=package_versions("ase", "numba"),
        batched=evaluator,
    )


def minimum_ang(first_radius: float, second_radius: float) -> float:
    """Where the well of two atoms with these covalent radii (Å) is deepest."""
    return 2.0 * BARE_ANG + PER_RADIUS * (first_radius + second_radius)


def depth_ev(first_radius: float, second_radius: float) -> float:
    """How deep it is there."""
    apart = abs(first_radius - second_radius) / (first_radius + second_radius)
    return DEPTH_EV * (1.0 + UNLIKE * apart)


class MorseEvaluator:
    """V(r) = ε e (e - 2), e = exp(ρ0 (1 - r/r0)), times a smooth step of fifth order: ASE's MorsePotential by pairs.

    radii: Å, by atomic number. Nothing is kept from step to step, so what comes out of a crystal depends on its cell
    and positions alone, to the bit.
    """

    pairs_at_once = _PAIRS_AT_ONCE

    def __init__(self, radii: _Floats) -> None:
        self.radii = np.ascontiguousarray(radii, dtype=np.float64)
        self.potential_s = 0.0

    def evaluate(self, batch: Batch) -> Evaluation:
        """Raises CellTooFlat."""
        started = time.perf_counter()
        found = Evaluation(np.zeros(len(batch)), np.zeros((len(batch.numbers), 3)), np.zeros((len(batch), 3, 3)))
        flat = _evaluate(
            batch.first.astype(np.int64),
            self.radii[batch.numbers],
            np.ascontiguousarray(batch.positions),
            np.ascontiguousarray(batch.cells),
            found.energies,
            found.forces,
            found.stresses,
        )
        if flat >= 0:
            heights = 1 / np.linalg.norm(np.linalg.inv(batch.cells[flat]), axis=0)
            raise CellTooFlat(f"a cell of heights {', '.join(f'{height:.3g}' for height in heights)} Å is too flat")
        self.potential_s += time.perf_counter() - started
        return found

    def forget(self, keys: tuple[int, ...]) -> None:
        """It keeps nothing between steps."""


def compile_kernels() -> None:
    two = Batch(np.array([0, 2]), np.array([11, 17]), np.array([[0.0] * 3, [2.0] * 3]), 4.0 * np.eye(3)[None], (0,))
    MorseEvaluator(np.ones(_N_RADII)).evaluate(two)


def _elements() -> frozenset[str]:
    without_radius = {"Bk", "Cf", "Es"}
    return frozenset(ATOMIC_VOLUME_ANG3) - without_radius - set(Rules().excluded_elements)


@numba.njit(cache=True, error_model="numpy")
def _evaluate(
    first: _Ints,
    radii: _Floats,
    positions: _Floats,
    cells: _Floats,
    energies: _Floats,
    forces: _Floats,
    slopes: _Floats,
) -> int:
    """Adds to energies (b,), forces (n, 3) and stresses (b, 3, 3); the first crystal that is too flat, or -1."""
    frac, steepness = np.empty((len(positions), 3)), np.empty(3)
    for crystal in range(len(cells)):
        start, end = first[crystal], first[crystal + 1]
        volume = _fractions(cells[crystal], positions, start, end, frac, steepness)
        reach, images = 2.0 * BARE_ANG + 2.0 * PER_RADIUS * radii[start:end].max(), float((end - start) ** 2)
        for axis in range(3):
            images *= 2.0 * OUTER * reach * steepness[axis] + 2.0
        if not images <= _MAX_IMAGES:  # nan, too
            return crystal
        for one in range(start, end):
            for other in range(one, end):
                energies[crystal] += _pair(cells[crystal], steepness, frac, radii, one, other, forces, slopes[crystal])
        for row in range(3):
            for column in range(3):
                slopes[crystal, row, column] /= volume
    return -1


@numba.njit(cache=True, error_model="numpy")
def _fractions(cell: _Floats, positions: _Floats, start: int, end: int, frac: _Floats, steepness: _Floats) -> float:
    """Writes fractions of the cell's vectors and 1 over the distances of its faces; its volume in Å³."""
    normals = np.empty((3, 3))
    for row in range(3):
        for xyz in range(3):
            y, z = (xyz + 1) % 3, (xyz + 2) % 3
            u, v = (row + 1) % 3, (row + 2) % 3
            normals[row, xyz] = cell[u, y] * cell[v, z] - cell[u, z] * cell[v, y]
    volume = cell[0, 0] * normals[0, 0] + cell[0, 1] * normals[0, 1] + cell[0, 2] * normals[0, 2]
    for row in range(3):
        x, y, z = normals[row, 0] / volume, normals[row, 1] / volume, normals[row, 2] / volume
        steepness[row] = math.sqrt(x * x + y * y + z * z)
        for atom in range(start, end):
            frac[atom, row] = positions[atom, 0] * x + positions[atom, 1] * y + positions[atom, 2] * z
    return float(abs(volume))


@numba.njit(cache=True, error_model="numpy")
def _pair(
    cell: _Floats, steepness: _Floats, frac: _Floats, radii: _Floats, i: int, j: int, forces: _Floats, slopes: _Floats
) -> float:
    """Energy of an atom and all images of another, or of itself, each pair once; adds to forces and Σ r ⊗ dE/dr."""
    minimum = 2.0 * BARE_ANG + PER_RADIUS * (radii[i] + radii[j])
    apart = abs(radii[i] - radii[j]) / (radii[i] + radii[j])
    depth = DEPTH_EV * (1.0 + UNLIKE * apart)
    inner, outer = INNER * minimum, OUTER * minimum
    da, db, dc = frac[j, 0] - frac[i, 0], frac[j, 1] - frac[i, 1], frac[j, 2] - frac[i, 2]
    first_b, last_b = int(np.ceil(-outer * steepness[1] - db)), int(np.floor(outer * steepness[1] - db))
    last = cell[2, 0] * cell[2, 0] + cell[2, 1] * cell[2, 1] + cell[2, 2] * cell[2, 2]
    energy = 0.0
    for a in range(
        0 if i == j else int(np.ceil(-outer * steepness[0] - da)), int(np.floor(outer * steepness[0] - da)) + 1
    ):
        for b in range(first_b, last_b + 1):
            u, v = da + a, db + b
            x = u * cell[0, 0] + v * cell[1, 0]
            y = u * cell[0, 1] + v * cell[1, 1]
            z = u * cell[0, 2] + v * cell[1, 2]
            middle = -(x * cell[2, 0] + y * cell[2, 1] + z * cell[2, 2]) / last
            rest = x * x + y * y + z * z - middle * middle * last
            if rest > outer * outer:
                continue
            half = math.sqrt((outer * outer - rest) / last)
            for c in range(int(np.ceil(middle - half - dc)), int(np.floor(middle + half - dc)) + 1):
                if i == j and a == 0 and (b < 0 or (b == 0 and c <= 0)):
                    continue  # the other half of the images, and itself
                w = dc + c
                dx, dy, dz = x + w * cell[2, 0], y + w * cell[2, 1], z + w * cell[2, 2]
                distance = math.sqrt(dx * dx + dy * dy + dz * dz)
                if distance >= outer:
                    continue
                e = math.exp(STEEPNESS * (1.0 - distance / minimum))
                value, slope = depth * e * (e - 2.0), -2.0 * depth * STEEPNESS / minimum * e * (e - 1.0)
                if distance > inner:
                    s = (outer - distance) / (outer - inner)
                    step = s * s * s * (10.0 - 15.0 * s + 6.0 * s * s)
                    slope = slope * step - value * 30.0 * s * s * (1.0 - s) * (1.0 - s) / (outer - inner)
                    value *= step
                energy += value
                slope /= distance
                fx, fy, fz = slope * dx, slope * dy, slope * dz
                forces[i, 0] += fx
                forces[i, 1] += fy
                forces[i, 2] += fz
                forces[j, 0] -= fx
                forces[j, 1] -= fy
                forces[j, 2] -= fz
                slopes[0, 0] += dx * fx
                slopes[1, 1] += dy * fy
                slopes[2, 2] += dz * fz
                slopes[0, 1] += dx * fy
                slopes[0, 2] += dx * fz
                slopes[1, 2] += dy * fz
    slopes[1, 0], slopes[2, 0], slopes[2, 1] = slopes[0, 1], slopes[0, 2], slopes[1, 2]
    return energy
