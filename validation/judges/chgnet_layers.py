"""CHGNet's layers with fewer products of matrices.

Its gated layers act on rows of several features joined, a row an edge or angle. Here each feature meets its own columns
of the weights while it has a row an atom or bond, and the products are added: the same sums, to their rounding.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear


def rearranged(network: Any) -> Any:
    """A CHGNet with the same weights and these layers; the one that is given is left as it is."""
    found = copy.copy(network)
    found._modules = dict(network._modules)
    found.atom_conv_layers = nn.ModuleList([_AtomLayer(layer) for layer in network.atom_conv_layers])
    found.bond_conv_layers = nn.ModuleList([_BondLayer(layer) for layer in network.bond_conv_layers])
    found.angle_layers = nn.ModuleList([_AngleLayer(layer) for layer in network.angle_layers])
    return found


class _Gate:
    """A ``GatedMLP`` whose input is several features of equal width."""

    def __init__(self, gated: Any, features: int) -> None:
        self._gated = gated
        both = [_divided(branch.layers) for branch in (gated.mlp_core, gated.mlp_gate)]
        weight = torch.cat([first.weight for first, _ in both]).detach()
        self._weights = [part.contiguous() for part in weight.chunk(features, dim=1)]
        self._bias = torch.cat([first.bias for first, _ in both]).detach()
        self._rest = [rest for _, rest in both]

    def product(self, feature: int, values: Tensor) -> Tensor:
        """Of one feature with its columns, (rows, 2 × hidden); the first one carries the bias."""
        return linear(values, self._weights[feature], None if feature else self._bias)

    def __call__(self, summed: Tensor) -> Tensor:
        """From the sum of all features' products."""
        core, gate = (rest(half) for rest, half in zip(self._rest, summed.chunk(2, dim=1), strict=True))
        if self._gated.norm is not None:
            core, gate = self._gated.bn1(core), self._gated.bn2(gate)
        opened: Tensor = self._gated.activation(core) * self._gated.sigmoid(gate)
        return opened


class _AtomLayer(nn.Module):  # type: ignore[misc]  # torch has no types here
    """``chgnet.model.layers.AtomConv``."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self._layer, self._gate = layer, _Gate(layer.twoBody_atom, 3)

    def forward(
        self,
        atom_feas: Tensor,
        bond_feas: Tensor,
        bond_weights: Tensor,
        atom_graph: Tensor,
        directed2undirected: Tensor,
    ) -> Tensor:
        centres, others = atom_graph[:, 0], atom_graph[:, 1]
        summed = self._gate.product(0, atom_feas).index_select(0, centres) + self._gate.product(
            2, atom_feas
        ).index_select(0, others)
        messages = self._gate(summed + self._gate.product(1, bond_feas).index_select(0, directed2undirected))
        return _added(self._layer, atom_feas, centres, messages * bond_weights.index_select(0, directed2undirected))


class _BondLayer(nn.Module):  # type: ignore[misc]
    """``chgnet.model.layers.BondConv``."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self._layer, self._gate = layer, _Gate(layer.twoBody_bond, 4)

    def forward(
        self, atom_feas: Tensor, bond_feas: Tensor, bond_weights: Tensor, angle_feas: Tensor, bond_graph: Tensor
    ) -> Tensor:
        updates = self._gate(_of_angles(self._gate, atom_feas, bond_feas, angle_feas, bond_graph))
        updates = (
            updates * bond_weights.index_select(0, bond_graph[:, 1]) * bond_weights.index_select(0, bond_graph[:, 2])
        )
        return _added(self._layer, bond_feas, bond_graph[:, 1], updates)


class _AngleLayer(nn.Module):  # type: ignore[misc]
    """``chgnet.model.layers.AngleUpdate``."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self._gate = _Gate(layer.twoBody_bond, 4)

    def forward(self, atom_feas: Tensor, bond_feas: Tensor, angle_feas: Tensor, bond_graph: Tensor) -> Tensor:
        return angle_feas + self._gate(_of_angles(self._gate, atom_feas, bond_feas, angle_feas, bond_graph))


def understands(network: Any) -> bool:
    """Whether ``rearranged`` computes what this network does: the published checkpoints, and others built like them."""
    layers = [*network.atom_conv_layers, *network.bond_conv_layers, *network.angle_layers]
    plain = all(layer is not None and layer.resnet for layer in layers)
    return plain and all(
        getattr(layer, norm, None) is None for layer in layers for norm in ("atom_norm", "bond_norm", "angle_norm")
    )


def _of_angles(gate: _Gate, atoms: Tensor, bonds: Tensor, angles: Tensor, bond_graph: Tensor) -> Tensor:
    """The summed products for each angle: its two bonds, itself, and its atom."""
    summed = gate.product(0, bonds).index_select(0, bond_graph[:, 1]) + gate.product(1, bonds).index_select(
        0, bond_graph[:, 2]
    )
    return summed + gate.product(2, angles) + gate.product(3, atoms).index_select(0, bond_graph[:, 0])


def _added(layer: Any, features: Tensor, owners: Tensor, messages: Tensor) -> Tensor:
    """Features with what their messages make of them."""
    sums = torch.zeros_like(features).index_add(0, owners, messages)
    return features + (layer.mlp_out(sums) if layer.use_mlp_out else sums)


def _divided(layers: Any) -> tuple[Any, Any]:
    """The first linear layer, and what comes after it."""
    place = next(place for place, layer in enumerate(layers) if isinstance(layer, nn.Linear))
    return layers[place], layers[place + 1 :]
