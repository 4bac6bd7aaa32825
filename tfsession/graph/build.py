"""The making of an operation: scopes, device, colocation, outputs and their shapes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tfsession.core.op_def import ArgDef, OpDef
from tfsession.core.shape import debug_string
from tfsession.graph import constant_value
from tfsession.graph.nesting import check_inputs
from tfsession.graph.node_text import summary, values_text
from tfsession.graph.operation import Operation, capture_frames
from tfsession.graph.scopes import (
    Scopes,
    implied_controls,
    merge_device_stack,
    name_prefix_scope,
)
from tfsession.graph.tensor import Tensor

# How many elements of an input a shape error shows.
_SHOWN = 256
# A number in a file that claims more is not believed.
_MOST_TENSORS = 1 << 18

if TYPE_CHECKING:
    from tfsession.core.dtypes import DType
    from tfsession.graph.graph import Graph


def arg_types(args: Sequence[ArgDef], attrs: dict[str, Any]) -> list[DType]:
    """The dtypes of an op's inputs or outputs, one by one, as its attributes say."""
    types: list[DType] = []
    for arg in args:
        if arg.type_list_attr is not None:
            types.extend(attrs[arg.type_list_attr])
            continue
        dtype: DType = attrs[arg.type_attr or ""] if arg.type is None else arg.type
        if arg.is_ref:
            dtype = dtype._as_ref
        if arg.number_attr is not None:
            count = attrs[arg.number_attr]
            if count > _MOST_TENSORS:
                raise ValueError(f"Attr '{arg.number_attr}' asks for {count} tensors")
            types.extend([dtype] * count)
        else:
            types.append(dtype)
    return types


def build_operation(
    graph: Graph,
    op_def: OpDef,
    name: str,
    inputs: tuple[Tensor, ...],
    attrs: dict[str, Any],
    types: Sequence[DType] | None = None,
) -> Operation:
    """Make an operation named exactly `name` and add it to the graph.

    Inputs and attributes are taken as they are; `types` are those of the outputs if the caller
    knows them.

    Raises:
        ValueError: the shapes of the inputs do not fit the op; the graph is left as it was.
    """
    graph._check_not_finalized()
    scopes = graph._scopes
    if types is None:
        types = arg_types(op_def.outputs, attrs)
    op = Operation(graph, op_def, name, inputs, attrs, capture_frames())
    op.outputs = [Tensor(op, i, dtype) for i, dtype in enumerate(types)]
    if op_def.shape is not None:
        infer_shapes(op)
    enter_controls(op, scopes)  # first: a device function may look at them
    device = scopes.static_device
    op._device = merge_device_stack(scopes.devices, op) if device is None else device
    enter_scopes(op, scopes)
    context = scopes.control_flow_context
    if graph._has_loops:
        op._control_flow_context = context
        check_inputs(op)
    graph._add(op)
    for block in scopes.controls:
        block.seen.add(op)
    if context is not None:
        op._control_flow_context = context
        # A constant stands in the scope of who makes it, all else in one of its own.
        prefix = scopes.name_prefix if op.type == "Const" else op.name + "/"
        with name_prefix_scope(graph, scopes, prefix):
            context.add_op(op)
    return op


def enter_context(ops: Sequence[Operation], scopes: Scopes) -> None:
    """Tell the branch or loop under construction of operations that are in the graph already."""
    context = scopes.control_flow_context
    if context is not None:
        for op in ops:
            op._control_flow_context = context
        for op in ops:
            context.add_op(op)


def mixed_graphs(first: Any, other: Any, graph: Graph | None = None) -> ValueError:
    """The error for two values of different graphs, `first` being in `graph`."""
    return ValueError(
        f"{other} must be from the same graph as {first} (graphs are {other.graph} and "
        f"{graph or first.graph})."
    )


def infer_shapes(op: Operation) -> None:
    """Set the shapes of the outputs by the op's shape function; ValueError if inputs do not fit."""
    assert op.op_def.shape is not None
    try:
        shapes = op.op_def.shape(op)
    except (ValueError, IndexError, OverflowError) as error:
        raise ValueError(_shape_error(op, error)) from None
    for tensor, shape in zip(op.outputs, shapes, strict=True):
        tensor._shape = shape


def enter_controls(op: Operation, scopes: Scopes) -> None:
    """Let a new operation wait for what the enclosing blocks say."""
    if scopes.controls:
        op.control_inputs = _controls_of(op, scopes)


def enter_scopes(op: Operation, scopes: Scopes) -> None:
    """Apply to a new operation what the blocks around it ask for beside devices and controls."""
    if scopes.colocations:
        _colocate(op, scopes)
    if scopes.attrs or scopes.container or scopes.gradient_overrides:
        _apply_attr_scopes(op, scopes)


def _controls_of(op: Operation, scopes: Scopes) -> tuple[Operation, ...]:
    """What an operation waits for: what it was made to, and what the blocks around it ask for."""
    implied = implied_controls(scopes, {tensor.op for tensor in op.inputs})
    return tuple(dict.fromkeys((*op.control_inputs, *implied)))


def _colocate(op: Operation, scopes: Scopes) -> None:
    groups = set(op.attrs.get("_class", ()))
    for target in scopes.colocations:
        groups.update(target.colocation_groups())
        if target._device:
            op._device = target._device
    op.attrs["_class"] = sorted(groups)


def _apply_attr_scopes(op: Operation, scopes: Scopes) -> None:
    for name, value in scopes.attrs.items():
        if name not in op.attrs:
            op.attrs[name] = value(op) if callable(value) else value
    if scopes.container and op.op_def.is_stateful and op.attrs.get("container") == b"":
        op.attrs["container"] = scopes.container.encode()
    override = scopes.gradient_overrides.get(op.type)
    if override is not None and "_gradient_op_type" not in op.attrs:
        op.attrs["_gradient_op_type"] = override.encode()


def _shape_error(op: Operation, error: Exception) -> str:
    if isinstance(error, constant_value.NoShapeError):
        return str(error)
    controls = _controls_of(op, op.graph._scopes)
    node = summary(op.type, op.name, op.attrs, op.inputs, controls, op.device)
    shapes = ", ".join(debug_string(tensor._shape) for tensor in op.inputs)
    text = f"{error} for '{node}' with input shapes: {shapes}"
    values, partial = constant_value.read_by(op)
    if values:
        known = (f"input[{i}] = <{values_text(value, _SHOWN)}>" for i, value in values.items())
        text += f" and with computed input tensors: {', '.join(known)}"
    if partial:
        known = (f"input[{i}] = {debug_string(shape)}" for i, shape in partial.items())
        text += f" and with input tensors computed as partial shapes: {', '.join(known)}"
    return text + "."
