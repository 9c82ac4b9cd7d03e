"""The judges: machine-learning potentials by name, loaded once, refused when their numbers are off.

Each has a module in ``validation.judges``, imported when it is asked for; the names that others use are all here.
"""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from typing import Any

from validation.judges.judge import Judge, UnknownJudge, weights_sha256

_MODULES = {
    "ase": "validation.judges.ase_path",
    "chgnet": "validation.judges.chgnet",
    "emt": "validation.judges.emt",
    "matgl": "validation.judges.matgl",
    "morse": "validation.judges.morse",
    "torchsim": "validation.judges.torchsim",
}
_WITHOUT_TORCH = {"emt", "morse"}


def judge_names() -> tuple[str, ...]:
    return tuple(sorted(_MODULES))


def load_judge(name: str, model: str = "", *, threads: int | None = None) -> Judge:
    """Load a judge by name; ``model`` is a folder or a hub name, or a description, where the judge has several.

    The caller runs ``validation.canary.check`` before it believes a number. threads: of torch, where it is used.
    Raises UnknownJudge, or what the potential's own loader raises.
    """
    if name not in _MODULES:
        raise UnknownJudge(f"there is no judge {name!r}; known are {', '.join(judge_names())}")
    if name not in _WITHOUT_TORCH:
        from validation.judges.processor import prepare  # late: it imports torch, which takes seconds

        prepare(threads)
    if name == "torchsim" and find_spec("torch_sim") is None:
        raise UnknownJudge("TorchSim is not installed: pip install -r requirements-torchsim.txt")
    judge: Judge = importlib.import_module(_MODULES[name]).load(model)
    return judge


def matgl_judge(potential: Any, model: str) -> Judge:
    """A judge from a matgl ``Potential`` at hand; its elemental energies count as weights."""
    from validation.judges import matgl  # late: it imports torch and matgl, which take seconds

    return matgl.matgl_judge(potential, model)


__all__ = ["Judge", "UnknownJudge", "judge_names", "load_judge", "matgl_judge", "weights_sha256"]
