"""Batched potentials against the calculators of their authors, against finite differences, and on odd cells."""

import dataclasses
import weakref

import numpy as np
import pytest
import torch
from validation_judges import TENSORNET, needs_tensornet

from tests.validation.validation_crystals import crystal, permuted, rattled, rotated, supercell
from validation.canary import check
from validation.crystal import Crystal
from validation.evaluation import Batch, OutOfMemory
from validation.flight import Relaxed, relax_batch
from validation.judges.ase_evaluator import AseEvaluator
from validation.judges.chgnet import ChgnetEvaluator
from validation.judges.chgnet_layers import understands
from validation.judges.matgl import MatglEvaluator, TensorNetEvaluator
from validation.judges.torch_evaluator import TorchEvaluator
from validation.potentials import load_judge, matgl_judge
from validation.rules import RelaxationSettings

pytestmark = pytest.mark.potential
CPU = torch.device("cpu")
STEP = 1e-4  # Å, or strain
SLOPE_TOLERANCE = 1e-5  # eV/Å, eV/Å³, in double precision
SINGLE = {"energies": 2e-5, "forces": 1e-3, "stresses": 2e-5}  # eV/atom, eV/Å, eV/Å³ in single precision
DOUBLE = {"energies": 1e-10, "forces": 1e-9, "stresses": 1e-10}


@pytest.fixture(scope="module")
def chgnet():
    return load_judge("chgnet", threads=1)


@pytest.fixture(scope="module")
def precise_chgnet(chgnet):
    return ChgnetEvaluator(load_judge("chgnet", threads=1).calculator.model.double(), CPU)


@pytest.fixture(scope="module")
def precise_tensornet():
    """Seeded random weights in double precision: no physics, but every formula."""
    from matgl.apps.pes import Potential
    from matgl.models import TensorNet

    torch.manual_seed(5)
    network = TensorNet(element_types=("O", "Na", "Cl", "Ti", "Sr"), units=16, cutoff=5.0, is_intensive=False)
    references = torch.tensor([-1.0, -0.5, -2.0, -3.0, -1.5])
    return matgl_judge(Potential(network, data_std=0.7, element_refs=references).double(), "seeded")


def evaluators(request):
    emt = AseEvaluator(load_judge("emt").calculator)
    gold = Crystal.of(4.1 * np.eye(3), [[0, 0, 0], [0.52, 0.5, 0.03], [0.5, 0.02, 0.5]], [79, 29, 47])
    salt = rattled(crystal("perovskite"), 0.1)
    return {"emt": (emt, gold), "chgnet": (request.getfixturevalue("precise_chgnet"), salt)} | {
        "tensornet": (request.getfixturevalue("precise_tensornet").batched, salt)
    }


def batch_of(*crystals):
    first = np.cumsum([0, *map(len, crystals)])
    numbers = np.concatenate([one.numbers for one in crystals])
    positions = np.concatenate([one.cart_coords for one in crystals])
    return Batch(first, numbers, positions, np.stack([one.lattice for one in crystals]), tuple(range(len(crystals))))


def evaluate(evaluator, *crystals):
    try:
        return evaluator.evaluate(batch_of(*crystals))
    finally:
        evaluator.forget(tuple(range(len(crystals))))


def agree(found, expected, counts, tolerances):
    assert found.energies / counts == pytest.approx(expected.energies / counts, abs=tolerances["energies"])
    assert found.forces == pytest.approx(expected.forces, abs=tolerances["forces"])
    assert found.stresses == pytest.approx(expected.stresses, abs=tolerances["stresses"])


SOME = [rattled(crystal(name), 0.05) for name in ("rocksalt", "perovskite", "tellurium", "corundum")]


@pytest.mark.parametrize("name", ["emt", "chgnet", "tensornet"])
def test_forces_and_stresses_are_slopes_of_the_energy(request, name):
    evaluator, start = evaluators(request)[name]
    found = evaluate(evaluator, start)

    for atom, axis in ((0, 0), (1, 2), (2, 1)):
        moves = np.zeros_like(start.cart_coords)
        moves[atom, axis] = STEP
        up, down = (_moved(start, sign * moves) for sign in (1, -1))
        slope = (evaluate(evaluator, up).energies - evaluate(evaluator, down).energies)[0] / (2 * STEP)
        assert found.forces[atom, axis] == pytest.approx(-slope, abs=SLOPE_TOLERANCE)
    for row, column in ((0, 0), (2, 2), (0, 1), (1, 2)):
        strain = np.zeros((3, 3))
        strain[row, column] = STEP
        up, down = (_strained(start, sign * (strain + strain.T) / 2) for sign in (1, -1))
        slope = (evaluate(evaluator, up).energies - evaluate(evaluator, down).energies)[0] / (2 * STEP) / start.volume
        assert found.stresses[0, row, column] == pytest.approx(slope, abs=SLOPE_TOLERANCE)


