"""Operations as NodeDef messages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from tfsession.core import protos
from tfsession.core.attr_value import fill_attr_value
from tfsession.core.shape import to_proto
from tfsession.graph.node_text import input_names

if TYPE_CHECKING:
    from tfsession.graph.operation import Operation


def to_node_def(op: Operation) -> Any:
    """The NodeDef message of an operation, with all attributes, defaults included."""
    node = protos.NodeDef()
    fill_node_def(node, op, op.control_inputs)
    return node


def fill_node_def(
    node: Any, op: Operation, controls: Iterable[Operation], add_shapes: bool = False
) -> None:
    """Write an operation into an empty NodeDef, its control inputs in the order of `controls`."""
    node.name = op.name
    node.op = op.type
    node.device = op.device
    node.input.extend(input_names(op.inputs, controls))
    definitions = op.op_def.attrs
    for name, value in op.attrs.items():
        kind = definitions[name].type if name in definitions else None
        fill_attr_value(node.attr[name], value, kind)
    if add_shapes and op.outputs:
        shapes = node.attr["_output_shapes"].list
        del shapes.shape[:]
        shapes.shape.extend(to_proto(t._shape) for t in op.outputs)
