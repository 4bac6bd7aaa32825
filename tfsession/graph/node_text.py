"""Nodes, attributes and values as TensorFlow writes them in error messages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from tfsession.core import protos
from tfsession.core.attr_value import attr_from_proto
from tfsession.core.dtypes import DType, as_dtype
from tfsession.core.op_def import NO_DEFAULT
from tfsession.core.shape import debug_string

if TYPE_CHECKING:
    from tfsession.core.op_def import ArgDef, AttrDef, OpDef
    from tfsession.graph.operation import Operation
    from tfsession.graph.tensor import Tensor

# Longer lists and strings are shown by their ends.
_LONG_LIST = 30
_LIST_ENDS = 5
_LONG_STRING = 80
_STRING_ENDS = 10
_TENSOR_VALUES = 3

_ESCAPES = {ord(c): f"\\{e}" for c, e in zip("\n\r\t\"'\\", "nrt\"'\\", strict=True)}


def escaped(value: bytes) -> str:
    """Bytes as text, what cannot be printed in octal."""
    return "".join(
        _ESCAPES.get(code) or (chr(code) if 32 <= code < 127 else f"\\{code:03o}") for code in value
    )


def float_text(value: Any) -> str:
    """A float or double with as few digits as tell it from its neighbours: 6 or 9, 15 or 17."""
    short, exact = (15, 17) if isinstance(value, np.float64) else (6, 9)
    text = f"{value:.{short}g}"
    return text if type(value)(text) == value else f"{value:.{exact}g}"


def attr_text(value: Any) -> str:
    """An attribute's value."""
    match value:
        case list():
            return _list_text([attr_text(item) for item in value])
        case DType():
            return value.proto_name
        case bool():
            return "true" if value else "false"
        case float():
            with np.errstate(over="ignore"):
                return float_text(np.float32(value))
        case bytes():
            text = escaped(value)
            if len(text) >= _LONG_STRING:
                text = f"{text[:_STRING_ENDS]}...{text[-_STRING_ENDS:]}"
            return f'"{text}"'
        case np.ndarray():
            kind, shape = as_dtype(value.dtype).op_def_name, debug_string(value.shape)
            values = values_text(value, _TENSOR_VALUES)
            return f"Tensor<type: {kind} shape: {shape} values: {values}>"
        case tuple() | None:
            return debug_string(value, "<unknown>")
        case protos.NameAttrList():
            attrs = {name: attr_from_proto(attr) for name, attr in value.attr.items()}
            return f"{value.name}[{_attrs_text(attrs)}]"
    return str(value)


def _list_text(items: list[str]) -> str:
    if len(items) >= _LONG_LIST:
        items = [*items[:_LIST_ENDS], "...", *items[-_LIST_ENDS:]]
    return f"[{', '.join(items)}]"


def _attrs_text(attrs: dict[str, Any]) -> str:
    return ", ".join(f"{name}={attr_text(attrs[name])}" for name in sorted(attrs))


def values_text(array: Any, limit: int) -> str:
    """The first values of an array: `1 2 3`, `[1 2][3 4]`; dots where there are more."""
    array = np.asarray(array)
    shown = iter([_value_text(value) for value in array.flat[:limit]])
    left = min(limit, array.size)

    def rows(dims: tuple[int, ...], outermost: bool) -> str:
        nonlocal left
        text = []
        for i in range(dims[0]):
            if left == 0:
                if len(dims) == 1 and not outermost:
                    text.append("...")
                break
            if len(dims) == 1:
                text.append(f"{' ' if i else ''}{next(shown)}")
                left -= 1
            else:
                text.append(f"[{rows(dims[1:], False)}]")
        return "".join(text)

    text = rows(array.shape, True) if array.ndim else next(shown)
    return text + "..." if array.size > limit else text


def _value_text(value: Any) -> str:
    if isinstance(value, bytes):
        return escaped(value)
    dtype = as_dtype(value.dtype)
    if dtype.is_complex:
        return "?"
    if dtype.is_floating:
        return float_text(value if dtype.name == "float64" else np.float32(value))
    return str(int(value[0] if dtype.is_quantized else value))


def input_names(inputs: Iterable[Tensor], controls: Iterable[Operation] = ()) -> list[str]:
    """The inputs as a NodeDef spells them: data inputs, then `^control` inputs."""
    names = [t.op.name if t.value_index == 0 else t.name for t in inputs]
    names.extend(f"^{op.name}" for op in controls)
    return names


def summary(
    op_type: str,
    name: str,
    attrs: dict[str, Any],
    inputs: Iterable[Tensor],
    controls: Iterable[Operation] = (),
    device: str = "",
) -> str:
    """A node in one line: `{{node m}} = MatMul[T=DT_FLOAT, ...](a, b)`."""
    shown = _attrs_text(attrs)
    if device:
        shown += f', _device="{device}"' if shown else f'_device="{device}"'
    return f"{{{{node {name}}}}} = {op_type}[{shown}]({', '.join(input_names(inputs, controls))})"


def op_summary(op_def: OpDef) -> str:
    """An op definition in one line: `Op<name=Neg; signature=x:T -> y:T; attr=T:type,...>`."""
    inputs = ", ".join(map(_arg_text, op_def.inputs))
    outputs = ", ".join(map(_arg_text, op_def.outputs))
    parts = [f"name={op_def.name}", f"signature={inputs} -> {outputs}"]
    parts.extend(f"attr={_attr_def_text(attr)}" for attr in op_def.attrs.values())
    flags = (
        *("is_commutative", "is_aggregate", "is_stateful", "allows_uninitialized_input"),
        "is_distributed_communication",
    )
    parts.extend(f"{flag}=true" for flag in flags if getattr(op_def, flag))
    return f"Op<{'; '.join(parts)}>"


def _arg_text(arg: ArgDef) -> str:
    kind = arg.type.op_def_name if arg.type is not None else arg.type_attr or ""
    if arg.number_attr is not None:
        kind = f"{arg.number_attr}*{kind}"
    return f"{arg.name}:Ref({kind})" if arg.is_ref else f"{arg.name}:{kind}"


def _attr_def_text(attr: AttrDef) -> str:
    text = f"{attr.name}:{attr.type}"
    if attr.default is not NO_DEFAULT:
        text += f",default={attr_text(attr.default)}"
    if attr.minimum is not None:
        text += f",min={attr.minimum}"
    if attr.allowed is not None:
        text += f",allowed={attr_text(list(attr.allowed))}"
    return text
