"""How much memory an operation will ask for: its shape function asked about real inputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

from tfsession.core.dtypes import DType
from tfsession.core.shape import Shape, TensorShape
from tfsession.devices.memory import Ledger
from tfsession.graph.operation import Operation

# Below so many bytes a request is not worth the asking: it is refused when it is made.
_SMALL = 1 << 16
# No machine has so many: the kernel says that the shape is wrong.
_ABSURD = 1 << 60

Request = tuple[int, tuple[int, ...], Any]


class _Source:
    """Where a value comes from, for shape functions: a constant, or nothing known."""

    op_def: Any = None

    def __init__(self, value: np.ndarray[Any, Any] | None) -> None:
        self.type = "Const" if value is not None else "Placeholder"
        self.attrs = {"value": value}
        self.inputs = ()


class _Seen:
    """An input as shape functions look at it, with the shape that it has now."""

    value_index = 0

    def __init__(self, value: Any, dtype: DType) -> None:
        self._shape: Shape = value.shape
        self.dtype = dtype
        self.op = _Source(np.asarray(value) if isinstance(value, np.ndarray | np.generic) else None)

    @property
    def shape(self) -> TensorShape:
        return TensorShape.from_tuple(self._shape)


class _Call:
    """An operation as shape functions look at it, with the inputs that it has now."""

    def __init__(self, op: Operation, inputs: Sequence[_Seen]) -> None:
        self.op_def, self.type, self.attrs, self.name = op.op_def, op.type, op.attrs, op.name
        self.outputs = op.outputs
        self.inputs = inputs


def _requests(op: Operation, shapes: Sequence[Shape]) -> list[Request]:
    """The outputs that are known to be large: bytes, shape, dtype."""
    found = []
    for tensor, shape in zip(op.outputs, shapes, strict=True):
        if shape is not None and None not in shape and not tensor.dtype.is_ref:
            dtype = np.dtype(tensor.dtype.base_dtype.numpy)
            nbytes = dtype.itemsize * prod(shape)  # type: ignore[arg-type]
            if _SMALL <= nbytes < _ABSURD:
                found.append((nbytes, shape, dtype))
    return found  # type: ignore[return-value]


def expected(op: Operation, inputs: Sequence[Any]) -> list[Request]:
    """What `op` will ask for, given these inputs; nothing where its shape function cannot tell."""
    shape_function = op.op_def.shape
    if shape_function is None or not all(hasattr(value, "shape") for value in inputs):
        return []
    seen = [_Seen(value, tensor.dtype) for value, tensor in zip(inputs, op.inputs, strict=False)]
    try:
        return _requests(op, shape_function(_Call(op, seen)))
    except Exception:
        return []  # inputs that do not fit: the kernel says why


def asking_ahead(function: Callable[..., Any], op: Operation, ledger: Ledger) -> Callable[..., Any]:
    """The kernel of `op`, which fails where its results cannot fit before it computes them."""
    static = [tensor._shape for tensor in op.outputs]
    is_known = all(shape is not None and None not in shape for shape in static)
    known = _requests(op, static)
    if is_known and not known:
        return function

    def run(*inputs: Any, **written: Any) -> Any:
        if not written:  # else the result takes the place of an input
            for request in known if is_known else expected(op, inputs):
                ledger.require(*request)
        return function(*inputs, **written)

    return run
