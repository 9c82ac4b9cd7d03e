"""ASE's effective-medium theory: analytic, float64, for tests and for teaching."""

from __future__ import annotations

import hashlib

from ase.calculators.emt import EMT, parameters

from validation.judges.judge import Judge, UnknownJudge, package_versions


def load(model: str) -> Judge:
    """ASE's effective-medium theory (Jacobsen, Stoltze, Nørskov, Surf. Sci. 366, 394, 1996); seven fcc metals."""
    if model:
        raise UnknownJudge("the judge emt has no models to choose from")
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
        versions=package_versions("ase"),
    )
