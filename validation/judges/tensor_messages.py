"""TensorNet's sums over neighbours on a CPU, without an array that is as long as the list of edges and nine deep.

A tensor of rank two is kept as its irreducible parts, ten numbers a channel: the scalar, the three of the skew part and
six of the symmetric traceless one. Parts come first, channels last. An edge is listed once and serves both its ends.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

PARTS = 10
_KIND = np.array([0, 1, 1, 1, 2, 2, 2, 2, 2, 2])  # of each part: scalar, skew, symmetric
_SIGN = np.array([1, -1, -1, -1, 1, 1, 1, 1, 1, 1])  # by which it is turned where an edge is seen from its other end

_Array = NDArray[Any]


class Messages(torch.autograd.Function):  # type: ignore[misc]  # torch has no types here
    """Σ over neighbours j of f(edge, kind of part) × x(j, part).

    factors: (m, 3, channels). values: (10, n, channels). first, second: ends of the edges, (m,). Returns (n, 10,
    channels).
    """

    @staticmethod
    def forward(ctx: Any, factors: Tensor, values: Tensor, first: Tensor, second: Tensor) -> Tensor:
        ctx.save_for_backward(factors, values, first, second)
        sums = torch.zeros_like(values)
        _pass_on(first.numpy(), second.numpy(), factors.detach().numpy(), values.detach().numpy(), sums.numpy())
        return sums

    @staticmethod
    def backward(ctx: Any, slopes: Tensor) -> tuple[Tensor, Tensor, None, None]:
        factors, values, first, second = ctx.saved_tensors
        ends, slopes = (first.numpy(), second.numpy()), slopes.contiguous()
        of_values, of_factors = torch.zeros_like(values), torch.empty_like(factors)
        _pass_on(*ends, factors.numpy(), slopes.numpy(), of_values.numpy())
        _slopes_of_factors(*ends, slopes.numpy(), values.numpy(), of_factors.numpy())
        return of_factors, of_values, None, None


class Embedding(torch.autograd.Function):  # type: ignore[misc]  # torch has no types here
    """Σ over neighbours j of (own(i) + other(j)) × w(edge, kind of part) × t(edge, part), by channels.

    weights: (m, 3, channels). shapes: (m, 10), the parts of the edge's direction, first to second. own, other: (n,
    channels), of which no gradient is given. Returns (10, n, channels).
    """

    @staticmethod
    def forward(
        ctx: Any, weights: Tensor, shapes: Tensor, own: Tensor, other: Tensor, first: Tensor, second: Tensor
    ) -> Tensor:
        ctx.save_for_backward(weights, shapes, own, other, first, second)
        sums = own.new_zeros((PARTS, *own.shape))
        _embed(*_arrays(weights, shapes, own, other, first, second, sums))
        return sums

    @staticmethod
    def backward(ctx: Any, slopes: Tensor) -> tuple[Tensor, Tensor, None, None, None, None]:
        weights, shapes = ctx.saved_tensors[:2]
        of_weights, of_shapes = torch.empty_like(weights), torch.empty_like(shapes)
        _embed_slopes(*_arrays(*ctx.saved_tensors, slopes.contiguous(), of_weights, of_shapes))
        return of_weights, of_shapes, None, None, None, None


def compile_kernels() -> None:
    """In single precision, as potentials come."""
    values = torch.ones(PARTS, 2, 4, requires_grad=True)
    weights, shapes = torch.ones(1, 3, 4, requires_grad=True), torch.ones(1, PARTS, requires_grad=True)
    channels, ends = torch.ones(2, 4), (torch.tensor([0]), torch.tensor([1]))
    Messages.apply(weights, values, *ends).sum().backward()
    Embedding.apply(weights, shapes, channels, channels, *ends).sum().backward()


def _arrays(*tensors: Tensor) -> Any:
    return tuple(tensor.detach().numpy() for tensor in tensors)


@numba.njit(cache=True, error_model="numpy")
def _pass_on(first: _Array, second: _Array, factors: _Array, values: _Array, sums: _Array) -> None:
    for edge in range(len(first)):
        one, other = first[edge], second[edge]
        for part in range(PARTS):
            kind = _KIND[part]
            for channel in range(values.shape[2]):
                sums[part, one, channel] += factors[edge, kind, channel] * values[part, other, channel]
            for channel in range(values.shape[2]):
                sums[part, other, channel] += factors[edge, kind, channel] * values[part, one, channel]


@numba.njit(cache=True, error_model="numpy")
def _slopes_of_factors(first: _Array, second: _Array, slopes: _Array, values: _Array, found: _Array) -> None:
    for edge in range(len(first)):
        one, other = first[edge], second[edge]
        found[edge] = 0.0
        for part in range(PARTS):
            kind = _KIND[part]
            for channel in range(values.shape[2]):
                found[edge, kind, channel] += (
                    slopes[part, one, channel] * values[part, other, channel]
                    + slopes[part, other, channel] * values[part, one, channel]
                )


@numba.njit(cache=True, error_model="numpy")
def _embed(
    weights: _Array, shapes: _Array, own: _Array, other: _Array, first: _Array, second: _Array, sums: _Array
) -> None:
    for edge in range(len(first)):
        i, j = first[edge], second[edge]
        for part in range(PARTS):
            kind, shape = _KIND[part], shapes[edge, part]
            turned = shape * _SIGN[part]
            for channel in range(own.shape[1]):
                weight = weights[edge, kind, channel]
                sums[part, i, channel] += (own[i, channel] + other[j, channel]) * weight * shape
                sums[part, j, channel] += (own[j, channel] + other[i, channel]) * weight * turned


@numba.njit(cache=True, error_model="numpy", fastmath={"reassoc"})
def _embed_slopes(
    weights: _Array,
    shapes: _Array,
    own: _Array,
    other: _Array,
    first: _Array,
    second: _Array,
    slopes: _Array,
    of_weights: _Array,
    of_shapes: _Array,
) -> None:
    for edge in range(len(first)):
        i, j = first[edge], second[edge]
        of_weights[edge] = 0.0
        for part in range(PARTS):
            kind, shape, sign = _KIND[part], shapes[edge, part], shapes.dtype.type(_SIGN[part])
            total = shapes.dtype.type(0.0)
            for channel in range(own.shape[1]):
                slope = (own[i, channel] + other[j, channel]) * slopes[part, i, channel]
                slope += sign * (own[j, channel] + other[i, channel]) * slopes[part, j, channel]
                of_weights[edge, kind, channel] += slope * shape
                total += slope * weights[edge, kind, channel]
            of_shapes[edge, part] = total
