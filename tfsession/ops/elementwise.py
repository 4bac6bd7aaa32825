"""Element-wise operations on two tensors with broadcasting, their operators, sums of many.

Operations on one tensor stand in `unary.py` and `special.py`, type changes in `cast.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tfsession.core import dtypes
from tfsession.core import shape as shape_lib
from tfsession.core.dtypes import DType
from tfsession.core.exports import export
from tfsession.core.op_def import define_op
from tfsession.core.shape import Shape
from tfsession.graph.create import convert_to_tensor, create_op, graph_of
from tfsession.graph.indexed_slices import IndexedSlices
from tfsession.graph.operation import Operation
from tfsession.graph.shape_fns import broadcast, same_as
from tfsession.graph.tensor import Tensor
from tfsession.ops.cast import cast
from tfsession.ops.constant import zeros_like

_BINARY = {
    "Add": "{bfloat16, half, float, double, uint8, int8, int16, int32, int64, complex64, "
    "complex128, string}",
    "Sub": "{bfloat16, half, float, double, uint8, int8, uint16, int16, int32, int64, complex64, "
    "complex128, uint32, uint64}",
    "MulNoNan": "{bfloat16, half, float, double, complex64, complex128}",
    "DivNoNan": "{half, float, bfloat16, double, complex64, complex128}",
    "Mod": "{int32, int64, half, half, bfloat16, float, double}",
    "FloorMod": "{int8, int16, int32, int64, uint8, uint16, uint32, uint64, bfloat16, half, "
    "float, double}",
    "TruncateMod": "{int32, int64, bfloat16, half, float, double}",
    "Pow": "{bfloat16, float, half, double, int8, int16, int32, int64, complex64, complex128}",
}
_BINARY |= dict.fromkeys(
    ("Div", "RealDiv", "TruncateDiv", "FloorDiv"),
    "{bfloat16, half, float, double, uint8, int8, uint16, int16, int32, uint32, uint64, int64, "
    "complex64, complex128}",
)
_BINARY |= dict.fromkeys(
    ("Maximum", "Minimum"),
    "{bfloat16, half, float, double, int8, uint8, int16, uint16, int32, uint32, int64, uint64}",
)
_BINARY |= dict.fromkeys(
    ("Xdivy", "Xlogy", "Xlog1py"), "{half, bfloat16, float, double, complex64, complex128}"
)
_BINARY |= dict.fromkeys(
    ("LeftShift", "RightShift"), "{int8, int16, int32, int64, uint8, uint16, uint32, uint64}"
)
_COMMUTATIVE = {
    "Mul": "{bfloat16, half, float, double, uint8, int8, uint16, int16, int32, uint32, uint64, "
    "int64, complex64, complex128}",
    "SquaredDifference": "{bfloat16, half, float, double, int32, int64, complex64, complex128}",
}
_COMMUTATIVE |= dict.fromkeys(
    ("BitwiseAnd", "BitwiseOr", "BitwiseXor"),
    "{int8, int16, int32, int64, uint8, uint16, uint32, uint64}",
)
_XY = ["x: T", "y: T"]
_Z = ["z: T"]

for _name, _types in _BINARY.items():
    define_op(_name, _XY, _Z, [f"T: {_types}"], broadcast)
for _name, _types in _COMMUTATIVE.items():
    define_op(_name, _XY, _Z, [f"T: {_types}"], broadcast, commutative=True)
define_op(
    "AddV2",
    _XY,
    _Z,
    ["T: {bfloat16, half, float, double, uint8, uint16, uint32, uint64, int8, int16, int32, "
     "int64, complex64, complex128}"],
    broadcast,
    commutative=True,
    aggregate=True,
)  # fmt: skip
define_op("Atan2", ["y: T", "x: T"], _Z, ["T: {bfloat16, half, float, double}"], broadcast)
define_op(
    "NextAfter",
    inputs=["x1: T", "x2: T"],
    outputs=["output: T"],
    attrs=["T: {double, float} = DT_FLOAT"],
    shape=broadcast,
)
define_op(
    "ClipByValue",
    inputs=["t: T", "clip_value_min: T", "clip_value_max: T"],
    outputs=["output: T"],
    attrs=["T: numbertype"],
    shape=same_as(0),
)


def _summed_shape(op: Operation) -> list[Shape]:
    """All inputs have one shape; told from the last to the first, as TensorFlow does."""
    shape = op.inputs[-1]._shape
    for index in range(len(op.inputs) - 2, -1, -1):
        try:
            shape = shape_lib.merge(op.inputs[index]._shape, shape)
        except ValueError as error:
            raise ValueError(f"{error}\n\tFrom merging shape {index} with other shapes.") from None
    return [shape]


define_op(
    "AddN",
    inputs=["inputs: N * T"],
    outputs=["sum: T"],
    attrs=[
        "N: int >= 1",
        "T: {float, double, int32, uint8, int16, int8, complex64, int64, qint8, quint8, qint32, "
        "bfloat16, qint16, quint16, uint16, complex128, half, uint32, uint64, variant}",
    ],
    commutative=True,
    aggregate=True,
    shape=_summed_shape,
)
define_op(
    "AccumulateNV2",
    inputs=["inputs: N * T"],
    outputs=["sum: T"],
    attrs=["N: int >= 1", "T: numbertype", "shape: shape"],
    commutative=True,
    aggregate=True,
    shape=lambda op: [op.attrs["shape"]],
)


# --- sums, differences, products ------------------------------------------------------------------


@export("add", "math.add")
def add(x: Any, y: Any, name: str | None = None) -> Tensor:
    """`x + y`; strings are joined."""
    return _add(x, y, name or "Add")


def _add(x: Any, y: Any, name: str) -> Tensor:
    """AddV2, or Add for strings: which of them, the first tensor's type decides."""
    if type(x) is not Tensor:
        with graph_of((x, y)).as_default() as graph, graph.name_scope(name) as name:
            x = convert_to_tensor(x, name="x")
            return _add(x, y, name)
    op_type = "Add" if x.dtype.base_dtype is dtypes.string else "AddV2"
    try:
        result: Tensor = create_op(op_type, (x, y), None, name)
    except TypeError:
        # TensorFlow converts y to whatever it can be, then says that the types differ.
        if isinstance(y, Tensor):
            raise
        return create_op(op_type, (x, convert_to_tensor(y, name="y")), None, name)
    return result


