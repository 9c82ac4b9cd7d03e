"""What all batched potentials of torch share: neighbours, the clock, memory that runs out."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from validation.evaluation import Batch, Evaluation, OutOfMemory, expected_pairs
from validation.judges.graphs import Edges, Neighbours

_OF_FREE_MEMORY = 0.6  # that a batch may take
_MOST_PAIRS = 4_000_000
_MESSAGES = (
    "out of memory",
    "alloc_failed",  # cuBLAS, cuDNN and cuSPARSE about their workspaces
    "bad_alloc",
    "can't allocate memory",
    "not enough memory",
)


@dataclass(frozen=True, slots=True)
class Prediction:
    """energies: eV, (b,). forces: eV/Å, (n, 3). stresses: eV/Å³, (b, 3, 3). sites: (n,) each."""

    energies: Tensor
    forces: Tensor
    stresses: Tensor
    sites: Mapping[str, Tensor] = field(default_factory=dict)


class TorchEvaluator(ABC):
    """A batched potential on one device.

    pairs_on_cpu: neighbours in a batch on a CPU, by measurement. bytes_a_pair: a cautious guess of what a directed pair
    takes on a GPU; what is measured there replaces it.
    """

    pairs_on_cpu = 4_000
    bytes_a_pair = 60_000.0

    def __init__(self, cutoff_ang: float, device: torch.device) -> None:
        self.cutoff_ang, self.device = cutoff_ang, device
        self.potential_s = 0.0
        self._fitting_pairs: int | None = None  # by the memory that was free after the last batch

    @property
    def pairs_at_once(self) -> int:
        """On a GPU what fits into its free memory."""
        if self.device.type != "cuda":
            return self.pairs_on_cpu
        if self._fitting_pairs is None:  # whoever fills a batch asks with each crystal, and the driver takes its time
            self._fitting_pairs = self._pairs_in_free_memory()
        return self._fitting_pairs

    def _pairs_in_free_memory(self) -> int:
        free, _ = torch.cuda.mem_get_info(self.device)
        free += torch.cuda.memory_reserved(self.device) - torch.cuda.memory_allocated(self.device)
        return min(int(_OF_FREE_MEMORY * free / self.bytes_a_pair), _MOST_PAIRS)

    def evaluate(self, batch: Batch) -> Evaluation:
        self._fitting_pairs = None
        try:
            with self._memory_measured(batch):
                prediction = self.predict(batch)
                stresses = _on_cpu(prediction.stresses)
                return Evaluation(
                    _on_cpu(prediction.energies),
                    _on_cpu(prediction.forces),
                    (stresses + stresses.transpose(0, 2, 1)) / 2,  # as Voigt's order has them
                    {name: _on_cpu(values) for name, values in prediction.sites.items()},
                )
        except (MemoryError, RuntimeError) as error:
            if not _is_of_memory(error):
                raise
            why = str(error)
        # here the error is gone, and with it the frames that hold its tensors: raised from it, it would keep them
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        raise OutOfMemory(why)

    def forget(self, keys: tuple[int, ...]) -> None:
        """It keeps nothing between steps, unless it says otherwise."""
        del keys

    @abstractmethod
    def predict(self, batch: Batch) -> Prediction:
        """What the potential says, its forward and backward pass within ``self.timed()``."""

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Around the potential itself."""
        self._wait()
        started = time.perf_counter()
        yield
        self._wait()
        self.potential_s += time.perf_counter() - started

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    @contextmanager
    def _memory_measured(self, batch: Batch) -> Iterator[None]:
        pairs = float(expected_pairs(batch.counts, batch.volumes, self.cutoff_ang).sum())
        if self.device.type != "cuda" or pairs < self.pairs_on_cpu:  # of few pairs the weights' share is too large
            yield
            return
        torch.cuda.reset_peak_memory_stats(self.device)
        before = torch.cuda.memory_allocated(self.device)
        yield
        self.bytes_a_pair = max((torch.cuda.max_memory_allocated(self.device) - before) / pairs, 1.0)


class GraphEvaluator(TorchEvaluator):
    """A potential that is given its neighbours."""

    def __init__(self, cutoff_ang: float, device: torch.device) -> None:
        super().__init__(cutoff_ang, device)
        self._neighbours = Neighbours(cutoff_ang, device)

    def predict(self, batch: Batch) -> Prediction:
        return self.predict_graph(batch, self._neighbours.edges(batch))

    def forget(self, keys: tuple[int, ...]) -> None:
        self._neighbours.forget(keys)

    @abstractmethod
    def predict_graph(self, batch: Batch, edges: Edges) -> Prediction:
        """``predict`` with the batch's neighbours."""


def by_vectors(
    batch: Batch, edges: Edges, energies: Tensor, slopes: Tensor, sites: Mapping[str, Tensor] | None = None
) -> Prediction:
    """Forces and stresses from dE/d(vector of an edge), eV/Å, (m, 3). energies: eV, (b,). sites: see Prediction."""
    slopes = slopes.double()
    forces = torch.zeros((len(batch.numbers), 3), dtype=torch.float64, device=slopes.device)
    forces.index_add_(0, edges.first, slopes).index_add_(0, edges.second, -slopes)
    virials = torch.zeros((len(batch), 9), dtype=torch.float64, device=slopes.device)
    virials.index_add_(0, edges.owners, (edges.vectors[:, :, None] * slopes[:, None, :]).view(-1, 9))
    volumes = torch.as_tensor(batch.volumes, device=slopes.device)[:, None, None]
    return Prediction(energies, forces, virials.view(-1, 3, 3) / volumes, sites or {})


def _on_cpu(values: Tensor) -> NDArray[np.float64]:
    return values.detach().to("cpu", torch.float64).numpy()  # type: ignore[no-any-return]


def _is_of_memory(error: MemoryError | RuntimeError) -> bool:
    """Whether this is what torch and the libraries below it raise when memory runs out."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return any(message in str(error).lower() for message in _MESSAGES)
