"""Every kernel of this package called once: what numba compiles then, it keeps on disk beside the files."""

from __future__ import annotations

import time

import numpy as np

from validation import fire
from validation.crystal import Crystal
from validation.fingerprint import Limits, near, stacked
from validation.fitting import may_fit
from validation.folding import matcher_cell
from validation.lattices import aspect_ratio
from validation.matching import Description
from validation.neighbours import ReducedCell, bonded_directions, closest_contact, neighbour_pairs, periodic_directions
from validation.orbits import multiplicities, nearest_two, orbits
from validation.reduction import reduced
from validation.rules import Rules
from validation.translations import may_fold

_BOND_ANG = 5.0


def compile_kernels() -> None:
    """Takes about half a minute where nothing is compiled yet, and nothing afterwards."""
    crystal = Crystal.of(4.12 * np.eye(3), [[0.0, 0.0, 0.0], [0.5, 0.5, 0.5]], [55, 17])
    radii, cell = np.array([2.44, 1.02]), ReducedCell.of(crystal)
    aspect_ratio(crystal.lattice)
    closest_contact(cell, radii, 0.5)
    bonded_directions(cell, radii, bond_ang=_BOND_ANG, ratio=1.3)
    periodic_directions(len(crystal), neighbour_pairs(crystal, _BOND_ANG))
    turns = np.array([np.eye(3), -np.eye(3)])
    operations = (crystal.frac_coords, turns, np.zeros((2, 3)), crystal.lattice)
    multiplicities(*operations)
    orbits(*operations)
    nearest_two(crystal.frac_coords, crystal.lattice)
    _compare(crystal)


def compile_potentials() -> None:
    """What relaxing takes besides; it imports torch."""
    from validation.judges import morse, pairs, tensor_messages  # late: torch takes seconds, and most callers need none

    logs, state = np.zeros((1, 3, 3)), fire.new_state(1)
    cell, places = 4.0 * np.eye(3), np.zeros((1, 3))
    moved = (places, logs, np.zeros((1, 3)), np.zeros((1, 3, 3)), state)
    fire.step(np.array([0, 1]), np.ones((1, 3)), np.ones((1, 3, 3)), np.ones(1), fire.deformations(logs), *moved)
    pairs.half_pairs(cell, places, 5.0)
    tensor_messages.compile_kernels()
    morse.compile_kernels()


def _compare(crystal: Crystal) -> None:
    """With a cell twice as large, in which there is something to reduce."""
    doubled = Crystal.of(
        crystal.lattice * np.array([[2.0], [1.0], [1.0]]),
        [[x / 2 + shift, y, z] for x, y, z in crystal.frac_coords for shift in (0.0, 0.5)],
        np.repeat(crystal.numbers, 2),
    )
    tolerances = Rules().duplicate
    may_fold(reduced(doubled), 0.5)
    matcher_cell(doubled)
    described = [Description.of(one, tolerances) for one in (crystal, doubled)]
    one, other = (description.fingerprints[0] for description in described)
    near(one, stacked([other.pack()]), Limits.of(tolerances))
    may_fit(described[0].cells[0], described[1].cells[0], tolerances)


if __name__ == "__main__":
    started = time.perf_counter()
    print(
        "compiling what structures are checked, compared and relaxed with (once after an installation) ...", flush=True
    )
    compile_kernels()
    compile_potentials()
    print(f"compiled in {time.perf_counter() - started:.0f} s")
