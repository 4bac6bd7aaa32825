"""Attributes as builders give them, checked against their definitions."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfsession.core import protos
from tfsession.core.attr_value import decode_tensor
from tfsession.core.dtypes import DType, as_dtype
from tfsession.core.op_def import AttrDef, OpDef
from tfsession.core.shape import to_shape


def check_attr(op_def: OpDef, attr: AttrDef, value: Any) -> Any:
    """`value` as the attribute's Python form; raises TypeError or ValueError when it is none."""
    if attr.type.startswith("list("):
        if not isinstance(value, list | tuple):
            raise TypeError(
                f"Expected list for attr {attr.name}, obtained {type(value).__name__} instead."
            )
        values = [_attr_form(attr.type[5:-1], item, attr.name) for item in value]
        if attr.minimum is not None and len(values) < attr.minimum:
            raise ValueError(
                f"Attr '{attr.name}' of '{op_def.name}' Op passed list of length {len(values)} "
                f"less than minimum {attr.minimum}."
            )
    else:
        values = [_attr_form(attr.type, value, attr.name)]
        if attr.minimum is not None and values[0] < attr.minimum:
            raise ValueError(
                f"Attr '{attr.name}' of '{op_def.name}' Op passed {values[0]} less than minimum "
                f"{attr.minimum}."
            )
    if attr.allowed is not None:
        for item in values:
            if item not in attr.allowed:
                raise not_allowed(op_def, attr, item, attr.name)
    return values if attr.type.startswith("list(") else values[0]


def not_allowed(op_def: OpDef, attr: AttrDef, value: Any, parameter: str) -> Exception:
    """The error for a value that is none of those an attribute allows."""
    assert attr.allowed is not None
    if isinstance(value, bytes):
        names = '", "'.join(v.decode() for v in attr.allowed if isinstance(v, bytes))
        return ValueError(
            f"Attr '{attr.name}' of '{op_def.name}' Op passed string '{value.decode()}' not in: "
            f'"{names}".'
        )
    types = ", ".join(v.name for v in attr.allowed if isinstance(v, DType))
    return TypeError(
        f"Value passed to parameter '{parameter}' has DataType {value.name} not in list of allowed "
        f"values: {types}"
    )


# A float attribute is a float32 in the message, and so wherever it is used.
_NUMBERS: dict[str, Any] = {"int": int, "float": lambda value: float(np.float32(value))}


def _attr_form(kind: str, value: Any, name: str) -> Any:
    match kind:
        case "int" | "float":
            if not isinstance(value, str | bytes):
                try:
                    return _NUMBERS[kind](value)
                except (ValueError, TypeError):
                    pass
        case "bool" if isinstance(value, bool):
            return value
        case "string" if isinstance(value, bytes | str):
            return value if isinstance(value, bytes) else value.encode()
        case "type":
            kind = "DataType"
            try:
                return as_dtype(value).base_dtype
            except TypeError:
                pass
        case "shape":
            try:
                return to_shape(value)
            except (TypeError, ValueError) as error:
                raise TypeError(
                    f"Error converting {value!r} (arg name = {name}) to a TensorShape: {error}"
                ) from None
        case "tensor" if isinstance(value, protos.TensorProto):
            return decode_tensor(value)
        case "tensor" if not isinstance(value, np.ndarray):
            raise TypeError(
                f"Don't know how to convert {value!r} to a TensorProto for argument '{name}'"
            )
        case "tensor" | "func":
            return value
    raise TypeError(f"Expected {kind} for argument '{name}' not {value!r}.")
