"""Which code made a verdict."""

import subprocess
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from django.conf import settings

from validation.rules import MATCHER_VERSION, RULES_VERSION

CODE_VERSION = "0.1.0"


@lru_cache(maxsize=1)
def provenance() -> dict[str, Any]:
    """Code version, commit where there is one, matcher and rules version, and the packages that numbers depend on."""
    return {
        "code": CODE_VERSION,
        "commit": _commit(),
        "matcher": MATCHER_VERSION,
        "rules": RULES_VERSION,
        "packages": {name: version(name) for name in ("numpy", "pymatgen", "spglib", "moyopy", "ase", "gemmi")},
    }


def _commit() -> str:
    """The commit that the installation says it is of, or that of a checkout; empty where neither is known."""
    if settings.CODE_COMMIT:
        return str(settings.CODE_COMMIT)
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
