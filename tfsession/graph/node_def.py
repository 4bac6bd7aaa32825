"""Operations as NodeDef messages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
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
# Bytes of nodes in one piece, and of those that are kept for the next export of a graph.
_BYTES_AT_ONCE = 1 << 20
_MOST_KEPT = 32 << 20


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


class EncodedNodes:
    """The nodes of a graph as bytes, kept from one export to the next while nothing changes.

    Not safe for several threads at once. Whoever changes an operation drops all of it.
    """

    __slots__ = ("_count", "_kept", "_size")

    def __init__(self) -> None:
        self._kept: list[bytes] = []
        self._count = 0
        self._size = 0

    def of(self, ops: Mapping[str, Operation]) -> Iterator[bytes]:
        """All operations as fields of a serialized GraphDef; those not here yet are added."""
        yield from self._kept
        is_kept = True
        for chunk, number in encoded_nodes(islice(ops.values(), self._count, None)):
            is_kept = is_kept and self._size + len(chunk) <= _MOST_KEPT
            if is_kept:
                self._kept.append(chunk)
                self._count += number
                self._size += len(chunk)
            yield chunk


def encoded_nodes(
    ops: Iterable[Operation],
    add_shapes: bool = False,
    replaced: Mapping[Operation, dict[str, Any]] | None = None,
) -> Iterator[tuple[bytes, int]]:
    """Operations as the fields `node` of a serialized GraphDef, control inputs by name.

    Those in `replaced` are written with the attributes there, instead of their own.

    Bytes are put together several times as fast as messages: most attributes have the value that
    an operation of the type had before. Equal ones are known by identity, as numbers of different
    types are equal, and kept while others could take their place in memory.

    Yields:
        About a MiB of bytes, so that constants do not lie in memory several times, and how many
        operations they are.
    """
    inputs: dict[Operation, bytes] = {}
    kinds: dict[tuple[str, str], tuple[bytes, dict[str, dict[int, tuple[bytes, Any]]]]] = {}
    chunk: list[bytes] = []
    number = size = 0
    for op in ops:
        kind = op.type, op._device
        if kind not in kinds:
            kinds[kind] = _head(op), {}
        head, entries = kinds[kind]
        name = sized(op.name.encode())
        inputs[op] = b"\x1a" + name
        parts = [b"\n", name, head]
        for tensor in op.inputs:
            source = tensor.op
            if tensor.value_index == 0 and source in inputs:
                parts.append(inputs[source])
            else:
                parts.append(nested(3, input_names([tensor])[0].encode()))
        if op.control_inputs:
            controls = sorted(op.control_inputs, key=attrgetter("name"))
            parts += [nested(3, text.encode()) for text in input_names((), controls)]
        attrs = replaced[op] if replaced and op in replaced else op.attrs
        for key, value in attrs.items():
            of_key = entries.get(key)
            if of_key is None:
                of_key = entries[key] = {}
            found = of_key.get(id(value))
            if found is not None:
                parts.append(found[0])
                continue
            attr = op.op_def.attrs.get(key)
            entry = _encoded_attr(key, value, attr.type if attr else None)
            if len(entry) <= _LONGEST_KEPT:
                of_key[id(value)] = entry, value
            parts.append(entry)
        if add_shapes and op.outputs:
            shapes = [tensor._shape for tensor in op.outputs]
            parts.append(_encoded_attr("_output_shapes", shapes, "list(shape)"))
        node = sized(b"".join(parts))
        chunk += b"\n", node
        number += 1
        size += len(node)
        if size > _BYTES_AT_ONCE:
            yield b"".join(chunk), number
            chunk.clear()
            number = size = 0
    yield b"".join(chunk), number


def _head(op: Operation) -> bytes:
    """Type and device of an operation."""
    device = nested(4, op._device.encode()) if op._device else b""
    return nested(2, op.type.encode()) + device


def _encoded_attr(name: str, value: Any, kind: str | None) -> bytes:
    message = to_attr_value(value, kind).SerializeToString()
    return nested(5, nested(1, name.encode()) + nested(2, message))
