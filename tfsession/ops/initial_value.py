"""Initial values that depend on other variables: those are read only where they have a value."""

from __future__ import annotations

from typing import Any

from tfsession.graph.graph_keys import GraphKeys
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor
from tfsession.ops.cond import cond
from tfsession.ops.state import is_variable_initialized

_VARIABLES = frozenset(("Variable", "VariableV2", "VarHandleOp"))
# These do not fail for want of a value, or are left as they are.
_ENDS = frozenset(("IsVariableInitialized", "VarIsInitializedOp", "ReadVariableOp", "If"))


def initialized_value(variable: Any) -> Tensor:
    """The value of a variable, or its initial value while it has none."""
    value: Tensor = cond(
        is_variable_initialized(variable), variable.read_value, lambda: variable.initial_value
    )
    return value


def without_uninitialized(scope: str, tensor: Tensor) -> Tensor:
    """An initial value that does not fail where variables that it depends on have no value yet.

    So one step can give all variables their values, in whatever order. What lies between such a
    variable and the value is copied; a value that comes out of a loop is taken as it is.

    Args:
        scope: the name of the new variable, with a slash; the copies are named after it.
        tensor: its initial value.
    """
    order = _ancestors(tensor.op)
    if not any(op.type in _VARIABLES for op in order):
        return tensor
    replaced: dict[Operation, Operation] = {}
    for op in order:
        if op.type in _ENDS:
            continue
        if op.type in _VARIABLES:
            variable = _variable_of(op)
            if variable is not None:
                replaced[op] = initialized_value(variable).op
        elif any(t.op in replaced for t in op.inputs):
            replaced[op] = _copied(op, replaced, scope)
    found = replaced.get(tensor.op)
    return tensor if found is None else found.outputs[tensor.value_index]


def _ancestors(op: Operation) -> list[Operation]:
    """What an operation depends on, inputs first, and itself; nothing where that is a circle."""
    order: list[Operation] = []
    state: dict[Operation, bool] = {}  # whether all of its inputs are known
    stack = [op]
    while stack:
        top = stack[-1]
        if state.get(top) is None:
            state[top] = False
            if top.type not in _ENDS:
                inputs = [t.op for t in top.inputs]
                if any(state.get(other) is False for other in inputs):
                    return []
                stack.extend(other for other in reversed(inputs) if other not in state)
            continue
        stack.pop()
        if not state[top]:
            state[top] = True
            order.append(top)
    return order


def _variable_of(op: Operation) -> Any:
    for key in (GraphKeys.GLOBAL_VARIABLES, GraphKeys.LOCAL_VARIABLES):
        for variable in op.graph.get_collection(key):
            if variable.op is op:
                return variable
    return None


def _copied(op: Operation, replaced: dict[Operation, Operation], scope: str) -> Operation:
    inputs = [replaced[t.op].outputs[t.value_index] if t.op in replaced else t for t in op.inputs]
    # The value that stands for a variable is no reference.
    op_type = "Switch" if op.type == "RefSwitch" else op.type
    name = f"{op.name}_{scope}"
    if name.rstrip("/") in op.graph._ops:
        name = name.rstrip("/")
    return op.graph.create_op(op_type, inputs, name=name, attrs=dict(op.attrs))
