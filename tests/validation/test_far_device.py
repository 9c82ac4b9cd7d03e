"""Batched potentials on a device that is not the CPU: where tensors are, what comes out, how often the host waits."""

import numpy as np
import pytest
import torch
from far_device import DEVICE, WrongDevice, far_device

from tests.validation.validation_crystals import crystal, rattled
from validation.evaluation import Batch
from validation.judges.chgnet import ChgnetEvaluator
from validation.judges.matgl import MatglEvaluator, TensorNetEvaluator, evaluator
from validation.potentials import load_judge

pytestmark = pytest.mark.potential
CPU = torch.device("cpu")
TOLERANCE = 1e-12  # eV, eV/Å, eV/Å³: the same operations on the same values
SOME = [rattled(crystal(name), 0.05) for name in ("rocksalt", "perovskite", "tellurium", "corundum")]
ELEMENTS = tuple(sorted({symbol for one in SOME for symbol in one.elements}))


def batch_of(crystals):
    first = np.cumsum([0, *map(len, crystals)])
    numbers = np.concatenate([one.numbers for one in crystals])
    positions = np.concatenate([one.cart_coords for one in crystals])
    return Batch(first, numbers, positions, np.stack([one.lattice for one in crystals]), tuple(range(len(crystals))))


def matgl_potential(kind):
    import matgl.models
    from matgl.apps.pes import Potential

    torch.manual_seed(5)
    network = getattr(matgl.models, kind)(element_types=ELEMENTS, is_intensive=False)
    references = torch.arange(len(ELEMENTS), dtype=torch.float32)
    return Potential(network, element_refs=references).double().eval().requires_grad_(False)


def chgnet():
    return load_judge("chgnet", threads=1).calculator.model.double()


# waits of the host for the device in one evaluation, measured; more would be a defect
KINDS = {
    "TensorNet": (lambda: matgl_potential("TensorNet"), evaluator, 5),
    "M3GNet": (lambda: matgl_potential("M3GNet"), evaluator, 10),
    "CHGNet": (chgnet, ChgnetEvaluator, 10),
}


@pytest.mark.parametrize("kind", KINDS)
def test_on_another_device_every_tensor_is_there_and_the_numbers_are_the_same(kind):
    make, evaluator_of, waits_allowed = KINDS[kind]
    expected = {"TensorNet": MatglEvaluator, "M3GNet": MatglEvaluator, "CHGNet": ChgnetEvaluator}[kind](make(), CPU)
    network, batch = make(), batch_of(SOME)

    with far_device() as waits:
        there = evaluator_of(network.to(DEVICE), DEVICE)
        there.evaluate(batch)
        waits.clear()
        found = there.evaluate(batch)

    here = expected.evaluate(batch)
    assert found.energies == pytest.approx(here.energies, abs=TOLERANCE)
    assert found.forces == pytest.approx(here.forces, abs=TOLERANCE)
    assert found.stresses == pytest.approx(here.stresses, abs=TOLERANCE)
    for name, values in here.sites.items():
        assert found.sites[name] == pytest.approx(values, abs=TOLERANCE)
    assert waits.total() <= waits_allowed, waits


def test_tensornets_arrangement_for_a_cpu_is_not_used_elsewhere():
    assert isinstance(evaluator(matgl_potential("TensorNet"), CPU), TensorNetEvaluator)
    with far_device():
        assert isinstance(evaluator(matgl_potential("TensorNet").to(DEVICE), DEVICE), MatglEvaluator)


def test_the_far_device_refuses_what_a_gpu_refuses_and_counts_who_waits():
    with far_device() as waits:
        there = torch.arange(3.0, device=DEVICE)
        with pytest.raises(WrongDevice, match="add"):
            there + torch.ones(3)
        with pytest.raises(RuntimeError, match="numpy"):
            there.numpy()
        assert (there + torch.tensor(1.0)).to("cpu").tolist() == [1.0, 2.0, 3.0]
        assert there[there > 0.5].device == DEVICE
        assert float(there.sum()) == 3.0

    assert waits.total() == 3  # a copy, a mask, a number
