"""Pruning: the operations that a step must run, in an order in which each can run."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from operator import attrgetter

from tfsession.core.errors import InvalidArgumentError
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor
from tfsession.runtime.partition import input_arguments
from tfsession.runtime.regions import MERGES, NEXT_ITERATIONS
from tfsession.runtime.wiring import AS_IN_GRAPH, NOTHING, Connections, sources_of


def prune(
    fetches: Iterable[Tensor],
    targets: Iterable[Operation],
    feeds: Collection[Tensor],
    connections: Connections = AS_IN_GRAPH,
) -> list[Operation]:
    """All ancestors of fetches and targets, cut at the fed tensors, in topological order.

    An operation all of whose needed outputs are fed does not run; a target runs always.
    """
    fed = frozenset(feeds)
    needed: set[Operation] = set(targets)
    needed.update(tensor.op for tensor in fetches if tensor not in fed)
    waiting, is_rewired = list(needed), bool(connections)
    # Order of creation is an order of execution unless a program rewired an operation.
    is_in_order = not is_rewired
    for op in waiting:
        number = op._id
        if is_rewired or op.control_inputs:
            is_in_order &= all(source._id < number for source in op.control_inputs)
            is_in_order &= all(tensor.op._id < number for tensor in op.inputs)
            sources = sources_of(op, fed, connections)
        else:
            sources = [tensor.op for tensor in op.inputs if tensor not in fed]
        for source in sources:
            if source not in needed:
                needed.add(source)
                waiting.append(source)
            if source._id >= number:
                is_in_order = False
    ordered = sorted(needed, key=attrgetter("_id"))
    return ordered if is_in_order else _sort(ordered, fed, connections)


def _sort(
    ops: list[Operation], fed: Collection[Tensor], connections: Connections
) -> list[Operation]:
    done: dict[Operation, bool] = {}
    ordered: list[Operation] = []
    for root in ops:
        stack = [root]
        while stack:
            op = stack[-1]
            if done.get(op):
                stack.pop()
                continue
            pending = [s for s in _before(op, fed, connections) if not done.get(s)]
            if not pending:
                done[op] = True
                ordered.append(op)
                stack.pop()
                continue
            for source in pending:
                if source in done:
                    raise InvalidArgumentError(
                        None, source, f"Node '{source.name}' is part of a cycle in the graph."
                    )
            done[op] = False
            stack.append(pending[0])
    return ordered


def _before(op: Operation, fed: Collection[Tensor], connections: Connections) -> list[Operation]:
    """What runs before an operation; what a loop brings back to its Merge runs after it."""
    sources = sources_of(op, fed, connections)
    if op.type in MERGES:
        return [source for source in sources if source.type not in NEXT_ITERATIONS]
    return sources


def check_replaced_inputs(
    ops: Iterable[Operation],
    feeds: Collection[Tensor],
    connections: Mapping[Tensor, Tensor] = NOTHING,
) -> None:
    """Raise InvalidArgumentError where what stands for a tensor is no input for an operation.

    A variable that is fed or connected cannot be updated; what is connected keeps its dtype.
    """
    fed = {tensor: i for i, tensor in enumerate(feeds) if tensor.dtype.is_ref}
    if not fed and not connections:
        return
    for op in ops:
        for index, (tensor, arg) in enumerate(zip(op.inputs, input_arguments(op), strict=True)):
            given = connections.get(tensor, tensor).dtype.base_dtype
            wanted = tensor.dtype.base_dtype
            if tensor in connections:
                source = f"_identity_{tensor.op.name}_{tensor.value_index}:0"
            elif tensor in fed:
                source = f"_arg_{tensor.op.name}_{tensor.value_index}_{fed[tensor]}:0"
            else:
                continue
            if arg.is_ref or given is not wanted:
                raise InvalidArgumentError(
                    None,
                    None,
                    f"Input {index} of node {op.name} was passed {given.op_def_name} from {source} "
                    f"incompatible with expected {wanted.op_def_name}{'_ref' * arg.is_ref}.",
                )
