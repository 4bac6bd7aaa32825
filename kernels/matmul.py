"""Products of matrices. Transposes are views, which BLAS reads as they lie.

Narrow floats are multiplied in float32 and rounded once; integers wrap around.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from tfsession.core.dtypes import DType
from tfsession.core.errors import InvalidArgumentError
from tfsession.core.rules import Spelling, fuser, kernel
from tfsession.core.shape import debug_string
from tfsession.devices.blas import product
from tfsession.devices.threads import blas_threads_for, core_count, run_blocks
from tfsession.kernels.matmul_library import suits, suits_two, written, written_layer

_HALVES = ["half", "bfloat16"]
_COMPLEX = {"T": ["complex64", "complex128"]}


# Multiplications of a block of a product, some milliseconds shared by the cores, and of the least
# one; and below which BLAS itself has one thread.
_BLOCK = 100_000_000 // min(max(2, core_count()), 8)
_LEAST_BLOCK, _TINY = 5_000_000, 1 << 18
# BLAS packs the whole other matrix for each block, so blocks have so many rows or columns if they
# can, in steps of what its inner loops take at once.
_LEAST_SIDE, _MOST_SIDE, _SIDE_STEP = 128, 512, 16
# Multiplications from which on a library is asked: a call of it takes some microseconds more. Few
# rows BLAS multiplies more slowly, but for one, for which only it has a way of its own.
_LIBRARY, _LIBRARY_FEW, _FEW = 4_000_000, 2_000_000, 64
# The same of batches: for fewer, small matrices BLAS is as fast.
_LIBRARY_BATCH = 20_000_000


@lru_cache(maxsize=1024)
def _cut(rows: int, inner: int, columns: int) -> tuple[bool, int]:
    """Whether a product is cut into rows, not columns, and how many a block has."""
    work = rows * inner * columns
    goes_down = 2 * rows >= columns
    side = rows if goes_down else columns
    most = max(2, side // max(_LEAST_SIDE, min(side // 8, _MOST_SIDE)))
    blocks = min(max(work // _BLOCK, min(2, work // _LEAST_BLOCK)), most)
    blocks -= blocks % 2 if blocks > 2 else 0  # two cores have as much to do each
    return goes_down, side if blocks < 2 else -(-side // blocks // _SIDE_STEP) * _SIDE_STEP


def multiply(xp: Any, left: Any, right: Any, out: Any = None) -> Any:
    """The product of two matrices, on several threads where that is worth it.

    Raises:
        ValueError: the shapes do not match.
    """
    (rows, inner), columns = left.shape, right.shape[1]
    if inner == 1 == right.shape[0]:
        return xp.multiply(left, right, out=out)
    work = rows * inner * columns
    if work < _TINY or inner != right.shape[0]:
        return xp.matmul(left, right, out=out)
    goes_down, step = _cut(rows, inner, columns)
    is_large = work >= (_LIBRARY if rows > _FEW else _LIBRARY_FEW) and rows > 1 < columns
    library = suits_two(xp, left, right) if is_large else None
    if library is None and step == (rows if goes_down else columns):
        with blas_threads_for(work):
            return product(xp, left, right, out)
    if out is None:
        out = xp.empty((rows, columns), xp.result_type(left, right))

    def block(left: Any, right: Any, out: Any) -> None:
        if library is None or not written(library, left, right, out):
            product(xp, left, right, out)

    if goes_down:
        run_blocks(xp, rows, step, lambda i, j: block(left[i:j], right, out[i:j]))
    else:
        run_blocks(xp, columns, step, lambda i, j: block(left, right[:, i:j], out[:, i:j]))
    return out


@fuser("layer")
def layer(rows: int, w: Any, bias: Any, is_rectified: bool) -> Callable[[Any, Any], None] | None:
    """What writes the layer of so many rows, of which nothing is NaN; see `fusers`."""
    inner, columns = w.shape
    goes_down, step = _cut(rows, inner, columns)
    least = _LIBRARY if rows > _FEW else _LIBRARY_FEW
    if step != (rows if goes_down else columns) or rows * inner * columns < least:
        return None
    if rows == 1 or columns == 1:  # as in `multiply`
        return None
    return written_layer(rows, w, bias, is_rectified)


@fuser("rows of a layer")
def rows_of_layer(
    rows: int, some: Sequence[int], w: Any, bias: Any
) -> dict[int, Callable[[Any, Any], None]] | None:
    """What writes the layer, not rectified, for `some` numbers of its rows; see `fusers`."""
    least = _LIBRARY if rows > _FEW else _LIBRARY_FEW
    goes_down, step = _cut(rows, *w.shape)
    if rows * w.size < least or w.shape[1] == 1:
        return None
    if not goes_down and step < w.shape[1]:  # of some columns the library adds up in another order
        return None
    found = {count: written_layer(count, w, bias, False) for count in some}
    return None if None in found.values() else found  # type: ignore[return-value]


def _refuse(text: str, a: Any, b: Any, between: str) -> InvalidArgumentError:
    shapes = f"{debug_string(a.shape)}{between}{debug_string(b.shape)}"
    return InvalidArgumentError(None, None, f"{text}{shapes}")


def _mismatch(a: Any, b: Any) -> InvalidArgumentError:
    if a.ndim != b.ndim:
        return _refuse("In[0] and In[1] has different ndims: ", a, b, " vs. ")
    if a.ndim != 2:
        text = f"In[0] and In[1] ndims must be == 2: {a.ndim}"
        return InvalidArgumentError(None, None, text)
    return _refuse("Matrix size-incompatible: In[0]: ", a, b, ", In[1]: ")


@kernel("MatMul", types={"T": _HALVES})
def matmul_of_halves(xp: Any, a: Any, b: Any, transpose_a: bool, transpose_b: bool) -> Any:
    """The product in float32, rounded once."""
    wide = matmul(xp, a.astype(xp.float32), b.astype(xp.float32), transpose_a, transpose_b)
    return wide.astype(a.dtype)


def _spell_matmul(inputs: Sequence[Any], attrs: Any, constant: Any) -> Spelling | None:
    a, b = (tensor._shape or () for tensor in inputs)
    turns = attrs["transpose_a"], attrs["transpose_b"]
    if len(a) != 2 or len(b) != 2:
        return None
    inner, other = a[not turns[0]], b[turns[1]]
    if inner is None or inner != other:
        return None
    sides = [f"{{{number}}}{'.T' * turned}" for number, turned in enumerate(turns)]
    text = f"{{result}} = {{multiply}}({{np}}, {sides[0]}, {sides[1]})"
    return Spelling(text, {"multiply": multiply, "np": np})


@kernel("MatMul", spells=_spell_matmul)
def matmul(xp: Any, a: Any, b: Any, transpose_a: bool, transpose_b: bool) -> Any:
    """The product of two matrices."""
    if a.ndim != 2 or b.ndim != 2:
        raise _mismatch(a, b)
    try:
        return multiply(xp, a.T if transpose_a else a, b.T if transpose_b else b)
    except ValueError:
        raise _mismatch(a, b) from None


@kernel("SparseMatMul")
def sparse_matmul(xp: Any, a: Any, b: Any, transpose_a: bool, transpose_b: bool) -> Any:
    """The product in float32; nothing is skipped."""
    for value, name in ((a, "a"), (b, "b")):
        if value.ndim != 2:
            raise InvalidArgumentError(None, None, f"{name} is not a matrix")
    left, right = (value.astype(xp.float32, copy=False) for value in (a, b))
    try:
        return multiply(xp, left.T if transpose_a else left, right.T if transpose_b else right)
    except ValueError:
        raise _refuse("Matrix size incompatible: a: ", a, b, ", b: ") from None


def _product(xp: Any, x: Any, y: Any, adj_x: bool, adj_y: bool) -> Any:
    """The products of real matrices in the last two dimensions."""
    for i, value in ((0, x), (1, y)):
        if value.ndim < 2:
            text = f"In[{i}] ndims must be >= 2: {value.ndim}"
            raise InvalidArgumentError(None, None, text)
    left = x.swapaxes(-1, -2) if adj_x else x
    right = y.swapaxes(-1, -2) if adj_y else y
    try:
        return _multiply_all(xp, left, right)
    except ValueError:
        if left.shape[-1] != right.shape[-2]:
            raise _refuse("Matrix size-incompatible: In[0]: ", x, y, ", In[1]: ") from None
        text = "In[0] and In[1] must have compatible batch dimensions: "
        raise _refuse(text, x, y, " vs. ") from None


def _multiply_all(xp: Any, left: Any, right: Any) -> Any:
    """The products of the matrices of two batches, cut into blocks along the first dimension."""
    if left.ndim == right.ndim == 2:
        return multiply(xp, left, right)
    batch = xp.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    (rows, inner), columns = left.shape[-2:], right.shape[-1]
    each = math.prod(batch[1:]) * rows * inner * columns
    if batch[0] * each < _TINY:
        return xp.matmul(left, right)
    out = xp.empty((*batch, rows, columns), xp.result_type(left, right))
    library = suits(xp, left, right) if batch[0] * each >= _LIBRARY_BATCH else None

    def part(value: Any, start: int, stop: int) -> Any:
        has_own = value.ndim == out.ndim and value.shape[0] > 1
        return value[start:stop] if has_own else value

    def multiply_part(start: int, stop: int) -> None:
        pair = part(left, start, stop), part(right, start, stop)
        if library is None or not written(library, *pair, out[start:stop]):
            xp.matmul(*pair, out=out[start:stop])

    least = _LEAST_BLOCK if library is None else _LIBRARY_BATCH // 2
    run_blocks(xp, batch[0], -(-least // each), multiply_part)
    return out


def _conjugated(xp: Any, x: Any, y: Any, adj_x: bool, adj_y: bool) -> Any:
    """The products where adjoints are conjugates too."""
    return _product(xp, xp.conj(x) if adj_x else x, xp.conj(y) if adj_y else y, adj_x, adj_y)


@kernel("BatchMatMulV2", types={"T": _HALVES})
def batch_matmul_of_halves(xp: Any, x: Any, y: Any, adj_x: bool, adj_y: bool) -> Any:
    """The products in float32, rounded once."""
    wide = _product(xp, x.astype(xp.float32), y.astype(xp.float32), adj_x, adj_y)
    return wide.astype(x.dtype)


@kernel("BatchMatMulV2", types=_COMPLEX)
def batch_matmul_of_complex(xp: Any, x: Any, y: Any, adj_x: bool, adj_y: bool) -> Any:
    """The products of complex matrices."""
    return _conjugated(xp, x, y, adj_x, adj_y)


@kernel("BatchMatMulV2")
def batch_matmul(xp: Any, x: Any, y: Any, adj_x: bool, adj_y: bool) -> Any:
    """The products of real matrices."""
    return _product(xp, x, y, adj_x, adj_y)


def _check_same_batch(x: Any, y: Any) -> None:
    if x.ndim != y.ndim:
        raise _refuse("In[0] and In[1] has different ndims: ", x, y, " vs. ")
    for i, (mine, other) in enumerate(zip(x.shape[:-2], y.shape[:-2], strict=True)):
        if mine != other:
            text = f"In[0].dim({i}) and In[1].dim({i}) must be the same: "
            raise _refuse(text, x, y, " vs ")


@kernel("BatchMatMul", types={"T": _HALVES})
def equal_batches_of_halves(xp: Any, x: Any, y: Any, adj_x: bool, adj_y: bool) -> Any:
    """The products in float32, rounded once, of batches of one shape."""
    _check_same_batch(x, y)
    return batch_matmul_of_halves(xp, x, y, adj_x, adj_y)


@kernel("BatchMatMul")
def equal_batches(xp: Any, x: Any, y: Any, adj_x: bool, adj_y: bool) -> Any:
    """The products of matrices in batches of one shape."""
    _check_same_batch(x, y)
    product = _conjugated if x.dtype.kind == "c" else _product
    return product(xp, x, y, adj_x, adj_y)


@kernel("BatchMatMulV3", types={"Tout": _HALVES})
def rounded_batch_matmul(xp: Any, x: Any, y: Any, adj_x: bool, adj_y: bool, Tout: DType) -> Any:
    """The products in float32, rounded once."""
    left, right = x.astype(xp.float32), y.astype(xp.float32)
    return _product(xp, left, right, adj_x, adj_y).astype(Tout.numpy)


@kernel("BatchMatMulV3")
def widening_batch_matmul(xp: Any, x: Any, y: Any, adj_x: bool, adj_y: bool, Tout: DType) -> Any:
    """The products in the type of the result, to which the matrices are cast first."""
    left, right = (value.astype(Tout.numpy, copy=False) for value in (x, y))
    product = _conjugated if left.dtype.kind == "c" else _product
    return product(xp, left, right, adj_x, adj_y)
