"""Sequences of numbers, and one-hot rows."""

from __future__ import annotations

import math
from typing import Any

from tfsession.core.dtypes import (
    DType,
    as_dtype,
    bfloat16,
    float16,
    float32,
    float64,
    int32,
    int64,
)
from tfsession.core.exports import export
from tfsession.core.op_def import define_op
from tfsession.core.shape import Shape
from tfsession.graph.constant_value import constant_value
from tfsession.graph.create import convert_to_tensor, create_op, graph_of
from tfsession.graph.operation import Operation
from tfsession.graph.shape_fns import with_rank
from tfsession.graph.tensor import Tensor
from tfsession.ops.shape import expand_dims, rank, reshape, shape


def _range_shape(op: Operation) -> list[Shape]:
    for tensor, name in zip(op.inputs, ("start", "limit", "delta"), strict=True):
        _named_scalar(tensor, name)
    values = [constant_value(tensor) for tensor in op.inputs]
    if values[0] is None or values[1] is None or values[2] is None:
        return [(None,)]
    start, limit, delta = (value.reshape(()).item() for value in values if value is not None)
    if delta == 0:
        raise ValueError("Requires delta != 0")
    if start > limit and delta > 0:
        raise ValueError(f"Requires start <= limit when delta > 0: {start}/{limit}")
    if start < limit and delta < 0:
        raise ValueError(f"Requires start >= limit when delta < 0: {start}/{limit}")
    if op.attrs["Tidx"].is_integer:
        return [(-((start - limit) // delta),)]
    return [(math.ceil(abs((limit - start) / delta)),)]


def _named_scalar(tensor: Tensor, name: str) -> None:
    shape = tensor._shape
    if shape is not None and len(shape):
        raise ValueError(f"Shape must be rank 0 but is rank {len(shape)}\n\t for '{name}'")


define_op(
    "Range",
    inputs=["start: Tidx", "limit: Tidx", "delta: Tidx"],
    outputs=["output: Tidx"],
    attrs=[
        "Tidx: {bfloat16, half, float, double, int8, int16, int32, int64, uint16, uint32, uint64} "
        "= DT_INT32",
    ],
    shape=_range_shape,
)


def _lin_space_shape(op: Operation) -> list[Shape]:
    for tensor, name in zip(op.inputs, ("start", "stop", "num"), strict=True):
        _named_scalar(tensor, name)
    num = constant_value(op.inputs[2])
    if num is None:
        return [(None,)]
    if num <= 0:
        raise ValueError(f"Requires num > 0: {num}")
    return [(int(num),)]


define_op(
    "LinSpace",
    inputs=["start: T", "stop: T", "num: Tidx"],
    outputs=["output: T"],
    attrs=["T: {bfloat16, half, float, double}", "Tidx: {int32, int64} = DT_INT32"],
    shape=_lin_space_shape,
)


def _one_hot_shape(op: Operation) -> list[Shape]:
    indices, depth = op.inputs[0]._shape, constant_value(op.inputs[1])
    for tensor in op.inputs[1:]:
        with_rank(tensor._shape, 0)
    axis = op.attrs["axis"]
    if axis < -1:
        raise ValueError("axis must be >= -1")
    if depth is not None and depth < 0:
        raise ValueError(
            f"Dimension size, given by scalar input 1, must be non-negative but is {depth}"
        )
    if indices is None:
        return [None]
    at = len(indices) if axis == -1 else axis
    return [(*indices[:at], None if depth is None else int(depth), *indices[at:])]


define_op(
    "OneHot",
    inputs=["indices: TI", "depth: int32", "on_value: T", "off_value: T"],
    outputs=["output: T"],
    attrs=["axis: int = -1", "T: type", "TI: {uint8, int8, int32, int64} = DT_INT64"],
    shape=_one_hot_shape,
)
_RANGE_TYPES = (int32, int64, float16, bfloat16, float32, float64)


@export("range")
def range_(
    start: Any, limit: Any = None, delta: Any = 1, dtype: Any = None, name: str = "range"
) -> Tensor:
    """The numbers from `start` to before `limit` in steps of `delta`; one argument is the limit.

    Args:
        start: first number, or the limit when `limit` is None.
        limit: upper bound, not included.
        delta: step, which must not be zero.
        dtype: the dtype; None takes the widest of the arguments'.
        name: name of the operation.

    Raises:
        ValueError, or InvalidArgumentError at run time: the step leads away from `limit`.
    """
    if limit is None:
        start, limit = 0, start
    graph = graph_of([start, limit, delta])
    with graph.as_default(), graph.name_scope(name or "Range") as scope:
        values = [
            value if isinstance(value, Tensor) else convert_to_tensor(value, dtype, argument)
            for value, argument in ((start, "start"), (limit, "limit"), (delta, "delta"))
        ]
        if dtype is None:
            wanted = max((value.dtype.base_dtype for value in values), key=_RANGE_TYPES.index)
        else:
            wanted = as_dtype(dtype)
        values = [
            value
            if value.dtype.base_dtype is wanted
            else create_op("Cast", [value], {"DstT": wanted})
            for value in values
        ]
        result: Tensor = create_op("Range", values, name=scope)
        return result


@export("linspace", "lin_space")
def linspace(start: Any, stop: Any, num: Any, name: str | None = None, axis: int = 0) -> Tensor:
    """`num` numbers in equal steps from `start` to `stop`, both included.

    Args:
        start: tensor; integers become float64.
        stop: tensor that broadcasts with `start`.
        num: integer scalar.
        name: name scope of the operations.
        axis: the new dimension along which the numbers stand.
    """
    graph = graph_of([start, stop, num])
    with graph.as_default(), graph.name_scope(name or "linspace"):
        first = convert_to_tensor(start, name="start")
        last = convert_to_tensor(stop, first.dtype.base_dtype, "stop")
        if first.dtype.is_integer:
            first, last = (create_op("Cast", [x], {"DstT": float64}) for x in (first, last))
        count = convert_to_tensor(num, name="num")
        if count.dtype is not int32:
            count = create_op("Cast", [count], {"DstT": int32})
        sizes = create_op("BroadcastArgs", [shape(first), shape(last)])
        first = expand_dims(create_op("BroadcastTo", [first, sizes]), axis)
        last = expand_dims(create_op("BroadcastTo", [last, sizes]), axis)
        at: Any = axis if axis >= 0 else create_op("AddV2", [rank(first), axis])
        after = at + 1 if isinstance(at, int) else create_op("AddV2", [at, 1])
        steps = create_op("Maximum", [create_op("Sub", [count, 1]), 1])
        step = create_op(
            "RealDiv",
            [
                create_op("Sub", [last, first]),
                create_op("Cast", [steps], {"DstT": first.dtype.base_dtype}),
            ],
        )
        inner = create_op("Cast", [range_(1, steps)], {"DstT": first.dtype.base_dtype})
        tail = create_op("Fill", [[create_op("Sub", [rank(first), after])], 1])
        inner = reshape(inner, create_op("ConcatV2", [[[-1], tail], 0]))
        between = create_op("AddV2", [first, create_op("Mul", [step, inner])])
        whole = create_op("ConcatV2", [[first, between, last], at])
        begin = create_op("Fill", [[rank(first)], 0])
        ends = create_op("ConcatV2", [[shape(first)[:at], [count], shape(first)[after:]], 0])
        result: Tensor = create_op("Slice", [whole, begin, ends])
        return result


@export("one_hot")
def one_hot(
    indices: Any,
    depth: Any,
    on_value: Any = None,
    off_value: Any = None,
    axis: int | None = None,
    dtype: Any = None,
    name: str | None = None,
) -> Tensor:
    """`on_value` at the places that `indices` say, `off_value` elsewhere.

    Args:
        indices: integer tensor; an index outside of `[0, depth)` gives no `on_value`.
        depth: scalar, the size of the new axis.
        on_value: scalar, 1 if None.
        off_value: scalar, 0 if None.
        axis: where the new axis stands in the result, by default last.
        dtype: the dtype; None takes that of the values, float32 without any.
        name: name of the operation.

    Raises:
        TypeError: the dtypes of `on_value`, `off_value` and `dtype` differ.
    """
    graph = graph_of([indices, depth, on_value, off_value])
    with graph.as_default(), graph.name_scope(name or "one_hot") as scope:
        given = {"on_value": on_value, "off_value": off_value}
        tensors = {
            argument: convert_to_tensor(value, dtype_hint=dtype)
            for argument, value in given.items()
            if value is not None
        }
        wanted = _one_hot_type(tensors, dtype)
        on, off = (
            tensors[argument]
            if argument in tensors
            else convert_to_tensor(default, wanted, argument)
            for argument, default in (("on_value", 1), ("off_value", 0))
        )
        attrs = {"axis": -1 if axis is None else axis}
        result: Tensor = create_op("OneHot", [indices, depth, on, off], attrs, scope)
        return result


def _one_hot_type(tensors: dict[str, Tensor], dtype: Any) -> DType:
    types = {argument: tensor.dtype.base_dtype for argument, tensor in tensors.items()}
    if dtype is not None:
        wanted = as_dtype(dtype)
        for argument, found in types.items():
            if found is not wanted:
                raise TypeError(
                    f"dtype {found} of {argument} does not match dtype parameter {wanted}"
                )
        return wanted
    if len(set(types.values())) > 1:
        raise TypeError(
            f"dtype {types['on_value']} of on_value does not match dtype {types['off_value']} of "
            "off_value"
        )
    return next(iter(types.values()), float32)
