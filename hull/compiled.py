"""Kernels: compiled at their first call, kept on disk, never at import.

numba keeps a compiled function for as long as the file of that function is unchanged. A kernel holds what it calls in
other files, too, so here all kernels of this package are made anew when any file with kernels changes.

Kernels take addresses and work on pointers: no reference counts, and arguments that are few. Whoever calls one keeps
the arrays alive and large enough.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from llvmlite import ir
from numba import types
from numba.core.caching import CompileResultCacheImpl, FunctionCache
from numba.extending import intrinsic

_Kernel = TypeVar("_Kernel", bound=Callable[..., Any])
_PREFETCH_FOR_READING, _INTO_ALL_LEVELS, _DATA = 0, 3, 1


def kernel(function: _Kernel) -> _Kernel:
    """What Python calls. Errors of arithmetic give inf and nan as in numpy; no array is made inside."""
    dispatcher = _compile(function)
    dispatcher._cache = _Cache(function)  # type: ignore[no-untyped-call]
    return cast(_Kernel, dispatcher)


def inner(function: _Kernel) -> _Kernel:
    """What only kernels call: compiled with them and kept with them."""
    return cast(_Kernel, _compile(function, no_cpython_wrapper=True, no_cfunc_wrapper=True))


def _compile(function: Any, **options: bool) -> Any:
    """Without numba's runtime: counting references took a fifth of the time."""
    njit: Any = numba.njit
    return njit(error_model="numpy", _nrt=False, **options)(function)


def _pointer(kind: Any) -> Any:
    """A function that makes an address (int64) a pointer, to be indexed like an array."""
    pointer: Any = types.CPointer(kind)  # type: ignore[no-untyped-call]

    @intrinsic
    def at(_context: Any, _address: Any) -> Any:
        def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            return builder.inttoptr(arguments[0], context.get_value_type(pointer))

        return pointer(types.int64), generate

    return at


words = _pointer(types.int64)
floats = _pointer(types.float64)
halves = _pointer(types.int32)


@intrinsic
def _prefetch(_context: Any, _pointer: Any, _index: Any) -> Any:
    """Ask for the cache line of an element that will be read soon."""

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        place = builder.bitcast(builder.gep(arguments[0], [arguments[1]]), byte)
        function = builder.module.declare_intrinsic(
            "llvm.prefetch", [byte], ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        )
        hints = (_PREFETCH_FOR_READING, _INTO_ALL_LEVELS, _DATA)
        builder.call(function, [place, *(ir.Constant(number, hint) for hint in hints)])
        return context.get_dummy_value()

    return types.void(_pointer, types.int64), generate


prefetch: Any = _prefetch


@cache
def _stamp() -> str:
    """SHA-256 over the files with kernels, and the constants that these take from elsewhere."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        source = path.read_bytes()
        if b"hull.compiled" in source or path.name in ("compiled.py", "entries.py"):
            digest.update(path.name.encode() + b"\0" + source + b"\0")
    return digest.hexdigest()


class _Locator:
    """Where numba would keep it, but valid for as long as no kernel changes."""

    def __init__(self, locator: Any) -> None:
        self._locator = locator

    def __getattr__(self, name: str) -> Any:
        return getattr(self._locator, name)

    def get_source_stamp(self) -> str:
        return _stamp()


class _Implementation(CompileResultCacheImpl):
    @property
    def locator(self) -> _Locator:
        return _Locator(self._locator)


class _Cache(FunctionCache):
    _impl_class = _Implementation
