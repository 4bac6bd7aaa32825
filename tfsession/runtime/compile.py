"""From pruned and placed operations to a plan: segments of straight-line Python over bound kernels.

A segment becomes one function: a line for each operation, `v7 = k3(v1, v5)`, with values dropped
after their last use. The line number of a failure tells the operation, at no cost while all is
well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Protocol

from tfsession.core.dtypes import resource
from tfsession.core.op_def import OpDef
from tfsession.devices.device import Device
from tfsession.devices.transfer import Memory
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor
from tfsession.runtime.partition import Node, Segment, Transfer, input_arguments, partition
from tfsession.runtime.plan import (
    CompiledSegment,
    Function,
    Plan,
    Value,
    finish_fresh,
    finish_handle,
    finish_reference,
    finish_shared,
)


class Binder(Protocol):
    """Binds kernels for a session: it knows the state that stateful kernels work on."""

    def bind(self, node: Node) -> Function:
        """The kernel of a node as a function of its inputs."""
        ...

    def constant(self, node: Node) -> Value:
        """The value of a node whose kernel is constant, made once for the session."""
        ...


def compile_plan(
    ops: Sequence[Operation],
    placement: Mapping[Operation, Device],
    feeds: Sequence[Tensor],
    fetches: Sequence[Tensor],
    binder: Binder,
) -> Plan:
    """Compile topologically ordered operations into a plan.

    Args:
        ops: what must run, in an order in which it can.
        placement: the device of each operation.
        feeds: tensors whose values are given, in host memory.
        fetches: tensors whose values are wanted.
        binder: binds kernels to the state of a session.
    """
    segments = partition(ops, placement, feeds)
    names = _Names(segments, feeds)
    fetch_transfers = [
        Transfer(tensor, names.location[tensor], None)
        for tensor in dict.fromkeys(fetches)
        if not names.has(tensor, None)
    ]
    returned = [names.of(tensor, None) for tensor in fetches]
    alone = len(segments) == 1 and not fetch_transfers
    later = set(returned)
    later.update(names.of(t.tensor, t.source) for t in fetch_transfers)
    compiled = []
    for segment in reversed(segments):
        compiled.append(
            _compile_segment(segment, names, later, binder, returned if alone else None)
        )
        later.update(
            names.of(tensor, memory)
            for node in segment.nodes
            for tensor, memory in zip(node.op.inputs, node.input_memories, strict=True)
        )
        later.update(names.of(t.tensor, t.source) for t in segment.transfers)
    compiled.reverse()
    finishers = [names.finisher(tensor, index) for index, tensor in enumerate(fetches)]
    return Plan(feeds, fetches, compiled, names.names, finishers, fetch_transfers)


class _Names:
    """The name of each value in each memory where it is wanted, and where it was made."""

    def __init__(self, segments: Sequence[Segment], feeds: Sequence[Tensor]) -> None:
        self.names: dict[tuple[Tensor, int], str] = {}
        self.feeds = tuple(feeds)
        self.fed = frozenset(feeds)
        self.location: dict[Tensor, Memory] = dict.fromkeys(feeds)
        self._nodes: dict[Tensor, Node] = {}
        for tensor in feeds:
            self.of(tensor, None)
        for segment in segments:
            for transfer in segment.transfers:
                self.of(transfer.tensor, transfer.destination)
            for node in segment.nodes:
                for tensor, memory in zip(node.op.outputs, node.output_memories, strict=True):
                    if tensor not in self.fed:
                        self.location[tensor] = memory
                        self._nodes[tensor] = node
                        self.of(tensor, memory)

    def has(self, tensor: Tensor, memory: Memory) -> bool:
        return (tensor, id(memory)) in self.names

    def of(self, tensor: Tensor, memory: Memory) -> str:
        key = (tensor, id(memory))
        name = self.names.get(key)
        if name is None:
            name = self.names[key] = f"v{len(self.names)}"
        return name

    def is_variable(self, tensor: Tensor, memory: Memory) -> bool:
        """Whether the value there is a variable's storage: only where it was made, not copied."""
        return tensor.dtype.is_ref and tensor not in self.fed and self.location[tensor] is memory

    def finisher(self, tensor: Tensor, index: int) -> Function:
        """What makes the value of fetch number `index` the user's own."""
        node = self._nodes.get(tensor)
        if node is None:
            return finish_shared
        if self.is_variable(tensor, None):
            return partial(
                finish_reference, f"_retval_{tensor.op.name}_{tensor.value_index}_{index}"
            )
        if tensor.dtype.base_dtype is resource:
            return finish_handle
        if self.location[tensor] is not None:
            return finish_fresh
        return finish_shared if node.kernel.aliases or node.kernel.constant else finish_fresh


class _Source:
    """The text of a segment's function as it grows, a line for each operation that computes."""

    def __init__(self, inputs: Sequence[str]) -> None:
        self.lines = [f"def segment({', '.join(inputs)}):"]
        self.ops: list[Operation | None] = [None]
        self.globals: dict[str, Any] = {}

    def bind(self, prefix: str, value: Any) -> str:
        name = f"{prefix}{len(self.globals)}"
        self.globals[name] = value
        return name

    def add(self, line: str, op: Operation) -> None:
        self.lines.append(" " + line)
        self.ops.append(op)

    def compile(self, outputs: Sequence[str]) -> Function:
        returned = "".join(f"{name}, " for name in outputs)
        self.lines.append(f" return ({returned})")
        self.ops.append(None)
        code = compile("\n".join(self.lines), "<segment>", "exec")
        exec(code, self.globals)
        function: Function = self.globals["segment"]
        return function


