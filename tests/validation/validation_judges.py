"""Judges with weights of their own, where this machine has them."""

from pathlib import Path

import pytest

MODELS = Path(__file__).resolve().parents[3] / "shared" / "models"
TENSORNET = MODELS / "TensorNet-MatPES-PBE-v2025.1-PES"
needs_tensornet = pytest.mark.skipif(
    not TENSORNET.is_dir(), reason=f"needs {TENSORNET.name} in a folder shared/models beside the repository"
)
