"""The matrix functions of the optimiser against scipy's; its steps are compared with ASE's in test_flight.py."""

import numpy as np
import pytest
from scipy.linalg import expm, expm_frechet

from validation import fire

RELATIVE_TOLERANCE = 1e-13


@pytest.mark.parametrize("size", [1e-8, 0.05, 0.5, 4.0])
def test_the_exponential_and_its_derivative_are_scipys(size):
    rng = np.random.default_rng(1)
    matrices, direction = size * rng.normal(size=(5, 3, 3)), rng.normal(size=(3, 3))

    found = fire.deformations(matrices)

    for matrix, exponential in zip(matrices, found, strict=True):
        expected, slope = expm_frechet(matrix, direction)
        assert exponential == pytest.approx(
            expected, rel=RELATIVE_TOLERANCE, abs=RELATIVE_TOLERANCE * np.abs(expected).max()
        )
        derivative = fire.derivative_of_exp(matrix, direction)
        assert derivative == pytest.approx(slope, rel=RELATIVE_TOLERANCE, abs=RELATIVE_TOLERANCE * np.abs(slope).max())
        assert np.linalg.det(exponential) == pytest.approx(np.exp(np.trace(matrix)), rel=1e-9)
        assert expected == pytest.approx(expm(matrix))


def test_a_crystal_moves_as_if_it_were_alone():
    rng = np.random.default_rng(2)
    sizes = [1, 4, 2]
    alone = [_pushed(size, rng) for size in sizes]
    together = {name: np.concatenate([one[name] for one in alone]) for name in alone[0]}

    for _ in range(12):
        _step(np.cumsum([0, *sizes]), together)
        for size, one in zip(sizes, alone, strict=True):
            _step(np.array([0, size]), one)

    for name in together:
        joined = np.concatenate([one[name] for one in alone])
        assert together[name].tobytes() == joined.tobytes()


def _pushed(size, rng):
    """A crystal in a bowl of its own, somewhere off its bottom."""
    return {
        "forces": rng.normal(size=(size, 3)),
        "stresses": 0.01 * rng.normal(size=(1, 3, 3)),
        "volumes": np.array([10.0 * size]),
        "places": rng.normal(size=(size, 3)),
        "logs": np.zeros((1, 3, 3)),
        "velocities": np.zeros((size, 3)),
        "log_velocities": np.zeros((1, 3, 3)),
        "state": fire.new_state(1),
    }


def _step(first, one):
    one["forces"] = -one["places"]
    fire.step(
        first,
        one["forces"],
        one["stresses"],
        one["volumes"],
        fire.deformations(one["logs"]),
        one["places"],
        one["logs"],
        one["velocities"],
        one["log_velocities"],
        one["state"],
    )
