"""Neighbours of a whole batch on the potential's device, listed anew only for crystals that moved too far."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from validation.evaluation import Batch
from validation.judges.pairs import half_pairs

SKIN_ANG = 0.5

_Floats = NDArray[np.float64]
_Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Edges:
    """Pairs of atoms within the cutoff, each once: i, j and the whole cells by which j is moved to be near i.

    first, second: indices of atoms in the batch, (m,). offsets: (m, 3), float64. vectors: Å, (m, 3), float64, from i to
    j. owners: their crystals, (m,).
    """

    first: Tensor
    second: Tensor
    offsets: Tensor
    vectors: Tensor
    owners: Tensor

    def both_ways(self) -> tuple[Tensor, Tensor]:
        """Each edge and then its reverse, edges 2m and 2m + 1: (2, 2m) indices and (2m, 3) offsets."""
        ends = torch.stack([torch.stack([self.first, self.second]), torch.stack([self.second, self.first])], dim=2)
        offsets = torch.stack([self.offsets, -self.offsets], dim=1)
        return ends.reshape(2, -1), offsets.reshape(-1, 3)


@dataclass(frozen=True, slots=True, eq=False)
class _Listed:
    """A crystal as it was when its pairs within cutoff and skin were listed."""

    cell: _Floats
    positions: _Floats
    sites: _Ints
    offsets: _Ints


class Neighbours:
    """The pairs of a batch that are within the cutoff now, filtered from lists with a skin.

    A list holds as long as no pair can have come within the cutoff from outside of cutoff + skin: a deformation F (of
    row vectors) shortens no vector by more than ‖F - 1‖ of its length, and two atoms come nearer by twice the largest
    move.
    """

    def __init__(self, cutoff_ang: float, device: torch.device) -> None:
        self._cutoff_ang, self._device = cutoff_ang, device
        self._listed: dict[int, _Listed] = {}
        self._keys: tuple[int, ...] = ()

    def edges(self, batch: Batch) -> Edges:
        """Raises CellTooFlat for a cell that is too flat to be listed."""
        new = [index for index, key in enumerate(batch.keys) if key not in self._listed]
        self._list(batch, new)
        changed = bool(new) or batch.keys != self._keys
        if changed:
            self._take(batch)
        stale = np.flatnonzero(~self._hold(batch)).tolist()
        if stale:
            self._list(batch, stale)
            self._take(batch)
        if changed or stale:
            self._gather(batch)
        return self._within(batch)

    def forget(self, keys: tuple[int, ...]) -> None:
        for key in keys:
            self._listed.pop(key, None)

    def _list(self, batch: Batch, which: list[int]) -> None:
        for index in which:
            cell = batch.cells[index]
            positions = batch.positions[batch.first[index] : batch.first[index + 1]]
            sites, offsets = half_pairs(cell, positions, self._cutoff_ang + SKIN_ANG)
            self._listed[batch.keys[index]] = _Listed(cell.copy(), positions.copy(), sites, offsets)

    def _take(self, batch: Batch) -> None:
        """Cells and positions of the lists, one after the other."""
        lists = [self._listed[key] for key in batch.keys]
        self._keys = ()  # until they are gathered: what is raised before leaves no arrays of another batch
        self._inverse = np.linalg.inv(np.stack([one.cell for one in lists]))
        self._positions = np.concatenate([one.positions for one in lists])

    def _gather(self, batch: Batch) -> None:
        """The lists as arrays of the batch, on the device."""
        lists = [self._listed[key] for key in batch.keys]
        counts = [len(one.sites) for one in lists]
        sites = np.concatenate([one.sites for one in lists]) + np.repeat(batch.first[:-1], counts)[:, None]
        self._first, self._second = (torch.as_tensor(sites[:, end], device=self._device) for end in (0, 1))
        self._owners = torch.as_tensor(np.repeat(np.arange(len(lists)), counts), device=self._device)
        offsets = np.concatenate([one.offsets for one in lists])
        self._offsets = torch.as_tensor(offsets, dtype=torch.float64, device=self._device)
        self._keys = batch.keys

    def _hold(self, batch: Batch) -> NDArray[np.bool_]:
        deformations = self._inverse @ batch.cells
        shrink = np.linalg.norm(deformations - np.eye(3), axis=(1, 2))
        there = (self._positions[:, None, :] @ deformations[batch.owners])[:, 0]
        moves = np.linalg.norm(batch.positions - there, axis=1)
        farthest = np.maximum.reduceat(moves, batch.first[:-1])
        held: NDArray[np.bool_] = (1 - shrink) * (self._cutoff_ang + SKIN_ANG) - 2 * farthest >= self._cutoff_ang
        return held

    def _within(self, batch: Batch) -> Edges:
        positions = torch.as_tensor(batch.positions, device=self._device)
        cells = torch.as_tensor(batch.cells, device=self._device)
        shifts = torch.bmm(self._offsets[:, None, :], cells[self._owners])[:, 0]
        apart = positions[self._second] - positions[self._first] + shifts
        near = torch.nonzero((apart * apart).sum(dim=1) <= self._cutoff_ang**2)[:, 0]
        return Edges(self._first[near], self._second[near], self._offsets[near], apart[near], self._owners[near])
