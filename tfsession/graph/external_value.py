"""Constants whose values lie in a file beside their graph: how their nodes say so.

A protocol message ends at 2 GB. So a Const node may have, instead of its attribute `value`, the
name of a file without its directory, the shape, and the CRC-32C of the value's bytes (little-
endian). In the file the value has the node's name. Without `value` no other reader of graphs takes
the node for a constant of zeros.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

FILE: Final = "_external_file"
SHAPE: Final = "_external_shape"
CRC: Final = "_external_crc32c"


def attrs_of(file: str, shape: tuple[int, ...], crc: int) -> dict[str, Any]:
    """What stands in the place of the attribute `value`."""
    return {FILE: file.encode(), SHAPE: shape, CRC: crc}


def nodes_in(graph_def: Any) -> Iterator[Any]:
    """The nodes of a GraphDef, without those of its functions, whose values lie elsewhere."""
    return (node for node in graph_def.node if node.op == "Const" and FILE in node.attr)


def take(attrs: dict[str, Any], node_name: str, values: Mapping[str, Any]) -> None:
    """Put the value in the place of what says where it is; ValueError where it is not given."""
    if node_name not in values:
        raise ValueError(
            f"Node '{node_name}' has its value in the file {attrs[FILE]!r}: import the graph by "
            "tf.train.import_graph, which reads that file, too"
        )
    for key in (FILE, SHAPE, CRC):
        attrs.pop(key, None)
    attrs["value"] = values[node_name]
