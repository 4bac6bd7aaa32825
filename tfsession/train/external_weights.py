"""Graphs whose large constants lie in a file of their own: a protocol message ends at 2 GB."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from tfsession.checkpoint import safetensors
from tfsession.checkpoint.reader import open_checkpoint, read_tensors
from tfsession.checkpoint.weights import WRITERS, KeptWeights
from tfsession.core import protos
from tfsession.core.attr_value import to_attr_value
from tfsession.core.crc32c import crc32c
from tfsession.core.dtypes import DType, as_dtype
from tfsession.core.errors import DataLossError, NotFoundError
from tfsession.core.exports import export
from tfsession.core.file_system import local_path
from tfsession.core.graph_file import read_graph
from tfsession.core.shape import to_shape
from tfsession.core.tensor_proto import make_ndarray
from tfsession.graph import external_value
from tfsession.graph.graph import Graph, get_default_graph
from tfsession.graph.graph_def import to_graph_def
from tfsession.graph.importer import import_message
from tfsession.train.checkpoint_state import checkpoint_exists, write_whole

_SAFETENSORS: Final = ".safetensors"
_LEAST_BYTES: Final = 1024


class _Values(KeptWeights):
    """The values of constants by node, as arrays or messages; checksums are taken when written."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        super().__init__(values)
        self.crcs: dict[str, int] = {}

    def read(self, name: str) -> Any:
        array = super().read(name)
        self.crcs[name] = _crc(array)
        return array


@export("train.export_graph")
def export_graph(
    path: Any,
    graph: Any = None,
    weights: str | None = None,
    least_bytes: int = _LEAST_BYTES,
    as_text: bool | None = None,
) -> str:
    """Write a graph of any size: its large constants go into a second file, in the same directory.

    The nodes of these constants have no values, but say where the values are, with checksums:
    `tf.train.import_graph` reads both files. The second one is written first.

    Args:
        path: the file of the graph; its directory is made.
        graph: a Graph or a GraphDef; the default graph when None.
        weights: name of the second file, without a directory. One that ends in `.safetensors` is
            such a file; other names are those of checkpoints. When None, that of the first with
            `.safetensors` at its end.
        least_bytes: constants of so many bytes and more go there. Those of a dtype that the file
            cannot hold stay where they are.
        as_text: write the graph as text; when None, what a name that ends in `txt` says.

    Returns:
        The path.

    Raises:
        TypeError: `graph` is none.
        ValueError: `weights` is no name, or what stays in the graph makes more than 2 GB.
    """
    target = os.fsdecode(path)
    file = weights or Path(target).with_suffix(_SAFETENSORS).name
    if not _is_name(file) or file == Path(target).name:
        raise ValueError(f"Expected another name than the graph's, without a directory: {file!r}")
    is_safetensors = file.endswith(_SAFETENSORS)
    holds: Callable[[DType], bool] = safetensors.holds if is_safetensors else _has_size
    graph = get_default_graph() if graph is None else graph
    if isinstance(graph, Graph):
        message = _of_graph(graph, Path(target).parent, file, least_bytes, holds)
    else:
        coerced = protos.coerce(graph, protos.GraphDef)
        message = _of_message(coerced, Path(target).parent, file, least_bytes, holds)
    is_text = target.endswith("txt") if as_text is None else as_text
    write_whole(target, serialized(message, is_text))
    return target


def serialized(message: Any, as_text: bool) -> bytes:
    """A GraphDef as the bytes of a file; ValueError where no file can hold it."""
    if as_text:
        text: str = protos.text_format.MessageToString(message)
        return text.encode()
    encode = message.SerializeToString
    size = message.ByteSize()
    if size >= 1 << 31:
        raise ValueError(
            f"Cannot serialize protocol buffer of type tensorflow.GraphDef as the serialized size "
            f"({size}bytes) would be larger than the limit (2147483647 bytes): "
            "tf.train.export_graph writes large constants into a file of their own"
        )
    data: bytes = encode(deterministic=True)
    return data


def _write(values: Mapping[str, Any], path: Path) -> dict[str, int]:
    """Write the values; gives their checksums."""
    kept = _Values(values)
    WRITERS["safetensors" if path.suffix == _SAFETENSORS else "v2"](str(path), kept)
    return kept.crcs


def _of_graph(
    graph: Graph, directory: Path, file: str, least: int, holds: Callable[[DType], bool]
) -> Any:
    found = {}
    for op in graph.get_operations():
        value = op.attrs["value"] if op.type == "Const" else None
        if isinstance(value, np.ndarray) and _is_large(value, least, holds):
            found[op] = value
    if not found:
        return to_graph_def(graph)
    crcs = _write({op.name: value for op, value in found.items()}, directory / file)
    replaced = {}
    for op, value in found.items():
        attrs = {key: attr for key, attr in op.attrs.items() if key != "value"}
        replaced[op] = attrs | external_value.attrs_of(file, value.shape, crcs[op.name])
    return to_graph_def(graph, replaced=replaced)


