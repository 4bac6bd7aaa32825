"""What is in graphs: GraphDefs, MetaGraphDefs, SavedModels. Nothing is imported, nothing is run."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from tfsession.cli.contents import (
    COUNT,
    LIST,
    NAME,
    SHAPE,
    SIZE,
    YES,
    Contents,
    Field,
    Section,
    shape_of,
)
from tfsession.cli.tensor_contents import STATISTICS, statistics_of
from tfsession.core import protos
from tfsession.core.dtypes import as_dtype
from tfsession.core.op_def import ops
from tfsession.core.tensor_proto import make_ndarray
from tfsession.graph import external_value
from tfsession.graph.graph_keys import GraphKeys

_VARIABLES: Final = frozenset(["Variable", "VariableV2", "AutoReloadVariable", "VarHandleOp"])
_PLACEHOLDERS: Final = frozenset(["Placeholder", "PlaceholderV2", "PlaceholderWithDefault"])
# Constants from so many bytes on are worth a row: below it are shapes, axes and the like.
_LARGE: Final = 1024
# What is not computed, and the names of files.
_GIVEN: Final = _VARIABLES | _PLACEHOLDERS | {"Const", "ShardedFilename"}
_HANDED_ON: Final = frozenset(["Identity", "ReadVariableOp"])
# Savers read the names of files by these.
_SAVING: Final = frozenset(
    [
        *("Save", "SaveV2", "SaveSlices", "Restore", "RestoreV2", "RestoreSlice", "Identity"),
        *("MergeV2Checkpoints", "ShardedFilename", "StringJoin", "StaticRegexFullMatch"),
        *("Select", "Pack", "PlaceholderWithDefault"),
    ]
)
# Parts of the names of ops whose results are for nobody, or for a file.
_KEPT: Final = ("Assign", "Summary", "Save", "Restore", "Enqueue", "Apply")


class _Asked(NamedTuple):
    nodes: bool
    statistics: bool


def of_message(message: Any, kind: str, nodes: bool = False, statistics: bool = False) -> Contents:
    """The contents of a message: facts, tables, or a part for each meta graph of a SavedModel.

    Args:
        message: a GraphDef, MetaGraphDef or SavedModel.
        kind: which of them.
        nodes: list all nodes, too.
        statistics: look at the values of large constants, too.
    """
    asked = _Asked(nodes, statistics)
    if kind == "GraphDef":
        return _of_graph(message, kind, asked)
    if kind == "MetaGraphDef":
        return _of_meta_graph(message, kind, asked)
    parts = [_of_meta_graph(one, "MetaGraphDef", asked) for one in message.meta_graphs]
    return Contents(kind, {"Schema version": message.saved_model_schema_version}, [], parts)


def _of_meta_graph(message: Any, kind: str, asked: _Asked) -> Contents:
    found = _of_graph(message.graph_def, kind, asked, _trainable(message))
    about = message.meta_info_def
    saver = message.saver_def
    found.facts = {
        "Tags": sorted(about.tags),
        **found.facts,
        "TensorFlow": about.tensorflow_version,
        "Saver": f"version {saver.version}, restored by {saver.restore_op_name}"
        if saver.restore_op_name
        else "",
    }
    found.sections = [
        _signatures(message.signature_def),
        *found.sections,
        _collections(message.collection_def),
        Section(
            "assets",
            "Assets",
            [Field("file", "File", NAME), Field("tensor", "Tensor")],
            [(one.filename, one.tensor_info.name) for one in message.asset_file_def],
        ),
        _objects(message.object_graph_def),
    ]
    return found


def _of_graph(
    graph_def: Any, kind: str, asked: _Asked, trainable: frozenset[str] | None = None
) -> Contents:
    functions = graph_def.library.function
    counts = Counter(node.op for node in graph_def.node)
    inner = Counter(node.op for function in functions for node in function.node_def)
    own = {function.signature.name for function in functions}
    lacking = {op: n for op, n in (counts + inner).items() if op not in ops and op not in own}
    variables = _variables(graph_def, trainable)
    constants = _constants(graph_def, asked.statistics)
    versions = graph_def.versions
    facts = {
        "Nodes": len(graph_def.node),
        "Nodes in functions": inner.total() or None,
        "Producer": versions.producer,
        "Min consumer": versions.min_consumer or None,
        "Bad consumers": list(versions.bad_consumers),
        "Variables bytes": sum(row[3] or 0 for row in variables.rows) or None,
        "Constants bytes": sum(row[3] or 0 for row in constants.rows) or None,
    }
    large = [row for row in constants.rows if (row[3] or 0) >= _LARGE]
    constants.rows[:] = sorted(large, key=lambda row: -row[3])
    constants.total = len(large)
    readers = _readers(graph_def)
    devices = Counter(node.device for node in graph_def.node)
    sections = [
        _placeholders(graph_def, readers),
        _outputs(graph_def, own, readers),
        variables,
        constants,
        _ops(counts, inner, lacking),
        _lacking(lacking),
        _functions(functions),
        Section(
            "devices",
            "Devices asked for",
            [Field("device", "Device"), Field("nodes", "Nodes", COUNT)],
            sorted((name, count) for name, count in devices.items() if name),
        ),
    ]
    if asked.nodes:
        sections.append(_nodes(graph_def))
    return Contents(kind, facts, sections)


def _dtype_of(node: Any) -> Any:
    return _dtype(node.attr["dtype"].type) if "dtype" in node.attr else None


def _dtype(number: int) -> str:
    try:
        return as_dtype(number).name
    except TypeError:
        return f"type {number}"


def _size(dtype: str | None, shape: Any) -> int | None:
    """The bytes of a tensor; None where shape or dtype do not tell."""
    if not isinstance(shape, list) or None in shape or dtype is None:
        return None
    try:
        size = as_dtype(dtype).size
    except TypeError:
        return None
    return math.prod(shape) * size if size and dtype not in ("resource", "variant") else None


_TENSOR: Final = (
    Field("name", "Name", NAME),
    Field("dtype", "Dtype"),
    Field("shape", "Shape", SHAPE),
    Field("bytes", "Size", SIZE),
)


def _variables(graph_def: Any, trainable: frozenset[str] | None) -> Section:
    rows = []
    for node in graph_def.node:
        if node.op in _VARIABLES:
            dtype = _dtype_of(node)
            shape = shape_of(node.attr["shape"].shape) if "shape" in node.attr else "unknown"
            known = None if trainable is None else node.name in trainable
            rows.append((node.name, dtype, shape, _size(dtype, shape), known, node.op))
    fields = [*_TENSOR, Field("trainable", "Trainable", YES, 1), Field("op", "Type", rank=2)]
    return Section("variables", "Variables", fields, rows)


def _trainable(message: Any) -> frozenset[str] | None:
    """The names of the variables that training changes, as far as a collection tells."""
    if GraphKeys.TRAINABLE_VARIABLES not in message.collection_def:
        return None
    names = set()
    for value in message.collection_def[GraphKeys.TRAINABLE_VARIABLES].bytes_list.value:
        try:
            names.add(protos.VariableDef.FromString(value).variable_name.split(":")[0])
        except protos.DecodeError:
            return None
    return frozenset(names)


def _constants(graph_def: Any, statistics: bool) -> Section:
    """All constants: the small ones are for the sum only."""
    rows: list[tuple[Any, ...]] = []
    unknown = (None,) * len(STATISTICS) if statistics else ()
    for node in external_value.nodes_in(graph_def):
        dtype, shape = _dtype_of(node), shape_of(node.attr[external_value.SHAPE].shape)
        file = node.attr[external_value.FILE].s.decode(errors="replace")
        rows.append((node.name, dtype, shape, _size(dtype, shape), file, *unknown))
    for node in graph_def.node:
        if node.op == "Const" and "value" in node.attr:
            tensor = node.attr["value"].tensor
            dtype, shape = _dtype(tensor.dtype), shape_of(tensor.tensor_shape)
            size = _size(dtype, shape)
            if dtype == "string":
                size = sum(map(len, tensor.string_val))
            is_asked = statistics and (size or 0) >= _LARGE
            found = statistics_of(make_ndarray(tensor)) if is_asked else unknown
            rows.append((node.name, dtype, shape, size, None, *found))
    fields = [*_TENSOR, Field("file", "File"), *(STATISTICS if statistics else ())]
    return Section("constants", "Large constants", fields, rows)


def _placeholders(graph_def: Any, readers: Mapping[str, set[str]]) -> Section:
    """What is to be fed, without the names of files that savers are given."""
    rows = []
    for node in graph_def.node:
        if node.op in _PLACEHOLDERS:
            dtype, by = _dtype_of(node), readers.get(node.name)
            if dtype == "string" and by and by <= _SAVING:
                continue
            shape = shape_of(node.attr["shape"].shape) if "shape" in node.attr else "unknown"
            rows.append((node.name, dtype, shape))
    return Section("placeholders", "Placeholders", _TENSOR[:3], rows)


def _readers(graph_def: Any) -> dict[str, set[str]]:
    """By the name of each node whose outputs are read, the op types of those that do."""
    readers: dict[str, set[str]] = {}
    for node in graph_def.node:
        op = node.op
        for text in node.input:
            if not text.startswith("^"):
                readers.setdefault(text.split(":")[0], set()).add(op)
    return readers


def _outputs(graph_def: Any, own: set[str], readers: Mapping[str, set[str]]) -> Section:
    """Nodes that compute something, which goes nowhere but into summaries."""
    given = {n.name for n in graph_def.node if n.op in _GIVEN}
    rows = []
    for node in graph_def.node:
        name, op = node.name, node.op
        if (
            name in given
            or _is_kept(op)
            or not all("Summary" in one for one in readers.get(name, ()))
        ):
            continue
        if op in _HANDED_ON and node.input and node.input[0].split(":")[0] in given:
            continue
        known = ops.get(op)
        if known is None or known.outputs or op in own:
            rows.append((name, op))
    fields = [Field("name", "Name", NAME), Field("op", "Type")]
    return Section("likely_outputs", "Likely outputs", fields, rows)


def _is_kept(op: str) -> bool:
    return any(word in op for word in _KEPT)


def _ops(counts: Counter[str], inner: Counter[str], lacking: Iterable[str]) -> Section:
    names = sorted(counts | inner, key=lambda op: (-counts[op] - inner[op], op))
    rows = [
        (op, counts[op], inner[op] if inner else None, op not in lacking) for op in names
    ]  # fmt: skip
    fields = [
        Field("op", "Type"),
        Field("nodes", "Nodes", COUNT),
        Field("nodes_in_functions", "In functions", COUNT),
        Field("known", "Known here", YES),
    ]
    return Section("ops", "Nodes by type", fields, rows)


def _lacking(lacking: dict[str, int]) -> Section:
    fields = [Field("op", "Type"), Field("nodes", "Nodes", COUNT)]
    rows = sorted(lacking.items(), key=lambda pair: (-pair[1], pair[0]))
    return Section("lacking_ops", "Types that tfsession lacks", fields, rows, "bad")


def _functions(functions: Iterable[Any]) -> Section:
    fields = [
        Field("name", "Name", NAME),
        Field("nodes", "Nodes", COUNT),
        Field("inputs", "Inputs", LIST, 1),
        Field("outputs", "Outputs", LIST, 1),
    ]
    rows = [
        (
            function.signature.name,
            len(function.node_def),
            [arg.name for arg in function.signature.input_arg],
            [arg.name for arg in function.signature.output_arg],
        )
        for function in functions
    ]
    return Section("functions", "Functions", fields, rows)


def _nodes(graph_def: Any) -> Section:
    fields = [
        Field("name", "Name", NAME),
        Field("op", "Type"),
        Field("inputs", "Inputs", LIST, 1),
        Field("device", "Device", rank=2),
    ]
    rows = [(n.name, n.op, list(n.input), n.device or None) for n in graph_def.node]
    return Section("nodes_by_name", "Nodes", fields, rows)


def _signatures(signatures: Any) -> Section:
    fields = [
        Field("signature", "Signature", NAME),
        Field("side", "Side"),
        Field("key", "Key"),
        Field("tensor", "Tensor"),
        Field("dtype", "Dtype"),
        Field("shape", "Shape", SHAPE),
        Field("method", "Method", rank=1),
    ]
    rows = []
    for name in sorted(signatures):
        signature = signatures[name]
        for side, infos in (("input", signature.inputs), ("output", signature.outputs)):
            for key in sorted(infos):
                info = infos[key]
                rows.append(
                    (
                        name,
                        side,
                        key,
                        _tensor_of(info),
                        _dtype(info.dtype),
                        shape_of(info.tensor_shape),
                        signature.method_name,
                    )
                )
    return Section("signatures", "Signatures", fields, rows)


def _tensor_of(info: Any) -> str:
    """The tensors' names: a sparse one has three."""
    kind = info.WhichOneof("encoding")
    if kind == "coo_sparse":
        sparse = info.coo_sparse
        names = (
            sparse.indices_tensor_name, sparse.values_tensor_name, sparse.dense_shape_tensor_name
        )  # fmt: skip
        return ", ".join(names)
    if kind == "composite_tensor":
        return ", ".join(one.name for one in info.composite_tensor.components)
    name: str = info.name
    return name


def _collections(collections: Any) -> Section:
    fields = [
        Field("name", "Name", NAME), Field("items", "Items", COUNT), Field("kind", "Kind")
    ]  # fmt: skip
    rows = []
    for name in sorted(collections):
        kind = collections[name].WhichOneof("kind")
        count = len(getattr(collections[name], kind).value) if kind else 0
        rows.append((name, count, kind))
    return Section("collections", "Collections", fields, rows)


def _objects(object_graph: Any) -> Section:
    """The objects of a SavedModel that TensorFlow 2 has written, with the names of their parts."""
    fields = [
        Field("number", "Number", COUNT),
        Field("kind", "Kind"),
        Field("what", "What"),
        Field("children", "Children", LIST, 1),
    ]
    rows = []
    for number, node in enumerate(object_graph.nodes):
        kind = node.WhichOneof("kind") or ""
        what = None
        if kind == "variable":
            variable = node.variable
            what = f"{variable.name} {_dtype(variable.dtype)}"
        elif kind == "user_object":
            what = node.user_object.identifier
        elif kind == "function":
            what = ", ".join(node.function.concrete_functions)
        rows.append((number, kind, what, [child.local_name for child in node.children]))
    return Section("objects", "Objects", fields, rows)
