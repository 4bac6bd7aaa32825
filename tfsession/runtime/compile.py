"""From pruned and placed operations to a plan: segments of straight-line Python over bound kernels.

A segment becomes one function: a line for each operation, `v7 = k3(v1, v5)`, with values dropped
after their last use. The line number of a failure tells the operation, at no cost while all is
well.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

from tfsession.core.dtypes import resource
from tfsession.devices.device import Device
from tfsession.devices.transfer import Memory
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor
from tfsession.runtime.control import CancellationManager, stop_closed, stop_late
from tfsession.runtime.partition import (
    Node,
    Segment,
    Transfer,
    gives_tuple,
    input_arguments,
    partition,
)
from tfsession.runtime.plan import (
    CompiledSegment,
    Function,
    Plan,
    Signature,
    Value,
    finish_fresh,
    finish_fresh_on_device,
    finish_handle,
    finish_reference,
    finish_shared,
    finish_shared_on_device,
)


class Binder(Protocol):
    """Binds kernels for a session: it knows the state that stateful kernels work on."""

    cancellation: CancellationManager

    @property
    def strips_debug(self) -> bool:
        """Whether checks and prints are left out."""

    def bind(self, node: Node) -> Function:
        """The kernel of a node as a function of its inputs."""
        ...

    def constant(self, node: Node) -> Value:
        """The value of a node whose kernel is constant, made once for the session."""
        ...


def compile_plan(
    ops: Sequence[Operation],
    placement: Mapping[Operation, Device],
    signature: Signature,
    binder: Binder,
    asks: str = "",
) -> Plan:
    """Compile topologically ordered operations into a plan.

    Args:
        ops: what must run, in an order in which it can.
        placement: the device of each operation.
        signature: what is fed and fetched, and where it lies.
        binder: binds kernels to the state of a session.
        asks: what of the StepControl compiled code works with: "deadline" compares it with the
            time after each operation, "observe" is told of each, at the price of a call.
    """
    feeds = dict(zip(signature.feeds, signature.memories, strict=True))
    arrivals = {t: 1 << i for i, t in enumerate(feeds)} if signature.arriving else {}
    connections = dict(signature.connections)
    segments = partition(ops, placement, feeds, arrivals, connections, binder.strips_debug)
    names = _Names(segments, feeds)
    located = [names.location[tensor] for tensor in signature.fetches]
    wanted = signature.destinations(located)
    fetch_transfers = [
        Transfer(tensor, source, memory)
        for tensor, source, memory in zip(signature.fetches, located, wanted, strict=True)
        if source is not memory
    ]
    finishers = [
        names.finisher(tensor, index, memory)
        for index, (tensor, memory) in enumerate(zip(signature.fetches, wanted, strict=True))
    ]
    is_single = (
        len(segments) == 1
        and not (fetch_transfers or signature.arriving)
        and not (segments[0].transfers or segments[0].arrival or segments[0].memory)
    )
    returned = [names.of(t, m) for t, m in zip(signature.fetches, wanted, strict=True)]
    fetched = {names.of(t.tensor, t.source) for t in fetch_transfers} | set(returned)
    # What is connected may have another shape than the graph says.
    compiler = _SegmentCompiler(names, binder, asks, reuses=not signature.connections)
    if is_single:
        compiled = [compiler.compile_single(segments[0], returned, finishers)]
    else:
        compiled = compiler.compile_all(segments, fetched)
    return Plan(
        signature,
        compiled,
        names.names,
        wanted,
        finishers,
        fetch_transfers,
        binder.cancellation,
        asks,
        partial(compile_plan, ops, placement, signature, binder),
        is_single,
    )


class _Names:
    """The name of each value in each memory where it is wanted, and where it was made."""

    def __init__(self, segments: Sequence[Segment], feeds: Mapping[Tensor, Memory]) -> None:
        self.names: dict[tuple[Tensor, int], str] = {}
        self.feeds = feeds
        self.location: dict[Tensor, Memory] = dict(feeds)
        self._nodes: dict[Tensor, Node] = {}
        for tensor, memory in feeds.items():
            self.of(tensor, memory)
        for segment in segments:
            for transfer in segment.transfers:
                self.of(transfer.tensor, transfer.destination)
            for node in segment.nodes:
                for tensor, memory in zip(node.op.outputs, node.output_memories, strict=True):
                    if tensor not in feeds:
                        self.location[tensor] = memory
                        self._nodes[tensor] = node
                        self.of(tensor, memory)

    def of(self, tensor: Tensor, memory: Memory) -> str:
        key = (tensor, id(memory))
        name = self.names.get(key)
        if name is None:
            name = self.names[key] = f"v{len(self.names)}"
        return name

    def inputs(self, node: Node) -> list[str]:
        """The name of each input of a node."""
        return [self.of(t, m) for t, m in zip(node.inputs, node.input_memories, strict=True)]

    def outputs(self, node: Node) -> list[str]:
        """The name of each output of a node; an underscore for one that is fed."""
        return [
            "_" if tensor in self.feeds else self.of(tensor, memory)
            for tensor, memory in zip(node.op.outputs, node.output_memories, strict=True)
        ]

    def is_variable(self, tensor: Tensor, memory: Memory) -> bool:
        """Whether the value there is a variable's storage: only where it was made, not copied."""
        return tensor.dtype.is_ref and tensor not in self.feeds and self.location[tensor] is memory

    def finisher(self, tensor: Tensor, index: int, memory: Memory) -> Function:
        """What makes the value of fetch number `index`, there in `memory`, the user's own."""
        if self.is_variable(tensor, memory):
            name = f"_retval_{tensor.op.name}_{tensor.value_index}_{index}"
            return partial(finish_reference, name, memory)
        if tensor.dtype.base_dtype is resource:
            return finish_handle
        node = self._nodes.get(tensor)
        if self.location[tensor] is memory:
            shared = node is None or node.kernel.aliases or node.kernel.constant
        else:
            shared = False  # a copy that the step made
        if memory is None:
            return finish_shared if shared else finish_fresh
        return partial(finish_shared_on_device if shared else finish_fresh_on_device, memory)