@export("subtract", "math.subtract")
def subtract(x: Any, y: Any, name: str | None = None) -> Tensor:
    """`x - y`."""
    return create_op("Sub", (x, y), None, name)


@export("multiply", "math.multiply")
def multiply(x: Any, y: Any, name: str | None = None) -> Tensor:
    """`x * y`."""
    return create_op("Mul", (x, y), None, name)


@export("math.multiply_no_nan")
def multiply_no_nan(x: Any, y: Any, name: str | None = None) -> Tensor:
    """`x * y`, and zero where `y` is zero, whatever `x` is."""
    return _converted("MulNoNan", x, y, name or "multiply_no_nan")


@export("scalar_mul", "math.scalar_mul")
def scalar_mul(scalar: Any, x: Any, name: str | None = None) -> Any:
    """`scalar * x`, where `x` may be IndexedSlices too.

    Raises:
        ValueError: `scalar` is known not to be a scalar.
    """
    values = x.values if isinstance(x, IndexedSlices) else x
    dtype = values.dtype.base_dtype if hasattr(values, "dtype") else None
    scalar = convert_to_tensor(scalar, dtype, name="scalar")
    if scalar._shape not in ((), None):
        raise ValueError(f"The input scalar must be a 0-D value. Received shape {scalar.shape}.")
    product = create_op("Mul", (scalar, values), None, name)
    if isinstance(x, IndexedSlices):
        return IndexedSlices(product, x.indices, x.dense_shape)
    return product


@export("squared_difference", "math.squared_difference")
def squared_difference(x: Any, y: Any, name: str | None = None) -> Tensor:
    """`(x - y) * conj(x - y)`."""
    return create_op("SquaredDifference", (x, y), None, name)


@export("pow", "math.pow")
def pow(x: Any, y: Any, name: str | None = None) -> Tensor:
    """`x ** y`; integers to a negative power are an error when the graph runs."""
    return create_op("Pow", (x, y), None, name)


@export("add_n", "math.add_n")
def add_n(inputs: Any, name: str | None = None) -> Tensor:
    """The sum of tensors of one shape and type; there is no broadcasting.

    Raises:
        ValueError: `inputs` is no sequence or is empty, or the shapes differ.
        TypeError: the types differ.
    """
    values = list(inputs) if np.iterable(inputs) else []
    if not values:
        raise ValueError(
            "Inputs must be an iterable of at least one Tensor/IndexedSlices with the same dtype "
            "and shape."
        )
    if len(values) == 1:
        only = convert_to_tensor(values[0])
        return only if name is None else create_op("Identity", (only,), None, name)
    values = [convert_to_tensor(v) if isinstance(v, IndexedSlices) else v for v in values]
    if not all(isinstance(value, Tensor) for value in values):
        values = _as_tensors(values)
    return create_op("AddN", (values,), None, name)


