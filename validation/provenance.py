"""By what a relaxation was made, beside its scale."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from validation.canary import CanaryResult, Expected
from validation.potentials import Judge


def provenance(judge: Judge, canary: CanaryResult) -> dict[str, object]:
    """Device, versions of packages, and what the canary found; as JSON has it."""
    return {
        "device": judge.device,
        "versions": judge.versions,
        "canary": written({row.crystal: row.found for row in canary.rows}),
    }


def written(values: Mapping[str, Expected]) -> dict[str, dict[str, float | None]]:
    """The canary's values as JSON has them."""
    return {
        crystal: {"lattice_ang": value.lattice_ang, "energy_per_atom": value.energy_per_atom}
        for crystal, value in values.items()
    }


def values_of(data: Mapping[str, Mapping[str, Any]]) -> dict[str, Expected]:
    """The inverse of ``written``. Raises KeyError, TypeError or ValueError where that is not what it is."""
    return {
        crystal: Expected(float(value["lattice_ang"]), _number(value["energy_per_atom"]))
        for crystal, value in data.items()
    }


def _number(value: Any) -> float | None:
    return None if value is None else float(value)
