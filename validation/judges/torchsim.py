"""Any model that TorchSim wraps: MACE, SevenNet, ORB, MatterSim, fairchem, or an analytic one of its own.

TorchSim and the model's own package are extra requirements (requirements-torchsim.txt; docs/operations.md names the
rest). Only its models are used, not its optimisers: docs/adr/0011.
"""

from __future__ import annotations

import hashlib
from typing import Any

import torch
from ase.data import atomic_masses
from torch_sim.state import SimState

from validation.evaluation import Batch
from validation.judges.batched_calculator import BatchedCalculator
from validation.judges.description import Description
from validation.judges.judge import Judge, package_versions, weights_sha256
from validation.judges.torch_evaluator import Prediction, TorchEvaluator

_SITES = {"magmoms": "magmoms", "charges": "charges", "magnetic_moments": "magmoms"}


def load(model: str) -> Judge:
    """model: JSON, see ``Description``, for instance

    ``{"path": "torch_sim.models.mace:MaceModel", "arguments": {"model": "mace.model"}, "elements": ["Na", "Cl"],
    "cutoff_ang": 6, "packages": ["mace-torch"]}``

    The model is made with ``device`` and ``dtype``; the device is a GPU where there is one. Raises UnknownJudge,
    ImportError, and what the model raises.
    """
    described = Description.parse(model)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    made = described.find()(**described.arguments, device=device, dtype=getattr(torch, described.dtype))
    evaluator = TorchSimEvaluator(made, described.cutoff_ang)
    return Judge(
        name="torchsim",
        model=model,
        calculator=BatchedCalculator(evaluator),
        elements=frozenset(described.elements),
        cutoff_ang=described.cutoff_ang,
        dtype=described.dtype,
        device=str(made.device),
        weights_sha256=_identity(described, made),
        architecture=f"torchsim-{described.path}",
        versions=package_versions("torch-sim-atomistic", "torch", *described.packages),
        batched=evaluator,
    )


def _identity(described: Description, made: Any) -> str:
    """Over description and state: an analytic model has no state, one from a file is more than its arguments."""
    return hashlib.sha256(f"{described.sha256()}{weights_sha256(made.state_dict().items())}".encode()).hexdigest()


class TorchSimEvaluator(TorchEvaluator):
    """A model of TorchSim, which lists neighbours itself; all of its time counts as the potential's."""

    def __init__(self, model: Any, cutoff_ang: float) -> None:
        super().__init__(cutoff_ang, model.device)
        self._model = model.eval()

    def predict(self, batch: Batch) -> Prediction:
        with self.timed():
            found = self._model(self._state(batch))
        sites = {ours: found[theirs].detach().reshape(-1) for theirs, ours in _SITES.items() if theirs in found}
        return Prediction(found["energy"], found["forces"], found["stress"], sites)

    def _state(self, batch: Batch) -> SimState:
        """TorchSim's cells have a vector a column."""
        kind = {"dtype": self._model.dtype, "device": self.device}
        return SimState(
            positions=torch.as_tensor(batch.positions, **kind),
            masses=torch.as_tensor(atomic_masses[batch.numbers], **kind),
            cell=torch.as_tensor(batch.cells.transpose(0, 2, 1).copy(), **kind),
            pbc=True,
            atomic_numbers=torch.as_tensor(batch.numbers, device=self.device),
            system_idx=torch.as_tensor(batch.owners, device=self.device),
        )
