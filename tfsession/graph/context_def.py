"""Branches and loops as messages, by the names of their tensors, and back: gradients need them."""

from __future__ import annotations

from typing import Any

from tfsession.core import protos
from tfsession.graph.collection_protos import (
    CollectionProto,
    collection_protos,
    within_scope,
    without_scope,
)
from tfsession.graph.context import CondContext, ControlFlowContext, WhileContext
from tfsession.graph.graph import Graph, get_default_graph
from tfsession.graph.graph_keys import GraphKeys
from tfsession.graph.tensor import Tensor


def to_proto(context: ControlFlowContext, export_scope: str | None = None) -> Any:
    """The CondContextDef or WhileContextDef; None for a context outside of `export_scope`."""
    prefix = export_scope.rstrip("/") + "/" if export_scope else ""
    if not context.name.startswith(prefix):
        return None

    def name(tensor: Tensor | None) -> str:
        return "" if tensor is None else without_scope(tensor.name, export_scope)

    message: Any
    if isinstance(context, CondContext):
        message = protos.CondContextDef(
            pred_name=name(context.pred), pivot_name=name(context.pivot), branch=context.branch
        )
        # It comes from outside, or readers would take its operation for one of the branch.
        message.values_def.external_values[name(context.pred)] = name(context.pred)
    else:
        assert isinstance(context, WhileContext)
        message = protos.WhileContextDef(
            parallel_iterations=context.parallel_iterations,
            back_prop=context.back_prop,
            swap_memory=context.swap_memory,
            pivot_name=name(context.going_on),
            pivot_for_pred_name=name(context.pivot_for_pred),
            pivot_for_body_name=name(context.pivot_for_body),
            loop_exit_names=map(name, context.exits),
            loop_enter_names=map(name, context.enters),
        )
    message.context_name = without_scope(context.name, export_scope)
    message.values_def.values.extend(sorted(map(name, context.values)))
    for outside, inside in context.external_values.items():
        message.values_def.external_values[name(outside)] = name(inside)
    for nested in _nested(context):
        inner = to_proto(nested, export_scope)
        if inner is not None:
            added = message.nested_contexts.add()
            is_cond = isinstance(nested, CondContext)
            (added.cond_ctxt if is_cond else added.while_ctxt).CopyFrom(inner)
    return message


def _nested(context: ControlFlowContext) -> list[ControlFlowContext]:
    """The contexts right inside of one, in the order in which they were made."""
    found: dict[ControlFlowContext, None] = {}
    for op in context.graph.get_operations():
        inner = op._control_flow_context
        while inner is not None and inner.outer_context is not context:
            inner = inner.outer_context
        if inner is not None:
            found[inner] = None
    return list(found)


def from_proto(message: Any, import_scope: str | None = None) -> ControlFlowContext:
    """The context of a message, whose operations are in the default graph.

    Args:
        message: a CondContextDef or WhileContextDef.
        import_scope: the name scope that the operations were imported into.

    Raises:
        KeyError: there are no such tensors.
    """
    graph = get_default_graph()

    def tensor(name: str) -> Tensor:
        return graph.get_tensor_by_name(within_scope(name, import_scope))

    context: Any
    name = within_scope(message.context_name, import_scope)
    if hasattr(message, "pred_name"):
        pred, pivot = tensor(message.pred_name), tensor(message.pivot_name)
        context = CondContext(graph, name, pred, pivot, message.branch)
    else:
        context = WhileContext(
            graph, name, message.parallel_iterations, message.back_prop, message.swap_memory
        )
        context.going_on = tensor(message.pivot_name)
        context.pivot_for_pred = tensor(message.pivot_for_pred_name)
        context.pivot_for_body = tensor(message.pivot_for_body_name)
        context.enters = [tensor(one) for one in message.loop_enter_names]
        context.exits = [tensor(one) for one in message.loop_exit_names]
    values = message.values_def
    known = {key: tensor(value) for key, value in values.external_values.items()}
    context.external_values = {tensor(key): value for key, value in known.items()}
    context.values.update(map(tensor, values.values))
    _take_in(graph, context, [one for one in values.values if one not in known], import_scope)
    made: ControlFlowContext = context
    with made.entered():
        for nested in message.nested_contexts:
            from_proto(getattr(nested, nested.WhichOneof("ctxt")), import_scope)
    return made


def _take_in(
    graph: Graph, context: ControlFlowContext, names: list[str], import_scope: str | None
) -> None:
    for name in names:
        tensor = graph.get_tensor_by_name(within_scope(name, import_scope))
        tensor.op._control_flow_context = context


for _key, _message in (
    (GraphKeys.COND_CONTEXT, "CondContextDef"),
    (GraphKeys.WHILE_CONTEXT, "WhileContextDef"),
):
    collection_protos[_key] = CollectionProto(_message, to_proto, from_proto)
