"""Shapes as values, and tensors of the same elements in another shape."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tfsession.core import shape as shape_lib
from tfsession.core.dtypes import DType, as_dtype, int32
from tfsession.core.exports import export
from tfsession.core.op_def import define_op
from tfsession.core.shape import Shape, TensorShape, debug_string, is_fully_defined
from tfsession.graph.constant_value import (
    constant_dims,
    constant_shape,
    constant_value,
    folds,
    folds_partially,
)
from tfsession.graph.create import convert_to_tensor, create_op, graph_of
from tfsession.graph.operation import Operation
from tfsession.graph.shape_fns import (
    product,
    scalar,
    with_rank,
    with_rank_at_least,
    with_rank_at_most,
)
from tfsession.graph.sparse_tensor import SparseTensor
from tfsession.graph.tensor import Tensor
from tfsession.ops.constant import constant_of

Array = np.ndarray[Any, Any]

_BITS = (
    "{bfloat16, half, float, double, int64, int32, uint8, uint16, uint32, uint64, int8, int16, "
    "complex64, complex128, qint8, quint8, qint16, quint16, qint32}"
)

# --- definitions ----------------------------------------------------------------------------------


def _shape_of_shapes(op: Operation) -> list[Shape]:
    return [(None if t._shape is None else len(t._shape),) for t in op.inputs]


define_op(
    "Shape",
    inputs=["input: T"],
    outputs=["output: out_type"],
    attrs=["T: type", "out_type: {int32, int64} = DT_INT32"],
    shape=_shape_of_shapes,
)
define_op(
    "ShapeN",
    inputs=["input: N * T"],
    outputs=["output: N * out_type"],
    attrs=["N: int >= 1", "T: type", "out_type: {int32, int64} = DT_INT32"],
    shape=_shape_of_shapes,
)
define_op(
    "Size",
    inputs=["input: T"],
    outputs=["output: out_type"],
    attrs=["T: type", "out_type: {int32, int64} = DT_INT32"],
    shape=scalar,
)
define_op("Rank", inputs=["input: T"], outputs=["output: int32"], attrs=["T: type"], shape=scalar)


def _reshape_shape(op: Operation) -> list[Shape]:
    with_rank(op.inputs[1]._shape, 1)
    given, wanted = op.inputs[0]._shape, constant_shape(op.inputs[1])
    if given is None or wanted is None or given.count(None) > 1 or wanted.count(None) > 1:
        return [wanted]
    have = math.prod(d for d in given if d is not None)
    want = math.prod(d for d in wanted if d is not None)
    if None not in given:
        return [_infer_size(have, want, wanted)]
    if None not in wanted:
        if have > 0:
            _divide(want, have)
    elif have == want:
        unknown = given[given.index(None)]
        return [tuple(unknown if d is None else d for d in wanted)]
    return [wanted]


def _infer_size(have: int, want: int, wanted: tuple[int | None, ...]) -> Shape:
    """`wanted` for `have` elements, its unknown size computed."""
    if None in wanted and want > 0:
        rest = _divide(have, want)
        return tuple(rest if d is None else d for d in wanted)
    if have != want:
        raise ValueError(
            f"Cannot reshape a tensor with {have} elements to shape {debug_string(wanted)} "
            f"({want} elements)"
        )
    return wanted


def _divide(size: int, divisor: int) -> int:
    if size % divisor:
        raise ValueError(f"Dimension size must be evenly divisible by {divisor} but is {size}")
    return size // divisor


define_op(
    "Reshape",
    inputs=["tensor: T", "shape: Tshape"],
    outputs=["output: T"],
    attrs=["T: type", "Tshape: {int32, int64} = DT_INT32"],
    shape=_reshape_shape,
)


def _expand_dims_shape(op: Operation) -> list[Shape]:
    shape, value = op.inputs[0]._shape, constant_value(op.inputs[1])
    if shape is None or value is None:
        return [None]
    rank, dim = len(shape), int(value.reshape(-1)[0])
    if not -rank - 1 <= dim <= rank:
        raise ValueError(f"dim {dim} not in the interval [{-rank - 1}, {rank}].")
    at = dim + rank + 1 if dim < 0 else dim
    return [(*shape[:at], 1, *shape[at:])]


define_op(
    "ExpandDims",
    inputs=["input: T", "dim: Tdim"],
    outputs=["output: T"],
    attrs=["T: type", "Tdim: {int32, int64} = DT_INT32"],
    shape=_expand_dims_shape,
)


def _squeeze_shape(op: Operation) -> list[Shape]:
    shape, dims = op.inputs[0]._shape, op.attrs["squeeze_dims"]
    if shape is None:
        return [None]
    rank = len(shape)
    for i, dim in enumerate(dims):
        if not -rank <= dim < rank:
            raise ValueError(f"squeeze_dims[{i}] not in [{-rank},{rank}).")
    if not dims:
        return [None if None in shape else tuple(d for d in shape if d != 1)]
    gone = {dim % rank for dim in dims}
    for i in sorted(gone):
        if shape[i] not in (1, None):
            raise ValueError(f"Can not squeeze dim[{i}], expected a dimension of 1, got {shape[i]}")
    return [tuple(d for i, d in enumerate(shape) if i not in gone)]


define_op(
    "Squeeze",
    inputs=["input: T"],
    outputs=["output: T"],
    attrs=["T: type", "squeeze_dims: list(int) >= 0 = []"],
    shape=_squeeze_shape,
)


def _broadcast_to_shape(op: Operation) -> list[Shape]:
    shape, length = op.inputs[0]._shape, with_rank(op.inputs[1]._shape, 1)
    if length is not None and length[0] is not None:
        with_rank_at_most(shape, length[0])
    wanted = constant_shape(op.inputs[1])
    return [wanted if shape is None else shape_lib.broadcast(shape, wanted)]


define_op(
    "BroadcastTo",
    inputs=["input: T", "shape: Tidx"],
    outputs=["output: T"],
    attrs=["T: type", "Tidx: {int32, int64} = DT_INT32"],
    shape=_broadcast_to_shape,
)


def _broadcast_args_shape(op: Operation) -> list[Shape]:
    sizes = [with_rank(t._shape, 1) for t in op.inputs]
    lengths = [shape[0] for shape in sizes if shape is not None and shape[0] is not None]
    return [(max(lengths) if len(lengths) == 2 else None,)]


define_op(
    "BroadcastArgs",
    inputs=["s0: T", "s1: T"],
    outputs=["r0: T"],
    attrs=["T: {int32, int64} = DT_INT32"],
    shape=_broadcast_args_shape,
)


def _two_vectors(op: Operation) -> list[Shape]:
    for tensor in op.inputs:
        with_rank(tensor._shape, 1)
    return [(None,), (None,)]


define_op(
    "BroadcastGradientArgs",
    inputs=["s0: T", "s1: T"],
    outputs=["r0: T", "r1: T"],
    attrs=["T: {int32, int64} = DT_INT32"],
    shape=_two_vectors,
)


def _ensure_shape_shape(op: Operation) -> list[Shape]:
    return [shape_lib.merge(op.attrs["shape"], op.inputs[0]._shape)]


define_op(
    "EnsureShape",
    inputs=["input: T"],
    outputs=["output: T"],
    attrs=["shape: shape", "T: type"],
    shape=_ensure_shape_shape,
)


def _bitcast_shape(op: Operation) -> list[Shape]:
    shape, source, target = op.inputs[0]._shape, op.attrs["T"], op.attrs["type"]
    if source.size == target.size or shape is None:
        return [shape]
    if source.size > target.size:
        return [(*shape, source.size // target.size)]
    with_rank_at_least(shape, 1)
    ratio = target.size // source.size
    if shape[-1] not in (ratio, None):
        raise ValueError(
            f"Cannot bitcast from {source.as_datatype_enum} to {target.as_datatype_enum} due to "
            f"shape. {shape[-1]} does not match {ratio}"
        )
    return [shape[:-1]]


define_op(
    "Bitcast",
    inputs=["input: T"],
    outputs=["output: type"],
    attrs=[f"T: {_BITS}", f"type: {_BITS}"],
    shape=_bitcast_shape,
)

# --- what is known of the values ------------------------------------------------------------------


@folds("Shape", "ShapeN")
def _shape_value(op: Operation, index: int) -> Array | None:
    shape = op.inputs[index]._shape
    if shape is None or None in shape:
        return None
    dtype = op.attrs["out_type"].numpy
    if any(size > np.iinfo(dtype).max for size in shape):
        return None
    return np.array(shape, dtype)


@folds_partially("Shape", "ShapeN")
def _shape_dims(op: Operation, index: int) -> list[int | None] | None:
    shape = op.inputs[index]._shape
    return None if shape is None else list(shape)


@folds("Size")
def _size_value(op: Operation, _: int) -> Array | None:
    size = None if op.inputs[0]._shape is None else product(op.inputs[0]._shape)
    return None if size is None else np.array(size, op.attrs["out_type"].numpy)


@folds("Rank")
def _rank_value(op: Operation, _: int) -> Array | None:
    shape = op.inputs[0]._shape
    return None if shape is None else np.array(len(shape), np.int32)


# --- builders -------------------------------------------------------------------------------------


def _scoped(value: Any, name: str) -> tuple[Tensor, str]:
    """`value` as a tensor, made in the scope of the operation that takes it, and its name."""
    if isinstance(value, Tensor):
        return value, name
    graph = graph_of([value])
    with graph.as_default(), graph.name_scope(name) as scope:
        return convert_to_tensor(value), scope


def _out_type(out_type: Any) -> DType:
    return int32 if out_type is None else as_dtype(out_type)


def _sparse_sizes(sparse: SparseTensor, name: str, out_type: Any) -> tuple[Tensor, str]:
    """The dense shape of a sparse tensor in a scope, and the scope."""
    graph = graph_of([sparse.dense_shape])
    with graph.as_default(), graph.name_scope(name) as scope:
        attrs = {"DstT": _out_type(out_type)}
        return create_op("Cast", [sparse.dense_shape], attrs), scope


@export("shape")
def shape(input: Any, name: str | None = None, out_type: Any = None) -> Tensor:
    """The shape of a tensor as an integer vector (int32, or `out_type`)."""
    if isinstance(input, SparseTensor):
        return _sparse_sizes(input, name or "Shape", out_type)[0]
    (tensor, name), dtype = _scoped(input, name or "Shape"), _out_type(out_type)
    if is_fully_defined(tensor._shape):
        value = np.array(tensor._shape, dtype.numpy)
        return constant_of(tensor.op.graph, value, name)
    result: Tensor = create_op("Shape", [tensor], {"out_type": dtype}, name)
    return result


@export("shape_n")
def shape_n(input: Any, out_type: Any = int32, name: str | None = None) -> list[Tensor]:
    """The shapes of a list of tensors."""
    return list(create_op("ShapeN", [input], {"out_type": out_type}, name))


@export("size")
def size(input: Any, name: str | None = None, out_type: Any = None) -> Tensor:
    """The number of elements of a tensor as a scalar (int32, or `out_type`)."""
    if isinstance(input, SparseTensor):
        sizes, scope = _sparse_sizes(input, name or "Size", out_type)
        product: Tensor = create_op("Prod", [sizes, 0], name=scope)
        return product
    (tensor, name), dtype = _scoped(input, name or "Size"), _out_type(out_type)
    if is_fully_defined(tensor._shape):
        value = np.array(shape_lib.num_elements(tensor._shape), dtype.numpy)
        return constant_of(tensor.op.graph, value, name)
    result: Tensor = create_op("Size", [tensor], {"out_type": dtype}, name)
    return result


@export("rank")
def rank(input: Any, name: str | None = None) -> Tensor:
    """The number of dimensions of a tensor as an int32 scalar."""
    if isinstance(input, SparseTensor):
        count: Tensor = create_op("Size", [input.dense_shape], name=name or "Rank")
        return count
    tensor, name = _scoped(input, name or "Rank")
    if tensor._shape is not None:
        value = np.array(len(tensor._shape), np.int32)
        return constant_of(tensor.op.graph, value, name)
    result: Tensor = create_op("Rank", [tensor], name=name)
    return result


@export("reshape", "manip.reshape")
def reshape(tensor: Any, shape: Any, name: str | None = None) -> Tensor:
    """The elements of `tensor` in the shape `shape`, in which one size may be -1.

    Raises:
        ValueError, or InvalidArgumentError at run time: the number of elements differs.
    """
    result: Tensor = create_op("Reshape", [tensor, shape], name=name)
    return result


@export("expand_dims")
def expand_dims(input: Any, axis: Any = None, name: str | None = None, dim: Any = None) -> Tensor:
    """`input` with a dimension of size 1 inserted at `axis` (`dim` is an older name of it)."""
    axis = renamed("axis", axis, "dim", dim)
    if axis is None:
        raise ValueError("Must specify an axis argument to tf.expand_dims()")
    result: Tensor = create_op("ExpandDims", [input, axis], name=name)
    return result


def renamed(name: str, value: Any, old_name: str, old_value: Any) -> Any:
    """The value of an argument that has an older name; ValueError when both are given."""
    if old_value is None:
        return value
    if value is not None:
        raise ValueError(f"Cannot specify both '{old_name}' and '{name}'.")
    return old_value


@export("squeeze")
def squeeze(
    input: Any, axis: Any = None, name: str | None = None, squeeze_dims: Any = None
) -> Tensor:
    """`input` without its dimensions of size 1, or without those of `axis` alone.

    Raises:
        ValueError, or InvalidArgumentError at run time: a dimension of `axis` is not 1.
    """
    axis = renamed("axis", axis, "squeeze_dims", squeeze_dims)
    dims = [] if axis is None else [axis] if np.isscalar(axis) else list(axis)
    result: Tensor = create_op("Squeeze", [input], {"squeeze_dims": dims}, name)
    return result


@export("broadcast_to")
def broadcast_to(input: Any, shape: Any, name: str | None = None) -> Tensor:
    """`input` repeated along dimensions of size 1, and new leading ones, to have `shape`."""
    result: Tensor = create_op("BroadcastTo", [input, shape], name=name)
    return result


@export("broadcast_static_shape")
def broadcast_static_shape(shape_x: Any, shape_y: Any) -> TensorShape:
    """The shape to which two static shapes broadcast; ValueError when they do not."""
    x, y = shape_lib.as_shape(shape_x), shape_lib.as_shape(shape_y)
    try:
        return TensorShape.from_tuple(shape_lib.broadcast(x._dims, y._dims))
    except ValueError:
        raise ValueError(
            "Incompatible shapes for broadcasting. Two shapes are compatible if for each dimension "
            f"pair they are either equal or one of them is 1. Received: {x} and {y}."
        ) from None


@export("broadcast_dynamic_shape")
def broadcast_dynamic_shape(shape_x: Any, shape_y: Any) -> Tensor:
    """The shape to which two shapes, given as integer vectors, broadcast."""
    result: Tensor = create_op("BroadcastArgs", [shape_x, shape_y])
    return result


@export("ensure_shape")
def ensure_shape(x: Any, shape: Any, name: str | None = None) -> Tensor:
    """`x`, whose shape must be compatible with `shape` when it is computed.

    Raises:
        InvalidArgumentError: at run time, when it is not.
    """
    attrs = {"shape": shape_lib.to_shape(shape)}
    result: Tensor = create_op("EnsureShape", [x], attrs, name)
    return result


@export("bitcast")
def bitcast(input: Any, type: Any, name: str | None = None) -> Tensor:
    """The bytes of `input` as elements of another dtype.

    Elements of another size are split along, or joined from, a last dimension.
    """
    result: Tensor = create_op("Bitcast", [input], {"type": type}, name)
    return result


@folds_partially("Cast")
def _cast_dims(op: Operation, _: int) -> list[int | None] | None:
    return constant_dims(op.inputs[0])
