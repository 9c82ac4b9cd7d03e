"""How torch uses a CPU: on how many threads, and with memory that it keeps."""

from __future__ import annotations

import ctypes

import torch

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4  # glibc's malloc.h
_KEPT_BYTES = 2**31 - 1
_TAKEN_BYTES = 64 * 2**20


def prepare(threads: int | None) -> None:
    """Before a potential is loaded. threads: as many as torch wants where it is None."""
    if threads is not None:
        torch.set_num_threads(threads)
    _keep_memory()


def _keep_memory() -> None:
    """Let malloc reuse what it freed. It would give every large tensor's pages back to the system and take new ones:
    in a batch of 24 crystals that was 45 % of the time."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):  # glibc; others have ways of their own
        libc.mallopt(_MMAP_MAX, 0)
        libc.mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)
        libc.mallopt(_TOP_PAD, _TAKEN_BYTES)
