"""Calls of functions written out in their own graph, for who wants a graph of plain operations."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from tfsession.core.op_def import ops
from tfsession.graph.build import build_operation
from tfsession.graph.graph import Graph
from tfsession.graph.lowering import is_lowered, lower
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor

# What functions may become: those of a file that nobody vouches for may call each other for ever.
_MOST_OPERATIONS: Final = 1_000_000


def inline_calls(graph: Graph, names: Iterable[str]) -> dict[str, str]:
    """Write out all calls that some operations need; what reads their results reads the bodies'.

    Args:
        graph: has not been run yet.
        names: of the operations.

    Returns:
        For those of `names` that are calls, the name of the operation that has their results.

    Raises:
        ValueError: the functions call each other without end.
        InvalidArgumentError: a function does not fit its call.
        NotFoundError: a function is not there.
    """
    wanted = [graph.get_operation_by_name(name) for name in names]
    results: dict[Tensor, Tensor] = {}
    ends: dict[Operation, Operation] = {}
    while calls := [op for op in _needed(wanted, results, ends) if is_lowered(op)]:
        for op in calls:
            lowered = lower(op, graph)
            results.update(zip(op.outputs, lowered.outputs, strict=True))
            ends[op] = lowered.done
            if len(graph._ops) > _MOST_OPERATIONS:
                raise ValueError(f"the functions that '{op.name}' calls have no end")
        _redirect(graph, results, ends)
    return {op.name: _gathered(graph, op, results) for op in wanted if op in ends}


def _needed(
    wanted: list[Operation], results: dict[Tensor, Tensor], ends: dict[Operation, Operation]
) -> list[Operation]:
    """What the wanted operations wait for, without the calls that are written out."""
    waiting, seen = list(wanted), set[Operation]()
    while waiting:
        op = waiting.pop()
        if op in seen:
            continue
        seen.add(op)
        if op in ends:
            waiting += [_followed(tensor, results).op for tensor in op.outputs]
        else:
            waiting += [tensor.op for tensor in op.inputs]
            waiting += op.control_inputs
    return [op for op in seen if op not in ends]


def _followed(tensor: Tensor, results: dict[Tensor, Tensor]) -> Tensor:
    """The tensor itself, or what it is in the body of the function that gives it."""
    while tensor in results:
        tensor = results[tensor]
    return tensor


def _redirect(
    graph: Graph, results: dict[Tensor, Tensor], ends: dict[Operation, Operation]
) -> None:
    for op in graph.get_operations():
        if op in ends:
            continue
        for index, tensor in enumerate(op.inputs):
            if tensor in results:
                op._update_input(index, _followed(tensor, results))
        if any(control in ends for control in op.control_inputs):
            op.control_inputs = tuple(ends.get(control, control) for control in op.control_inputs)


def _gathered(graph: Graph, op: Operation, results: dict[Tensor, Tensor]) -> str:
    """One operation with all results of a call, in their order; gives its name."""
    tensors = tuple(_followed(tensor, results) for tensor in op.outputs)
    dtypes = [tensor.dtype.base_dtype for tensor in tensors]
    name = graph.unique_name(f"{op.name}/results")
    if len(tensors) == 1:
        return build_operation(graph, ops["Identity"], name, tensors, {"T": dtypes[0]}).name
    return build_operation(graph, ops["IdentityN"], name, tensors, {"T": dtypes}).name