# A step looks after so many operations whether its session was closed meanwhile.
_CLOSING_CHECK = 8


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

    def add(self, line: str, op: Operation | None = None) -> None:
        self.lines.append(" " + line)
        self.ops.append(op)

    def watch_closing(self, cancellation: CancellationManager) -> None:
        self.globals |= {"closing": cancellation.flag, "stop_closed": stop_closed}
        self.add("if closing: stop_closed()")

    def watch_deadline(self) -> None:
        self.globals |= {"clock": time.monotonic, "stop_late": stop_late}
        self.add("if clock() > deadline: stop_late()")

    def compile(self) -> Function:
        code = compile("\n".join(self.lines), "<segment>", "exec")
        exec(code, self.globals)
        function: Function = self.globals["segment"]
        return function


class _SegmentCompiler:
    """Turns the segments of a plan into functions."""

    def __init__(self, names: _Names, binder: Binder, asks: str, reuses: bool) -> None:
        self._names = names
        self._binder = binder
        self._asks = asks
        self._reuses = reuses
        self._count = 0  # of operations so far

    def compile_single(
        self, segment: Segment, returned: Sequence[str], finishers: Sequence[Function]
    ) -> CompiledSegment:
        """A segment that is a whole plan: it takes all feeds, and hands out finished values."""
        names = self._names
        source = self._source([names.of(tensor, memory) for tensor, memory in names.feeds.items()])
        self._add_nodes(source, segment, frozenset(returned))
        values = [
            f"{source.bind('f', finish)}({name})"
            for name, finish in zip(returned, finishers, strict=True)
        ]
        source.add(f"return [{', '.join(values)}]")
        reads = self._reads(segment)
        return self._compiled(segment, source, tuple(reads), tuple(returned), reads)

    def compile_all(self, segments: list[Segment], fetched: set[str]) -> list[CompiledSegment]:
        """Functions from what a segment reads to what others read of it."""
        reads = [self._reads(segment) for segment in segments]
        in_order = not any(segment.waits or segment.arrival for segment in segments)
        compiled = []
        for index, segment in enumerate(segments):
            # Those that wait may run after those that stand behind them.
            others = reads[index + 1 :] if in_order else reads[:index] + reads[index + 1 :]
            compiled.append(self._compile(segment, reads[index], fetched.union(*others)))
        return compiled

    def _reads(self, segment: Segment) -> dict[str, None]:
        """What a segment and its transfers take, in order."""
        names = self._names
        made: set[str] = set()
        reads = {names.of(t.tensor, t.source): None for t in segment.transfers}
        for node in segment.nodes:
            reads |= dict.fromkeys(name for name in names.inputs(node) if name not in made)
            made.update(names.outputs(node))
        return reads

    def _compile(
        self, segment: Segment, reads: dict[str, None], needed: Collection[str]
    ) -> CompiledSegment:
        names = self._names
        taken = dict.fromkeys(name for node in segment.nodes for name in names.inputs(node))
        inputs = tuple(name for name in taken if name in reads)
        if segment.arrival:
            (node,) = segment.nodes
            source = _Source(inputs)
            call = (
                f"{source.bind('k', self._binder.bind(node))}({', '.join(self._arguments(node))})"
            )
            source.add(f"return {call}", node.op)
            self._count += 1
            return self._compiled(segment, source, inputs, tuple(names.outputs(node)), reads)
        made = [name for node in segment.nodes for name in names.outputs(node)]
        outputs = tuple(name for name in dict.fromkeys(made) if name in needed)
        source = self._source(inputs)
        self._add_nodes(source, segment, needed)
        source.add(f"return ({''.join(f'{name}, ' for name in outputs)})")
        return self._compiled(segment, source, inputs, outputs, reads)

    def _source(self, inputs: Sequence[str]) -> _Source:
        return _Source([self._asks, *inputs] if self._asks else inputs)

    def _compiled(
        self,
        segment: Segment,
        source: _Source,
        inputs: tuple[str, ...],
        outputs: tuple[str, ...],
        reads: Collection[str],
    ) -> CompiledSegment:
        return CompiledSegment(
            source.compile(),
            segment.memory,
            segment.place,
            segment.waits,
            segment.arrival,
            inputs,
            outputs,
            tuple(reads),
            source.ops,
            segment.nodes,
            segment.transfers,
            "\n".join(source.lines),
        )

    def _add_nodes(self, source: _Source, segment: Segment, needed: Collection[str]) -> None:
        """A line for each operation; `needed` are the names that are read outside."""
        dying = self._dying(segment, needed)
        buffers = _Buffers(self._names, self._reuses)
        for index, (node, dead) in enumerate(zip(segment.nodes, dying, strict=True)):
            if index:
                if self._asks == "deadline":
                    source.watch_deadline()
                if index % _CLOSING_CHECK == 0:
                    source.watch_closing(self._binder.cancellation)
            self._add_node(source, node, dead, buffers)
            self._count += 1

    def _dying(self, segment: Segment, needed: Collection[str]) -> list[list[str]]:
        """For each operation, the values that nothing reads after it."""
        last_use: dict[str, int] = {}
        for index, node in enumerate(segment.nodes):
            for name in self._names.inputs(node):
                last_use[name] = index
            for name in self._names.outputs(node):
                if name != "_":
                    last_use.setdefault(name, index)
        dying: list[list[str]] = [[] for _ in segment.nodes]
        for name, index in last_use.items():
            if name not in needed:
                dying[index].append(name)
        return dying

    def _arguments(self, node: Node) -> list[str]:
        names, arguments = self._names, []
        for tensor, memory, arg in zip(
            node.inputs, node.input_memories, input_arguments(node.op), strict=True
        ):
            name = names.of(tensor, memory)
            reads = not arg.is_ref and names.is_variable(tensor, memory)
            arguments.append(f"{name}.read()" if reads else name)
        return arguments

    def _add_node(self, source: _Source, node: Node, dying: list[str], buffers: _Buffers) -> None:
        """The line of one operation."""
        op, kernel = node.op, node.kernel
        arguments, results = self._arguments(node), self._names.outputs(node)
        if kernel.constant:
            call = source.bind("c", self._binder.constant(node))
        elif kernel.forwards:
            call = arguments[0]
        else:
            written = buffers.reusable(node, dying)
            if written is not None:
                arguments.append(f"out={written}")
            call = f"{source.bind('k', self._binder.bind(node))}({', '.join(arguments)})"
        buffers.note(node, results)
        if gives_tuple(op.op_def):
            line = [f"{', '.join(results)}, = {call}" if results else call]
        else:
            line = [f"{results[0]} = {call}" if results else call]
        if self._asks == "observe":
            line.append(f"observe({', '.join([str(self._count), *results])})")
        if dying:
            line.append(f"del {', '.join(dying)}")
        source.add("; ".join(line), op)


