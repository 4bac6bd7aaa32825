"""Attributes and nodes between their Python values and TensorFlow's messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tfsession.core import protos
from tfsession.core.dtypes import DType, as_dtype
from tfsession.core.shape import TensorShape, debug_string, to_shape
from tfsession.core.tensor_proto import make_ndarray, make_tensor_proto

if TYPE_CHECKING:
    from tfsession.graph.operation import Operation


def to_attr_value(value: Any, kind: str | None) -> Any:
    """The AttrValue message of a Python value; `kind` is the attribute's type, if defined."""
    message = protos.AttrValue()
    if kind is None:
        kind = kind_of(value)
    if kind.startswith("list("):
        message.list.SetInParent()
        for item in value:
            _add_to_list(message.list, item, kind[5:-1])
    else:
        _set_single(message, value, kind)
    return message


def kind_of(value: Any) -> str:
    """The attribute type that a Python value stands for."""
    if isinstance(value, list):
        return f"list({kind_of(value[0]) if value else 'string'})"
    kinds: tuple[tuple[Any, str], ...] = (
        (bool, "bool"),
        (int, "int"),
        (float, "float"),
        (bytes | str, "string"),
        (DType, "type"),
        (np.ndarray, "tensor"),
        (tuple | TensorShape | None, "shape"),
    )
    return next((kind for cls, kind in kinds if isinstance(value, cls)), "func")


def _set_single(message: Any, value: Any, kind: str) -> None:
    match kind:
        case "int":
            message.i = value
        case "float":
            message.f = value
        case "bool":
            message.b = value
        case "string":
            message.s = value if isinstance(value, bytes) else value.encode()
        case "type":
            message.type = value.as_datatype_enum
        case "shape":
            message.shape.CopyFrom(TensorShape.from_tuple(to_shape(value)).as_proto())
        case "tensor":
            message.tensor.CopyFrom(
                make_tensor_proto(value) if isinstance(value, np.ndarray) else value
            )
        case _:
            message.func.CopyFrom(value)


_LIST_FIELDS = {
    "int": "i",
    "float": "f",
    "bool": "b",
    "string": "s",
    "type": "type",
    "shape": "shape",
}


def _add_to_list(message: Any, value: Any, kind: str) -> None:
    if kind in ("shape", "tensor", "func"):
        single = protos.AttrValue()
        _set_single(single, value, kind)
        getattr(message, kind).append(getattr(single, kind))
    elif kind == "type":
        message.type.append(value.as_datatype_enum)
    elif kind == "string":
        message.s.append(value if isinstance(value, bytes) else value.encode())
    else:
        getattr(message, _LIST_FIELDS[kind]).append(value)


def attr_from_proto(message: Any, kind: str | None = None) -> Any:
    """The Python value of an AttrValue message."""
    field = message.WhichOneof("value")
    if field is None:
        return [] if kind and kind.startswith("list(") else None
    value = getattr(message, field)
    if field == "list":
        for name, convert in _CONVERTERS.items():
            items = getattr(value, name, None)
            if items:
                return [convert(item) for item in items]
        return []
    return _CONVERTERS[field](value)


def _copy(message: Any) -> Any:
    copy = type(message)()
    copy.CopyFrom(message)
    return copy


_CONVERTERS: dict[str, Any] = {
    "i": int,
    "f": float,
    "b": bool,
    "s": bytes,
    "type": as_dtype,
    "shape": to_shape,
    "tensor": lambda message: (
        make_ndarray(message) if message.dtype < 20 or message.dtype > 21 else _copy(message)
    ),
    "func": _copy,
    "placeholder": str,
}


def public_attr(value: Any, kind: str | None) -> Any:
    """The value that `Operation.get_attr` gives: shapes and tensors as messages, lists as lists."""
    if kind is None:
        kind = kind_of(value)
    if kind.startswith("list("):
        return [public_attr(item, kind[5:-1]) for item in value]
    if kind == "shape":
        return TensorShape.from_tuple(to_shape(value)).as_proto()
    if kind == "tensor" and isinstance(value, np.ndarray):
        return make_tensor_proto(value)
    return value


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
        shapes.shape.extend(TensorShape.from_tuple(t._shape).as_proto() for t in op.outputs)
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