def _moved(start, moves):
    return Crystal.of(start.lattice, start.frac_coords + moves @ np.linalg.inv(start.lattice), start.numbers)


def _strained(start, strain):
    return Crystal.of(start.lattice @ (np.eye(3) + strain), start.frac_coords, start.numbers)


def test_chgnet_says_in_a_batch_what_its_own_calculator_says_of_each(chgnet):
    calculator = AseEvaluator(chgnet.calculator)

    found, expected = evaluate(chgnet.batched, *SOME), evaluate(calculator, *SOME)

    agree(found, expected, batch_of(*SOME).counts, SINGLE)
    assert found.sites["magmoms"] == pytest.approx(expected.sites["magmoms"], abs=1e-4)


@needs_tensornet
def test_tensornet_says_in_a_batch_what_its_own_calculator_says_of_each():
    judge = load_judge("matgl", str(TENSORNET), threads=1)

    found, expected = evaluate(judge.batched, *SOME), evaluate(AseEvaluator(judge.calculator), *SOME)

    assert isinstance(judge.batched, TensorNetEvaluator)
    agree(found, expected, batch_of(*SOME).counts, SINGLE)


@pytest.mark.parametrize("group", ["O(3)", "SO(3)"])
def test_tensornet_arranged_for_a_cpu_is_matgls_own_to_the_last_digits(precise_tensornet, group):
    from matgl.apps.pes import Potential
    from matgl.models import TensorNet

    torch.manual_seed(6)
    elements = tuple(sorted({symbol for one in SOME for symbol in one.elements}))
    network = TensorNet(
        element_types=elements, units=8, cutoff=4.5, is_intensive=False, equivariance_invariance_group=group
    )
    judge = matgl_judge(Potential(network, data_mean=0.2).double(), "seeded")

    found = evaluate(judge.batched, *SOME)

    agree(found, evaluate(MatglEvaluator(judge.calculator.potential, CPU), *SOME), batch_of(*SOME).counts, DOUBLE)


def test_an_m3gnet_with_its_angles_says_in_a_batch_what_its_own_calculator_says():
    from matgl.apps.pes import Potential
    from matgl.models import M3GNet

    torch.manual_seed(7)
    elements = tuple(sorted({symbol for one in SOME for symbol in one.elements}))
    judge = matgl_judge(Potential(M3GNet(element_types=elements, is_intensive=False)), "seeded")

    found, expected = evaluate(judge.batched, *SOME), evaluate(AseEvaluator(judge.calculator), *SOME)

    assert isinstance(judge.batched, MatglEvaluator)
    agree(found, expected, batch_of(*SOME).counts, SINGLE)


@pytest.mark.parametrize("name", ["chgnet", "tensornet"])
def test_energies_know_neither_axes_nor_order_nor_cell(request, name):
    evaluator, start = evaluators(request)[name]

    found = evaluate(evaluator, start, rotated(start), permuted(start), supercell(start, 2, 1, 1))

    assert found.energies / [1, 1, 1, 2] == pytest.approx(np.full(4, found.energies[0]), abs=1e-9)
    assert np.linalg.norm(found.forces[len(start) : 2 * len(start)], axis=1) == pytest.approx(
        np.linalg.norm(found.forces[: len(start)], axis=1), abs=1e-9
    )


@pytest.mark.parametrize("name", ["chgnet", "tensornet"])
def test_atoms_without_neighbours_single_atoms_and_needles_are_evaluated_beside_others(request, name):
    evaluator, start = evaluators(request)[name]
    lonely = Crystal.of(12.0 * np.eye(3), [[0, 0, 0]], [17 if name == "chgnet" else 11])
    single = Crystal.of(2.6 * np.eye(3), [[0, 0, 0]], [22])
    needle = Crystal.of(np.diag([2.2, 2.3, 40.0]), [[0, 0, 0], [0.5, 0.5, 0.3]], [22, 8])

    alone = [evaluate(evaluator, one) for one in (lonely, single, needle, start)]
    together = evaluate(evaluator, lonely, single, needle, start)

    assert np.isfinite(together.energies).all()
    assert together.energies == pytest.approx([one.energies[0] for one in alone], abs=1e-8)
    assert together.forces == pytest.approx(np.concatenate([one.forces for one in alone]), abs=1e-8)
    assert alone[0].forces == pytest.approx(np.zeros((1, 3)), abs=1e-12)


def test_two_hundred_atoms_are_evaluated_as_the_cell_that_they_repeat(precise_tensornet):
    start = rattled(crystal("perovskite"), 0.1)

    found = evaluate(precise_tensornet.batched, supercell(start, 5, 4, 2), start)

    assert found.energies[0] / 40 == pytest.approx(found.energies[1], abs=1e-8)


