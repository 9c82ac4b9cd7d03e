"""A loaded potential and what identifies it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from validation.evaluation import Evaluator


class UnknownJudge(ValueError):
    """No judge is registered under this name, or it cannot be made of the model that is named."""


@dataclass(frozen=True, kw_only=True)
class Judge:
    """A loaded potential and what identifies it.

    calculator: an ASE calculator that gives eV, eV/Å and eV/Å³ (stress as ASE's Voigt vector). cutoff_ang: beyond it
    atoms do not see each other. batched: the same potential for many crystals at once, where there is such a thing.
    options: what else changes its numbers, such as another precision inside; empty for a potential as it is published,
    as all judges here are. Whoever offers one says how far it moves energies, forces and stresses.
    """

    name: str
    model: str
    calculator: Any
    elements: frozenset[str]
    cutoff_ang: float
    dtype: str
    device: str
    weights_sha256: str
    architecture: str
    versions: dict[str, str] = field(default_factory=dict)
    batched: Evaluator | None = None
    options: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if taken := sorted(_NAMES_IN_A_SCALE & self.options.keys()):
            raise ValueError(f"an option of a judge cannot be called {', '.join(taken)}: its scale has that")

    def identity(self) -> dict[str, str]:
        """What makes an energy scale, together with the relaxation settings; device and versions are provenance."""
        return {
            "judge": self.name,
            "architecture": self.architecture,
            "weights_sha256": self.weights_sha256,
            "dtype": self.dtype,
            **self.options,
        }


_NAMES_IN_A_SCALE = {"judge", "architecture", "weights_sha256", "dtype", "elements", "relaxation"}


def weights_sha256(state: Iterable[tuple[str, Any]]) -> str:
    """SHA-256 over names, shapes and bytes of a torch state, in the order of the names: equal weights, equal hash."""
    digest = hashlib.sha256()
    for name, tensor in sorted(state, key=lambda item: item[0]):
        if not hasattr(tensor, "detach"):
            continue
        values: NDArray[Any] = np.ascontiguousarray(tensor.detach().cpu().numpy())
        digest.update(f"{name}{values.shape}{values.dtype}".encode())
        digest.update(values.tobytes())
    return digest.hexdigest()


def package_versions(*packages: str) -> dict[str, str]:
    return {package: version(package) for package in packages}
