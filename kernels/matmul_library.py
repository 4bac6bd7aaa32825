"""Products of matrices by a library of neural networks, where there is one for the arrays."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from tfsession.devices.onednn import Library, Primitive, dnn_library

# Codes of arguments.
_SOURCE, _WEIGHTS, _RESULT = 1, 33, 17
# Implementations that are faster than BLAS.
_FAST = (b"brg", b"gemm:jit")

Strides = tuple[int, ...]


@lru_cache(maxsize=1024)
def _product(
    library: Library, sizes: tuple[int, int, int], left: Strides, right: Strides, out: Strides
) -> Primitive | None:
    """`product(x, y, out)`, of matrices of `rows, inner, columns`; strides are in bytes."""
    rows, inner, columns = sizes
    layouts = [
        library.layout(shape, [stride // 4 for stride in strides])
        for shape, strides in (
            ((rows, inner), left),
            ((inner, columns), right),
            ((rows, columns), out),
        )
    ]
    found = library.describe("matmul", layouts[0], layouts[1], None, layouts[2])
    if found is None or not found.name.startswith(_FAST):
        return None
    return library.compiled(found, dict(zip((_SOURCE, _WEIGHTS, _RESULT), layouts, strict=True)))


def _is_dense(matrix: Any) -> bool:
    """Whether rows or columns are without gaps, one behind the other, and do not overlap."""
    (rows, columns), (down, along) = matrix.shape, matrix.strides
    return (along == 4 and down >= 4 * columns) or (down == 4 and along >= 4 * rows)


def suits(xp: Any, left: Any, right: Any) -> Library | None:
    """The library, if it may multiply these matrices, or rows and columns of them."""
    if xp is not np or not (left.dtype == right.dtype == np.float32):
        return None
    return dnn_library(xp) if _is_dense(left) and _is_dense(right) else None


def written(library: Library, left: Any, right: Any, out: Any) -> bool:
    """Write the product of matrices that suit the library; whether it has done so."""
    sizes = (*left.shape, right.shape[1])
    found = _product(library, sizes, left.strides, right.strides, out.strides)
    if found is not None:
        found.run(left, right, out)
    return found is not None
