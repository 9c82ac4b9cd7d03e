"""The canary: right weights sing, wrong ones are refused with a message that says what is wrong."""

import dataclasses

import pytest
from validation_judges import TENSORNET, needs_tensornet

from validation.canary import CanaryDied, check, sing
from validation.potentials import load_judge, matgl_judge


@pytest.fixture(scope="module")
def emt():
    return load_judge("emt")


class Off:
    """A calculator whose energies are off by some eV an atom; forces and stress are right."""

    def __init__(self, calculator, shift):
        self._calculator, self._shift = calculator, shift

    def __getattr__(self, name):
        return getattr(self._calculator, name)

    def get_potential_energy(self, atoms, **options):
        return self._calculator.get_potential_energy(atoms, **options) + self._shift * len(atoms)


def test_emt_sings_its_registered_values(emt):
    result = check(emt)

    assert [row.crystal for row in result.rows] == ["Cu", "Au", "Al"]
    assert "registered" in result.source


def test_a_judge_whose_energies_are_off_is_refused_with_crystal_expected_and_found(emt):
    off = dataclasses.replace(emt, calculator=Off(emt.calculator, 0.05))

    with pytest.raises(
        CanaryDied, match=r"emt.*Cu: expected a = 3.590 Å.*expected -0.007 eV/atom, found 0.043 eV/atom"
    ):
        check(off)


def test_a_small_deviation_within_the_tolerance_is_accepted(emt):
    off = dataclasses.replace(emt, calculator=Off(emt.calculator, 0.002))

    assert sing(off).passed


@pytest.mark.potential
def test_chgnet_sings_its_registered_values():
    assert check(load_judge("chgnet", threads=1)).passed


@pytest.mark.potential
@needs_tensornet
def test_a_checkpoint_read_in_the_wrong_layout_is_refused_and_the_right_one_is_not():
    import matgl
    import torch

    torch.set_num_threads(1)
    potential = matgl.load_model(str(TENSORNET))
    right = matgl_judge(potential, str(TENSORNET))
    assert check(right).passed

    potential.load_state_dict(_older_layout(potential.state_dict()))
    spoiled = matgl_judge(potential, str(TENSORNET))

    assert spoiled.weights_sha256 != right.weights_sha256
    with pytest.raises(
        CanaryDied, match=r"NaCl: expected a = 5.696 Å, found \d\.\d+ Å, expected -3.358 eV/atom, found"
    ):
        check(spoiled)


def _older_layout(state):
    """Undo what a matgl ≥ 2.2 expects of a TensorNet checkpoint: it loads without a word and is wrong."""
    state = {name: tensor.clone() for name, tensor in state.items()}
    embedding = state["model.tensor_embedding.emb2.weight"]
    half = embedding.shape[1] // 2
    state["model.tensor_embedding.emb2.weight"] = embedding.roll(half, dims=1)
    state["model.tensor_embedding.linears_tensor.1.weight"] *= -1
    return state
