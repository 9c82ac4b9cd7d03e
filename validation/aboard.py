"""The crystals of a flight as arrays, one after the other; they come and go between two steps."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from validation import fire
from validation.crystal import Crystal
from validation.evaluation import Batch, Evaluation

_Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Passenger:
    """A crystal in relaxation. number: its key in batches. crystal: as submitted. pairs: neighbours, expected."""

    key: Hashable
    number: int
    crystal: Crystal
    pairs: float


@dataclass(slots=True, eq=False)
class Aboard:
    """State between two steps: b crystals with n atoms, all arrays in their order.

    places: Å, (n, 3), positions in the cell as it was at the start; logs: (b, 3, 3), log F of its deformation F, so
    that positions are places · Fᵀ and cells starts · Fᵀ. velocities, log_velocities, motion: see ``fire.step``.
    numbers: (n,). steps: done so far, (b,). history: (b, max_steps + 1, 3), float32. seconds: spent on each, (b,).
    """

    passengers: list[Passenger]
    counts: NDArray[np.int64]
    starts: _Floats
    logs: _Floats
    log_velocities: _Floats
    motion: NDArray[Any]
    steps: NDArray[np.int64]
    history: NDArray[np.float32]
    seconds: _Floats
    numbers: NDArray[np.int64]
    places: _Floats
    velocities: _Floats

    @classmethod
    def of(cls, passengers: Sequence[Passenger], starts: Sequence[Crystal], max_steps: int) -> Self:
        """starts: the passengers' crystals as they start, displaced or not."""
        b, counts = len(starts), np.array([len(one) for one in starts], dtype=np.int64)
        return cls(
            passengers=list(passengers),
            counts=counts,
            starts=np.array([one.lattice for one in starts]).reshape(b, 3, 3),
            logs=np.zeros((b, 3, 3)),
            log_velocities=np.zeros((b, 3, 3)),
            motion=fire.new_state(b),
            steps=np.zeros(b, dtype=np.int64),
            history=np.zeros((b, max_steps + 1, 3), dtype=np.float32),
            seconds=np.zeros(b),
            numbers=np.concatenate([np.empty(0, dtype=np.int64), *(one.numbers for one in starts)]),
            places=np.concatenate([np.empty((0, 3)), *(one.cart_coords for one in starts)]),
            velocities=np.zeros((int(counts.sum()), 3)),
        )

    def __len__(self) -> int:
        return len(self.passengers)

    @property
    def first(self) -> NDArray[np.int64]:
        return np.concatenate([[0], np.cumsum(self.counts)])

    def joined(self, others: Self) -> Self:
        """These and then the others."""
        parts = {name: np.concatenate([getattr(self, name), getattr(others, name)]) for name in _ARRAYS}
        return type(self)(passengers=[*self.passengers, *others.passengers], **parts)

    def kept(self, keep: NDArray[np.bool_]) -> Self:
        """Only those for which ``keep``, (b,), is true."""
        if keep.all():
            return self
        atoms = np.repeat(keep, self.counts)
        parts = {name: getattr(self, name)[atoms if name in _OF_ATOMS else keep] for name in _ARRAYS}
        return type(self)(passengers=[one for one, stays in zip(self.passengers, keep, strict=True) if stays], **parts)

    def volumes(self) -> tuple[_Floats, _Floats]:
        """Å³, (b,) each: now and at the start."""
        starts = np.abs(np.linalg.det(self.starts))
        return starts * np.exp(self.logs.trace(axis1=1, axis2=2)), starts  # det exp A = exp tr A

    def crystal(self, index: int) -> Crystal:
        """As it is now."""
        atoms = slice(*self.first[index : index + 2].tolist())
        deformation = fire.deformations(self.logs[index : index + 1])[0].T
        cell = self.starts[index] @ deformation
        return Crystal.of(cell, self.places[atoms] @ deformation @ np.linalg.inv(cell), self.numbers[atoms])

    def batch(self) -> Batch:
        """As a potential is asked about them."""
        deformations = fire.deformations(self.logs).transpose(0, 2, 1)
        positions = (self.places[:, None, :] @ np.repeat(deformations, self.counts, axis=0))[:, 0]
        keys = tuple(one.number for one in self.passengers)
        return Batch(self.first, self.numbers, positions, self.starts @ deformations, keys)

    def move(self, batch: Batch, found: Evaluation) -> None:
        """One step of FIRE for all, by what the potential says of them. batch: what it was asked."""
        fire.step(
            batch.first,
            found.forces,
            found.stresses,
            batch.volumes,
            fire.deformations(self.logs),
            self.places,
            self.logs,
            self.velocities,
            self.log_velocities,
            self.motion,
        )
        self.steps += 1


_OF_ATOMS = {"numbers", "places", "velocities"}
_ARRAYS = [column.name for column in fields(Aboard) if column.name != "passengers"]
