"""How often a function is called while something is measured."""

from __future__ import annotations

from functools import wraps
from types import ModuleType, TracebackType
from typing import Any, Self


class Counted:
    """Counts the calls of a module's function as long as it is entered."""

    def __init__(self, module: ModuleType, name: str) -> None:
        self.calls = 0
        self._module, self._name, self._function = module, name, getattr(module, name)

    def __enter__(self) -> Self:
        @wraps(self._function)
        def counted(*given: Any, **named: Any) -> Any:
            self.calls += 1
            return self._function(*given, **named)

        setattr(self._module, self._name, counted)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        setattr(self._module, self._name, self._function)
