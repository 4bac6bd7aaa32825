"""The heap of the process: what arrays give back is kept for the next step.

The C library returns large arrays to the system as soon as they are freed, and the next step then
takes a page fault for each page of its own, which costs as much as the arithmetic. Who sets
glibc's variables (`MALLOC_TRIM_THRESHOLD_`, ..., `GLIBC_TUNABLES`) decides, not this.
"""

from __future__ import annotations

import ctypes
import os
from functools import cache

__all__ = ["keep_freed_memory"]

# Parameters of mallopt, as in malloc.h, and what they are set to: bytes that stay at the top of the
# heap, by which it grows, and from which on an array has a mapping of its own (no more is allowed).
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
_SETTINGS = {_MMAP_THRESHOLD: 32 << 20, _TRIM_THRESHOLD: 256 << 20, _TOP_PAD: 16 << 20}


@cache
def keep_freed_memory() -> bool:
    """Keep up to 256 MiB of freed memory, where glibc is told nothing else; whether it does."""
    if any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ):
        return False
    if os.name != "posix":
        return False
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):
        return False
    return all(library.mallopt(name, value) for name, value in _SETTINGS.items())
