"""Judges by name, and what identifies their weights."""

import dataclasses

import numpy as np
import pytest
import torch
from validation_judges import TENSORNET, needs_tensornet

from validation.potentials import UnknownJudge, judge_names, load_judge, weights_sha256
from validation.rules import RelaxationSettings
from validation.scales import judge_identity, scale_digest, scale_of

STEP_ANG = 1e-3
FORCE_TOLERANCE = 1e-6


def test_the_known_judges_are_named():
    assert set(judge_names()) >= {"chgnet", "matgl", "emt"}


def test_an_unknown_judge_is_refused_by_name_with_the_known_ones():
    with pytest.raises(UnknownJudge, match=r"'chgnett'.*chgnet, emt, matgl"):
        load_judge("chgnett")


def test_matgl_without_a_model_is_refused():
    with pytest.raises(UnknownJudge, match="needs a model"):
        load_judge("matgl")


def test_emt_identifies_itself_the_same_way_every_time():
    first, second = load_judge("emt"), load_judge("emt")

    assert first.identity() == second.identity()
    assert first.dtype == "float64"
    assert first.elements == {"Al", "Cu", "Ag", "Au", "Ni", "Pd", "Pt"}


def test_what_changes_a_judge_s_numbers_makes_another_scale_of_it():
    plain = load_judge("emt")
    other = dataclasses.replace(plain, options={"inside": "bfloat16"})

    scales = [scale_of(judge, RelaxationSettings()) for judge in (plain, other)]
    assert scale_digest(scales[0]) != scale_digest(scales[1])
    assert judge_identity(scales[1]) == other.identity() == {**plain.identity(), "inside": "bfloat16"}


@pytest.mark.parametrize("name", ["dtype", "weights_sha256", "elements", "relaxation"])
def test_an_option_cannot_hide_what_a_scale_says(name):
    with pytest.raises(ValueError, match=f"cannot be called {name}"):
        dataclasses.replace(load_judge("emt"), options={name: "x"})


@pytest.mark.parametrize("judge", ["matgl", "ase"])
def test_no_judge_is_loaded_with_less_than_the_precision_that_it_states(judge):
    """Images of GPU software switch TF32 on by the environment."""
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.allow_tf32 = True

    with pytest.raises(UnknownJudge):  # which comes after that
        load_judge(judge)

    assert not torch.backends.cuda.matmul.allow_tf32
    assert not torch.backends.cudnn.allow_tf32


@pytest.mark.potential
def test_no_judge_has_options_yet():
    assert not load_judge("chgnet", threads=1).options
    assert not load_judge("emt").options


def test_forces_are_the_negative_gradient_of_the_energy():
    from ase.build import bulk

    atoms = bulk("Cu", "fcc", a=3.7, cubic=True)
    atoms.positions[0] += (0.1, 0.05, 0.0)
    atoms.calc = load_judge("emt").calculator
    force = atoms.get_forces()[0, 0]

    energies = []
    for sign in (1, -1):
        moved = atoms.copy()
        moved.calc = atoms.calc
        moved.positions[0, 0] += sign * STEP_ANG
        energies.append(moved.get_potential_energy())

    assert force == pytest.approx(-(energies[0] - energies[1]) / (2 * STEP_ANG), abs=1e-4)


def test_weights_hash_depends_on_values_names_and_shapes_and_on_nothing_else():
    state = {"a": torch.ones(2, 3), "b": torch.zeros(4)}
    reference = weights_sha256(state.items())

    assert weights_sha256(reversed(list(state.items()))) == reference
    assert weights_sha256({**state, "note": "no tensor"}.items()) == reference
    assert weights_sha256({**state, "a": torch.ones(3, 2)}.items()) != reference
    assert weights_sha256({**state, "b": torch.full((4,), 1e-6)}.items()) != reference
    assert weights_sha256({"a": state["a"], "c": state["b"]}.items()) != reference
    assert weights_sha256({"a": state["a"].double(), "b": state["b"]}.items()) != reference


@pytest.mark.potential
def test_chgnet_loads_from_its_wheel_and_knows_its_elements():
    judge = load_judge("chgnet", threads=1)

    assert judge.model == "0.3.0"
    assert len(judge.elements) == 89
    assert judge.cutoff_ang == pytest.approx(6.0)
    assert load_judge("chgnet", threads=1).identity() == judge.identity()


@pytest.mark.potential
@needs_tensornet
def test_matgl_gives_stress_in_ev_per_cubic_angstrom_and_ases_sign():
    from ase.build import bulk

    judge = load_judge("matgl", str(TENSORNET), threads=1)
    atoms = bulk("NaCl", "rocksalt", a=5.5)
    atoms.calc = judge.calculator
    pressure = -np.mean(atoms.get_stress()[:3])

    energies = []
    for strain in (1e-3, -1e-3):
        strained = atoms.copy()
        strained.calc = judge.calculator
        strained.set_cell(atoms.cell * (1 + strain), scale_atoms=True)
        energies.append((strained.get_volume(), strained.get_potential_energy()))
    (larger, upper), (smaller, lower) = energies

    assert pressure == pytest.approx(-(upper - lower) / (larger - smaller), rel=0.02)
    assert atoms.get_stress().shape == (6,)
