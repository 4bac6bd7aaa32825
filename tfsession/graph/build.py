"""The making of an operation: scopes, device, colocation, outputs and their shapes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tfsession.core.op_def import OpDef
from tfsession.core.shape import debug_string
from tfsession.graph import constant_value
from tfsession.graph.node_def import summary
from tfsession.graph.operation import Operation, capture_frames
from tfsession.graph.scopes import Scopes, merge_device_stack
from tfsession.graph.tensor import Tensor

if TYPE_CHECKING:
    from tfsession.core.dtypes import DType
    from tfsession.graph.graph import Graph


def output_types(op_def: OpDef, attrs: dict[str, Any]) -> list[DType]:
    """The dtypes of the outputs of an op with these attributes."""
    types: list[DType] = []
    for arg in op_def.outputs:
        if arg.type_list_attr is not None:
            types.extend(attrs[arg.type_list_attr])
            continue
        dtype = arg.type if arg.type_attr is None else attrs[arg.type_attr]
        if arg.is_ref:
            dtype = dtype._as_ref
        if arg.number_attr is not None:
            types.extend([dtype] * attrs[arg.number_attr])
        else:
            types.append(dtype)
    return types


def build_operation(
    graph: Graph, op_def: OpDef, name: str, inputs: tuple[Tensor, ...], attrs: dict[str, Any]
) -> Operation:
    """Make an operation named exactly `name` and add it to the graph.

    Raises:
        ValueError: the shapes of the inputs do not fit the op; the graph is left as it was.
    """
    scopes = graph._scopes
    device = scopes.static_device
    op = Operation(graph, op_def, name, inputs, attrs, (), device or "", capture_frames())
    op.outputs = [Tensor(op, i, dtype) for i, dtype in enumerate(output_types(op_def, attrs))]
    if op_def.shape is not None:
        try:
            for tensor, shape in zip(op.outputs, op_def.shape(op), strict=True):
                tensor._shape = shape
        except ValueError as error:
            raise ValueError(_shape_error(op, error)) from None
    if device is None:
        op._device = merge_device_stack(scopes.devices, op)
    if scopes.controls:
        op.control_inputs = _implied_controls(scopes, inputs)
    if scopes.colocations:
        _colocate(op, scopes)
    if scopes.attrs or scopes.container or scopes.gradient_overrides:
        _apply_attr_scopes(op, scopes)
    context = scopes.control_flow_context
    if context is not None:
        op._control_flow_context = context
        context.add_op(op)
    graph._add(op)
    for block in scopes.controls:
        block.seen.add(op)
    return op


def _implied_controls(scopes: Scopes, inputs: Sequence[Tensor]) -> tuple[Operation, ...]:
    """The control inputs that the enclosing blocks ask for and no data input implies already."""
    sources = {tensor.op for tensor in inputs}
    controls: dict[Operation, None] = {}
    for block in scopes.controls:
        if block.seen.isdisjoint(sources):
            controls.update((op, None) for op in block.inputs if op not in sources)
    return tuple(controls)


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


def _shape_error(op: Operation, error: ValueError) -> str:
    shapes = ", ".join(debug_string(tensor._shape) for tensor in op.inputs)
    text = f"{error} for '{summary(op.type, op.name, op.attrs, op.inputs)}' with input shapes: {shapes}"
    computed = constant_value.values_read_by(op)
    if computed:
        values = ", ".join(f"input[{i}] = <{_flat_text(value)}>" for i, value in computed)
        text += f" and with computed input tensors: {values}"
    return text + "."


def _flat_text(value: Any) -> str:
    return " ".join(str(item) for item in value.ravel().tolist())
