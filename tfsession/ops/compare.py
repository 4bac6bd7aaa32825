"""Comparisons, logic, and the choice between two tensors."""

from __future__ import annotations

from typing import Any

from tfsession.core import shape as shape_lib
from tfsession.core.exports import export
from tfsession.core.op_def import define_op
from tfsession.core.shape import Shape
from tfsession.graph.create import create_op
from tfsession.graph.operation import Operation
from tfsession.graph.shape_fns import broadcast, same_as
from tfsession.graph.tensor import Tensor

_XY, _Z = ["x: T", "y: T"], ["z: bool"]


def _equality_shape(op: Operation) -> list[Shape]:
    if op.attrs["incompatible_shape_error"]:
        return broadcast(op)
    first, second = op.inputs[0]._shape, op.inputs[1]._shape
    try:
        return [shape_lib.broadcast(first, second)]
    except ValueError:
        return [()]  # known to differ, as a whole


def _same_shapes(op: Operation) -> list[Shape]:
    first = op.inputs[0]._shape
    shape_lib.merge(first, op.inputs[1]._shape)
    return [first]


for _name in ("Equal", "NotEqual"):
    define_op(
        _name,
        _XY,
        _Z,
        ["T: type", "incompatible_shape_error: bool = true"],
        _equality_shape,
        commutative=True,
    )
for _name in ("Less", "LessEqual", "Greater", "GreaterEqual"):
    define_op(_name, _XY, _Z, ["T: realnumbertype"], broadcast)
define_op(
    "ApproximateEqual",
    _XY,
    _Z,
    ["T: numbertype", "tolerance: float = 1e-05"],
    _same_shapes,
    commutative=True,
)
for _name in ("LogicalAnd", "LogicalOr"):
    define_op(_name, ["x: bool", "y: bool"], _Z, (), broadcast, commutative=True)
define_op("LogicalNot", ["x: bool"], ["y: bool"], (), same_as(0))


def _select_shape(op: Operation) -> list[Shape]:
    condition = op.inputs[0]._shape
    shape = shape_lib.merge(op.inputs[1]._shape, op.inputs[2]._shape)
    if condition is None or shape is None or not condition:
        return [shape]
    if len(condition) == 1 and shape:
        shape_lib.merge(condition, shape[:1])
        return [shape]
    return [shape_lib.merge(shape, condition)]


def _select_v2_shape(op: Operation) -> list[Shape]:
    condition, yes, no = (tensor._shape for tensor in op.inputs)
    return [shape_lib.broadcast(condition, shape_lib.broadcast(yes, no))]


def _where_shape(op: Operation) -> list[Shape]:
    shape = op.inputs[0]._shape
    return [(None, None if shape is None else len(shape))]


for _name, _shape in (("Select", _select_shape), ("SelectV2", _select_v2_shape)):
    define_op(_name, ["condition: bool", "t: T", "e: T"], ["output: T"], ["T: type"], _shape)
define_op(
    "Where",
    inputs=["input: T"],
    outputs=["index: int64"],
    attrs=[
        "T: {float, double, int32, uint8, int16, int8, complex64, int64, qint8, quint8, qint32, "
        "bfloat16, qint16, quint16, uint16, complex128, half, uint32, uint64, bool} = DT_BOOL",
    ],
    shape=_where_shape,
)


@export("equal", "math.equal")
def equal(x: Any, y: Any, name: str | None = None) -> Tensor:
    """Whether `x == y`, of any type."""
    return create_op("Equal", (x, y), None, name)


@export("not_equal", "math.not_equal")
def not_equal(x: Any, y: Any, name: str | None = None) -> Tensor:
    """Whether `x != y`, of any type."""
    return create_op("NotEqual", (x, y), None, name)


@export("less", "math.less")
def less(x: Any, y: Any, name: str | None = None) -> Tensor:
    """Whether `x < y`."""
    return create_op("Less", (x, y), None, name)


@export("less_equal", "math.less_equal")
def less_equal(x: Any, y: Any, name: str | None = None) -> Tensor:
    """Whether `x <= y`."""
    return create_op("LessEqual", (x, y), None, name)


@export("greater", "math.greater")
def greater(x: Any, y: Any, name: str | None = None) -> Tensor:
    """Whether `x > y`."""
    return create_op("Greater", (x, y), None, name)


@export("greater_equal", "math.greater_equal")
def greater_equal(x: Any, y: Any, name: str | None = None) -> Tensor:
    """Whether `x >= y`."""
    return create_op("GreaterEqual", (x, y), None, name)


@export("logical_and", "math.logical_and")
def logical_and(x: Any, y: Any, name: str | None = None) -> Tensor:
    """Whether both are true."""
    return create_op("LogicalAnd", (x, y), None, name)


@export("logical_or", "math.logical_or")
def logical_or(x: Any, y: Any, name: str | None = None) -> Tensor:
    """Whether either is true."""
    return create_op("LogicalOr", (x, y), None, name)


@export("logical_not", "math.logical_not")
def logical_not(x: Any, name: str | None = None) -> Tensor:
    """Whether `x` is false."""
    return create_op("LogicalNot", (x,), None, name)


@export("logical_xor", "math.logical_xor")
def logical_xor(x: Any, y: Any, name: str | None = "LogicalXor") -> Tensor:
    """Whether one of two is true."""
    either = create_op("LogicalOr", (x, y))
    both = create_op("LogicalAnd", (x, y))
    return create_op("LogicalAnd", (either, create_op("LogicalNot", (both,))), None, name)


@export("where")
def where(condition: Any, x: Any = None, y: Any = None, name: str | None = None) -> Tensor:
    """The elements of `x` where `condition` holds, else those of `y`; or where it holds.

    `x` and `y` have one shape; `condition` has it too, or is a scalar, or a vector that chooses
    rows. Without them, the indices `[n, rank]` of the true (not zero) elements, as int64.

    Raises:
        ValueError: one of `x` and `y` alone, or shapes that do not fit.
    """
    return _where("Select", condition, x, y, name)


@export("where_v2")
def where_v2(condition: Any, x: Any = None, y: Any = None, name: str | None = None) -> Tensor:
    """As `where`, but all three broadcast to one shape.

    Raises:
        ValueError: one of `x` and `y` alone, or shapes that do not fit.
    """
    return _where("SelectV2", condition, x, y, name)


def _where(op_type: str, condition: Any, x: Any, y: Any, name: str | None) -> Tensor:
    if (x is None) != (y is None):
        raise ValueError("x and y must both be non-None or both be None.")
    if x is None:
        return create_op("Where", (condition,), None, name)
    if not isinstance(x, Tensor) and isinstance(y, Tensor):
        return create_op(op_type, (condition, x, y), {"T": y.dtype.base_dtype}, name)
    return create_op(op_type, (condition, x, y), None, name)