class _Buffers:
    """Which values of a host segment may give their memory to the result of a ufunc.

    Writing over an input that dies saves the page faults of a fresh large array, which cost as
    much as the arithmetic.
    """

    def __init__(self, names: _Names, reuses: bool) -> None:
        self._names = names
        self._reuses = reuses
        self._fresh: set[str] = set()

    def note(self, node: Node, results: Sequence[str]) -> None:
        """Take in what an operation makes, and what may live on in its result or its state."""
        kernel = node.kernel
        if kernel.aliases or kernel.stateful:
            for tensor, memory in zip(node.inputs, node.input_memories, strict=True):
                self._fresh.discard(self._names.of(tensor, memory))
        elif self._reuses and not kernel.constant and node.memory is None and len(results) == 1:
            self._fresh.update(results)

    def reusable(self, node: Node, dying: Sequence[str]) -> str | None:
        """The name of an input over which the ufunc of `node` may write, if there is one."""
        outputs = node.op.outputs
        if node.kernel.ufunc is None or node.memory is not None or len(outputs) != 1:
            return None
        for tensor in node.inputs:
            name = self._names.of(tensor, None)
            if name in self._fresh and name in dying and _has_the_result(node, tensor):
                return name
        return None


def _has_the_result(node: Node, tensor: Tensor) -> bool:
    """Whether the result of a ufunc surely has the shape and dtype of this input, an array."""
    out = node.op.outputs[0]
    if tensor.dtype is not out.dtype or not tensor._shape:
        return False
    if None not in tensor._shape and tensor._shape == out._shape:
        return True
    return all(other is tensor or other._shape == () for other in node.inputs)