def _as_tensors(values: list[Any]) -> list[Any]:
    try:
        with graph_of(values).as_default():
            return [convert_to_tensor(value) for value in values]
    except (TypeError, ValueError):
        raise ValueError(
            "Inputs must be an iterable of at least one Tensor/IndexedSlices with the same dtype "
            "and shape."
        ) from None


@export("accumulate_n", "math.accumulate_n")
def accumulate_n(
    inputs: Any, shape: Any = None, tensor_dtype: Any = None, name: str | None = None
) -> Tensor:
    """The sum of tensors of one shape and type, as `add_n`.

    Raises:
        ValueError: the list is empty, or types or shapes differ, from `shape` too.
        TypeError: `tensor_dtype` is not the tensors' type.
    """
    complaint = ValueError(
        "inputs must be a list of at least one Tensor with the same dtype and shape"
    )
    if not isinstance(inputs, list | tuple) or not inputs:
        raise complaint
    tensors = [convert_to_tensor(value) for value in inputs]
    dtype = tensors[0].dtype.base_dtype
    if any(tensor.dtype.base_dtype is not dtype for tensor in tensors):
        raise complaint
    merged = shape_lib.to_shape(shape)
    for tensor in tensors:
        merged = shape_lib.merge(merged, tensor._shape)
    if tensor_dtype is not None and tensor_dtype != dtype:
        raise TypeError(
            f"The `tensor_dtype` argument is {tensor_dtype}, but `input` is of type {dtype}. These "
            "must be equal. Try casting the input to the desired type."
        )
    return add_n(tensors, name)


# --- quotients and remainders ---------------------------------------------------------------------

_INTEGER_QUOTIENTS = {
    dtypes.uint8: dtypes.float32,
    dtypes.int8: dtypes.float32,
    dtypes.uint16: dtypes.float32,
    dtypes.int16: dtypes.float32,
    dtypes.uint32: dtypes.float64,
    dtypes.int32: dtypes.float64,
    dtypes.uint64: dtypes.float64,
    dtypes.int64: dtypes.float64,
}
_DIVISIBLE = (
    *_INTEGER_QUOTIENTS,
    *(dtypes.bfloat16, dtypes.float16, dtypes.float32, dtypes.float64),
    *(dtypes.complex64, dtypes.complex128),
)


@export("truediv", "math.truediv")
def truediv(x: Any, y: Any, name: str | None = None) -> Tensor:
    """`x / y` as Python divides: integers of up to 16 bits give float32, wider ones float64.

    Raises:
        TypeError: the types differ, or are no numbers.
    """
    return _truediv(x, y, name or "truediv")


def _truediv(x: Any, y: Any, name: str) -> Tensor:
    if type(x) is Tensor and (x.dtype.is_floating or x.dtype.is_complex):
        if type(y) is Tensor:
            if y.dtype.base_dtype is not x.dtype.base_dtype:
                _check_divisible(x, y)
            return create_op("RealDiv", (x, y), None, name)
        try:
            return create_op("RealDiv", (x, y), None, name)
        except TypeError:
            pass  # said below, in TensorFlow's words
    return _converted("RealDiv", x, y, name)


def _check_divisible(x: Tensor, y: Tensor) -> None:
    x_dtype, y_dtype = x.dtype.base_dtype, y.dtype.base_dtype
    if x_dtype is not y_dtype:
        raise TypeError(f"`x` and `y` must have the same dtype, got {x_dtype!r} != {y_dtype!r}.")
    if x_dtype not in _DIVISIBLE:
        expected = ", ".join(map(repr, _DIVISIBLE))
        raise TypeError(
            f"Invalid dtype {x_dtype!r} in __truediv__. Expected one of {{{expected}}}."
        )


def _converted(op_type: str, x: Any, y: Any, name: str, dtype: DType | None = None) -> Tensor:
    """The operation on tensors of one type; RealDiv and DivNoNan see floats instead of integers.

    A Python value takes the type of the other side, and its own where it does not fit that; `x`
    has to be of type `dtype` when that is given.
    """
    with graph_of((x, y)).as_default() as graph, graph.name_scope(name) as scope:
        if op_type == "RealDiv" or not isinstance(y, Tensor):
            x = convert_to_tensor(x, dtype, name="x")
            y = convert_to_tensor(y, dtype_hint=x.dtype.base_dtype, name="y")
        else:
            x = convert_to_tensor(x, dtype_hint=y.dtype.base_dtype, name="x")
        if op_type != "MulNoNan":
            _check_divisible(x, y)
            floating = _INTEGER_QUOTIENTS.get(x.dtype.base_dtype)
            if floating is not None:
                x, y = cast(x, floating), cast(y, floating)
        return create_op(op_type, (x, y), None, scope)


