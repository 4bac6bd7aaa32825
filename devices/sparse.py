"""Sparse matrices: those of SciPy in host memory, where it is installed."""

from __future__ import annotations

from functools import cache
from types import ModuleType
from typing import Any

import numpy as np

__all__ = ["multiply_rows", "sparse_matrices"]


def sparse_matrices(xp: Any) -> ModuleType | None:
    """The module of sparse matrices for arrays of `xp`, None where there is none."""
    return _scipy() if xp is np else None


def multiply_rows(starts: Any, columns: Any, values: Any, dense: Any, result: Any) -> None:
    """Write the product of some rows of a sparse matrix and a dense one; SciPy must be there.

    Args:
        starts: where each of the rows begins in `columns` and `values`, and where the last ends.
        columns: as many numbers of rows of `dense` as the sparse matrix has elements.
        values: the elements, in the type of `dense`.
        dense: a contiguous matrix.
        result: a contiguous matrix of as many rows as are asked for.
    """
    inner, width = dense.shape
    result[...] = 0
    loops = _loops()
    if loops is None:
        here = slice(int(starts[0]), int(starts[-1]))
        part = values[here], columns[here], starts - starts[0]
        result[...] = _scipy().csr_array(part, shape=(len(result), inner)) @ dense  # type: ignore[union-attr]
    elif width == 1:
        loops.csr_matvec(
            len(result), inner, starts, columns, values, dense.reshape(-1), result.reshape(-1)
        )
    else:
        loops.csr_matvecs(
            *(len(result), inner, width, starts, columns, values),
            *(dense.reshape(-1), result.reshape(-1)),
        )


@cache
def _scipy() -> ModuleType | None:
    try:
        import scipy.sparse as matrices  # noqa: PLC0415  an extra, and large
    except ImportError:
        return None
    found: ModuleType = matrices
    return found


@cache
def _loops() -> ModuleType | None:
    """What SciPy's own arrays call.

    It is not promised, but takes a part of an array as it is, and needs Python less: several
    threads get on with it.
    """
    try:
        from scipy.sparse import _sparsetools as loops  # noqa: PLC0415
    except ImportError:
        return None
    found: ModuleType = loops
    return found if hasattr(found, "csr_matvecs") and hasattr(found, "csr_matvec") else None
