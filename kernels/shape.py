"""Shapes as values, and arrays seen in another shape: views wherever memory allows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tfsession.core.dtypes import DType
from tfsession.core.errors import InvalidArgumentError
from tfsession.core.rules import kernel
from tfsession.core.shape import Shape, debug_string, is_compatible
from tfsession.core.shape_tensor import numbers_of, sizes_of


def _refuse(text: str) -> InvalidArgumentError:
    return InvalidArgumentError(None, None, text)


@kernel("Shape", host_outputs=["output"])
def shape(xp: Any, x: Any, out_type: DType) -> Any:
    """The shape as a vector in host memory."""
    return np.array(x.shape, out_type.numpy)


@kernel("ShapeN", host_outputs=["output"])
def shape_n(xp: Any, *values: Any, out_type: DType) -> Any:
    """The shapes as vectors in host memory."""
    return tuple(np.array(x.shape, out_type.numpy) for x in values)


@kernel("Size", host_outputs=["output"])
def size(xp: Any, x: Any, out_type: DType) -> Any:
    """The number of elements."""
    return np.array(x.size, out_type.numpy)


@kernel("Rank", host_outputs=["output"])
def rank(xp: Any, x: Any) -> Any:
    """The number of dimensions."""
    return np.array(x.ndim, np.int32)


@kernel("Reshape", host=["shape"], aliases=True)
def reshape(xp: Any, tensor: Any, shape: Any) -> Any:
    """The same elements in another shape."""
    sizes = shape.tolist()
    if shape.ndim == 1 and min(sizes, default=0) >= 0:
        try:
            return tensor.reshape(sizes)
        except ValueError:
            raise _mismatch(tensor, math.prod(sizes)) from None
    return tensor.reshape(_with_missing_size(tensor, shape, sizes))


def _mismatch(tensor: Any, wanted: int) -> InvalidArgumentError:
    return _refuse(
        f"Input to reshape is a tensor with {tensor.size} values, but the requested shape has "
        f"{wanted}"
    )


def _with_missing_size(tensor: Any, shape: Any, sizes: list[int]) -> list[int]:
    """`sizes` with its -1 replaced; next to a size 0 it stands for the sizes that are not 0."""
    if shape.ndim != 1:
        raise _refuse(f"sizes input must be 1-D, not {debug_string(shape.shape)}")
    missing = -1
    for i, wanted in enumerate(sizes):
        if wanted == -1:
            if missing >= 0:
                raise _refuse(f"Only one input size may be -1, not both {missing} and {i}")
            missing = i
        elif wanted < 0:
            raise _refuse(f"Size {i} must be non-negative, not {wanted}")
    known = math.prod(d for d in sizes if d > 0)
    has_zero = 0 in sizes
    have = math.prod(d for d in tensor.shape if d or not has_zero)
    if have % known:
        raise _refuse(
            f"Input to reshape is a tensor with {tensor.size} values, but the requested shape "
            f"requires a multiple of {known}"
        )
    full = [*sizes[:missing], have // known, *sizes[missing + 1 :]]
    if math.prod(full) != tensor.size:
        raise _mismatch(tensor, math.prod(full))
    return full


@kernel("ExpandDims", host=["dim"], aliases=True)
def expand_dims(xp: Any, x: Any, dim: Any) -> Any:
    """A dimension of size 1 more."""
    if dim.size != 1:
        raise _refuse("'dim' must be a tensor with a single value")
    shape, rank = x.shape, x.ndim
    at = dim.reshape(()).item()
    if not -rank - 1 <= at <= rank:
        raise _refuse(f"Tried to expand dim index {at} for tensor with {rank} dimensions.")
    at += rank + 1 if at < 0 else 0
    return x.reshape((*shape[:at], 1, *shape[at:]))


@kernel("Squeeze", aliases=True)
def squeeze(xp: Any, x: Any, squeeze_dims: list[int]) -> Any:
    """Fewer dimensions of size 1."""
    shape = x.shape
    if not squeeze_dims:
        return x.reshape([d for d in shape if d != 1])
    gone = set()
    for dim in squeeze_dims:
        if not -len(shape) <= dim < len(shape):
            raise _refuse(
                f"Tried to squeeze dim index {dim} for tensor with {len(shape)} dimensions."
            )
        at = dim % len(shape)
        if shape[at] != 1:
            raise _refuse(f"Can not squeeze dim[{at}], expected a dimension of 1, got {shape[at]}")
        gone.add(at)
    return x.reshape([d for i, d in enumerate(shape) if i not in gone])


@kernel("BroadcastTo", host=["shape"], aliases=True)
def broadcast_to(xp: Any, x: Any, shape: Any) -> Any:
    """A view in which dimensions of size 1 repeat."""
    sizes, _ = sizes_of(shape)
    if x.ndim > len(sizes):
        raise _refuse(
            f"Rank of input ({x.ndim}) must be no greater than rank of output shape ({len(sizes)})."
        )
    try:
        return xp.broadcast_to(x, sizes)
    except ValueError:
        raise _incompatible(x.shape, sizes) from None


def _incompatible(a: Any, b: Any) -> InvalidArgumentError:
    return _refuse(f"Incompatible shapes: {debug_string(a)} vs. {debug_string(b)}")


@kernel("BroadcastArgs", host=["s0", "s1"], host_outputs=["r0"])
def broadcast_args(xp: Any, s0: Any, s1: Any) -> Any:
    """The shape to which two shapes broadcast."""
    first, second = _two_shapes(s0, s1)
    try:
        return np.array(np.broadcast_shapes(tuple(first), tuple(second)), s0.dtype)
    except ValueError:
        raise _incompatible(first, second) from None


def _two_shapes(s0: Any, s1: Any) -> tuple[list[int], list[int]]:
    for index, sizes in enumerate((s0, s1)):
        if sizes.ndim != 1:
            numbers_of(sizes, f"In[{index}] must be a vector, got shape ")
    return s0.tolist(), s1.tolist()


@kernel("BroadcastGradientArgs", host=["s0", "s1"], host_outputs=["r0", "r1"])
def broadcast_gradient_args(xp: Any, s0: Any, s1: Any) -> Any:
    """For each of two shapes, the dimensions of the broadcast shape to sum over.

    A dimension of size 1 in both is summed for both, except between equal shapes.
    """
    first, second = _two_shapes(s0, s1)
    x: list[int] = []
    y: list[int] = []
    if first != second:
        rank = max(len(first), len(second))
        longer = [1] * (rank - len(first)) + first, [1] * (rank - len(second)) + second
        for i, (a, b) in enumerate(zip(*longer, strict=True)):
            if a == 1:
                x.append(i)
            if b == 1:
                y.append(i)
            elif a not in (1, b):
                raise _incompatible(first, second)
    return np.array(x, s0.dtype), np.array(y, s0.dtype)


@kernel("EnsureShape", aliases=True)
def ensure_shape(xp: Any, x: Any, shape: Shape) -> Any:
    """The input, if it has the shape."""
    if not is_compatible(x.shape, shape):
        raise _refuse(
            f"Shape of tensor {debug_string(x.shape)} is not compatible with expected shape "
            f"{debug_string(shape)}."
        )
    return x


@kernel("Bitcast", aliases=True)
def bitcast(xp: Any, x: Any, T: DType, type: DType) -> Any:
    """The same bytes as elements of another dtype."""
    target = type.numpy
    dense = xp.asarray(x, order="C")
    old, new = dense.dtype.itemsize, target.itemsize
    if old == new:
        return dense.view(target)
    if old > new:
        return dense.reshape((*dense.shape, 1)).view(target)
    if dense.ndim == 0 or dense.shape[-1] * old != new:
        raise _refuse(
            f"Cannot bitcast from {T.as_datatype_enum} to {type.as_datatype_enum}: the last of "
            f"{debug_string(dense.shape)} must be {new // old}"
        )
    return dense.view(target).reshape(dense.shape[:-1])
