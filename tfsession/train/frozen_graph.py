"""Graphs without a session: written to files, cut down, with constants instead of variables."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from tfsession.core import protos
from tfsession.core.dtypes import DType, as_dtype, resource
from tfsession.core.exports import export
from tfsession.core.file_system import file_errors, local_path
from tfsession.core.shape import TensorShape
from tfsession.core.tensor_proto import array_to_proto, to_ndarray
from tfsession.graph.graph import Graph
from tfsession.train.checkpoint_state import write_whole
from tfsession.train.external_weights import serialized

_REFERENCES = ("Variable", "VariableV2")
# Ops that only hand a handle on.
_HANDED_ON = ("Enter", "Exit", "Identity", "Merge", "NextIteration", "Switch")
_SPLICED = ("Identity", "CheckNumerics", "StopGradient")
# What keeps state, as far as programs ask for where to keep that.
_PINNED = frozenset(
    [
        "Assign",
        "AssignAdd",
        "AssignSub",
        "Queue",
        "ScatterAdd",
        "ScatterSub",
        "ScatterUpdate",
        "TruncatedNormal",
        "Variable",
        "VariableV2",
    ]
)


@export("train.write_graph", "io.write_graph")
def write_graph(graph_or_graph_def: Any, logdir: Any, name: str, as_text: bool = True) -> str:
    """Write a graph to the file `name` in a directory, which is made; gives the file's path."""
    is_graph = isinstance(graph_or_graph_def, Graph)
    message = graph_or_graph_def.as_graph_def() if is_graph else graph_or_graph_def
    path = os.path.join(os.fspath(logdir), name)  # noqa: PTH118 (Path drops "./")
    with file_errors():
        Path(local_path(logdir)).mkdir(parents=True, exist_ok=True)
    write_whole(path, serialized(message, as_text))
    return path


def _node_name(text: str) -> str:
    return text.removeprefix("^").split(":")[0]


def _coerced(graph_def: Any) -> Any:
    try:
        return protos.coerce(graph_def, protos.GraphDef)
    except TypeError:
        raise TypeError(
            f"graph_def must be a graph_pb2.GraphDef proto, but got type {type(graph_def)}."
        ) from None


@export("graph_util.extract_sub_graph")
def extract_sub_graph(graph_def: Any, dest_nodes: Iterable[str]) -> Any:
    """The GraphDef of the nodes that `dest_nodes` need, in their order.

    Raises:
        TypeError: no GraphDef, or no list of names.
        AssertionError: there is no node of a name.
    """
    message = _coerced(graph_def)
    if isinstance(dest_nodes, str):
        raise TypeError(
            f"dest_nodes must be an iterable of strings, but got type {type(dest_nodes)}."
        )
    nodes = {node.name: node for node in message.node}
    waiting = list(dest_nodes)
    for name in waiting:
        if name not in nodes:
            raise AssertionError(f"{name} is not in graph")
    needed: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed.add(name)
            found = nodes.get(name)
            if found is None:
                raise AssertionError(f"{name} is not in graph")
            waiting += map(_node_name, found.input)
    result = protos.GraphDef(versions=message.versions, library=message.library)
    result.node.extend(node for name, node in nodes.items() if name in needed)
    return result


@export("graph_util.convert_variables_to_constants")
def convert_variables_to_constants(
    sess: Any,
    input_graph_def: Any,
    output_node_names: Sequence[str],
    variable_names_whitelist: Sequence[str] | None = None,
    variable_names_blacklist: Sequence[str] | None = None,
) -> Any:
    """The GraphDef of what some nodes need, with the values of variables in it.

    Args:
        sess: the session that holds the values.
        input_graph_def: the graph.
        output_node_names: the nodes.
        variable_names_whitelist: only these variables become constants; all when None.
        variable_names_blacklist: these do not.

    Raises:
        AssertionError: there is no node of a name.
        FailedPreconditionError: a variable has no value.
    """
    graph_def = extract_sub_graph(input_graph_def, output_node_names)
    nodes = {node.name: node for node in graph_def.node}
    refused = set(variable_names_blacklist or ())
    chosen = {
        node.name: _value_name(sess, node)
        for node in graph_def.node
        if node.op in (*_REFERENCES, "VarHandleOp")
        and (variable_names_whitelist is None or node.name in variable_names_whitelist)
        and node.name not in refused
    }
    values = dict(zip(chosen, sess.run(list(chosen.values())) if chosen else (), strict=True))
    result = protos.GraphDef(versions=graph_def.versions, library=graph_def.library)
    for node in graph_def.node:
        if node.name in values:
            _add_constant(result, node, values[node.name])
        else:
            source = _handle_source(node, nodes)
            kept = source is None or source.name not in values
            _convert(result, node, None if kept else as_dtype(source.attr["dtype"].type))
    return result


