"""Attributes between their Python values and AttrValue messages.

In Python a type is a DType, a shape a tuple or None, a string bytes, a tensor an array (or a
TensorProto if no array can hold it), a function a NameAttrList message, a list a list of these.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tfsession.core import protos
from tfsession.core.dtypes import DType, as_dtype
from tfsession.core.shape import TensorShape, to_proto, to_shape
from tfsession.core.tensor_proto import array_to_proto, constant_array, fill_proto

__all__ = [
    *("attr_from_proto", "decode_tensor", "fill_attr_value", "kind_of", "public_attr"),
    "to_attr_value",
]

# The field of AttrValue, and of its list, for each attribute type.
_FIELDS = {
    "int": "i",
    "float": "f",
    "bool": "b",
    "string": "s",
    "type": "type",
    "shape": "shape",
    "tensor": "tensor",
    "func": "func",
}


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
        (np.ndarray | protos.TensorProto, "tensor"),
        (tuple | TensorShape | None, "shape"),
    )
    return next((kind for cls, kind in kinds if isinstance(value, cls)), "func")


def to_attr_value(value: Any, kind: str | None) -> Any:
    """The AttrValue message of a Python value; `kind` is the attribute's type, if defined."""
    message = protos.AttrValue()
    fill_attr_value(message, value, kind)
    return message


def fill_attr_value(message: Any, value: Any, kind: str | None) -> None:
    """Write a Python value into an empty AttrValue, as `to_attr_value` gives it."""
    if kind is None:
        kind = kind_of(value)
    if kind == "type":  # the most frequent one
        message.type = value.as_datatype_enum
    elif kind.startswith("list("):
        kind = kind[5:-1]
        message.list.SetInParent()
        getattr(message.list, _FIELDS[kind]).extend(_encode(item, kind) for item in value)
    elif kind == "tensor" and isinstance(value, np.ndarray):
        fill_proto(message.tensor, value)
    elif kind in ("shape", "tensor", "func"):
        getattr(message, kind).CopyFrom(_encode(value, kind))
    else:
        setattr(message, _FIELDS[kind], _encode(value, kind))


def _encode(value: Any, kind: str) -> Any:
    """What a field of AttrValue holds for a Python value."""
    match kind:
        case "string" if isinstance(value, str):
            return value.encode()
        case "type":
            return value.as_datatype_enum
        case "shape":
            return to_proto(to_shape(value))
        case "tensor" if isinstance(value, np.ndarray):
            return array_to_proto(value)
    return value


def attr_from_proto(message: Any, kind: str | None = None) -> Any:
    """The Python value of an AttrValue message; `kind` is the attribute's type, if defined."""
    field = message.WhichOneof("value")
    if field is None:
        return [] if kind and kind.startswith("list(") else None
    value = getattr(message, field)
    if field != "list":
        return _DECODERS[field](value)
    for descriptor, items in value.ListFields():
        decode = _DECODERS[descriptor.name]
        return [decode(item) for item in items]
    return []


def decode_tensor(message: Any) -> Any:
    """The array of a TensorProto; a copy of the message where no array can hold it."""
    is_array = as_dtype(message.dtype).is_numpy_compatible
    return constant_array(message) if is_array else _copy(message)


def _copy(message: Any) -> Any:
    copy = type(message)()
    copy.CopyFrom(message)
    return copy


_DECODERS: dict[str, Any] = {
    "i": int,
    "f": float,
    "b": bool,
    "s": bytes,
    "type": as_dtype,
    "shape": to_shape,
    "tensor": decode_tensor,
    "func": _copy,
    "placeholder": str,
}


def public_attr(value: Any, kind: str | None) -> Any:
    """The value that `Operation.get_attr` gives: shapes and tensors as messages, lists as lists."""
    if kind is None:
        kind = kind_of(value)
    if kind.startswith("list("):
        return [public_attr(item, kind[5:-1]) for item in value]
    return _encode(value, kind) if kind in ("shape", "tensor") else value
