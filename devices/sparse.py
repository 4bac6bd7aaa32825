"""Sparse matrices: those of SciPy in host memory, where it is installed."""

from __future__ import annotations

from functools import cache
from types import ModuleType
from typing import Any

import numpy as np

__all__ = ["sparse_matrices"]


def sparse_matrices(xp: Any) -> ModuleType | None:
    """The module of sparse matrices for arrays of `xp`, None where there is none."""
    return _scipy() if xp is np else None


@cache
def _scipy() -> ModuleType | None:
    try:
        import scipy.sparse as matrices  # noqa: PLC0415  an extra, and large
    except ImportError:
        return None
    found: ModuleType = matrices
    return found
