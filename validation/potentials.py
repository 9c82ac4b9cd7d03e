"""The judges: machine-learning potentials by name, loaded once, refused when their numbers are off.

The only module of the project that imports torch, matgl or chgnet, and only inside the function that loads a judge.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hull.entries import SYMBOLS


class UnknownJudge(ValueError):
    """No judge is registered under this name."""


@dataclass(frozen=True, kw_only=True)
class Judge:
    """A loaded potential and what identifies it.

    calculator: an ASE calculator that gives eV, eV/Å and eV/Å³ (stress as ASE's Voigt vector). cutoff_ang: beyond it
    atoms do not see each other.
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

    def identity(self) -> dict[str, str]:
        """What makes an energy scale, together with the relaxation settings; device and versions are provenance."""
        return {
            "judge": self.name,
            "architecture": self.architecture,
            "weights_sha256": self.weights_sha256,
            "dtype": self.dtype,
        }


def judge_names() -> tuple[str, ...]:
    return tuple(sorted(_LOADERS))


def load_judge(name: str, model: str = "", *, threads: int | None = None) -> Judge:
    """Load a judge by name; ``model`` is a folder or a hub name where the judge has several.

    The caller runs ``validation.canary.check`` before it believes a number. threads: of torch, where it is used.
    Raises UnknownJudge, or what the potential's own loader raises.
    """
    if name not in _LOADERS:
        raise UnknownJudge(f"there is no judge {name!r}; known are {', '.join(judge_names())}")
    if threads is not None and name != "emt":
        import torch

        torch.set_num_threads(threads)
    return _LOADERS[name](model)


def _load_chgnet(model: str) -> Judge:
    """CHGNet (Deng et al., Nat. Mach. Intell. 5, 1031, 2023; doi 10.1038/s42256-023-00716-3); weights in its wheel.

    model: one of the checkpoints in the wheel, 0.3.0 where it is empty.
    """
    import contextlib
    import io

    import torch
    from chgnet.model import CHGNet
    from chgnet.model.dynamics import CHGNetCalculator

    model = model or "0.3.0"
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with contextlib.redirect_stdout(io.StringIO()):  # it prints a greeting
        network = CHGNet.load(model_name=model, use_device=device, verbose=False)
        calculator = CHGNetCalculator(network, use_device=device, on_isolated_atoms="ignore")
    return Judge(
        name="chgnet",
        model=model,
        calculator=calculator,
        elements=frozenset(SYMBOLS[:94]) - {"Po", "At", "Rn", "Fr", "Ra"},
        cutoff_ang=float(network.graph_converter.atom_graph_cutoff),
        dtype="float32",
        device=device,
        weights_sha256=weights_sha256(network.state_dict().items()),
        architecture="CHGNet",
        versions=_versions("chgnet", "torch", "ase"),
    )


def _load_matgl(model: str) -> Judge:
    """Any potential that ``matgl.load_model`` gives: a folder, or a hub name where the network allows it."""
    if not model:
        raise UnknownJudge("the judge matgl needs a model: a folder or a hub name")
    import matgl

    return matgl_judge(matgl.load_model(model), model)


def matgl_judge(potential: Any, model: str) -> Judge:
    """A judge from a matgl ``Potential`` at hand; its elemental energies count as weights."""
    import torch
    from matgl.ext.ase import PESCalculator

    device = "cuda" if torch.cuda.is_available() else "cpu"
    potential = potential.to(device)
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
        versions=_versions("matgl", "torch", "ase"),
    )


def _load_emt(model: str) -> Judge:
    """ASE's effective-medium theory (Jacobsen, Stoltze, Nørskov, Surf. Sci. 366, 394, 1996): analytic, float64.

    For tests and for teaching; seven fcc metals and nothing else.
    """
    from ase.calculators.emt import EMT, parameters

    constants = repr(sorted((symbol, tuple(values)) for symbol, values in parameters.items()))
    return Judge(
        name="emt",
        model="",
        calculator=EMT(),
        elements=frozenset({"Al", "Cu", "Ag", "Au", "Ni", "Pd", "Pt"}),
        cutoff_ang=5.8,
        dtype="float64",
        device="cpu",
        weights_sha256=hashlib.sha256(constants.encode()).hexdigest(),
        architecture="EMT",
        versions=_versions("ase"),
    )


_LOADERS: dict[str, Callable[[str], Judge]] = {"chgnet": _load_chgnet, "matgl": _load_matgl, "emt": _load_emt}


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


def _versions(*packages: str) -> dict[str, str]:
    return {package: version(package) for package in packages}