@export("divide", "math.divide")
def divide(x: Any, y: Any, name: str | None = None) -> Tensor:
    """`x / y` as Python divides."""
    if name is not None:
        return truediv(x, y, name)
    if not isinstance(x, Tensor):
        if isinstance(y, Tensor):
            x = convert_to_tensor(x, y.dtype.base_dtype)
        else:
            x = convert_to_tensor(x)
    return truediv(x, y)


@export("div")
def div(x: Any, y: Any, name: str | None = None) -> Tensor:
    """`x / y` as Python 2 divides: integers give the floor of the quotient."""
    if isinstance(x, Tensor):
        dtype = x.dtype.base_dtype
        op_type = "RealDiv" if dtype.is_floating or dtype.is_complex else "FloorDiv"
        return create_op(op_type, (x, y), None, name or "div")
    with graph_of((x, y)).as_default() as graph, graph.name_scope(name or "div") as scope:
        x = convert_to_tensor(x, name="x")
        return div(x, convert_to_tensor(y, x.dtype.base_dtype, name="y"), scope)


@export("realdiv")
def realdiv(x: Any, y: Any, name: str | None = None) -> Tensor:
    """`x / y`; there is no kernel for integers."""
    return create_op("RealDiv", (x, y), None, name)


@export("floordiv", "math.floordiv")
def floordiv(x: Any, y: Any, name: str | None = None) -> Tensor:
    """The greatest whole number not above `x / y`."""
    return create_op("FloorDiv", (x, y), None, name or "floordiv")


@export("floor_div")
def floor_div(x: Any, y: Any, name: str | None = None) -> Tensor:
    """The greatest whole number not above `x / y`."""
    return create_op("FloorDiv", (x, y), None, name)


@export("truncatediv")
def truncatediv(x: Any, y: Any, name: str | None = None) -> Tensor:
    """The quotient of integers rounded toward zero, as in C."""
    return create_op("TruncateDiv", (x, y), None, name)


@export("div_no_nan", "math.divide_no_nan")
def div_no_nan(x: Any, y: Any, name: str | None = None) -> Tensor:
    """`x / y`, and zero where `y` is zero."""
    return _converted("DivNoNan", x, y, name or "div_no_nan")


@export("math.reciprocal_no_nan")
def reciprocal_no_nan(x: Any, name: str | None = None) -> Tensor:
    """`1 / x`, and zero where `x` is zero."""
    graph = graph_of((x,))
    with graph.as_default(), graph.name_scope(name or "reciprocal_no_nan") as scope:
        x = convert_to_tensor(x, name="x")
        one = convert_to_tensor(1, x.dtype.base_dtype, name="one")
        return create_op("DivNoNan", (one, x), None, scope)


@export("mod", "floormod", "math.mod", "math.floormod")
def floormod(x: Any, y: Any, name: str | None = None) -> Tensor:
    """The remainder of the floor division: it has the sign of `y`, as in Python."""
    return create_op("FloorMod", (x, y), None, name)


mod = floormod


@export("truncatemod")
def truncatemod(x: Any, y: Any, name: str | None = None) -> Tensor:
    """The remainder of the division rounded toward zero: it has the sign of `x`, as in C."""
    return create_op("TruncateMod", (x, y), None, name)


# --- logarithms of one side, angles, neighbours ---------------------------------------------------


@export("math.xdivy")
def xdivy(x: Any, y: Any, name: str | None = None) -> Tensor:
    """`x / y`, and zero where `x` is zero, whatever `y` is."""
    return _scoped("Xdivy", x, y, name or "xdivy")


@export("math.xlogy")
def xlogy(x: Any, y: Any, name: str | None = None) -> Tensor:
    """`x * log(y)`, and zero where `x` is zero."""
    return create_op("Xlogy", (x, y), None, name)


@export("math.xlog1py")
def xlog1py(x: Any, y: Any, name: str | None = None) -> Tensor:
    """`x * log1p(y)`, and zero where `x` is zero."""
    return _scoped("Xlog1py", x, y, name or "xlog1py")


