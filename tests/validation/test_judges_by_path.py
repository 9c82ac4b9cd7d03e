"""Judges that are named by a dotted path: ASE's calculators and TorchSim's models."""

import json

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.morse import MorsePotential

from validation.crystal import Crystal
from validation.flight import relax_batch
from validation.potentials import UnknownJudge, load_judge
from validation.relaxation import Stopped, relax
from validation.rules import RelaxationSettings

MORSE = {"r0": 2.7, "epsilon": 0.4, "rho0": 4.0, "rcut1": 5.99, "rcut2": 6.0}
BY_ASE = {
    "path": "ase.calculators.morse:MorsePotential",
    "elements": ["Cu", "Au"],
    "cutoff_ang": 6.0,
    "arguments": MORSE,
}
ROUNDING = 1e-9
STEP, SLOPE_TOLERANCE = 1e-5, 1e-6  # Å or strain; eV/Å and eV/Å³
LENGTH_TOLERANCE_ANG = 1e-3


def distorted(seed):
    rng = np.random.default_rng(seed)
    return Crystal.of(3.6 * (np.eye(3) + 0.03 * rng.normal(size=(3, 3))), [[0, 0, 0], [0.53, 0.5, 0.48]], [29, 79])


def test_an_ase_calculator_is_a_judge_by_its_path():
    judge = load_judge("ase", json.dumps(BY_ASE))
    atoms = distorted(1).to_atoms()
    atoms.calc = MorsePotential(**MORSE)

    found = relax(distorted(1), judge, RelaxationSettings(max_steps=0, displacement_ang=0))

    assert found.energy_per_atom == pytest.approx(atoms.get_potential_energy() / 2, abs=ROUNDING)
    assert judge.elements == {"Cu", "Au"}
    assert judge.identity()["architecture"] == "ase-ase.calculators.morse:MorsePotential"


def test_other_arguments_and_other_files_are_other_scales(tmp_path):
    weights = tmp_path / "weights"
    hashes = []
    for content, epsilon in ((b"one", 0.4), (b"two", 0.4), (b"two", 0.5)):
        weights.write_bytes(content)
        arguments = {**MORSE, "epsilon": epsilon, "label": str(weights)}
        hashes.append(load_judge("ase", json.dumps({**BY_ASE, "arguments": arguments})).weights_sha256)

    assert len(set(hashes)) == 3
    assert load_judge("ase", json.dumps(BY_ASE)).weights_sha256 == load_judge("ase", json.dumps(BY_ASE)).weights_sha256


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"path": "ase.calculators.morse"}, "no path like"),
        ({"path": "ase.calculators.morse:Nothing"}, "there is no Nothing"),
        ({"elements": ["Xx"]}, r"no elements \['Xx'\]"),
        ({"cutof": 5}, "too much: .'cutof'"),
    ],
)
def test_a_description_that_makes_no_judge_is_refused_with_what_is_wrong(changes, message):
    with pytest.raises(UnknownJudge, match=message):
        load_judge("ase", json.dumps({**BY_ASE, **changes}))


def test_a_model_that_is_no_description_is_refused():
    with pytest.raises(UnknownJudge, match="described by JSON"):
        load_judge("ase", "MorsePotential")


@pytest.fixture(scope="module")
def torchsim():
    pytest.importorskip("torch_sim", reason="needs requirements-torchsim.txt")
    arguments = {"sigma": 2.7, "epsilon": 0.4, "alpha": 4.0 / 2.7, "cutoff": 6.0}
    described = {"path": "pair_model:PairModel", "elements": ["Cu", "Au"], "cutoff_ang": 6.0, "arguments": arguments}
    return load_judge("torchsim", json.dumps(described), threads=1)


def test_a_model_of_torchsim_gives_slopes_of_its_energy_and_nearly_ases_forces(torchsim):
    atoms = distorted(2).to_atoms()
    atoms.calc = torchsim.calculator
    theirs = Atoms(atoms, calculator=MorsePotential(**MORSE))

    assert atoms.get_forces() == pytest.approx(theirs.get_forces(), abs=0.02)  # ASE smooths its last 0.01 Å
    up, down = (_energy(torchsim, _moved(atoms, sign * STEP)) for sign in (1, -1))
    assert atoms.get_forces()[1, 2] == pytest.approx(-(up - down) / (2 * STEP), abs=SLOPE_TOLERANCE)
    up, down = (_energy(torchsim, _strained(atoms, sign * STEP)) for sign in (1, -1))
    slope = (up - down) / (2 * STEP) / atoms.get_volume()
    assert atoms.get_stress(voigt=False)[0, 1] == pytest.approx(slope, abs=SLOPE_TOLERANCE)


def _moved(atoms, by):
    moved = atoms.copy()
    moved.positions[1, 2] += by
    return moved


def _strained(atoms, by):
    strained = atoms.copy()
    shear = np.array([[0, by / 2, 0], [by / 2, 0, 0], [0, 0, 0]])
    strained.set_cell(atoms.cell.array @ (np.eye(3) + shear), scale_atoms=True)
    return strained


def _energy(judge, atoms):
    atoms.calc = judge.calculator
    return atoms.get_potential_energy()


def test_a_model_of_torchsim_relaxes_in_batches_as_alone(torchsim):
    crystals = [distorted(seed) for seed in range(2)]
    settings = RelaxationSettings(fmax_ev_per_ang=0.1, smax_ev_per_ang3=0.005)

    ended = {end.key: end.relaxation for end in relax_batch(enumerate(crystals), torchsim, settings)}

    for place, start in enumerate(crystals):
        alone = relax(start, torchsim, settings)
        assert (ended[place].stopped, alone.stopped) == (Stopped.CONVERGED, Stopped.CONVERGED)
        assert ended[place].crystal.volume ** (1 / 3) == pytest.approx(
            alone.crystal.volume ** (1 / 3), abs=LENGTH_TOLERANCE_ANG
        )
