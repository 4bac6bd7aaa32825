"""Where values enter a graph: constants, placeholders, fills and sequences; and identities.

Registers how `convert_to_tensor` turns Python values and NumPy arrays into constants.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tfsession.core import nest
from tfsession.core import shape as shape_lib
from tfsession.core.dimension import Dimension
from tfsession.core.dtypes import (
    DType,
    as_dtype,
    float32,
    int32,
    int64,
    variant,
)
from tfsession.core.exports import export
from tfsession.core.op_def import define_op, ops
from tfsession.core.shape import Shape, TensorShape
from tfsession.core.tensor_proto import to_ndarray
from tfsession.graph.build import build_operation
from tfsession.graph.composite import composite_type_of, map_components
from tfsession.graph.constant_value import (
    constant_dims,
    constant_shape,
    constant_value,
    folds,
    folds_partially,
)
from tfsession.graph.create import (
    _operation_name,
    convert_to_tensor,
    create_op,
    graph_of,
    register_tensor_conversion_function,
)
from tfsession.graph.graph import Graph, get_default_graph
from tfsession.graph.indexed_slices import IndexedSlices
from tfsession.graph.operation import Operation
from tfsession.graph.shape_fns import no_outputs, same_as, with_rank
from tfsession.graph.sparse_tensor import SparseTensor
from tfsession.graph.tensor import Tensor

Array = np.ndarray[Any, Any]
# More elements than these that are but one value in a file are not looked at one by one.
_MOST_EQUAL = 1 << 22

# --- definitions ----------------------------------------------------------------------------------


def _const_shape(op: Operation) -> list[Shape]:
    value, dtype = op.attrs["value"], op.attrs["dtype"]
    if isinstance(value, np.ndarray):
        if value.dtype != dtype.numpy:
            found = as_dtype(value.dtype).op_def_name
            raise ValueError(
                f"Type mismatch between value ({found}) and dtype ({dtype.op_def_name})"
            )
        return [value.shape]
    return [shape_lib.to_shape(value.tensor_shape)]


define_op(
    "Const",
    outputs=["output: dtype"],
    attrs=["value: tensor", "dtype: type"],
    shape=_const_shape,
)


def _attr_shape(op: Operation) -> list[Shape]:
    return [op.attrs["shape"]]


define_op(
    "Placeholder",
    outputs=["output: dtype"],
    attrs=["dtype: type", "shape: shape = { unknown_rank: true }"],
    shape=_attr_shape,
)
define_op(
    "PlaceholderV2",
    outputs=["output: dtype"],
    attrs=["dtype: type", "shape: shape"],
    shape=_attr_shape,
)


def _default_shape(op: Operation) -> list[Shape]:
    shape_lib.merge(op.inputs[0]._shape, op.attrs["shape"])
    return [op.attrs["shape"]]


define_op(
    "PlaceholderWithDefault",
    inputs=["input: dtype"],
    outputs=["output: dtype"],
    attrs=["dtype: type", "shape: shape"],
    shape=_default_shape,
)
define_op(
    "Identity", inputs=["input: T"], outputs=["output: T"], attrs=["T: type"], shape=same_as(0)
)
define_op(
    "StopGradient", inputs=["input: T"], outputs=["output: T"], attrs=["T: type"], shape=same_as(0)
)
define_op(
    "PreventGradient",
    inputs=["input: T"],
    outputs=["output: T"],
    attrs=["T: type", "message: string = ''"],
    shape=same_as(0),
)
define_op(
    "IdentityN",
    inputs=["input: T"],
    outputs=["output: T"],
    attrs=["T: list(type) >= 1"],
    shape=lambda op: [t._shape for t in op.inputs],
)
define_op("NoOp", shape=no_outputs)
define_op("ZerosLike", inputs=["x: T"], outputs=["y: T"], attrs=["T: type"], shape=same_as(0))
define_op(
    "OnesLike",
    inputs=["x: T"],
    outputs=["y: T"],
    attrs=[
        "T: {bfloat16, half, float, double, int8, uint8, int16, uint16, int32, uint32, int64, "
        "uint64, complex64, complex128, bool}",
    ],
    shape=same_as(0),
)


def _fill_shape(op: Operation) -> list[Shape]:
    dims, value = op.inputs
    with_rank(dims._shape, 1)
    with_rank(value._shape, 0)
    shape = constant_shape(dims)
    if dims.op.type == "Const" and shape is not None and None in shape:
        raise ValueError("Fill dimensions must be >= 0")
    return [shape]


define_op(
    "Fill",
    inputs=["dims: index_type", "value: T"],
    outputs=["output: T"],
    attrs=["T: type", "index_type: {int32, int64} = DT_INT32"],
    shape=_fill_shape,
)


define_op(
    "Empty",
    inputs=["shape: int32"],
    outputs=["output: dtype"],
    attrs=["dtype: type", "init: bool = false"],
    stateful=True,
    shape=lambda op: [constant_shape(op.inputs[0])],
)


@folds("Const")
def _const_value(op: Operation, _: int) -> Array | None:
    value = op.attrs["value"]
    if not isinstance(value, np.ndarray) or (value.size > _MOST_EQUAL and not any(value.strides)):
        return None
    return value


@folds("PlaceholderWithDefault")
def _no_value(op: Operation, _: int) -> None:
    """What is fed is not known."""


@folds_partially("Fill")
def _fill_dims(op: Operation, _: int) -> list[int | None] | None:
    shape = constant_dims(op.inputs[0])
    value = constant_value(op.inputs[1])
    if shape is None or len(shape) != 1 or shape[0] is None or value is None:
        return None
    return [int(value)] * shape[0]


# --- constants ------------------------------------------------------------------------------------


@export("constant")
def constant(
    value: Any,
    dtype: Any = None,
    shape: Any = None,
    name: str | None = "Const",
    verify_shape: bool = False,
) -> Tensor:
    """A constant tensor.

    Args:
        value: a Python number, text, nested list of them, or an array.
        dtype: the dtype; None infers it (float32 for Python floats, int32 for ints).
        shape: the shape; the last value repeats to fill it.
        name: name of the operation.
        verify_shape: require `value` to have exactly `shape`.

    Raises:
        TypeError: a value does not suit `dtype`, or has not the shape that `verify_shape` asks for.
        ValueError: ragged lists, None, or more values than `shape` holds.
    """
    return constant_of(get_default_graph(), to_ndarray(value, dtype, shape, verify_shape), name)


def constant_of(graph: Graph, value: Array, name: str | None) -> Tensor:
    """A constant operation whose value is `value` itself, which nobody may change any more."""
    attrs = {"value": value, "dtype": as_dtype(value.dtype)}
    definition = ops["Const"]
    name = graph.node_name("Const" if name is None else name)
    op = build_operation(graph, definition, name, (), attrs)
    return op.outputs[0]


def _convert_value(
    value: Any, dtype: DType | None = None, name: str | None = None, as_ref: bool = False
) -> Tensor:
    return constant_of(get_default_graph(), to_ndarray(value, dtype), name)


def _convert_sizes(
    value: Any, dtype: DType | None = None, name: str | None = None, as_ref: bool = False
) -> Tensor:
    """A TensorShape or a Dimension as an int32 constant, int64 where a size needs it."""
    if isinstance(value, TensorShape):
        what, sizes = f"TensorShape {value}", value._dims
        if sizes is None or None in sizes:
            raise ValueError(f"Cannot convert a partially known {what} to a Tensor.")
    else:
        what, sizes = f"Dimension {value}", (value.value,)
        if value.value is None:
            raise ValueError(f"Cannot convert unknown {what} to a Tensor.")
    if dtype is None:
        dtype = int64 if any(size > int32.max for size in sizes if size is not None) else int32
    elif dtype is not int32 and dtype is not int64:
        raise TypeError(
            f"Cannot convert {what} to dtype {dtype}. Allowed dtypes are tf.int32 and tf.int64."
        )
    array = np.array(sizes if isinstance(value, TensorShape) else sizes[0], dtype.numpy)
    return constant_of(get_default_graph(), array, name or "shape_as_tensor")


def _refuse_operation(value: Operation, **_: Any) -> Tensor:
    raise TypeError(f"can't convert Operation '{value.name}' to Tensor")


register_tensor_conversion_function((TensorShape, Dimension), _convert_sizes)
register_tensor_conversion_function(Operation, _refuse_operation)
register_tensor_conversion_function(object, _convert_value, 200)


@export("placeholder")
def placeholder(dtype: Any, shape: Any = None, name: str | None = None) -> Tensor:
    """A tensor that is fed: running what needs it without feeding it is an error.

    Args:
        dtype: the dtype of what is fed.
        shape: the shape that fed values must have, as far as it is known; None allows any.
        name: name of the operation.
    """
    attrs = {"dtype": as_dtype(dtype).base_dtype, "shape": shape_lib.to_shape(shape)}
    graph = get_default_graph()
    unique = _operation_name(graph, name or "Placeholder")
    return build_operation(graph, ops["Placeholder"], unique, (), attrs).outputs[0]


@export("placeholder_with_default")
def placeholder_with_default(input: Any, shape: Any, name: str | None = None) -> Tensor:
    """A tensor that may be fed, with `shape`, and is `input` when it is not."""
    tensor: Tensor = create_op("PlaceholderWithDefault", [input], {"shape": shape}, name)
    return tensor


# --- fills ----------------------------------------------------------------------------------------

_SMALL = 1000


@export("zeros")
def zeros(shape: Any, dtype: Any = float32, name: str | None = None, layout: Any = None) -> Tensor:
    """A tensor of zeros (False, empty texts) of the given shape: a tensor or a list of sizes."""
    dtype = as_dtype(dtype).base_dtype
    zero: Any = "" if dtype.numpy.kind == "O" else False if dtype.is_bool else 0
    return _filled(
        shape, np.zeros((), dtype.numpy) if dtype.is_quantized else zero, dtype, name or "zeros"
    )


@export("ones")
def ones(shape: Any, dtype: Any = float32, name: str | None = None, layout: Any = None) -> Tensor:
    """A tensor of ones (True) of the given shape: a tensor or a list of sizes."""
    dtype = as_dtype(dtype).base_dtype
    return _filled(shape, True if dtype.is_bool else 1, dtype, name or "ones")


def _filled(shape: Any, value: Any, dtype: DType, name: str) -> Tensor:
    if not isinstance(shape, Tensor):
        sizes = _small_sizes(shape)
        if sizes is not None:
            return constant(value, dtype, sizes, name)
    graph = graph_of([shape])
    with graph.as_default(), graph.name_scope(name) as scope:
        if not isinstance(shape, Tensor):
            try:
                shape = _convert_sizes(TensorShape(shape))
            except (TypeError, ValueError):
                shape = convert_to_tensor(shape, int32)
        if shape._shape == ():
            shape = create_op("Reshape", [shape, [-1]])
        return fill(shape, constant(value, dtype), scope)


def _small_sizes(shape: Any) -> tuple[int, ...] | None:
    """The sizes of a shape of less than 1000 elements; such a fill is a constant."""
    if isinstance(shape, int | np.integer | Dimension):
        return None
    try:
        sizes = tuple(map(int, shape))
    except (TypeError, ValueError, NotImplementedError):
        return None
    return sizes if math.prod(sizes) < _SMALL and min(sizes, default=0) >= 0 else None


@export("zeros_like")
def zeros_like(
    tensor: Any, dtype: Any = None, name: str | None = None, optimize: bool = True
) -> Tensor:
    """Zeros of the shape of `tensor`, and of its dtype unless `dtype` is given.

    With `optimize`, a static shape is used where it is fully known.
    """
    graph = graph_of([tensor])
    with graph.as_default(), graph.name_scope(name or "zeros_like") as scope:
        tensor = convert_to_tensor(tensor, name="tensor")
        base = tensor.dtype.base_dtype
        wanted = base if dtype is None else as_dtype(dtype).base_dtype
        if optimize and wanted is not variant and shape_lib.is_fully_defined(tensor._shape):
            return zeros(TensorShape.from_tuple(tensor._shape), wanted, scope)
        if wanted is not base and wanted is not variant:
            return zeros(_shape_tensor(tensor, optimize), wanted, scope)
        result: Tensor = create_op("ZerosLike", [tensor], name=scope)
        return result


@export("ones_like")
def ones_like(
    tensor: Any, dtype: Any = None, name: str | None = None, optimize: bool = True
) -> Tensor:
    """Ones of the shape of `tensor`, and of its dtype unless `dtype` is given.

    With `optimize`, a static shape is used where it is fully known.
    """
    graph = graph_of([tensor])
    with graph.as_default(), graph.name_scope(name or "ones_like") as scope:
        tensor = convert_to_tensor(tensor, name="tensor")
        shape = _shape_tensor(tensor, optimize)
        result = ones(shape, dtype or tensor.dtype.base_dtype, scope)
        result._shape = shape_lib.merge(result._shape, tensor._shape)
        return result


def _shape_tensor(tensor: Tensor, optimize: bool) -> Tensor:
    if optimize and shape_lib.is_fully_defined(tensor._shape):
        with tensor.graph.name_scope("Shape"):
            return _convert_sizes(tensor.shape)
    shape: Tensor = create_op("Shape", [tensor])
    return shape


@export("fill")
def fill(dims: Any, value: Any, name: str | None = None, layout: Any = None) -> Tensor:
    """A tensor of shape `dims` in which every element is the scalar `value`.

    Raises:
        InvalidArgumentError: at run time, when a size is negative.
    """
    result: Tensor = create_op("Fill", [dims, value], name=name)
    shape = constant_shape(result.op.inputs[0])
    if result._shape != shape:
        result._shape = shape_lib.merge(result._shape, shape)
    return result


# --- identities and control -----------------------------------------------------------------------


@export("identity")
def identity(input: Any, name: str | None = None) -> Any:
    """A tensor with the same value; of a composite, such as a SparseTensor, one of such tensors.

    The tensors of a composite are not named.
    """
    if composite_type_of(input) is not None:
        return map_components(identity, input)
    return create_op("Identity", [input], name=name)


@export("identity_n")
def identity_n(input: Any, name: str | None = None) -> list[Tensor]:
    """Tensors with the same values as the tensors of a list."""
    return list(create_op("IdentityN", [input], name=name))


@export("stop_gradient")
def stop_gradient(input: Any, name: str | None = None) -> Tensor:
    """A tensor with the same value through which no gradient flows back."""
    tensor: Tensor = create_op("StopGradient", [input], name=name)
    return tensor


@export("no_op")
def no_op(name: str | None = None) -> Operation:
    """An operation that does nothing; control dependencies on it and of it hold."""
    op: Operation = create_op("NoOp", name=name)
    return op


@export("group")
def group(*inputs: Any, **kwargs: Any) -> Operation:
    """An operation that is done when all of `inputs` are: operations, tensors or lists of them.

    Inputs on several devices are grouped on each device first. The only keyword is `name`.

    Raises:
        TypeError: an input is neither operation nor tensor.
    """
    name = kwargs.pop("name", None)
    if kwargs:
        raise ValueError("Unknown keyword arguments: " + ", ".join(kwargs))
    by_device: dict[str, list[Any]] = {}
    flat = [part for item in nest.flatten(inputs) for part in _components(item)]
    for item in flat:
        if not hasattr(item, "device"):
            raise TypeError(
                f"'inputs' should be zero or more (nested) Tensors. Received '{item}' with type "
                f"'{type(item)}'."
            )
        by_device.setdefault(item.device or "", []).append(item)
    graph = graph_of(flat)
    with graph.as_default(), graph.name_scope(name or "group_deps") as scope:
        if len(by_device) <= 1:
            return _wait_for(graph, flat, next(iter(by_device), ""), scope)
        waits = [_wait_for(graph, by_device[device], device) for device in sorted(by_device)]
        return _wait_for(graph, waits, "", scope)


def _components(value: Any) -> list[Any]:
    composite = composite_type_of(value)
    return [value] if composite is None else list(composite.components(value))


def _wait_for(graph: Graph, items: list[Any], device: str, name: str | None = None) -> Operation:
    with graph.control_dependencies(items):
        if not device:
            return no_op(name)
        with graph.device(device):
            return no_op(name)


@export("tuple")
def tuple_(tensors: Any, name: str | None = None, control_inputs: Any = None) -> list[Any]:
    """The same tensors, none of which can be used before all of them are computed.

    Args:
        tensors: list of tensors, IndexedSlices, SparseTensors, operations and Nones.
        name: name scope of the operations.
        control_inputs: operations that must be done as well.

    Raises:
        ValueError: there is nothing to wait for.
        TypeError: a control input is neither operation nor tensor.
    """
    given = list(tensors)
    graph = graph_of([t.values if isinstance(t, IndexedSlices) else t for t in given])
    with graph.as_default(), graph.name_scope(name or "tuple"):
        known = (Operation, IndexedSlices, SparseTensor)
        items = [
            t if t is None or isinstance(t, known) else convert_to_tensor(t, as_ref=True)
            for t in given
        ]
        gates = [t if isinstance(t, Operation) else t.op for t in items if t is not None]
        for item in control_inputs or ():
            if not isinstance(item, Tensor | Operation):
                raise TypeError(
                    "'control_inputs' must only contain Operation or Tensor. Received: "
                    f"{type(item)}"
                )
            gates.append(item.op if isinstance(item, Tensor) else item)
        if not gates:
            raise ValueError(f"'tensors' must have at least one Tensor. Received: {given}.")
        gate = group(*sorted(set(gates), key=lambda op: op._id))
        return [_after(graph, gate, item) for item in items]


def _after(graph: Graph, gate: Operation, item: Any) -> Any:
    if item is None:
        return None
    if isinstance(item, Operation):
        with graph.control_dependencies([gate]):
            return group(item)
    return with_dependencies([gate], item)


def with_dependencies(dependencies: list[Any], output_tensor: Any, name: str | None = None) -> Any:
    """`output_tensor`, not to be had before all of `dependencies` are done."""
    graph = output_tensor.graph
    with (
        graph.as_default(),
        graph.name_scope(name or "control_dependency") as scope,
        graph.colocate_with(output_tensor.op),
        graph.control_dependencies(dependencies),
    ):
        if isinstance(output_tensor, IndexedSlices):
            values = identity(output_tensor.values, scope)
            return IndexedSlices(values, output_tensor.indices, output_tensor.dense_shape)
        return identity(output_tensor, scope)