def _of_message(
    message: Any, directory: Path, file: str, least: int, holds: Callable[[DType], bool]
) -> Any:
    found = {}
    for node in message.node:
        if node.op == "Const" and node.attr["value"].tensor.ByteSize() >= least:
            value = make_ndarray(node.attr["value"].tensor)
            if _is_large(value, least, holds):
                found[node.name] = value
    if not found:
        return message
    crcs = _write(found, directory / file)
    result = protos.GraphDef(versions=message.versions, library=message.library)
    for node in message.node:
        made = result.node.add()
        if node.name not in found:
            made.CopyFrom(node)
            continue
        made.name, made.op, made.device = node.name, node.op, node.device
        made.input.extend(node.input)
        attrs = external_value.attrs_of(file, found[node.name].shape, crcs[node.name])
        for key, value in attrs.items():
            made.attr[key].CopyFrom(to_attr_value(value, None))
        for key in node.attr:
            if key != "value":
                made.attr[key].CopyFrom(node.attr[key])
    return result


def _is_large(value: Any, least: int, holds: Callable[[DType], bool]) -> bool:
    # One value for all elements is one in the message, too.
    is_uniform = value.size > 1 and not any(value.strides)
    return value.nbytes >= least and not is_uniform and holds(as_dtype(value.dtype))


def _has_size(dtype: DType) -> bool:
    return bool(dtype.size)


def _crc(array: Any) -> int:
    little = array.dtype.newbyteorder("<")
    return crc32c(np.ascontiguousarray(array, dtype=little))


def _is_name(file: str) -> bool:
    return file not in ("", ".", "..") and not {"/", "\\", "\0"} & set(file)


@export("train.import_graph")
def import_graph(
    path: Any,
    input_map: dict[str, Any] | None = None,
    return_elements: Iterable[str] | None = None,
    name: str | None = None,
) -> list[Any] | None:
    """Add the graph in a file to the default graph, with the constants that lie beside it.

    Args:
        path: a file of a GraphDef, MetaGraphDef or SavedModel, binary or text, as
            `tf.train.export_graph` and others write it.
        input_map: as that of `tf.import_graph_def`.
        return_elements: as those of `tf.import_graph_def`.
        name: as that of `tf.import_graph_def`.

    Returns:
        The operations and tensors in `return_elements`; None without it.

    Raises:
        OSError: the file cannot be read.
        ValueError: it holds no graph, or none that is valid.
        NotFoundError: there is no file of the constants, or an op type is not known.
        DataLossError: the file of the constants is damaged, or does not belong to the graph.
    """
    file = local_path(path)
    message = read_graph(file).graph_def
    values = external_values(message, file)
    return import_message(
        message, input_map, return_elements, name, values=values, origin=f"the graph in {file}"
    )


def external_values(graph_def: Any, path: str) -> dict[str, Any]:
    """The values of constants that lie in other files, by node; see `import_graph`.

    Args:
        graph_def: the graph.
        path: where its file is: the others are in the same directory.
    """
    by_file: dict[str, list[Any]] = {}
    for node in external_value.nodes_in(graph_def):
        file = node.attr[external_value.FILE].s.decode(errors="replace")
        if not _is_name(file):
            raise ValueError(
                f"{path}: node '{node.name}' names the file {file!r}, which may lie anywhere: only "
                "files in the graph's own directory are read"
            )
        by_file.setdefault(file, []).append(node)
    values: dict[str, Any] = {}
    for file, nodes in by_file.items():
        beside = str(Path(path).parent / file)
        if not checkpoint_exists(beside):
            raise NotFoundError(
                None,
                None,
                f"{path} has the values of {len(nodes):,} nodes in {beside}, which is not there",
            )
        reader = open_checkpoint(beside)
        for node in nodes:
            entry = reader.entry(node.name) if node.name in reader else None
            shape = to_shape(node.attr[external_value.SHAPE].shape)
            dtype = node.attr["dtype"].type
            if entry is None or (entry.dtype.as_datatype_enum, tuple(entry.shape)) != (
                dtype,
                shape,
            ):
                raise _foreign(path, beside, node)
        arrays = read_tensors(reader, [(node.name, None) for node in nodes])
        for node, array in zip(nodes, arrays, strict=True):
            if _crc(array) != node.attr[external_value.CRC].i:
                raise _foreign(path, beside, node)
            values[node.name] = array
    return values


def _foreign(path: str, beside: str, node: Any) -> DataLossError:
    return DataLossError(
        None,
        None,
        f"The value of node '{node.name}' in {beside} is not that with which {path} was written",
    )
