"""How far atoms moved: what counts and what does not."""

import numpy as np
import pytest

from tests.validation.validation_crystals import crystal, permuted, rattled, shifted
from validation.crystal import Crystal
from validation.displacement import displacement_rmsd_ang

TOLERANCE_ANG = 1e-9


def test_a_single_atom_that_moves_in_a_cell_of_two_moves_half_of_it_each_without_drift():
    start = Crystal.of(4 * np.eye(3), [[0, 0, 0], [0.5, 0.5, 0.5]], [55, 17])
    end = Crystal.of(4 * np.eye(3), [[0.05, 0, 0], [0.5, 0.5, 0.5]], [55, 17])

    assert displacement_rmsd_ang(start, end) == pytest.approx(0.1, abs=TOLERANCE_ANG)
    assert displacement_rmsd_ang(end, start) == pytest.approx(0.1, abs=TOLERANCE_ANG)


def test_neither_a_shift_nor_a_strain_nor_the_wrapping_of_coordinates_counts():
    start = crystal("rutile")

    assert displacement_rmsd_ang(start, shifted(start)) == pytest.approx(0, abs=TOLERANCE_ANG)
    strained = Crystal.of(start.lattice @ np.diag([1.1, 0.9, 1.0]), start.frac_coords, start.numbers)
    assert displacement_rmsd_ang(start, strained) == pytest.approx(0, abs=TOLERANCE_ANG)


def test_it_is_the_rms_of_random_displacements_whatever_the_order_of_the_sites():
    start = crystal("quartz")
    end = rattled(start, 0.05, seed=4)

    found = displacement_rmsd_ang(start, end)

    assert 0.02 < found < 0.08
    assert displacement_rmsd_ang(permuted(start), permuted(end)) == pytest.approx(found, abs=TOLERANCE_ANG)