def test_memory_that_runs_out_in_torch_halves_the_batch(precise_tensornet):
    class Small(type(precise_tensornet.batched)):
        """As if the device held no more than 300 edges."""

        refused = 0

        def predict_graph(self, batch, edges):
            if len(edges.first) > 300:
                self.refused += 1
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 TiB")
            return super().predict_graph(batch, edges)

    small = Small(precise_tensornet.calculator.potential, CPU)
    judge = dataclasses.replace(precise_tensornet, batched=small)
    crystals = [rattled(crystal("perovskite"), 0.1, seed) for seed in range(4)]
    few = RelaxationSettings(max_steps=3)

    ended = {end.key: end for end in relax_batch(enumerate(crystals), judge, few)}
    expected = {end.key: end for end in relax_batch(enumerate(crystals), precise_tensornet, few)}

    assert small.refused == 1
    assert all(isinstance(end, Relaxed) for end in ended.values())
    for key, end in ended.items():
        assert end.relaxation.energy_per_atom == pytest.approx(expected[key].relaxation.energy_per_atom, abs=1e-9)


def test_a_batch_that_did_not_fit_leaves_nothing_of_itself_behind(precise_tensornet):
    """On a GPU its tensors would take the memory that the next try needs."""
    alive = []

    class Small(type(precise_tensornet.batched)):
        def predict_graph(self, batch, edges):
            alive.append(weakref.ref(edges.vectors))
            raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")

    small = Small(precise_tensornet.calculator.potential, CPU)

    with pytest.raises(OutOfMemory, match="ALLOC_FAILED") as raised:
        small.evaluate(batch_of(*SOME[:2]))

    assert alive[0]() is None
    assert raised.value.__cause__ is None
    assert raised.value.__context__ is None


def test_after_a_backward_pass_without_memory_matgl_keeps_nothing_of_the_batch(precise_tensornet, monkeypatch):
    potential = precise_tensornet.calculator.potential
    evaluator = MatglEvaluator(potential, CPU)
    evaluate(evaluator, *SOME[:2])
    assert not potential.model.feature_dict

    def no_memory(*arguments, **options):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("matgl.apps.pes.grad", no_memory)
    with pytest.raises(OutOfMemory):
        evaluate(evaluator, *SOME[:2])
    assert not potential.model.feature_dict


def test_on_a_gpu_a_batch_is_measured_by_its_free_memory_and_the_driver_asked_once_a_batch(monkeypatch):
    asked = []

    class Gpu(TorchEvaluator):
        bytes_a_pair = 1_000.0

        def predict(self, batch):
            raise RuntimeError("CUDA error: out of memory")

    def free_memory(device):
        asked.append(device)
        return 10_000_000, 20_000_000

    for name, answer in (
        ("mem_get_info", free_memory),
        ("memory_reserved", 3_000_000),
        ("memory_allocated", 1_000_000),
    ):
        monkeypatch.setattr(torch.cuda, name, answer if callable(answer) else lambda device, answer=answer: answer)
    emptied = []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: emptied.append(1))
    gpu = Gpu(5.0, torch.device("cuda"))

    assert {gpu.pairs_at_once for _ in range(3)} == {int(0.6 * 12_000_000 / 1_000)}
    with pytest.raises(OutOfMemory):
        gpu.evaluate(batch_of(crystal("rocksalt")))
    assert gpu.pairs_at_once
    assert len(asked) == 2
    assert emptied == [1]


def test_the_canary_sings_through_the_batch(chgnet):
    calls = []

    class Counting:
        pairs_at_once, potential_s = chgnet.batched.pairs_at_once, 0.0
        forget = staticmethod(chgnet.batched.forget)

        @staticmethod
        def evaluate(batch):
            calls.append(len(batch))
            return chgnet.batched.evaluate(batch)

    assert check(dataclasses.replace(chgnet, batched=Counting())).passed
    assert max(calls) == 3


@pytest.mark.parametrize("checkpoint", ["0.2.0", "0.3.0", "r2scan"])
def test_chgnets_layers_arranged_otherwise_are_its_own_to_the_last_digits(checkpoint):
    network = load_judge("chgnet", checkpoint, threads=1).calculator.model.double()
    theirs = ChgnetEvaluator(network, CPU)
    theirs._network = network

    found, expected = (evaluate(evaluator, *SOME) for evaluator in (ChgnetEvaluator(network, CPU), theirs))

    assert understands(network)
    agree(found, expected, batch_of(*SOME).counts, DOUBLE)
    assert found.sites["magmoms"] == pytest.approx(expected.sites["magmoms"], abs=1e-9)