def _value_name(sess: Any, node: Any) -> str:
    """The tensor that is a variable's value."""
    if node.op in _REFERENCES:
        return f"{node.name}:0"
    reads = f"{node.name}/Read/ReadVariableOp"
    handle = sess.graph.get_operation_by_name(node.name).outputs[0]
    readers = [op for op in handle.consumers() if op.type == "ReadVariableOp"]
    names = [op.name for op in readers]
    if not names:
        raise ValueError(f"Nothing in the session's graph reads the variable {node.name}")
    return f"{reads if reads in names else names[0]}:0"


def _handle_source(node: Any, nodes: dict[str, Any]) -> Any:
    """The VarHandleOp whose handle a node reads or hands on; None for other nodes."""
    seen = set()
    while node.op != "VarHandleOp":
        if node.name in seen or not node.input:
            return None
        seen.add(node.name)
        if node.op in _HANDED_ON and node.attr["T"].type != resource.as_datatype_enum:
            return None
        if node.op not in (*_HANDED_ON, "ReadVariableOp", "ResourceGather", "ResourceGatherNd"):
            return None
        node = nodes[_node_name(node.input[0])]
    return node


def _add_constant(result: Any, node: Any, value: Any) -> None:
    dtype = as_dtype(node.attr["dtype"].type)
    made = result.node.add(name=node.name, op="Const")
    made.attr["dtype"].type = dtype.as_datatype_enum
    made.attr["value"].tensor.CopyFrom(array_to_proto(to_ndarray(value, dtype)))


def _convert(result: Any, node: Any, dtype: DType | None) -> None:
    """Copy a node; one that reads a handle of `dtype` reads a value instead."""
    made = result.node.add()
    made.CopyFrom(node)
    if dtype is None:
        return
    if node.op in _HANDED_ON:
        made.attr["T"].type = dtype.as_datatype_enum
        # Handles are scalars.
        made.attr.pop("_output_shapes", None)
        return
    for name in list(made.attr):
        if not name.startswith("_") and name not in ("Tindices", "batch_dims"):
            del made.attr[name]
    if not made.attr["batch_dims"].i:
        del made.attr["batch_dims"]
    if node.op == "ReadVariableOp":
        made.op = "Identity"
        made.attr["T"].type = dtype.as_datatype_enum
        return
    made.device = ""
    made.attr["Tparams"].type = dtype.as_datatype_enum
    if node.op == "ResourceGatherNd":
        made.op = "GatherNd"
        return
    made.op = "GatherV2"
    axis = result.node.add(name=f"{node.name}/axis", op="Const")
    axis.attr["dtype"].type = protos.DT_INT32
    axis.attr["value"].tensor.CopyFrom(
        array_to_proto(to_ndarray(node.attr["batch_dims"].i, as_dtype("int32")))
    )
    made.input.insert(2, axis.name)
    made.attr["Taxis"].type = protos.DT_INT32


@export("graph_util.remove_training_nodes")
def remove_training_nodes(input_graph: Any, protected_nodes: Sequence[str] | None = None) -> Any:
    """The GraphDef without Identity, CheckNumerics and StopGradient: their inputs are read instead.

    Those that take part in control dependencies stay, and those in `protected_nodes`.
    """
    graph_def = _coerced(input_graph)
    kept = set(protected_nodes or ())
    for node in graph_def.node:
        controls = [text[1:] for text in node.input if text.startswith("^")]
        kept |= {*controls, node.name} if controls else set()
    spliced = {
        node.name: node.input[0]
        for node in graph_def.node
        if node.op in _SPLICED and node.name not in kept
    }
    result = protos.GraphDef()
    for node in graph_def.node:
        if node.name not in spliced:
            made = result.node.add()
            made.CopyFrom(node)
            made.input[:] = [_followed(text, spliced.get) for text in node.input]
    return result


def _followed(text: str, source: Callable[[str], str | None]) -> str:
    while (ahead := source(re.sub(r":0$", "", text))) is not None:
        text = ahead
    return text


@export("graph_util.must_run_on_cpu")
def must_run_on_cpu(node: Any, pin_variables_on_cpu: bool = False) -> bool:
    """Whether an operation, or a NodeDef, belongs on a CPU because of what it computes."""
    node_def = getattr(node, "node_def", node)
    if pin_variables_on_cpu and node_def.op in _PINNED:
        return True
    int32, string = protos.DT_INT32, protos.DT_STRING
    if node_def.op == "Const":
        return node_def.attr["dtype"].type in (int32, string)
    if node_def.op in ("DynamicStitch", "ParallelDynamicStitch"):
        return bool(node_def.attr["T"].type == int32)
    return bool(node_def.op == "Cast" and node_def.attr["SrcT"].type == int32)


@export("graph_util.tensor_shape_from_node_def_name")
def tensor_shape_from_node_def_name(graph: Graph, input_name: str) -> TensorShape:
    """The static shape of a tensor, given as the input of a node: `a` or `a:1`."""
    name = input_name if ":" in input_name else f"{input_name}:0"
    shape: TensorShape = graph.get_tensor_by_name(name).get_shape()
    return shape
