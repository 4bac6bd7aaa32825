"""Operations as NodeDef messages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from tfsession.core import protos
from tfsession.core.attr_value import fill_attr_value, to_attr_value
from tfsession.core.wire import nested, sized
from tfsession.graph.node_text import input_names

if TYPE_CHECKING:
    from tfsession.graph.operation import Operation

# Bytes of an attribute that other operations may have too.
_LONGEST_KEPT = 128


def to_node_def(op: Operation) -> Any:
    """The NodeDef message of an operation, with all attributes, defaults included."""
    node = protos.NodeDef()
    fill_node_def(node, op, op.control_inputs)
    return node


def fill_node_def(node: Any, op: Operation, controls: Iterable[Operation]) -> None:
    """Write an operation into an empty NodeDef, its control inputs in the order of `controls`."""
    node.name = op.name
    node.op = op.type
    node.device = op.device
    node.input.extend(input_names(op.inputs, controls))
    definitions = op.op_def.attrs
    for name, value in op.attrs.items():
        kind = definitions[name].type if name in definitions else None
        fill_attr_value(node.attr[name], value, kind)


def encoded_nodes(
    ops: Iterable[Operation],
    add_shapes: bool,
    replaced: Mapping[Operation, dict[str, Any]] | None = None,
) -> Iterator[bytes]:
    """Operations as the fields `node` of a serialized GraphDef, control inputs by name.

    Those in `replaced` are written with the attributes there, instead of their own.

    Bytes are put together several times as fast as messages: most attributes have the value that
    an operation of the type had before. Equal ones are known by identity, as numbers of different
    types are equal, and kept while others could take their place in memory.
    """
    names: dict[Operation, bytes] = {}
    kinds: dict[tuple[str, str], tuple[bytes, dict[tuple[str, int], tuple[bytes, Any]]]] = {}
    for op in ops:
        kind = op.type, op._device
        if kind not in kinds:
            device = nested(4, op._device.encode()) if op._device else b""
            kinds[kind] = nested(2, op.type.encode()) + device, {}
        head, entries = kinds[kind]
        name = names[op] = sized(op.name.encode())
        body = b"\n" + name + head
        for tensor in op.inputs:
            source = tensor.op
            if tensor.value_index == 0 and source in names:
                body += b"\x1a" + names[source]
            else:
                body += nested(3, input_names([tensor])[0].encode())
        if op.control_inputs:
            controls = sorted(op.control_inputs, key=attrgetter("name"))
            body += b"".join(nested(3, text.encode()) for text in input_names((), controls))
        attrs = replaced[op] if replaced and op in replaced else op.attrs
        for key, value in attrs.items():
            place = key, id(value)
            if place in entries:
                body += entries[place][0]
                continue
            attr = op.op_def.attrs.get(key)
            entry = _encoded_attr(key, value, attr.type if attr else None)
            if len(entry) <= _LONGEST_KEPT:
                entries[place] = entry, value
            body += entry
        if add_shapes and op.outputs:
            body += _encoded_attr("_output_shapes", [t._shape for t in op.outputs], "list(shape)")
        yield b"\n" + sized(body)


def _encoded_attr(name: str, value: Any, kind: str | None) -> bytes:
    message = to_attr_value(value, kind).SerializeToString()
    return nested(5, nested(1, name.encode()) + nested(2, message))
