"""The matgl judge around a TensorNet with seeded random weights: no physics, but units, signs and identity."""

import numpy as np
import pytest
from ase import Atoms

from validation.crystal import Crystal
from validation.potentials import matgl_judge
from validation.relaxation import Stopped, relax
from validation.rules import RelaxationSettings

pytestmark = pytest.mark.potential
STEP = 0.005  # Å, or strain; float32 energies allow no smaller one
ELEMENTS = ("Na", "Cl")


def _judge(seed):
    import matgl
    import torch
    from matgl.apps.pes import Potential
    from matgl.models import TensorNet

    torch.manual_seed(seed)
    network = TensorNet(element_types=ELEMENTS, units=16, cutoff=5.0, is_intensive=False)
    assert matgl.float_th is torch.float32
    return matgl_judge(Potential(network), f"seeded-{seed}")


@pytest.fixture(scope="module")
def judge():
    return _judge(1)


@pytest.fixture
def salt():
    atoms = Atoms("NaCl", cell=[[0, 2.9, 2.8], [2.85, 0, 2.8], [2.8, 2.9, 0]], pbc=True)
    atoms.set_scaled_positions([[0, 0, 0], [0.58, 0.41, 0.53]])
    return atoms


def _energy(judge, atoms):
    atoms = atoms.copy()
    atoms.calc = judge.calculator
    return float(atoms.get_potential_energy())


def test_it_states_elements_cutoff_and_precision(judge):
    assert judge.elements == set(ELEMENTS)
    assert (judge.cutoff_ang, judge.dtype, judge.name) == (5.0, "float32", "matgl")


def test_other_weights_are_another_scale_and_the_same_weights_the_same(judge):
    assert _judge(1).weights_sha256 == judge.weights_sha256
    assert _judge(2).weights_sha256 != judge.weights_sha256


def test_forces_are_the_negative_slope_of_the_energy_in_ev_per_ang(judge, salt):
    salt.calc = judge.calculator
    forces = salt.get_forces()
    for axis in range(3):
        up, down = salt.copy(), salt.copy()
        up.positions[1, axis] += STEP
        down.positions[1, axis] -= STEP
        slope = (_energy(judge, up) - _energy(judge, down)) / (2 * STEP)
        assert forces[1, axis] == pytest.approx(-slope, abs=0.05 * float(np.abs(forces).max()))


def test_stress_is_the_slope_of_the_energy_with_strain_in_ev_per_cubic_ang(judge, salt):
    salt.calc = judge.calculator
    stress = salt.get_stress()
    for axis in range(3):
        strained = []
        for sign in (1, -1):
            strain = np.eye(3)
            strain[axis, axis] += sign * STEP
            cell = salt.copy()
            cell.set_cell(cell.cell @ strain, scale_atoms=True)
            strained.append(_energy(judge, cell))
        slope = (strained[0] - strained[1]) / (2 * STEP) / salt.get_volume()
        assert stress[axis] == pytest.approx(slope, abs=0.02 * float(np.abs(stress).max()))


def test_a_relaxation_ends_with_a_verdict_whatever_the_weights_say(judge, salt):
    result = relax(Crystal.from_atoms(salt), judge, RelaxationSettings(max_steps=5))

    assert result.stopped in set(Stopped)
    assert len(result.history) == result.steps + 1
