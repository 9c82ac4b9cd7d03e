"""CHGNet, one crystal or many at once; its weights come with its package."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import torch
from chgnet.model import CHGNet
from chgnet.model.dynamics import CHGNetCalculator
from chgnet.model.model import BatchedGraph
from torch import Tensor

from hull.entries import SYMBOLS
from validation.evaluation import Batch
from validation.judges.chgnet_layers import rearranged, understands
from validation.judges.graphs import Edges
from validation.judges.judge import Judge, package_versions, weights_sha256
from validation.judges.torch_evaluator import GraphEvaluator, Prediction, by_vectors

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
        self._network = rearranged(network) if understands(network) else network
        self._dtype = next(network.parameters()).dtype
        self._bond_cutoff_ang = float(converter.bond_graph_cutoff)

    def predict_graph(self, batch: Batch, edges: Edges) -> Prediction:
        numbers = torch.as_tensor(batch.numbers, device=self.device)
        owners = torch.as_tensor(batch.owners, device=self.device)
        counts = torch.as_tensor(batch.counts, device=self.device)
        ends, _ = edges.both_ways()
        short = torch.linalg.norm(edges.vectors, dim=1) < self._bond_cutoff_ang
        angles = _angles(ends, short.repeat_interleave(2))
        vectors = edges.vectors.to(self._dtype).requires_grad_(True)
        with self.timed():
            graph = self._graph(numbers, owners, vectors, ends, angles)
            found = self._network._compute(graph, compute_magmom=True)
            energies = found["e"] * counts
            (slopes,) = torch.autograd.grad(energies.sum(), [vectors])
        energies = energies.detach().double() + self._references(numbers, owners, counts)
        return by_vectors(batch, edges, energies, slopes, {"magmoms": torch.cat(found["m"]).detach()})

    def _graph(self, numbers: Tensor, owners: Tensor, vectors: Tensor, ends: Tensor, angles: Tensor) -> BatchedGraph:
        """What CHGNet makes of single graphs. ends: (2, 2m), a bond and its reverse next to each other.

        vectors: Å, (m, 3), from first to second; CHGNet's own point from the neighbour to the centre.
        """
        lengths = torch.linalg.norm(vectors, dim=1)
        once = vectors / lengths[:, None]
        units = torch.stack([-once, once], dim=1).view(-1, 3)
        expansion, angle_expansion = self._network.bond_basis_expansion, self._network.angle_basis_expansion
        bonds = torch.arange(len(vectors), device=self.device)
        return BatchedGraph(
            atomic_numbers=numbers,
            bond_bases_ag=expansion.rbf_expansion_ag(lengths),
            bond_bases_bg=expansion.rbf_expansion_bg(lengths),
            angle_bases=angle_expansion(units[angles[1]], units[angles[2]]) if angles.shape[1] else torch.tensor([]),
            batched_atom_graph=ends.T,
            batched_bond_graph=torch.stack([angles[0], angles[1] // 2, angles[2] // 2], dim=1),
            atom_owners=owners,
            directed2undirected=bonds.repeat_interleave(2),
            atom_positions=[],
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
    many = counts.repeat_interleave(counts, output_size=len(edges))  # for each edge, how many leave its atom
    total = int(many.sum())  # said wherever it is needed: each time that it is not, the host waits for a GPU to say it
    left = torch.arange(len(edges), device=ends.device).repeat_interleave(many, output_size=total)
    before = (torch.cumsum(many, 0) - many).repeat_interleave(many, output_size=total)
    within = torch.arange(total, device=ends.device) - before
    right = starts.repeat_interleave(counts**2, output_size=total) + within
    apart = torch.nonzero(left != right)[:, 0]
    centres = atoms.repeat_interleave(counts**2, output_size=total)
    return torch.stack([centres[apart], edges[left[apart]], edges[right[apart]]])
