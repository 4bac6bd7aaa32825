"""Defaults of attributes in a GraphDef: those of ops here, and those of whoever wrote it."""

from __future__ import annotations

from typing import Any

from tfsession.core import protos
from tfsession.core.attr_value import to_attr_value
from tfsession.core.op_def import NO_DEFAULT, ops


def fill_defaults(message: Any) -> None:
    """Write the defaults of attributes that nodes lack into them."""
    defaults: dict[str, list[tuple[str, Any]]] = {}
    for node in message.node:
        op_type = node.op
        if op_type not in defaults:
            op_def = ops.get(op_type)
            defaults[op_type] = [
                (attr.name, to_attr_value(attr.default, attr.type))
                for attr in (op_def.attrs.values() if op_def is not None else ())
                if attr.default is not NO_DEFAULT
            ]
        attrs = node.attr
        for name, default in defaults[op_type]:
            if name not in attrs:
                attrs[name].CopyFrom(default)


def drop_foreign_defaults(message: Any, producer_op_list: Any) -> None:
    """Drop attributes that are unknown here and have the default of the graph's producer."""
    try:
        op_list = protos.coerce(producer_op_list, protos.OpList)
    except TypeError:
        raise TypeError("Argument `producer_op_list` must be an OpList proto.") from None
    producer = {op_def.name: op_def for op_def in op_list.op}
    for node in message.node:
        known = ops.get(node.op)
        if known is None or node.op not in producer:
            continue
        for attr in producer[node.op].attr:
            unknown = attr.name in node.attr and attr.name not in known.attrs
            if unknown and node.attr[attr.name] == attr.default_value:
                del node.attr[attr.name]
