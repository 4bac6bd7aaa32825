"""Nodes from messages and flat lists of tensors: what a NodeDef must be to become an operation."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tfsession.core import protos
from tfsession.core.attr_value import attr_from_proto
from tfsession.core.dtypes import DType
from tfsession.core.op_def import ArgDef, AttrDef, OpDef, ops
from tfsession.graph.attr_forms import check_attr
from tfsession.graph.build import arg_types, build_operation, mixed_graphs
from tfsession.graph.node_text import op_summary
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor

if TYPE_CHECKING:
    from tfsession.graph.graph import Graph


def not_registered(op_type: str) -> str:
    """What is said of an unknown op type."""
    return (
        f"Op type not registered '{op_type}' in binary running on {platform.node()}. Make sure the "
        "Op and Kernel are registered in the binary running in this process."
    )


# --- attributes -----------------------------------------------------------------------------------

_KINDS = {
    "s": "string",
    "i": "int",
    "f": "float",
    "b": "bool",
    "type": "type",
    "shape": "shape",
    "tensor": "tensor",
    "func": "func",
}


def attr_of_message(op_def: OpDef, attr: AttrDef, message: Any, name: str) -> Any:
    """The value of an AttrValue for a node called `name`; ValueError if the op refuses it."""
    if attr.type == "type" and message.type:
        known = attr.known_types.get(message.type)
        if known is not None:
            return known
    try:
        _check_kind(attr, message)
        value = attr_from_proto(message, attr.type)
        _check_allowed(attr, value)
    except (TypeError, ValueError, OverflowError) as error:
        where = f"NodeDef: {{{{node {name}}}}}; {op_summary(op_def)}"
        raise ValueError(f"{error}\n\t; {where}") from None
    if attr.type == "type":
        attr.known_types[message.type] = value
    return value


def private_attr(attr: AttrDef | None, message: Any, name: str) -> Any:
    """The value of an attribute that the op's definition lacks; `attr` says what it must be."""
    try:
        if attr is not None:
            _check_kind(attr, message)
        return attr_from_proto(message)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{error}\n\t; NodeDef: {{{{node {name}}}}}") from None


def _check_kind(attr: AttrDef, message: Any) -> None:
    field = message.WhichOneof("value")
    if field is None:
        raise ValueError(
            f"AttrValue missing value with expected type '{attr.type}'\n\t for attr '{attr.name}'"
        )
    found = _KINDS.get(field, field)
    if field == "list":
        filled = message.list.ListFields()
        found = f"list({_KINDS[filled[0][0].name]})" if filled else attr.type
        if not attr.type.startswith("list("):
            found = found if filled else "list(any)"
    if found != attr.type:
        raise ValueError(
            f"AttrValue had value with type '{found}' when '{attr.type}' expected\n\t for attr "
            f"'{attr.name}'"
        )


def _check_allowed(attr: AttrDef, value: Any) -> None:
    if attr.minimum is not None:
        what, size = ("Length", len(value)) if isinstance(value, list) else ("Value", value)
        if size < attr.minimum:
            raise ValueError(
                f"{what} for attr '{attr.name}' of {size} must be at least minimum {attr.minimum}"
            )
    if attr.type in ("type", "list(type)"):
        for dtype in value if isinstance(value, list) else [value]:
            if dtype.is_ref:
                raise ValueError(
                    f"AttrValue must not have reference type value of {dtype.op_def_name}\n\t for "
                    f"attr '{attr.name}'"
                )
    if attr.allowed is not None:
        for item in value if isinstance(value, list) else [value]:
            if item not in attr.allowed:
                raise ValueError(
                    f"Value for attr '{attr.name}' of {_quoted(item)} is not in the list of "
                    f"allowed values: {', '.join(map(_quoted, attr.allowed))}"
                )


def _quoted(value: DType | bytes) -> str:
    return f'"{value.decode()}"' if isinstance(value, bytes) else value.op_def_name


def check_complete(op_def: OpDef, attrs: dict[str, Any], name: str) -> None:
    """Raise ValueError if the node lacks an attribute."""
    if not op_def.attrs.keys() <= attrs.keys():
        missing = [repr(attr) for attr in reversed(op_def.attrs) if attr not in attrs]
        raise ValueError(
            f"NodeDef missing attr{'s' * (len(missing) > 1)} {', '.join(missing)} from "
            f"{op_summary(op_def)}; NodeDef: {{{{node {name}}}}}"
        )


# --- inputs ---------------------------------------------------------------------------------------


def check_input_count(op_def: OpDef, types: Sequence[DType], count: int, name: str) -> None:
    """Raise ValueError unless the node has as many inputs as its attributes say."""
    if len(types) != count:
        expected = ", ".join(dtype.op_def_name for dtype in types)
        raise ValueError(
            f"NodeDef expected inputs '{expected}' do not match {count} inputs specified; "
            f"{op_summary(op_def)}; NodeDef: {{{{node {name}}}}}"
        )


