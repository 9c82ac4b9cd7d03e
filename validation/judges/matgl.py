"""Any potential of matgl (TensorNet, M3GNet, CHGNet, …), one crystal or many at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from matgl.ext.ase import PESCalculator
from matgl.utils.constants import EV_PER_ANG3_TO_GPA
from numpy.typing import NDArray
from torch import Tensor
from torch_geometric.data import Batch as Graph

from hull.entries import SYMBOLS
from validation.evaluation import Batch
from validation.judges import tensornet
from validation.judges.graphs import Edges
from validation.judges.judge import Judge, UnknownJudge, package_versions, weights_sha256
from validation.judges.torch_evaluator import GraphEvaluator, Prediction, by_vectors


def load(model: str) -> Judge:
    """Any potential that ``matgl.load_model`` gives: a folder, or a hub name where the network allows it."""
    if not model:
        raise UnknownJudge("the judge matgl needs a model: a folder or a hub name")
    import matgl  # late: its loader brings what no other user of this module needs

    return matgl_judge(matgl.load_model(model), model)


def matgl_judge(potential: Any, model: str) -> Judge:
    """A judge from a matgl ``Potential`` at hand; its elemental energies count as weights."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    potential = potential.to(device).eval().requires_grad_(False)  # no gradients of weights are asked for
    network = potential.model
    return Judge(
        name="matgl",
        model=model,
        # matgl's default is GPa and a 3×3 tensor; ASE's cell filters need eV/Å³ and Voigt order.
        calculator=PESCalculator(potential, stress_unit="eV/A3", use_voigt=True),
        elements=frozenset(network.element_types),
        cutoff_ang=float(network.cutoff),
        dtype=str(next(potential.parameters()).dtype).removeprefix("torch."),
        device=device,
        weights_sha256=weights_sha256(potential.state_dict().items()),
        architecture=f"matgl-{type(network).__name__}",
        versions=package_versions("matgl", "torch", "ase"),
        batched=evaluator(potential, torch.device(device)),
    )


def evaluator(potential: Any, device: torch.device) -> GraphEvaluator:
    """The fastest that there is for this potential on this device."""
    if device.type == "cpu" and tensornet.understands(potential):
        return TensorNetEvaluator(potential, device)
    return MatglEvaluator(potential, device)


class TensorNetEvaluator(GraphEvaluator):
    """TensorNet on a CPU, by ``validation.judges.tensornet``."""

    pairs_on_cpu = 4_000

    def __init__(self, potential: Any, device: torch.device) -> None:
        super().__init__(float(potential.model.cutoff), device)
        self._potential = potential
        self._dtype = potential.data_mean.dtype
        self._energies = tensornet.TensorNetEnergies(potential.model)
        self._types = _types(potential)

    def predict_graph(self, batch: Batch, edges: Edges) -> Prediction:
        types = torch.as_tensor(self._types[batch.numbers - 1])
        owners = torch.as_tensor(batch.owners)
        vectors = edges.vectors.to(self._dtype).requires_grad_(True)
        with self.timed():
            atoms = self._energies(types, vectors, edges.first, edges.second)
            energies = torch.zeros(len(batch), dtype=self._dtype).index_add(0, owners, atoms)
            energies = self._potential.data_std * energies + self._potential.data_mean
            (slopes,) = torch.autograd.grad(energies.sum(), [vectors])
        return by_vectors(
            batch, edges, energies.detach().double() + self._references(types, owners, len(batch)), slopes
        )

    def _references(self, types: Tensor, owners: Tensor, count: int) -> Tensor:
        """The energies of the elements by themselves, eV a cell."""
        nothing = torch.zeros(count, dtype=torch.float64)
        if self._potential.element_refs is None:
            return nothing
        return nothing.index_add(0, owners, self._potential.element_refs.property_offset.double()[types])


class MatglEvaluator(GraphEvaluator):
    """One graph of all crystals and one call of the potential."""

    pairs_on_cpu = 4_000
    bytes_a_pair = 40_000.0

    def __init__(self, potential: Any, device: torch.device) -> None:
        super().__init__(float(potential.model.cutoff), device)
        self._potential = potential
        self._dtype = next(potential.parameters()).dtype
        self._types = _types(potential)

    def predict_graph(self, batch: Batch, edges: Edges) -> Prediction:
        graph, cells = self._graph(batch, edges)
        nothing = torch.zeros((len(batch), 2), dtype=self._dtype, device=self.device)
        charge = {"total_charge": nothing[:, 0]} if self._potential.calc_charge else {}
        try:
            with self.timed():
                found = self._potential(graph, cells, nothing, **charge)
        finally:  # matgl keeps all layers' features there, and by them what a backward pass that failed had saved
            self._potential.model.feature_dict = {}
        stresses = found[2].detach().double().reshape(-1, 3, 3) / EV_PER_ANG3_TO_GPA
        return Prediction(found[0].detach().reshape(-1), found[1], stresses, self._sites(found))

    def _graph(self, batch: Batch, edges: Edges) -> tuple[Any, Tensor]:
        """As matgl's own converter makes it of one crystal: edges in the order of their first atom."""
        ends, offsets = edges.both_ways()
        order = torch.argsort(ends[0], stable=True)
        frac = np.linalg.solve(batch.cells.transpose(0, 2, 1)[batch.owners], batch.positions[:, :, None])[:, :, 0]
        graph = Graph(
            num_nodes=len(batch.numbers),
            edge_index=ends[:, order],
            pbc_offset=offsets[order].to(self._dtype),
            node_type=torch.as_tensor(self._types[batch.numbers - 1], device=self.device),
            frac_coords=torch.as_tensor(frac, dtype=self._dtype, device=self.device),
            batch=torch.as_tensor(batch.owners, device=self.device),
            ptr=torch.as_tensor(batch.first, device=self.device),
        )
        graph._num_graphs = len(batch)
        return graph, torch.as_tensor(batch.cells, dtype=self._dtype, device=self.device)

    def _sites(self, found: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """What follows energies, forces, stresses and Hessian: charges before magnetic moments."""
        asked = (("charges", self._potential.calc_charge), ("magmoms", self._potential.calc_magmom))
        names = [name for name, given in asked if given]
        return {name: values.reshape(-1) for name, values in zip(names, found[4:], strict=False)}


def _types(potential: Any) -> NDArray[np.int64]:
    """By atomic number - 1: the place in the network's list of elements, -1 where it has none."""
    types = {symbol: index for index, symbol in enumerate(potential.model.element_types)}
    return np.array([types.get(symbol, -1) for symbol in SYMBOLS])
