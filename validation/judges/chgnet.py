"""CHGNet, one crystal or many at once; its weights come with its package."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
import torch
from chgnet.model import CHGNet
from chgnet.model.dynamics import CHGNetCalculator
from chgnet.model.model import BatchedGraph
from torch import Tensor

from hull.entries import SYMBOLS
from validation.evaluation import Batch
from validation.judges.graphs import Edges
from validation.judges.judge import Judge, package_versions, weights_sha256
from validation.judges.torch_evaluator import GraphEvaluator, Prediction

_UNTRAINED = {"Po", "At", "Rn", "Fr", "Ra"}
_LARGEST_NUMBER = 94


def load(model: str) -> Judge:
    """CHGNet (Deng et al., Nat. Mach. Intell. 5, 1031, 2023; doi 10.1038/s42256-023-00716-3); weights in its wheel.

    model: one of the checkpoints in the wheel, 0.3.0 where it is empty.
    """
    model = model or "0.3.0"
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with contextlib.redirect_stdout(io.StringIO()):  # it prints a greeting
        network = CHGNet.load(model_name=model, use_device=device, verbose=False)
        calculator = CHGNetCalculator(network, use_device=device, on_isolated_atoms="ignore")
    network.eval().requires_grad_(False)  # no gradients of weights are asked for
    return Judge(
        name="chgnet",
        model=model,
        calculator=calculator,
        elements=frozenset(SYMBOLS[:_LARGEST_NUMBER]) - _UNTRAINED,
        cutoff_ang=float(network.graph_converter.atom_graph_cutoff),
        dtype="float32",
        device=device,
        weights_sha256=weights_sha256(network.state_dict().items()),
        architecture="CHGNet",
        versions=package_versions("chgnet", "torch", "ase"),
        batched=ChgnetEvaluator(network, torch.device(device)),
    )


class ChgnetEvaluator(GraphEvaluator):
    """One graph of all crystals, and one backward pass for forces and stresses together."""

    pairs_on_cpu = 4_000
    bytes_a_pair = 60_000.0

    def __init__(self, network: Any, device: torch.device) -> None:
        converter = network.graph_converter
        super().__init__(float(converter.atom_graph_cutoff), device)
        self._network = network
        self._bond_cutoff_ang = float(converter.bond_graph_cutoff)

    def predict_graph(self, batch: Batch, edges: Edges) -> Prediction:
        numbers = torch.as_tensor(batch.numbers, device=self.device)
        owners = torch.as_tensor(batch.owners, device=self.device)
        cells = torch.as_tensor(batch.cells, dtype=torch.float32, device=self.device)
        frac = np.linalg.solve(batch.cells.transpose(0, 2, 1)[batch.owners], batch.positions[:, :, None])[:, :, 0]
        places = torch.as_tensor(frac, dtype=torch.float32, device=self.device)
        ends, offsets = edges.both_ways()
        angles = _angles(ends, self._lengths(batch, edges) < self._bond_cutoff_ang)
        counts = torch.as_tensor(batch.counts, device=self.device)
        with self.timed():
            strains = torch.zeros_like(cells, requires_grad=True)
            strained = cells + cells @ strains
            positions = torch.bmm(places[:, None, :], strained[owners])[:, 0]
            graph = self._graph(numbers, owners, positions, strained, ends, offsets.float(), angles)
            found = self._network._compute(graph, compute_magmom=True)
            energies = found["e"] * counts
            slopes = torch.autograd.grad(energies.sum(), [positions, strains])
        references = self._references(numbers, owners, counts)
        volumes = torch.as_tensor(batch.volumes, device=self.device)[:, None, None]
        return Prediction(
            energies.detach().double() + references,
            -slopes[0],
            slopes[1].double() / volumes,
            {"magmoms": torch.cat(found["m"]).detach()},
        )

    def _lengths(self, batch: Batch, edges: Edges) -> Tensor:
        """Of each edge, Å, in double precision as CHGNet's converter has them; both ways."""
        positions = torch.as_tensor(batch.positions, device=self.device)
        cells = torch.as_tensor(batch.cells, device=self.device)
        shifts = torch.bmm(edges.offsets[:, None, :], cells[edges.owners])[:, 0]
        apart = positions[edges.second] - positions[edges.first] + shifts
        return torch.linalg.norm(apart, dim=1).repeat_interleave(2)

    def _graph(
        self,
        numbers: Tensor,
        owners: Tensor,
        positions: Tensor,
        cells: Tensor,
        ends: Tensor,
        offsets: Tensor,
        angles: Tensor,
    ) -> BatchedGraph:
        """What CHGNet makes of single graphs. ends: (2, 2m), a bond and its reverse next to each other."""
        bonds = torch.arange(ends.shape[1] // 2, device=self.device)
        shifts = torch.bmm(offsets[:, None, :], cells[owners[ends[0]]])[:, 0]
        vectors = positions[ends[0]] - positions[ends[1]] - shifts
        lengths = torch.linalg.norm(vectors, dim=1)
        units = vectors / lengths[:, None]
        expansion, angle_expansion = self._network.bond_basis_expansion, self._network.angle_basis_expansion
        once = lengths[::2]
        return BatchedGraph(
            atomic_numbers=numbers,
            bond_bases_ag=expansion.rbf_expansion_ag(once),
            bond_bases_bg=expansion.rbf_expansion_bg(once),
            angle_bases=angle_expansion(units[angles[1]], units[angles[2]]) if angles.shape[1] else torch.tensor([]),
            batched_atom_graph=ends.T,
            batched_bond_graph=torch.stack([angles[0], angles[1] // 2, angles[2] // 2], dim=1),
            atom_owners=owners,
            directed2undirected=bonds.repeat_interleave(2),
            atom_positions=[positions],
            strains=[],
            volumes=[],
        )

    def _references(self, numbers: Tensor, owners: Tensor, counts: Tensor) -> Tensor:
        """The fitted energies of the elements, eV a cell."""
        if self._network.composition_model is None:
            return torch.zeros(len(counts), dtype=torch.float64, device=self.device)
        each = self._network.composition_model.fc.weight[0].double()[numbers - 1]
        return torch.zeros(len(counts), dtype=torch.float64, device=self.device).index_add_(0, owners, each)


def _angles(ends: Tensor, short: Tensor) -> Tensor:
    """Ordered pairs of short edges that leave the same atom: its index and those of the two edges, shape (3, k)."""
    edges = torch.nonzero(short)[:, 0]
    edges = edges[torch.argsort(ends[0, edges], stable=True)]
    atoms, counts = torch.unique_consecutive(ends[0, edges], return_counts=True)
    starts = torch.cumsum(counts, 0) - counts
    many = counts.repeat_interleave(counts)  # for each edge, how many leave its atom
    left = torch.arange(len(edges), device=ends.device).repeat_interleave(many)
    within = torch.arange(len(left), device=ends.device) - (torch.cumsum(many, 0) - many).repeat_interleave(many)
    right = starts.repeat_interleave(counts**2) + within
    apart = left != right
    return torch.stack([atoms.repeat_interleave(counts**2)[apart], edges[left[apart]], edges[right[apart]]])
