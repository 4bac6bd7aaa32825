"""What is known of a tensor's value while the graph is built: constants, shapes, their parts.

Op families register how a value follows from inputs with `@folds("Pack")`; shape functions ask
`constant_value` and `constant_shape`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from tfsession.core.exports import export
from tfsession.core.rules import Registry, caller_site
from tfsession.core.shape import Shape, TensorShape, num_elements
from tfsession.graph.composite import composite_type_of
from tfsession.graph.constant_folding import computed

if TYPE_CHECKING:
    from tfsession.graph.operation import Operation
    from tfsession.graph.tensor import Tensor

Array = np.ndarray[Any, Any]
_MOST_DIMS = 1 << 16

# f(op, output index) -> the value as an array, or None when it is not known.
folders: Registry[Callable[[Any, int], Array | None]] = Registry("constant folder")
# f(op, output index) -> a partly known value of an integer vector, None for unknown elements.
partial_folders: Registry[Callable[[Any, int], list[int | None] | None]] = Registry(
    "partial folder"
)


class _Reads(threading.local):
    """What shape functions ask for while an error message is made, else None."""

    values: dict[Any, Array] | None = None
    shapes: dict[Any, Shape] | None = None


_reads = _Reads()


def folds(*op_types: str) -> Callable[[Any], Any]:
    """Register `f(op, output_index)`, which gives a constant output's value or None."""
    site = caller_site()

    def register(function: Any) -> Any:
        for op_type in op_types:
            folders.register(op_type, function, site)
        return function

    return register


def folds_partially(*op_types: str) -> Callable[[Any], Any]:
    """Register `f(op, output_index)`, which gives an integer vector with None for the unknown."""
    site = caller_site()

    def register(function: Any) -> Any:
        for op_type in op_types:
            partial_folders.register(op_type, function, site)
        return function

    return register


def constant_value(tensor: Tensor) -> Array | None:
    """The value of `tensor` as a host array when the graph alone determines it, else None."""
    op = tensor.op
    function = folders.get(op.type)
    if function is not None:
        value = function(op, tensor.value_index)
    else:
        outputs = computed(op, constant_value)
        value = None if outputs is None else outputs[tensor.value_index]
    if _reads.values is not None and value is not None:
        _reads.values[tensor] = value
    return value


# The operations through which programs look; shape functions look through all.
_SEEN_THROUGH = frozenset(
    {
        *(
            "Const",
            "Shape",
            "Size",
            "Rank",
            "Range",
            "Cast",
            "Concat",
            "ConcatV2",
            "Pack",
            "Unpack",
        ),
        *("Unpack", "Split", "Fill", "Equal", "NotEqual", "Identity", "StopGradient"),
    }
)


def _is_seen(tensor: Tensor) -> bool:
    op = tensor.op
    if op.type not in _SEEN_THROUGH:
        return False
    return op.type in ("Shape", "Size", "Rank") or all(map(_is_seen, op.inputs))


@export("get_static_value")
def get_static_value(tensor: Any, partial: bool = False) -> Any:
    """The value of a tensor that the graph determines, as an array, or None.

    What is no tensor is given back. A tensor whose value was told cannot be fed any more.

    Args:
        tensor: tensor.
        partial: of a stack, give an object array that is None where elements are not known.
    """
    if not hasattr(tensor, "value_index"):
        return tensor if composite_type_of(tensor) is None else None
    value = constant_value(tensor) if _is_seen(tensor) else None
    if value is None and partial and tensor.op.type == "Pack" and not tensor.op.attrs["axis"]:
        parts = [get_static_value(item, partial) for item in tensor.op.inputs]
        value = np.empty(len(parts), object)
        value[:] = parts
    if value is not None:
        tensor.graph.prevent_feeding(tensor)
    return value


def constant_dims(tensor: Tensor) -> list[int | None] | None:
    """The elements of an integer vector, None for each unknown one; None when the length is.

    None also for a vector that is longer than a shape ever is.
    """
    shape = tensor._shape
    if shape is not None and (size := num_elements(shape)) is not None and size > _MOST_DIMS:
        return None
    value = constant_value(tensor)
    if value is not None:
        return [int(d) for d in np.atleast_1d(value)]
    function = partial_folders.get(tensor.op.type)
    dims = None if function is None else function(tensor.op, tensor.value_index)
    if dims is None and shape is not None and len(shape) == 1 and shape[0] is not None:
        return [None] * shape[0]
    return dims


class NoShapeError(ValueError):
    """A constant that is read as a shape is none; the text goes out without the op that reads."""


def constant_shape(tensor: Tensor) -> Shape:
    """The shape that an integer vector tensor describes, as far as it is known (-1: unknown).

    Raises NoShapeError when all is known and a size is less than -1.
    """
    values, _reads.values = _reads.values, None
    try:
        dims = constant_dims(tensor)
    finally:
        _reads.values = values
    for size in dims or ():
        if size is not None and size < -1 and constant_value(tensor) is not None:
            raise NoShapeError(f"Invalid value in tensor used for shape: {size}")
    shape = None if dims is None else tuple(None if d is None or d < 0 else d for d in dims)
    if _reads.shapes is not None and shape is not None:
        _reads.shapes[tensor] = shape
    return shape


def told_shape(tensor: Tensor) -> TensorShape:
    """The static shape that an integer vector describes, as programs are told it.

    Constants of which it was made cannot be fed any more. The scalar -1 is an unknown shape.

    Raises:
        ValueError: the tensor is another scalar, or of a higher rank.
    """
    if tensor._shape == ():
        value = get_static_value(tensor)
        if value is None or value != -1:
            which = "with unknown value" if value is None else f"value '{value}'"
            raise ValueError(
                f"Received a scalar {which} as shape; require a statically known scalar with value "
                "'-1' to describe an unknown shape."
            )
        return TensorShape(None)
    tensor.shape.with_rank(1)
    _tell(tensor)
    return TensorShape.from_tuple(constant_shape(tensor))


def _tell(tensor: Tensor) -> None:
    if tensor.op.type in ("Cast", "Pack", "Concat", "ConcatV2", "StridedSlice"):
        for part in tensor.op.inputs:
            _tell(part)
    elif tensor.op.type != "Shape" and tensor._shape != (0,):
        get_static_value(tensor)


def read_by(op: Operation) -> tuple[dict[int, Array], dict[int, Shape]]:
    """The input values, and input values taken as shapes, that the shape function of `op` reads."""
    values: dict[Any, Array] = {}
    shapes: dict[Any, Shape] = {}
    _reads.values, _reads.shapes = values, shapes
    try:
        assert op.op_def.shape is not None
        op.op_def.shape(op)
    except (ValueError, IndexError, OverflowError):
        pass
    finally:
        _reads.values = _reads.shapes = None
    inputs = list(enumerate(op.inputs))
    return (
        {i: values[t] for i, t in inputs if t in values},
        {i: shapes[t] for i, t in inputs if t in shapes},
    )
