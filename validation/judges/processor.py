"""How torch uses the machine: on how many threads, with memory that it keeps, in the precision that is asked for."""

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
    _compute_as_asked()
    _keep_memory()


def _compute_as_asked() -> None:
    """No TF32, which keeps 10 of 23 bits: float32 stands in a judge's identity.

    Some images of GPU software switch it on by a variable of the environment, TORCH_ALLOW_TF32_CUBLAS_OVERRIDE.
    """
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False


def _keep_memory() -> None:
    """Let malloc reuse what it freed. It would give every large tensor's pages back to the system and take new ones:
    in a batch of 24 crystals that was 45 % of the time."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):  # glibc; others have ways of their own
        libc.mallopt(_MMAP_MAX, 0)
        libc.mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)
        libc.mallopt(_TOP_PAD, _TAKEN_BYTES)
