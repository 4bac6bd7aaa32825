"""Op definitions as OpDef messages, without documentation, and back."""

from __future__ import annotations

from typing import Any

from tfsession.core import protos
from tfsession.core.attr_value import attr_from_proto, to_attr_value
from tfsession.core.dtypes import DType, as_dtype
from tfsession.core.op_def import NO_DEFAULT, ArgDef, AttrDef, OpDef


def to_op_def_proto(op_def: OpDef) -> Any:
    """The OpDef message of a definition: arguments, attributes, defaults and flags."""
    return protos.OpDef(
        name=op_def.name,
        input_arg=map(_arg, op_def.inputs),
        output_arg=map(_arg, op_def.outputs),
        attr=map(_attr, op_def.attrs.values()),
        is_stateful=op_def.is_stateful,
        is_commutative=op_def.is_commutative,
        is_aggregate=op_def.is_aggregate,
        allows_uninitialized_input=op_def.allows_uninitialized_input,
        is_distributed_communication=op_def.is_distributed_communication,
    )


def _arg(arg: ArgDef) -> Any:
    message = protos.OpDef.ArgDef(
        name=arg.name,
        type_attr=arg.type_attr,
        number_attr=arg.number_attr,
        type_list_attr=arg.type_list_attr,
        is_ref=arg.is_ref,
    )
    if arg.type is not None:
        message.type = arg.type.as_datatype_enum
    return message


def _attr(attr: AttrDef) -> Any:
    message = protos.OpDef.AttrDef(name=attr.name, type=attr.type)
    if attr.minimum is not None:
        message.has_minimum, message.minimum = True, attr.minimum
    if attr.allowed is not None:
        kind = "list(type)" if isinstance(attr.allowed[0], DType) else "list(string)"
        message.allowed_values.CopyFrom(to_attr_value(attr.allowed, kind))
    if attr.default is not NO_DEFAULT:
        message.default_value.CopyFrom(to_attr_value(attr.default, attr.type))
    return message


def op_def_from_proto(message: Any) -> OpDef:
    """The definition that an OpDef message describes; it has no shape function.

    Raises:
        ValueError: it makes no sense: an argument has no type, or one that is no attribute.
        TypeError: a type is not known.
    """
    op_def = OpDef(
        message.name,
        stateful=message.is_stateful,
        commutative=message.is_commutative,
        aggregate=message.is_aggregate,
        allows_uninitialized_input=message.allows_uninitialized_input,
        distributed_communication=message.is_distributed_communication,
        graph_only=True,
    )
    op_def.attrs = {attr.name: _attr_from_proto(attr) for attr in message.attr}
    op_def.inputs = tuple(map(_arg_from_proto, message.input_arg))
    op_def.outputs = tuple(map(_arg_from_proto, message.output_arg))
    kinds = {attr.name: attr.type for attr in message.attr}
    for arg in (*message.input_arg, *message.output_arg):
        _check_arg(message.name, arg, kinds)
    return op_def


def _check_arg(name: str, arg: Any, kinds: dict[str, str]) -> None:
    """Raise ValueError unless an argument has one type, by attributes that there are."""
    wanted = ((arg.type_attr, "type"), (arg.number_attr, "int"), (arg.type_list_attr, "list(type)"))
    is_typed = bool(arg.type) + bool(arg.type_attr) + bool(arg.type_list_attr) == 1
    if not is_typed or any(attr and kinds.get(attr) != kind for attr, kind in wanted):
        raise ValueError(f"Argument '{arg.name}' of '{name}' has no type that can be told")


def _arg_from_proto(message: Any) -> ArgDef:
    return ArgDef.make(
        name=message.name,
        type=as_dtype(message.type) if message.type else None,
        type_attr=message.type_attr or None,
        number_attr=message.number_attr or None,
        type_list_attr=message.type_list_attr or None,
        is_ref=message.is_ref,
    )


def _attr_from_proto(message: Any) -> AttrDef:
    default: Any = NO_DEFAULT
    if message.HasField("default_value"):
        default = attr_from_proto(message.default_value, message.type)
    allowed = attr_from_proto(message.allowed_values)
    return AttrDef.make(
        name=message.name,
        type=message.type,
        minimum=message.minimum if message.has_minimum else None,
        allowed=tuple(allowed) if allowed else None,
        default=default,
    )
