"""What is known of a tensor's value while the graph is built: constants, shapes, their parts.

Op families register how a value follows from inputs with `@folds("Pack")`; shape functions ask
`constant_value` and `constant_shape`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from tfsession.core.rules import Registry, caller_site
from tfsession.core.shape import Shape

if TYPE_CHECKING:
    from tfsession.graph.operation import Operation
    from tfsession.graph.tensor import Tensor

Array = np.ndarray[Any, Any]

# f(op, output index) -> the value as an array, or None when it is not known.
folders: Registry[Callable[[Any, int], Array | None]] = Registry("constant folder")
# f(op, output index) -> a partly known value of an integer vector, None for unknown elements.
partial_folders: Registry[Callable[[Any, int], list[int | None] | None]] = Registry(
    "partial folder"
)

_reads = threading.local()


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
    function = folders.get(tensor.op.type)
    value = None if function is None else function(tensor.op, tensor.value_index)
    log = getattr(_reads, "log", None)
    if log is not None and value is not None:
        log.append((tensor, value))
    return value


def constant_dims(tensor: Tensor) -> list[int | None] | None:
    """The elements of an integer vector, None for each unknown one; None when the length is."""
    value = constant_value(tensor)
    if value is not None:
        return [int(d) for d in np.atleast_1d(value)]
    function = partial_folders.get(tensor.op.type)
    dims = None if function is None else function(tensor.op, tensor.value_index)
    if (
        dims is None
        and tensor._shape is not None
        and len(tensor._shape) == 1
        and tensor._shape[0] is not None
    ):
        return [None] * tensor._shape[0]
    return dims


def constant_shape(tensor: Tensor) -> Shape:
    """The shape that an integer vector tensor describes, as far as it is known (-1: unknown)."""
    dims = constant_dims(tensor)
    if dims is None:
        return None
    return tuple(None if d is None or d < 0 else d for d in dims)


def values_read_by(op: Operation) -> list[tuple[int, Array]]:
    """The input values that the shape function of `op` looks at, for an error message."""
    _reads.log = log = []
    try:
        assert op.op_def.shape is not None
        op.op_def.shape(op)
    except ValueError:
        pass
    finally:
        _reads.log = None
    wanted = {tensor: value for tensor, value in log}
    return [(i, wanted[t]) for i, t in enumerate(op.inputs) if t in wanted]
