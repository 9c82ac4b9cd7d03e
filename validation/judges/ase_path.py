"""Any ASE calculator, named by its dotted path."""

from __future__ import annotations

from validation.judges.description import Description
from validation.judges.judge import Judge, package_versions


def load(model: str) -> Judge:
    """model: JSON, see ``Description``, for instance

    ``{"path": "ase.calculators.morse:MorsePotential", "elements": ["Cu"], "cutoff_ang": 6, "arguments": {"r0": 2.5}}``

    The calculator must give energy, forces and stress. Raises UnknownJudge, ImportError, and what the calculator
    raises.
    """
    described = Description.parse(model)
    return Judge(
        name="ase",
        model=model,
        calculator=described.find()(**described.arguments),
        elements=frozenset(described.elements),
        cutoff_ang=described.cutoff_ang,
        dtype=described.dtype,
        device=described.device,
        weights_sha256=described.sha256(),
        architecture=f"ase-{described.path}",
        versions=package_versions("ase", *described.packages),
    )
