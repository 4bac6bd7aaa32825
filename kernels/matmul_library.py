"""Products of matrices by a library of neural networks, where there is one for the arrays."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any

import numpy as np

from tfsession.devices.onednn import Library, Primitive, dnn_library

# Codes of arguments.
_SOURCE, _WEIGHTS, _RESULT, _LATER, _SECOND = 1, 33, 17, 1 << 15, 2
# What may be done to a product: `dnnl_alg_kind_t`.
_ADD, _RECTIFIED = 0x1FFF0, 0x20
# Implementations that may be faster than BLAS. The first has loops for each size: it adds up a row
# as it does among others, and where it is, as with AVX-512, two matrices are multiplied faster by
# whichever.
_OWN = b"brg"
_FAST = (_OWN, b"gemm:jit")
# Rows of some products that tell whether it is, and the other sides of them.
_ROWS, _SIDE = (32, 256, 2048), 256

# Dimensions of batches that are given to it.
_MOST_DIMENSIONS = 6

Sizes = tuple[int, ...]


@cache
def has_own_loops(library: Library) -> bool:
    """Whether the library makes loops of its own for the sizes of products, on this CPU."""
    for rows in _ROWS:
        x, square = (library.layout((count, _SIDE), (_SIDE, 1)) for count in (rows, _SIDE))
        found = library.describe("matmul", x, square, None, x)
        if found is not None and found.name.startswith(_OWN):
            return True
    return False


@lru_cache(maxsize=1024)
def _product(library: Library, *arrays: tuple[Sizes, Sizes]) -> Primitive | None:
    """`product(x, y, out)`, of matrices, or batches of them, of these shapes and strides."""
    layouts = [
        library.layout(shape, [stride // 4 for stride in strides]) for shape, strides in arrays
    ]
    found = library.describe("matmul", layouts[0], layouts[1], None, layouts[2])
    if found is None or not found.name.startswith(_FAST):
        return None
    return library.compiled(found, dict(zip((_SOURCE, _WEIGHTS, _RESULT), layouts, strict=True)))


def _is_dense(array: Any) -> bool:
    """Whether rows or columns of matrices are without gaps, and elements do not share memory."""
    (rows, columns), (down, along) = array.shape[-2:], array.strides[-2:]
    if array.ndim > _MOST_DIMENSIONS or min(array.strides) < 4:
        return False
    return (along == 4 and down >= 4 * columns) or (down == 4 and along >= 4 * rows)


def suits(xp: Any, left: Any, right: Any) -> Library | None:
    """The library, if it may multiply these matrices, or rows and columns of them.

    Or batches of them that are alike; what `broadcast_to` makes is not taken.
    """
    if xp is not np or not (left.dtype == right.dtype == np.float32):
        return None
    if left.shape[:-2] != right.shape[:-2]:
        return None
    return dnn_library(xp) if _is_dense(left) and _is_dense(right) else None


def suits_two(xp: Any, left: Any, right: Any) -> Library | None:
    """The library, if it multiplies these two matrices faster than BLAS would."""
    library = suits(xp, left, right)
    return library if library is not None and has_own_loops(library) else None


def written(library: Library, left: Any, right: Any, out: Any) -> bool:
    """Write the product of matrices that suit the library; whether it has done so."""
    arrays = [(array.shape, array.strides) for array in (left, right, out)]
    found = _product(library, *arrays)
    if found is not None:
        found.run(left, right, out)
    return found is not None


@lru_cache(maxsize=256)
def _layer(
    library: Library,
    sizes: tuple[int, int, int],
    has_bias: bool,
    is_rectified: bool,
) -> Primitive | None:
    """`layer(x, w, out)`, or `layer(x, w, out, bias)`, for rows, inner size and columns."""
    rows, inner, columns = sizes
    x, weights, result, vector = (
        library.layout((down, along), (along, 1))
        for down, along in ((rows, inner), (inner, columns), (rows, columns), (1, columns))
    )
    then = [(_ADD, vector)] if has_bias else []
    then += [(_RECTIFIED, None)] if is_rectified else []
    plain, found = (
        library.describe("matmul", x, weights, None, result, then=behind) for behind in ([], then)
    )
    if plain is None or found is None or plain.name != found.name:
        return None
    if not plain.name.startswith(_OWN):
        return None
    arguments = {_SOURCE: x, _WEIGHTS: weights, _RESULT: result}
    if has_bias:
        arguments[_LATER | _SECOND] = vector
    return Primitive(library, found, arguments)


def written_layer(
    rows: int, w: Any, bias: Any, is_rectified: bool
) -> Callable[[Any, Any], None] | None:
    """`write(x, out)`, of a product to which a bias is added, and which is rectified then.

    Where it is rectified, what is NaN becomes zero. Rows that are a part of more have the bits that
    they have among these. None where the library has no loops of its own for these sizes.
    """
    library = dnn_library(np, w) if bias is None else dnn_library(np, w, bias)
    found = library and _layer(library, (rows, *w.shape), bias is not None, is_rectified)
    if not found:
        return None
    run, behind = found.run, () if bias is None else (bias,)
    return lambda x, out: run(x, w, out, *behind)
