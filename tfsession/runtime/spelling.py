"""What calls no kernel in a function's text: operators of Python, and what kernels spell."""

from __future__ import annotations

from collections.abc import Container
from typing import Any

from tfsession.core.dtypes import float32, float64, int32, int64
from tfsession.core.rules import Spelling
from tfsession.graph.tensor import Tensor
from tfsession.runtime.partition import Node

# Ufuncs that Python's operators come to; between scalars those take a tenth of the time.
_OPERATORS = {
    "add": " + ",
    "subtract": " - ",
    "multiply": " * ",
    "equal": " == ",
    "not_equal": " != ",
    "less": " < ",
    "less_equal": " <= ",
    "greater": " > ",
    "greater_equal": " >= ",
}
_SCALARS = frozenset({int32, int64, float32, float64})
_OPERATORS_OF_BOOLS = {"logical_and": " & ", "logical_or": " | "}


def operator_of(node: Node) -> str | None:
    """The operator between two scalars of the host that a node comes to."""
    ufunc = node.kernel.ufunc
    if ufunc is None or node.memory is not None or len(node.inputs) != 2:
        return None
    if node.inputs[0]._shape != ():
        return None
    if ufunc in _OPERATORS_OF_BOOLS:
        return _OPERATORS_OF_BOOLS[ufunc] if all(t._shape == () for t in node.inputs) else None
    are_scalars = all(t._shape == () and t.dtype in _SCALARS for t in node.inputs)
    return _OPERATORS.get(ufunc) if are_scalars else None


def spelling_of(node: Node, feeds: Container[Tensor]) -> Spelling | None:
    """The kernel of a node as text, if it spells it and no memory is counted there."""
    spells, device = node.kernel.spells, node.allocator
    if spells is None or node.memory is not None or device is None or device.ledger is not None:
        return None

    def constant(number: int) -> Any:
        op = node.inputs[number].op
        is_known = op.type == "Const" and op.outputs[0] not in feeds
        return op.attrs["value"] if is_known else None

    return spells(node.inputs, node.op.attrs, constant)
