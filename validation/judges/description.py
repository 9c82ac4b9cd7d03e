"""Potentials that are named by a dotted path: what is said of them, read and hashed."""

from __future__ import annotations

import hashlib
import importlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from hull.entries import SYMBOLS
from validation.judges.judge import UnknownJudge


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What an organiser says of a potential, as JSON.

    path: ``package.module:Name`` of a class or function. arguments: its keyword arguments. elements: symbols it may
    judge. cutoff_ang: beyond it atoms do not see each other. packages: whose versions are recorded. An argument that is
    the name of a file counts by the file's content.
    """

    path: str
    elements: tuple[str, ...]
    cutoff_ang: float
    arguments: Mapping[str, Any]
    packages: tuple[str, ...] = ()
    dtype: str = "float64"
    device: str = "cpu"

    @classmethod
    def parse(cls, text: str) -> Description:
        """Raises UnknownJudge, which says what is missing or unknown."""
        try:
            data = {"arguments": {}, **json.loads(text)}
        except (ValueError, TypeError) as error:
            raise UnknownJudge(f"the model is described by JSON with path, elements and cutoff_ang: {error}") from None
        known = {column.name for column in fields(cls)}
        missing, unknown = {"path", "elements", "cutoff_ang"} - set(data), set(data) - known
        if missing or unknown:
            raise UnknownJudge(f"the model's description lacks {sorted(missing)} or has too much: {sorted(unknown)}")
        if strangers := set(data["elements"]) - set(SYMBOLS):
            raise UnknownJudge(f"there are no elements {sorted(strangers)}")
        sequences = {name: tuple(data[name]) for name in ("elements", "packages") if name in data}
        return cls(**{**data, **sequences})

    def find(self) -> Any:
        """What the path names. Raises UnknownJudge where there is no such thing, ImportError without its package."""
        module, _, name = self.path.partition(":")
        if not name:
            raise UnknownJudge(f"{self.path!r} is no path like package.module:Name")
        found = getattr(importlib.import_module(module), name, None)
        if found is None:
            raise UnknownJudge(f"there is no {name} in {module}")
        return found

    def sha256(self) -> str:
        """Over path and arguments, the contents of files among these in the place of their names."""
        arguments = {name: _content(value) for name, value in sorted(self.arguments.items())}
        text = json.dumps([self.path, arguments, self.dtype], sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def _content(value: Any) -> Any:
    if isinstance(value, str) and Path(value).is_file():
        return {"sha256": hashlib.sha256(Path(value).read_bytes()).hexdigest()}
    return value