def _scoped(op_type: str, x: Any, y: Any, name: str) -> Tensor:
    with graph_of((x, y)).as_default() as graph, graph.name_scope(name):
        return create_op(op_type, (x, y))


@export("atan2", "math.atan2")
def atan2(y: Any, x: Any, name: str | None = None) -> Tensor:
    """The angle of the point (x, y), between -pi and pi."""
    return create_op("Atan2", (y, x), None, name)


@export("math.nextafter")
def nextafter(x1: Any, x2: Any, name: str | None = None) -> Tensor:
    """The number next to `x1` in the direction of `x2`."""
    return create_op("NextAfter", (x1, x2), None, name)


# --- bounds ---------------------------------------------------------------------------------------


@export("maximum", "math.maximum")
def maximum(x: Any, y: Any, name: str | None = None) -> Tensor:
    """The greater of `x` and `y`."""
    return create_op("Maximum", (x, y), None, name)


@export("minimum", "math.minimum")
def minimum(x: Any, y: Any, name: str | None = None) -> Tensor:
    """The smaller of `x` and `y`."""
    return create_op("Minimum", (x, y), None, name)


@export("clip_by_value")
def clip_by_value(t: Any, clip_value_min: Any, clip_value_max: Any, name: str | None = None) -> Any:
    """`t` with values below `clip_value_min` and above `clip_value_max` replaced by these.

    `t` may be IndexedSlices; the bounds must broadcast to its shape.

    Raises:
        ValueError: the result would have another shape than `t`.
    """
    values = t.values if isinstance(t, IndexedSlices) else t
    inputs = (values, clip_value_min, clip_value_max)
    with graph_of(inputs).as_default() as graph, graph.name_scope(name or "clip_by_value") as scope:
        values = convert_to_tensor(values, name="t")
        below = create_op("Minimum", (values, clip_value_max))
        shape_lib.merge(_same(values, below), values._shape)
        clipped = create_op("Maximum", (below, clip_value_min), None, scope)
        _same(values, clipped)
    if isinstance(t, IndexedSlices):
        return IndexedSlices(clipped, t.indices, t.dense_shape)
    return clipped


def _same(values: Tensor, clipped: Tensor) -> Shape:
    if not shape_lib.is_compatible(values._shape, clipped._shape):
        raise ValueError(f"Shapes {values.shape} and {clipped.shape} are incompatible")
    return clipped._shape


# --- bits -----------------------------------------------------------------------------------------


@export("bitwise.bitwise_and")
def bitwise_and(x: Any, y: Any, name: str | None = None) -> Tensor:
    """The bits that both integers have."""
    return create_op("BitwiseAnd", (x, y), None, name)


@export("bitwise.bitwise_or")
def bitwise_or(x: Any, y: Any, name: str | None = None) -> Tensor:
    """The bits that either integer has."""
    return create_op("BitwiseOr", (x, y), None, name)


@export("bitwise.bitwise_xor")
def bitwise_xor(x: Any, y: Any, name: str | None = None) -> Tensor:
    """The bits that one of two integers has."""
    return create_op("BitwiseXor", (x, y), None, name)


@export("bitwise.left_shift")
def left_shift(x: Any, y: Any, name: str | None = None) -> Tensor:
    """`x` with its bits moved up by `y` places."""
    return create_op("LeftShift", (x, y), None, name)


@export("bitwise.right_shift")
def right_shift(x: Any, y: Any, name: str | None = None) -> Tensor:
    """`x` with its bits moved down by `y` places; the sign stays."""
    return create_op("RightShift", (x, y), None, name)


@export("math.polyval")
def polyval(coeffs: Any, x: Any, name: str | None = None) -> Tensor:
    """The polynomial with the coefficients `coeffs`, a list, the highest power's first.

    Raises:
        ValueError: `coeffs` is no list.
    """
    if not isinstance(coeffs, list):
        raise ValueError(f"Argument coeffs must be list type. Received type {type(coeffs)}.")
    with graph_of((coeffs, x)).as_default() as graph, graph.name_scope(name or "polyval") as scope:
        x = convert_to_tensor(x, name="x")
        if not coeffs:
            return zeros_like(x, name=scope)
        tensors = [convert_to_tensor(c, name=f"coeff_{i}") for i, c in enumerate(coeffs)]
        result = tensors[0]
        for tensor in tensors[1:]:
            product = create_op("Mul", (result, x), None, "mul")
            result = create_op("AddV2", (tensor, product), None, "add")
        return result
