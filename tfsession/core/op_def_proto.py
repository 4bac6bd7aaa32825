"""The OpDef message of an op definition, as TensorFlow has it, without documentation."""

from __future__ import annotations

from typing import Any

from tfsession.core import protos
from tfsession.core.attr_value import to_attr_value
from tfsession.core.dtypes import DType
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
