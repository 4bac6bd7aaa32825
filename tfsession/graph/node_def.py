"""Attributes and nodes between their Python values and TensorFlow's messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tfsession.core import protos
from tfsession.core.attr_value import to_attr_value
from tfsession.core.dtypes import DType, as_dtype
from tfsession.core.shape import debug_string, to_proto

if TYPE_CHECKING:
    from tfsession.graph.operation import Operation


def input_names(op: Operation) -> list[str]:
    """The inputs as a NodeDef spells them: data inputs, then `^control` inputs."""
    names = [t.op.name if t.value_index == 0 else t.name for t in op.inputs]
    return names + [f"^{c.name}" for c in op.control_inputs]


def to_node_def(op: Operation, add_shapes: bool = False) -> Any:
    """The NodeDef message of an operation, with all attributes, defaults included."""
    node = protos.NodeDef(name=op.name, op=op.type, device=op.device, input=input_names(op))
    definitions = op.op_def.attrs
    for name, value in op.attrs.items():
        kind = definitions[name].type if name in definitions else None
        node.attr[name].CopyFrom(to_attr_value(value, kind))
    if add_shapes:
        shapes = node.attr["_output_shapes"].list
        shapes.SetInParent()
        shapes.shape.extend(to_proto(t._shape) for t in op.outputs)
    return node


def attr_text(value: Any) -> str:
    """An attribute as TensorFlow writes it in messages about a node."""
    if isinstance(value, list):
        return "[" + ", ".join(map(attr_text, value)) + "]"
    if isinstance(value, DType):
        return value.proto_name
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return f'"{value.decode(errors="replace")}"'
    if isinstance(value, np.ndarray):
        return f"Tensor<type: {as_dtype(value.dtype).op_def_name} shape: {debug_string(value.shape)} values: ...>"
    if value is None or isinstance(value, tuple):
        return debug_string(value)
    return str(value)


def summary(op_type: str, name: str, attrs: dict[str, Any], inputs: tuple[Any, ...]) -> str:
    """A node in one line: `{{node m}} = MatMul[T=DT_FLOAT, ...](a, b)`."""
    shown = ", ".join(
        f"{key}={attr_text(attrs[key])}"
        for key in sorted(attrs)
        if not key.startswith("_output_shapes")
    )
    names = ", ".join(t.op.name if t.value_index == 0 else t.name for t in inputs)
    return f"{{{{node {name}}}}} = {op_type}[{shown}]({names})"