def _compile_segment(
    segment: Segment,
    names: _Names,
    later: set[str],
    binder: Binder,
    returned: list[str] | None,
) -> CompiledSegment:
    """One function for a segment. `later` holds the names that what follows reads."""
    made: dict[str, None] = {}
    read: dict[str, None] = {}
    last_use: dict[str, int] = {}
    for index, node in enumerate(segment.nodes):
        for tensor, memory in zip(node.op.inputs, node.input_memories, strict=True):
            name = names.of(tensor, memory)
            last_use[name] = index
            if name not in made:
                read[name] = None
        for tensor, memory in zip(node.op.outputs, node.output_memories, strict=True):
            if tensor not in names.fed:
                name = names.of(tensor, memory)
                made[name] = None
                last_use.setdefault(name, index)
    # A segment on the host takes all feeds: a plan of one segment passes them on as they are.
    fed = {names.of(tensor, None): None for tensor in names.feeds}
    inputs = tuple(fed | read if segment.memory is None else read)
    outputs = returned if returned is not None else [name for name in made if name in later]
    dying: list[list[str]] = [[] for _ in segment.nodes]
    for name, index in last_use.items():
        if name not in later:
            dying[index].append(name)
    source = _Source(inputs)
    buffers = _Buffers(names)
    for node, dead in zip(segment.nodes, dying, strict=True):
        _emit(source, node, names, binder, dead, buffers)
    function = source.compile(outputs)
    brought = {names.of(transfer.tensor, transfer.source) for transfer in segment.transfers}
    return CompiledSegment(
        function,
        segment.memory,
        inputs,
        tuple(outputs),
        tuple((brought | set(read)) - later - set(fed)),
        source.ops,
        segment.transfers,
        "\n".join(source.lines),
    )


class _Buffers:
    """Which values of a host segment may give their memory to the result of a ufunc.

    Writing over an input that dies saves the page faults of a fresh large array, which cost as
    much as the arithmetic.
    """

    def __init__(self, names: _Names) -> None:
        self._names = names
        self._fresh: set[str] = set()

    def note(self, node: Node, results: Sequence[str]) -> None:
        """Take in what an operation makes, and what may live on in its result or its state."""
        kernel = node.kernel
        if kernel.aliases or kernel.stateful:
            for tensor, memory in zip(node.op.inputs, node.input_memories, strict=True):
                self._fresh.discard(self._names.of(tensor, memory))
        elif not kernel.constant and node.memory is None and len(results) == 1:
            self._fresh.update(results)

    def reusable(self, node: Node, dying: Sequence[str]) -> str | None:
        """The name of an input over which the ufunc of `node` may write, if there is one."""
        op = node.op
        if node.kernel.ufunc is None or node.memory is not None or len(op.outputs) != 1:
            return None
        for tensor in op.inputs:
            name = self._names.of(tensor, None)
            if name in self._fresh and name in dying and _has_the_result(op, tensor):
                return name
        return None


def _has_the_result(op: Operation, tensor: Tensor) -> bool:
    """Whether the result of a ufunc surely has the shape and dtype of this input, an array."""
    out = op.outputs[0]
    if tensor.dtype is not out.dtype or not tensor._shape:
        return False
    if None not in tensor._shape and tensor._shape == out._shape:
        return True
    return all(other is tensor or other._shape == () for other in op.inputs)


def _emit(
    source: _Source,
    node: Node,
    names: _Names,
    binder: Binder,
    dying: list[str],
    buffers: _Buffers,
) -> None:
    """Add the line of one operation."""
    op, kernel = node.op, node.kernel
    arguments = []
    for tensor, memory, arg in zip(
        op.inputs, node.input_memories, input_arguments(op), strict=True
    ):
        name = names.of(tensor, memory)
        reads = not arg.is_ref and names.is_variable(tensor, memory)
        arguments.append(f"{name}.read()" if reads else name)
    results = [
        "_" if tensor in names.fed else names.of(tensor, memory)
        for tensor, memory in zip(op.outputs, node.output_memories, strict=True)
    ]
    if kernel.constant:
        call = source.bind("c", binder.constant(node))
    elif kernel.forwards:
        call = arguments[0]
    else:
        written = buffers.reusable(node, dying)
        if written is not None:
            arguments.append(f"out={written}")
        call = f"{source.bind('k', binder.bind(node))}({', '.join(arguments)})"
    buffers.note(node, results)
    if _gives_tuple(op.op_def):
        call = f"{', '.join(results)}, = {call}" if results else call
    elif results:
        call = f"{results[0]} = {call}"
    source.add(f"{call}; del {', '.join(dying)}" if dying else call, op)


def _gives_tuple(op_def: OpDef) -> bool:
    outputs = op_def.outputs
    return len(outputs) > 1 or (len(outputs) == 1 and outputs[0].is_sequence)
