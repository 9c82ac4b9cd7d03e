"""Energy scales: which energies may meet in one hull."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from typing import Any

from validation.potentials import Judge
from validation.rules import RelaxationSettings

_BESIDE_THE_JUDGE = ("elements", "relaxation")


class WrongScale(Exception):
    """The judge that was loaded is not the one whose scale is asked for."""


def scale_of(judge: Judge, settings: RelaxationSettings) -> dict[str, Any]:
    """What makes the scale: weights, architecture, dtype, elements and the season's relaxation settings.

    Energies relaxed with tighter settings belong to the same scale. Device and package versions are provenance, held by
    the canary, and stay outside.
    """
    return {**judge.identity(), "elements": sorted(judge.elements), "relaxation": asdict(settings)}


def scale_digest(scale: dict[str, Any]) -> str:
    """SHA-256 of the scale as canonical JSON."""
    return hashlib.sha256(json.dumps(scale, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def judge_identity(scale: dict[str, Any]) -> dict[str, Any]:
    """``Judge.identity`` of the judge whose scale this is."""
    return {name: value for name, value in scale.items() if name not in _BESIDE_THE_JUDGE}
