"""TensorNet's energy from matgl's weights, arranged for a CPU.

The model is that of Simeon and De Fabritiis (NeurIPS 2023, arXiv 2306.06482) as ``matgl.models.TensorNet`` computes it,
to the rounding of its precision. What differs is the arrangement: an edge's radial functions are computed once for both
its ends, tensors are kept as their ten parts, and neighbours are summed by compiled loops. docs/adr/0012 has the
figures.
"""

from __future__ import annotations

from typing import Any

import torch
from matgl.models import TensorNet
from matgl.utils.cutoff import cosine_cutoff
from torch import Tensor
from torch.nn.functional import linear

from validation.judges.tensor_messages import Embedding, Messages

_SPLIT = (1, 3, 6)  # scalar, skew, symmetric traceless: xx, yy, zz, xy, xz, yz
_NORM = (3.0, 2.0, 2.0, 2.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0)  # of each part in the sum over all nine components
_OFF_DIAGONAL = ((0, 1), (0, 2), (1, 2))


class TensorNetEnergies:
    """Energies by atoms of a matgl TensorNet; see ``understands`` for which ones."""

    def __init__(self, network: Any) -> None:
        self._network = network
        weight = network.out_norm.weight
        self._to_matrix = _to_matrix().to(weight)
        self._to_parts = _to_parts().to(weight)
        self._norm = torch.tensor(_NORM).to(weight)[:, None, None]
        embedding = network.tensor_embedding
        own, other = embedding.emb2.weight.chunk(2, dim=1)
        self._own = linear(embedding.emb.weight, own, embedding.emb2.bias).detach()
        self._other = linear(embedding.emb.weight, other).detach()
        self._last = [_by_kind(layer.linears_scalar[-1]) for layer in network.layers]

    def __call__(self, types: Tensor, vectors: Tensor, first: Tensor, second: Tensor) -> Tensor:
        """eV before scaling and references, (n,).

        types: (n,), places in the network's list of elements. vectors: Å, (m, 3), from first to second, each edge once.
        """
        lengths = torch.linalg.norm(vectors, dim=1)
        basis = self._network.bond_expansion(lengths)
        fade = cosine_cutoff(lengths, self._network.cutoff)[:, None]
        x = self._embedded(types, vectors / lengths[:, None], basis, fade, first, second)
        for layer, last in zip(self._network.layers, self._last, strict=True):
            x = self._interacted(layer, last, x, basis, fade, first, second)
        norms = [part.sum(dim=0) for part in (x * x * self._norm).split(_SPLIT)]
        readout = self._network.linear(self._network.out_norm(torch.cat(norms, dim=1)))
        energies: Tensor = self._network.final_layer(readout).view(-1)
        return energies

    def _embedded(
        self, types: Tensor, units: Tensor, basis: Tensor, fade: Tensor, first: Tensor, second: Tensor
    ) -> Tensor:
        layer = self._network.tensor_embedding
        projections = (layer.distance_proj1, layer.distance_proj2, layer.distance_proj3)
        weights = torch.stack([projection(basis) * fade for projection in projections], dim=1)
        x = Embedding.apply(weights, _shapes(units), self._own[types], self._other[types], first, second)
        scales = layer.init_norm(self._norm_of(x))
        for scalar in layer.linears_scalar:
            scales = layer.act(scalar(scales))
        by_kind = scales.view(len(types), -1, 3).unbind(dim=2)
        parts = zip(x.split(_SPLIT), layer.linears_tensor, by_kind, strict=True)
        return torch.cat([tensor(part) * scale for part, tensor, scale in parts])

    def _interacted(
        self,
        layer: Any,
        last: tuple[Tensor, Tensor],
        x: Tensor,
        basis: Tensor,
        fade: Tensor,
        first: Tensor,
        second: Tensor,
    ) -> Tensor:
        for scalar in layer.linears_scalar[:-1]:
            basis = layer.act(scalar(basis))
        factors = layer.act(linear(basis, *last)) * fade
        x = x / (self._norm_of(x) + 1)
        y = _mixed(x, layer.linears_tensor[:3])
        messages = Messages.apply(factors.view(len(basis), 3, y.shape[2]), y, first, second)
        product = self._product(y, messages)
        product = product + (self._product(messages, y) if layer.equivariance_invariance_group == "O(3)" else product)
        product = product / (self._norm_of(product) + 1)
        change = _mixed(product, layer.linears_tensor[3:])
        return x + change + self._product(change, change)

    def _norm_of(self, x: Tensor) -> Tensor:
        return (x * x * self._norm).sum(dim=0)

    def _product(self, left: Tensor, right: Tensor) -> Tensor:
        """Of two tensors as 3 × 3 matrices, by channels; all in parts."""
        a = (self._to_matrix @ left.reshape(10, -1)).view(3, 3, 1, -1)
        b = (self._to_matrix @ right.reshape(10, -1)).view(1, 3, 3, -1)
        return (self._to_parts @ (a * b).sum(dim=1).view(9, -1)).view(left.shape)


