"""Pruning: the operations that a step must run, in an order in which each can run."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from operator import attrgetter

from tfsession.core.errors import InvalidArgumentError
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor
from tfsession.runtime.partition import input_arguments

_PLACEHOLDERS = ("Placeholder", "PlaceholderV2")


def prune(
    fetches: Iterable[Tensor], targets: Iterable[Operation], feeds: Collection[Tensor]
) -> list[Operation]:
    """All ancestors of fetches and targets, cut at the fed tensors, in topological order.

    An operation all of whose needed outputs are fed does not run; a target runs always.
    """
    fed = frozenset(feeds)
    needed: set[Operation] = set(targets)
    needed.update(tensor.op for tensor in fetches if tensor not in fed)
    stack = list(needed)
    while stack:
        op = stack.pop()
        for tensor in op.inputs:
            source = tensor.op
            if source not in needed and tensor not in fed:
                needed.add(source)
                stack.append(source)
        for source in _awaited(op, fed):
            if source not in needed:
                needed.add(source)
                stack.append(source)
    ordered = sorted(needed, key=attrgetter("_id"))
    return ordered if _is_topological(ordered) else _sort(ordered, fed)


def _is_topological(ordered: list[Operation]) -> bool:
    """Whether order of creation is an order of execution: so unless a program rewired an op."""
    for op in ordered:
        number = op._id
        for tensor in op.inputs:
            if tensor.op._id >= number:
                return False
        for source in op.control_inputs:
            if source._id >= number:
                return False
    return True


def sources(op: Operation, fed: Collection[Tensor]) -> list[Operation]:
    """The operations that must run before `op`."""
    return [*(t.op for t in op.inputs if t not in fed), *_awaited(op, fed)]


def _awaited(op: Operation, fed: Collection[Tensor]) -> Sequence[Operation]:
    """The control inputs that must run: a placeholder is done when it is fed."""
    controls = op.control_inputs
    if not fed or not controls:
        return controls
    return [control for control in controls if not is_fed_placeholder(control, fed)]


def is_fed_placeholder(op: Operation, fed: Collection[Tensor]) -> bool:
    """Whether feeding has done all that `op` is there for."""
    return op.type in _PLACEHOLDERS and op.outputs[0] in fed


def _sort(ops: list[Operation], fed: Collection[Tensor]) -> list[Operation]:
    done: dict[Operation, bool] = {}
    ordered: list[Operation] = []
    for root in ops:
        stack = [root]
        while stack:
            op = stack[-1]
            if done.get(op):
                stack.pop()
                continue
            pending = [s for s in sources(op, fed) if not done.get(s)]
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


def check_fed_references(ops: Iterable[Operation], feeds: Collection[Tensor]) -> None:
    """Raise InvalidArgumentError where an operation would update a variable that is fed."""
    order = {tensor: i for i, tensor in enumerate(feeds) if tensor.dtype.is_ref}
    if not order:
        return
    for op in ops:
        for index, (tensor, arg) in enumerate(zip(op.inputs, input_arguments(op), strict=True)):
            if arg.is_ref and tensor in order:
                dtype = tensor.dtype.base_dtype.op_def_name
                source = f"_arg_{tensor.op.name}_{tensor.value_index}_{order[tensor]}:0"
                raise InvalidArgumentError(
                    None,
                    None,
                    f"Input {index} of node {op.name} was passed {dtype} from {source} "
                    f"incompatible with expected {dtype}_ref.",
                )
