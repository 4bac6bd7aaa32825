"""Reductions. Narrow floats are summed in float32, integers wrap around in their own type."""

from __future__ import annotations

import math
from typing import Any

from tfsession.core.dtypes import DType
from tfsession.core.errors import InvalidArgumentError
from tfsession.core.rules import kernel
from tfsession.core.shape import debug_string

_HOST = ["reduction_indices"]
_HALVES = {"T": ["half", "bfloat16"]}
_SIGNED = {"T": ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32"]}
_UNSIGNED = {"T": ["uint64"]}
_INTEGERS = {"T": [*_SIGNED["T"], *_UNSIGNED["T"]]}
_REALS = {"T": ["half", "bfloat16", "float", "double"]}
_COMPLEX = {"T": ["complex64", "complex128"]}


def _axes(indices: Any) -> Any:
    """The axes as NumPy takes them."""
    axes = indices.tolist()
    if type(axes) is int:
        return axes
    return tuple(axes) if indices.ndim == 1 else tuple(indices.ravel().tolist())


def _refused(value: Any, indices: Any) -> InvalidArgumentError | None:
    """What is wrong with the axes; None when they are right."""
    ndim = value.ndim
    seen = set()
    for axis in indices.ravel().tolist():
        if not -ndim <= axis < ndim:
            text = f"Invalid reduction dimension ({axis} for input with {ndim} dimension(s)"
            return InvalidArgumentError(None, None, text)
        if axis % ndim in seen:
            text = f"Invalid reduction arguments: Axes contains duplicate dimension: {axis % ndim}"
            return InvalidArgumentError(None, None, text)
        seen.add(axis % ndim)
    return None


def _along(reduce: Any, value: Any, indices: Any, **how: Any) -> Any:
    """`reduce`, a method of `value`, along the axes."""
    if not value.ndim and indices.size:
        # NumPy takes a scalar for a vector of one element.
        raise _refused(value, indices) or ValueError(indices)
    try:
        return reduce(axis=_axes(indices), **how)
    except ValueError as error:
        raise _refused(value, indices) or error from None


def _sum(value: Any, indices: Any, dtype: Any, keep_dims: bool) -> Any:
    if not indices.size:  # gradients are summed along as many axes as were broadcast: mostly none
        return value.astype(dtype, copy=False)
    return _along(value.sum, value, indices, dtype=dtype, keepdims=keep_dims)


def _count(value: Any, result: Any) -> int:
    """How many elements went into each element of a reduction's result."""
    count: int = value.size // (result.size or 1)
    return count


@kernel("Sum", host=_HOST, types=_HALVES, reduces="rows")
def sum_of_halves(xp: Any, input: Any, reduction_indices: Any, keep_dims: bool) -> Any:
    """The sum in float32, rounded once."""
    return _sum(input, reduction_indices, xp.float32, keep_dims).astype(input.dtype)


@kernel("Sum", host=_HOST, aliases=True, reduces="add")
def sum_(xp: Any, input: Any, reduction_indices: Any, keep_dims: bool) -> Any:
    """The sum in the input's type."""
    return _sum(input, reduction_indices, input.dtype, keep_dims)


@kernel("Mean", host=_HOST, types=_HALVES, reduces="rows")
def mean_of_halves(xp: Any, input: Any, reduction_indices: Any, keep_dims: bool) -> Any:
    """The mean in float32, rounded once."""
    total = _sum(input, reduction_indices, xp.float32, keep_dims)
    return (total / _count(input, total)).astype(input.dtype)


def _integer_mean(input: Any, indices: Any, dtype: Any, keep_dims: bool) -> Any:
    total = _sum(input, indices, dtype, keep_dims)
    count = dtype(_count(input, total) or 1)
    quotient = total // count
    # `//` rounds down, TensorFlow as C does.
    return (quotient + ((total < 0) & (quotient * count != total))).astype(input.dtype)


@kernel("Mean", host=_HOST, types=_SIGNED, reduces="rows")
def mean_of_integers(xp: Any, input: Any, reduction_indices: Any, keep_dims: bool) -> Any:
    """The mean of an int64 sum, rounded toward zero; zero where there is nothing."""
    return _integer_mean(input, reduction_indices, xp.int64, keep_dims)


@kernel("Mean", host=_HOST, types=_UNSIGNED, reduces="rows")
def mean_of_wide_integers(xp: Any, input: Any, reduction_indices: Any, keep_dims: bool) -> Any:
    """The mean of a uint64 sum, rounded down; zero where there is nothing."""
    return _integer_mean(input, reduction_indices, xp.uint64, keep_dims)


@kernel("Mean", host=_HOST, types=_COMPLEX, reduces="rows")
def mean_of_complex(xp: Any, input: Any, reduction_indices: Any, keep_dims: bool) -> Any:
    """The mean; zero where there is nothing."""
    total = _sum(input, reduction_indices, input.dtype, keep_dims)
    return total / (_count(input, total) or 1)


def _average(total: Any, count: int) -> Any:
    return total / count


@kernel("Mean", host=_HOST, reduces="add", finish=_average)
def mean(xp: Any, input: Any, reduction_indices: Any, keep_dims: bool) -> Any:
    """The mean; NaN where there is nothing."""
    total = _sum(input, reduction_indices, input.dtype, keep_dims)
    return _average(total, _count(input, total))


def _prod(value: Any, indices: Any, dtype: Any, keep_dims: bool) -> Any:
    return _along(value.prod, value, indices, dtype=dtype, keepdims=keep_dims)


@kernel("Prod", host=_HOST, types=_HALVES, reduces="rows")
def prod_of_halves(xp: Any, input: Any, reduction_indices: Any, keep_dims: bool) -> Any:
    """The product in float32, rounded once."""
    return _prod(input, reduction_indices, xp.float32, keep_dims).astype(input.dtype)


@kernel("Prod", host=_HOST, reduces="rows")
def prod(xp: Any, input: Any, reduction_indices: Any, keep_dims: bool) -> Any:
    """The product in the input's type."""
    return _prod(input, reduction_indices, input.dtype, keep_dims)


def _extreme(xp: Any, reduce: Any, value: Any, indices: Any, keep_dims: bool, neutral: Any) -> Any:
    """`reduce`, a method of `value`; the neutral element where there is nothing."""
    if value.size:
        return _along(reduce, value, indices, keepdims=keep_dims)
    shape = _along(xp.ones(value.shape, bool).any, value, indices, keepdims=keep_dims).shape
    return xp.full(shape, neutral, value.dtype)


@kernel("Max", host=_HOST, reduces="maximum")
def max_(xp: Any, input: Any, reduction_indices: Any, keep_dims: bool, T: DType) -> Any:
    """The greatest element; NaN where there is one; the least number where there is nothing."""
    least = -math.inf if T.is_floating else T.min
    return _extreme(xp, input.max, input, reduction_indices, keep_dims, least)


@kernel("Min", host=_HOST, reduces="minimum")
def min_(xp: Any, input: Any, reduction_indices: Any, keep_dims: bool, T: DType) -> Any:
    """The least element; NaN where there is one; the greatest number where there is nothing."""
    greatest = math.inf if T.is_floating else T.max
    return _extreme(xp, input.min, input, reduction_indices, keep_dims, greatest)


@kernel("All", host=_HOST, reduces="logical_and")
def all_(xp: Any, input: Any, reduction_indices: Any, keep_dims: bool) -> Any:
    """Whether all are true."""
    return _along(input.all, input, reduction_indices, keepdims=keep_dims)


@kernel("Any", host=_HOST, reduces="logical_or")
def any_(xp: Any, input: Any, reduction_indices: Any, keep_dims: bool) -> Any:
    """Whether any is true."""
    return _along(input.any, input, reduction_indices, keepdims=keep_dims)


@kernel("EuclideanNorm", host=_HOST, types=_HALVES, reduces="rows")
def norm_of_halves(xp: Any, input: Any, reduction_indices: Any, keep_dims: bool) -> Any:
    """The norm in float32, rounded once."""
    wide = input.astype(xp.float32)
    return xp.sqrt(_sum(wide * wide, reduction_indices, xp.float32, keep_dims)).astype(input.dtype)


@kernel("EuclideanNorm", host=_HOST, types=_INTEGERS, reduces="rows")
def norm_of_integers(xp: Any, input: Any, reduction_indices: Any, keep_dims: bool) -> Any:
    """The root, rounded toward zero, of a sum of squares that wraps around."""
    total = _sum(input * input, reduction_indices, input.dtype, keep_dims)
    return xp.sqrt(total.astype(xp.float64)).astype(input.dtype)


@kernel("EuclideanNorm", host=_HOST, types=_COMPLEX, reduces="rows")
def norm_of_complex(xp: Any, input: Any, reduction_indices: Any, keep_dims: bool) -> Any:
    """The norm, as a complex number."""
    squares = input.real**2 + input.imag**2
    return xp.sqrt(_sum(squares, reduction_indices, squares.dtype, keep_dims)).astype(input.dtype)


@kernel("EuclideanNorm", host=_HOST, reduces="rows")
def norm(xp: Any, input: Any, reduction_indices: Any, keep_dims: bool) -> Any:
    """The root of the sum of squares."""
    return xp.sqrt(_sum(input * input, reduction_indices, input.dtype, keep_dims))


# --- places of extremes ---------------------------------------------------------------------------


def _dimension(value: Any, dimension: Any) -> int:
    """The axis; an error when there is none such, or nothing along it."""
    if dimension.ndim:
        shape = debug_string(dimension.shape)
        raise _invalid(f"dim must be a scalar, but received tensor of shape: {shape}")
    axis: int = dimension.item()
    ndim = value.ndim
    if not -ndim <= axis < ndim:
        raise _invalid(f"Expected dimension in the range [{-ndim}, {ndim}), but got {axis}")
    axis %= ndim
    if not value.shape[axis]:
        shape = debug_string(value.shape)
        raise _invalid(f"Reduction axis {axis} is empty in shape {shape}")
    return axis


def _invalid(text: str) -> InvalidArgumentError:
    return InvalidArgumentError(None, None, text)


@kernel("ArgMax", host=["dimension"], types=_REALS)
def argmax_of_reals(xp: Any, input: Any, dimension: Any, output_type: DType) -> Any:
    """The place of the first greatest element that is not NaN; 0 where there is none."""
    axis = _dimension(input, dimension)
    comparable = xp.fmax(input, input.dtype.type(-math.inf))
    return comparable.argmax(axis=axis).astype(output_type.numpy)


@kernel("ArgMin", host=["dimension"], types=_REALS)
def argmin_of_reals(xp: Any, input: Any, dimension: Any, output_type: DType) -> Any:
    """The place of the first least element that is not NaN; 0 where there is none."""
    axis = _dimension(input, dimension)
    comparable = xp.fmin(input, input.dtype.type(math.inf))
    return comparable.argmin(axis=axis).astype(output_type.numpy)


@kernel("ArgMax", host=["dimension"])
def argmax(xp: Any, input: Any, dimension: Any, output_type: DType) -> Any:
    """The place of the first greatest element."""
    return input.argmax(axis=_dimension(input, dimension)).astype(output_type.numpy)


@kernel("ArgMin", host=["dimension"])
def argmin(xp: Any, input: Any, dimension: Any, output_type: DType) -> Any:
    """The place of the first least element."""
    return input.argmin(axis=_dimension(input, dimension)).astype(output_type.numpy)