def understands(potential: Any) -> bool:
    """Whether TensorNetEnergies says of this matgl ``Potential`` what it says itself."""
    network = potential.model
    return (
        type(network) is TensorNet
        and not network.is_intensive
        and not network._use_warp
        and not (potential.calc_repuls or potential.calc_magmom or potential.calc_charge)
    )


def _mixed(x: Tensor, layers: Any) -> Tensor:
    """Each kind of part by a matrix of its own over the channels."""
    return torch.cat([layer(part) for part, layer in zip(x.split(_SPLIT), layers, strict=True)])


def _shapes(units: Tensor) -> Tensor:
    """1, the unit vector, and its outer product without the trace: (m, 10)."""
    outer = units[:, :, None] * units[:, None, :]
    diagonal = outer.diagonal(dim1=1, dim2=2) - 1 / 3
    rest = torch.stack([outer[:, row, column] for row, column in _OFF_DIAGONAL], dim=1)
    return torch.cat([torch.ones_like(units[:, :1]), units, diagonal, rest], dim=1)


def _by_kind(last: Any) -> tuple[Tensor, Tensor]:
    """Weight and bias of a layer that gives (channels, 3), so that it gives (3, channels)."""
    weight = last.weight.view(-1, 3, last.in_features).transpose(0, 1).reshape(last.out_features, -1)
    return weight.detach().contiguous(), last.bias.view(-1, 3).T.reshape(-1).detach().contiguous()


def _to_matrix() -> Tensor:
    """(9, 10): the components of a matrix from the parts."""
    found = torch.zeros(3, 3, 10, dtype=torch.float64)
    for axis in range(3):
        before, after = (axis + 1) % 3, (axis + 2) % 3
        found[axis, axis, 0] = 1.0
        found[after, before, 1 + axis], found[before, after, 1 + axis] = 1.0, -1.0
        found[axis, axis, 4 + axis] = 1.0
    for place, (row, column) in enumerate(_OFF_DIAGONAL):
        found[row, column, 7 + place] = found[column, row, 7 + place] = 1.0
    return found.view(9, 10)


def _to_parts() -> Tensor:
    """(10, 9): the parts of a matrix."""
    found = torch.zeros(10, 3, 3, dtype=torch.float64)
    for axis in range(3):
        before, after = (axis + 1) % 3, (axis + 2) % 3
        found[0, axis, axis] = 1 / 3
        found[1 + axis, after, before], found[1 + axis, before, after] = 0.5, -0.5
        found[4:7, axis, axis] = -1 / 3
        found[4 + axis, axis, axis] += 1.0
    for place, (row, column) in enumerate(_OFF_DIAGONAL):
        found[7 + place, row, column] = found[7 + place, column, row] = 0.5
    return found.view(10, 9)
