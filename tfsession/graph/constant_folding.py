"""Values of operations whose inputs are all constants, computed by their own kernels."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from tfsession.core.op_reach import REACHING
from tfsession.core.rules import find_kernel
from tfsession.core.shape import num_elements

if TYPE_CHECKING:
    from tfsession.graph.operation import Operation
    from tfsession.graph.tensor import Tensor

Array = np.ndarray[Any, Any]

# Their values belong to an iteration or a branch.
_CONTROL_FLOW = frozenset({"Enter", "Exit", "Switch", "Merge", "NextIteration", "LoopCond"})
# Nor is a file read, or a function of Python called, before a step asks for it.
_NOT_NOW = _CONTROL_FLOW | REACHING.keys()
_DEEPEST = 64
_MOST_ELEMENTS = 1 << 20


class _Work(threading.local):
    """What one question has computed so far, and how deep it has gone."""

    def __init__(self) -> None:
        self.known: dict[Operation, tuple[Array, ...] | None] = {}
        self.depth = 0


_work = _Work()


def computed(op: Operation, value_of: Callable[[Tensor], Array | None]) -> tuple[Array, ...] | None:
    """The outputs of `op`, or None when they are not constant; `value_of` knows its inputs."""
    if op in _work.known:
        return _work.known[op]
    if not op.inputs or op.op_def.is_stateful or op.type in _NOT_NOW:
        return None
    if _work.depth >= _DEEPEST:
        return None
    _work.depth += 1
    try:
        result = _work.known[op] = _compute(op, value_of)
    finally:
        _work.depth -= 1
        if not _work.depth:
            _work.known.clear()
    return result


def _compute(op: Operation, value_of: Callable[[Tensor], Array | None]) -> tuple[Array, ...] | None:
    values = []
    for tensor in op.inputs:
        value = None if tensor.dtype.is_ref else value_of(tensor)
        if value is None or value.size > _MOST_ELEMENTS:
            return None
        values.append(value)
    if any((num_elements(tensor._shape) or 0) > _MOST_ELEMENTS for tensor in op.outputs):
        return None
    kernel = find_kernel(op.type, "CPU", op.attrs)
    if kernel is None or kernel.stateful:
        return None
    if kernel.forwards:
        return (values[0],)
    try:
        with np.errstate(all="ignore"):
            result = kernel.bind(np, op.op_def, op.attrs)(*values)
    except Exception:
        return None  # it fails again when it runs, if it does
    outputs = op.op_def.outputs
    many = len(outputs) > 1 or (len(outputs) == 1 and outputs[0].is_sequence)
    return tuple(result) if many else (result,)