def check_input_type(name: str, index: int, tensor: Tensor, expected: DType) -> None:
    """Raise ValueError unless a tensor may be an input of that type."""
    found = tensor.dtype
    if found.base_dtype is not expected.base_dtype or (expected.is_ref and not found.is_ref):
        raise ValueError(
            f"Input {index} of node {name} was passed {found.op_def_name} from {tensor.name} "
            f"incompatible with expected {expected.op_def_name}."
        )


# --- Graph.create_op ------------------------------------------------------------------------------


def create_op(
    graph: Graph,
    op_type: str,
    inputs: Sequence[Any],
    input_types: Sequence[DType] | None,
    name: str,
    given: dict[str, Any],
) -> Operation:
    """Add an operation as `Graph.create_op` does: tensors in a flat list, AttrValue messages.

    Raises:
        TypeError: an input is no Tensor, or not of the type in `input_types`.
        ValueError: attributes or inputs do not suit the op.
        RuntimeError: no such op.
    """
    for index, tensor in enumerate(inputs):
        if not isinstance(tensor, Tensor):
            raise TypeError(f"Input #{index} is not a tensor: {tensor}")
        if tensor.op.graph is not graph:
            raise mixed_graphs(f"operation '{name}'", tensor, graph)
    op_def = ops.get(op_type)
    if op_def is None:
        raise RuntimeError(not_registered(op_type))
    unique = graph.node_name(name)
    if input_types is not None and not _compatible(inputs, input_types):
        raise TypeError(
            f"In op '{unique}', input types ({[t.dtype for t in inputs]}) are not compatible with "
            f"expected types ({list(input_types)})"
        )
    attrs = {attr: _value(op_def, attr, value, unique) for attr, value in given.items()}
    for attr, default in op_def.defaults.items():
        if attr not in op_def.inferred:
            attrs.setdefault(attr, default)
    _infer_types(op_def, inputs, attrs, unique)
    check_complete(op_def, attrs, unique)
    types = arg_types(op_def.inputs, attrs)
    check_input_count(op_def, types, len(inputs), unique)
    for index, (tensor, dtype) in enumerate(zip(inputs, types, strict=True)):
        check_input_type(unique, index, tensor, dtype)
    return build_operation(graph, op_def, unique, tuple(inputs), attrs)


def _compatible(tensors: Sequence[Tensor], types: Sequence[DType]) -> bool:
    return all(
        expected.is_compatible_with(tensor.dtype)
        for tensor, expected in zip(tensors, types, strict=False)
    )


def _value(op_def: OpDef, name: str, value: Any, node: str) -> Any:
    attr = op_def.attrs.get(name)
    if not isinstance(value, protos.AttrValue):
        return value if attr is None else check_attr(op_def, attr, value)
    if attr is None:
        return attr_from_proto(value)
    return attr_of_message(op_def, attr, value, node)


def _infer_types(op_def: OpDef, inputs: Sequence[Tensor], attrs: dict[str, Any], name: str) -> None:
    """Add the type attributes that the inputs tell; lengths of lists must be known."""
    found: dict[str, DType] = {}
    start = 0
    for arg in op_def.inputs:
        count = _length(arg, attrs, len(inputs) - start)
        types = [tensor.dtype.base_dtype for tensor in inputs[start : start + count]]
        start += count
        if arg.type_list_attr is not None:
            attrs.setdefault(arg.type_list_attr, types)
        elif arg.type_attr is not None:
            for dtype in types:
                known = found.setdefault(arg.type_attr, dtype)
                _check_consistent(op_def, arg.type_attr, known, dtype, name)
    for attr, dtype in found.items():
        _check_consistent(op_def, attr, dtype, attrs.get(attr, dtype), name)
        definition = op_def.attrs[attr]
        if definition.allowed is not None and dtype not in definition.allowed:
            message = protos.AttrValue(type=dtype.as_datatype_enum)
            attr_of_message(op_def, definition, message, name)  # raises
        attrs[attr] = dtype


def _check_consistent(op_def: OpDef, attr: str, first: DType, other: DType, name: str) -> None:
    if first is not other:
        raise ValueError(
            f"Inconsistent values for attr '{attr}' {first.proto_name} vs. {other.proto_name} "
            f"while building NodeDef '{name}' using {op_summary(op_def)}"
        )


def _length(arg: ArgDef, attrs: dict[str, Any], left: int) -> int:
    """How many of the inputs that are left belong to an argument."""
    if arg.number_attr is not None:
        length: int = attrs.setdefault(arg.number_attr, left)
        return length
    if arg.type_list_attr is not None:
        return len(attrs[arg.type_list_attr]) if arg.type_list_attr in attrs else left
    return 1
