"""Products of narrow floats and of adjoints, where the library multiplies them as they are.

What it does not take, and where there is none, is left to the kernels of all devices.
"""

from __future__ import annotations

from typing import Any

from tfsession.core.dtypes import DType
from tfsession.core.rules import kernel
from tfsession.devices.gemm import gemm_library
from tfsession.kernels import matmul as common

_HALVES = ["half", "bfloat16"]
_COMPLEX = ["complex64", "complex128"]


def _product(xp: Any, x: Any, y: Any, adj_x: bool, adj_y: bool) -> Any:
    """The products, of adjoints where asked for; None if the library cannot compute them."""
    library = gemm_library(xp)
    if library is None or x.ndim < 2 or y.ndim < 2:
        return None
    left = x.swapaxes(-1, -2) if adj_x else x
    right = y.swapaxes(-1, -2) if adj_y else y
    is_complex = x.dtype.kind == "c"
    conjugates = is_complex and adj_x, is_complex and adj_y
    return library.multiply(xp, left, right, conjugates=conjugates)


@kernel("MatMul", device="GPU", types={"T": _HALVES})
def matmul_of_halves(xp: Any, a: Any, b: Any, transpose_a: bool, transpose_b: bool) -> Any:
    """The product, summed in float32 and rounded once."""
    found = _product(xp, a, b, transpose_a, transpose_b) if a.ndim == b.ndim == 2 else None
    return common.matmul_of_halves(xp, a, b, transpose_a, transpose_b) if found is None else found


@kernel("BatchMatMulV2", device="GPU", types={"T": _HALVES})
def batch_matmul_of_halves(xp: Any, x: Any, y: Any, adj_x: bool, adj_y: bool) -> Any:
    """The products, summed in float32 and rounded once."""
    found = _product(xp, x, y, adj_x, adj_y)
    return common.batch_matmul_of_halves(xp, x, y, adj_x, adj_y) if found is None else found


@kernel("BatchMatMulV2", device="GPU", types={"T": _COMPLEX})
def batch_matmul_of_complex(xp: Any, x: Any, y: Any, adj_x: bool, adj_y: bool) -> Any:
    """The products; adjoints are read as they lie."""
    found = _product(xp, x, y, adj_x, adj_y)
    return common.batch_matmul_of_complex(xp, x, y, adj_x, adj_y) if found is None else found


@kernel("BatchMatMul", device="GPU", types={"T": [*_HALVES, *_COMPLEX]})
def equal_batches(xp: Any, x: Any, y: Any, adj_x: bool, adj_y: bool) -> Any:
    """The products of matrices in batches of one shape."""
    found = _product(xp, x, y, adj_x, adj_y) if x.shape[:-2] == y.shape[:-2] else None
    if found is not None:
        return found
    is_complex = x.dtype.kind == "c"
    otherwise = common.equal_batches if is_complex else common.equal_batches_of_halves
    return otherwise(xp, x, y, adj_x, adj_y)


@kernel("BatchMatMulV3", device="GPU", types={"Ta": _HALVES, "Tb": _HALVES, "Tout": _HALVES})
def rounded_batch_matmul(xp: Any, x: Any, y: Any, adj_x: bool, adj_y: bool, Tout: DType) -> Any:
    """The products, summed in float32 and rounded once."""
    found = _product(xp, x, y, adj_x, adj_y) if x.dtype == y.dtype == Tout.numpy else None
    if found is not None:
        return found
    return common.rounded_batch_matmul(xp, x, y, adj_x, adj_y, Tout=Tout)
