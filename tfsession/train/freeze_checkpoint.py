"""A saved graph and its checkpoint made one graph, with constants instead of variables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tfsession.core import protos
from tfsession.core.errors import OpError
from tfsession.graph.create import create_op
from tfsession.graph.graph import Graph
from tfsession.graph.importer import import_graph_def
from tfsession.graph.inline_calls import inline_calls
from tfsession.session import Session
from tfsession.train.frozen_graph import convert_variables_to_constants, extract_sub_graph


def freeze_checkpoint(meta_graph: Any, checkpoint: str | None, outputs: Sequence[str]) -> Any:
    """The GraphDef of what some nodes need, with the values of a checkpoint.

    Only what these nodes and the restoring need is imported: the rest may hold ops that are not
    known here. It runs on the CPU, whatever devices the graph asks for. Calls of functions are
    written out, as those of TensorFlow 2's SavedModels, which read the variables.

    Args:
        meta_graph: a MetaGraphDef with the saver that wrote the checkpoint.
        checkpoint: its name; None for a graph without variables.
        outputs: names of nodes.

    Raises:
        ValueError: a node is not there, variables are left, or there is no saver for them.
        OpError: the checkpoint cannot be restored into the graph.
    """
    saver = meta_graph.saver_def
    restored = [saver.restore_op_name] if checkpoint and saver.restore_op_name else []
    try:
        needed = extract_sub_graph(meta_graph.graph_def, [*outputs, *restored])
    except AssertionError as error:
        raise ValueError(str(error)) from None
    with Graph().as_default() as graph:
        import_graph_def(needed, name="")
        stand_ins = inline_calls(graph, outputs)
        found = [stand_ins.get(name, name) for name in outputs]
        graph_def = extract_sub_graph(graph.as_graph_def(), found)
        for op in graph.get_operations():
            if op.type == "VarHandleOp":
                # What reads it may stand in a loop, from where nothing can be fetched.
                create_op("ReadVariableOp", [op.outputs[0]], {"dtype": op.get_attr("dtype")})
    config = protos.ConfigProto(allow_soft_placement=True, device_count={"GPU": 0})
    with Session(graph=graph, config=config) as session:
        if restored:
            session.run(restored[0], {saver.filename_tensor_name: checkpoint})
        try:
            frozen = convert_variables_to_constants(session, graph_def, found)
        except OpError as error:
            raise ValueError(f"a variable has no value: {error.message}") from None
    for name, stand_in in stand_ins.items():
        (node,) = [node for node in frozen.node if node.name == stand_in]
        node.name = name
    frozen = extract_sub_graph(frozen, outputs)
    _keep_used_functions(frozen)
    _check(frozen)
    return frozen


def _keep_used_functions(graph_def: Any) -> None:
    library = graph_def.library
    functions = {function.signature.name: function for function in library.function}
    gradients = {one.function_name: one.gradient_func for one in library.gradient}
    used: set[str] = set()
    waiting = list(graph_def.node)
    while waiting:
        node = waiting.pop()
        names = {node.op}
        for attr in node.attr.values():
            names |= {attr.func.name, *(func.name for func in attr.list.func)}
        for name in (names & functions.keys()) - used:
            used |= {name}
            waiting += functions[name].node_def
            if gradients.get(name) in functions:
                used |= {gradients[name]}
                waiting += functions[gradients[name]].node_def
    kept = protos.FunctionDefLibrary(
        function=[function for name, function in functions.items() if name in used],
        gradient=[one for one in library.gradient if one.function_name in used],
    )
    library.CopyFrom(kept)


def _check(frozen: Any) -> None:
    """Raise ValueError where the graph is none, as it is when functions read variables."""
    try:
        with Graph().as_default():
            import_graph_def(frozen, name="")
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"the result is no valid graph, as where it assigns to a variable: {error}"
        ) from None
