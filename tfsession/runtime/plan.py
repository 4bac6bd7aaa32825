"""Plans: a step compiled to segments of straight-line Python over bound kernels, and transfers.

A segment becomes one function: a line for each operation, `v7 = k3(v1, v5)`, with values dropped
after their last use. The line number of a failure tells the operation, at no cost while all is well.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from tfsession.core.op_def import OpDef
from tfsession.devices.device import Device
from tfsession.devices.transfer import copy as transfer_copy
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor
from tfsession.runtime.errors import failure_of
from tfsession.runtime.partition import Memory, Node, Segment, Transfer, input_arguments, partition

Value = Any
Function = Callable[..., Any]


class Binder(Protocol):
    """Binds kernels for a session: it knows the state that stateful kernels work on."""

    def bind(self, node: Node) -> Function:
        """The kernel of a node as a function of its inputs."""
        ...

    def constant(self, node: Node) -> Value:
        """The value of a node whose kernel is constant, made once for the session."""
        ...


@dataclass(slots=True)
class CompiledSegment:
    """A segment as one function of the values it reads, giving the values that leave it."""

    function: Function
    memory: Memory
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    ops_by_line: list[Operation | None]
    transfers: list[Transfer]

    def run(self, arguments: Sequence[Value]) -> tuple[Value, ...]:
        """Call the function; an error names the operation that failed."""
        try:
            return self.function(*arguments)  # type: ignore[no-any-return]
        except BaseException as error:
            failure = failure_of(error, self.function.__code__, self.ops_by_line)
        # Raised here, so that the new error does not keep the failed frame and its arrays alive.
        raise failure


class Plan:
    """A compiled step. `run(feed values)` gives the fetched values, ready to hand to the user."""

    def __init__(
        self,
        feeds: Sequence[Tensor],
        fetches: Sequence[Tensor],
        segments: list[CompiledSegment],
        names: Mapping[tuple[Tensor, int], str],
        finishers: Sequence[Function],
        fetch_transfers: list[Transfer],
    ) -> None:
        self.feeds = tuple(feeds)
        self.fetches = tuple(fetches)
        self.segments = segments
        self._finishers = tuple(finishers)
        self._feed_names = [names[tensor, id(None)] for tensor in feeds]
        self._fetch_names = [names[tensor, id(None)] for tensor in fetches]
        self._fetch_transfers = fetch_transfers
        self._names = names
        self._single = (
            len(segments) == 1
            and not segments[0].transfers
            and not fetch_transfers
            and segments[0].memory is None
            and segments[0].inputs == tuple(self._feed_names)
            and segments[0].outputs == tuple(self._fetch_names)
        )
        self.run: Callable[[Sequence[Value]], list[Value]] = (
            self._run_single if self._single else self._run_segments
        )

    @property
    def transfers(self) -> list[Transfer]:
        """Every transfer that a step makes, in order."""
        return [t for segment in self.segments for t in segment.transfers] + self._fetch_transfers

    def _run_single(self, feeds: Sequence[Value]) -> list[Value]:
        segment = self.segments[0]
        with np.errstate(all="ignore"):
            values = segment.run(feeds)
        return [finish(value) for finish, value in zip(self._finishers, values, strict=True)]

    def _run_segments(self, feeds: Sequence[Value]) -> list[Value]:
        values: dict[str, Value] = dict(zip(self._feed_names, feeds, strict=True))
        with np.errstate(all="ignore"):
            for segment in self.segments:
                self._transfer(segment.transfers, values)
                arguments = [values[name] for name in segment.inputs]
                if segment.memory is None:
                    results = segment.run(arguments)
                else:
                    with segment.memory.activate():
                        results = segment.run(arguments)
                values.update(zip(segment.outputs, results, strict=True))
            self._transfer(self._fetch_transfers, values)
        return [
            finish(values[name])
            for finish, name in zip(self._finishers, self._fetch_names, strict=True)
        ]

    def _transfer(self, transfers: Sequence[Transfer], values: dict[str, Value]) -> None:
        waiting: list[Device] = []
        for transfer in transfers:
            tensor, source, destination = transfer.tensor, transfer.source, transfer.destination
            value = values[self._names[tensor, id(source)]]
            try:
                values[self._names[tensor, id(destination)]] = transfer_copy(
                    value, source, destination
                )
            except Exception as error:
                raise failure_of(error, None, [tensor.op]) from None
            if destination is None and source is not None and source not in waiting:
                waiting.append(source)
        for device in waiting:
            device.synchronize()


def finish_fresh(value: Value) -> Value:
    """A fetched value that nobody else holds: an own, contiguous array, or a scalar."""
    if type(value) is np.ndarray:
        if value.ndim == 0:
            return value[()]
        if value.base is None and value.flags.c_contiguous:
            return value
        return value.copy()
    return value


def finish_shared(value: Value) -> Value:
    """A fetched value that something else may hold: always a copy."""
    if type(value) is np.ndarray:
        return value[()] if value.ndim == 0 else value.copy()
    return value


def finish_reference(variable: Any) -> Value:
    """The value of a fetched reference variable."""
    return finish_shared(variable.read())


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
    location = _locations(segments, feeds)
    names: dict[tuple[Tensor, int], str] = {}
    for tensor in feeds:
        names[tensor, id(None)] = f"v{len(names)}"
    for segment in segments:
        for transfer in segment.transfers:
            names[transfer.tensor, id(transfer.destination)] = f"v{len(names)}"
        for node in segment.nodes:
            for tensor, memory in zip(node.op.outputs, node.output_memories, strict=True):
                if (tensor, id(memory)) not in names:
                    names[tensor, id(memory)] = f"v{len(names)}"
    fetch_transfers: list[Transfer] = []
    for tensor in dict.fromkeys(fetches):
        if (tensor, id(None)) not in names:
            names[tensor, id(None)] = f"v{len(names)}"
            fetch_transfers.append(Transfer(tensor, location[tensor], None))
    kept = _kept_names(segments, names, fetches, fetch_transfers)
    alone = len(segments) == 1 and not fetch_transfers
    returned = [names[tensor, id(None)] for tensor in fetches] if alone else None
    compiled = [
        _compile_segment(segment, names, kept[index], feeds, binder, returned)
        for index, segment in enumerate(segments)
    ]
    finishers = [_finisher(tensor, feeds, segments) for tensor in fetches]
    return Plan(feeds, fetches, compiled, names, finishers, fetch_transfers)


def _locations(segments: Sequence[Segment], feeds: Sequence[Tensor]) -> dict[Tensor, Memory]:
    location: dict[Tensor, Memory] = dict.fromkeys(feeds)
    for segment in segments:
        for node in segment.nodes:
            for tensor, memory in zip(node.op.outputs, node.output_memories, strict=True):
                location.setdefault(tensor, memory)
    return location


def _kept_names(
    segments: Sequence[Segment],
    names: Mapping[tuple[Tensor, int], str],
    fetches: Sequence[Tensor],
    fetch_transfers: Sequence[Transfer],
) -> list[set[str]]:
    """For each segment, the names that later segments, transfers or fetches still read."""
    later = {names[tensor, id(None)] for tensor in fetches}
    later.update(names[t.tensor, id(t.source)] for t in fetch_transfers)
    kept: list[set[str]] = []
    for segment in reversed(segments):
        kept.append(set(later))
        for node in segment.nodes:
            for tensor, memory in zip(node.op.inputs, node.input_memories, strict=True):
                later.add(names[tensor, id(memory)])
        later.update(names[t.tensor, id(t.source)] for t in segment.transfers)
    kept.reverse()
    return kept


def _finisher(tensor: Tensor, feeds: Sequence[Tensor], segments: Sequence[Segment]) -> Function:
    if tensor in feeds:
        return finish_shared
    if tensor.dtype.is_ref:
        return finish_reference
    for segment in segments:
        for node in segment.nodes:
            if node.op is tensor.op:
                shared = node.kernel.aliases or node.kernel.constant
                return finish_shared if shared else finish_fresh
    return finish_shared


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
    names: Mapping[tuple[Tensor, int], str],
    kept: set[str],
    feeds: Sequence[Tensor],
    binder: Binder,
    returned: list[str] | None,
) -> CompiledSegment:
    made: dict[str, None] = {}
    read: dict[str, None] = {}
    last_use: dict[str, int] = {}
    for index, node in enumerate(segment.nodes):
        for tensor, memory in zip(node.op.inputs, node.input_memories, strict=True):
            name = names[tensor, id(memory)]
            last_use[name] = index
            if name not in made:
                read[name] = None
        for tensor, memory in zip(node.op.outputs, node.output_memories, strict=True):
            if tensor not in feeds:
                made[names[tensor, id(memory)]] = None
                last_use.setdefault(names[tensor, id(memory)], index)
    outputs = returned if returned is not None else [name for name in made if name in kept]
    feed_names = [names[tensor, id(None)] for tensor in feeds]
    inputs = (
        list(read)
        if segment.memory is not None
        else [*feed_names, *(n for n in read if n not in feed_names)]
    )
    source = _Source(inputs)
    dying: list[list[str]] = [[] for _ in segment.nodes]
    for name, index in last_use.items():
        if name not in kept:
            dying[index].append(name)
    feed_set = set(feeds)
    for index, node in enumerate(segment.nodes):
        _emit(source, node, names, feed_set, binder, dying[index])
    return CompiledSegment(
        source.compile(outputs),
        segment.memory,
        tuple(inputs),
        tuple(outputs),
        source.ops,
        segment.transfers,
    )


def _emit(
    source: _Source,
    node: Node,
    names: Mapping[tuple[Tensor, int], str],
    feeds: set[Tensor],
    binder: Binder,
    dying: list[str],
) -> None:
    op, kernel = node.op, node.kernel
    arguments = []
    for tensor, memory, arg in zip(
        op.inputs, node.input_memories, _reference_flags(op), strict=True
    ):
        name = names[tensor, id(memory)]
        reads_value = tensor.dtype.is_ref and not arg and tensor not in feeds
        arguments.append(f"{name}.read()" if reads_value else name)
    results = [
        "_" if tensor in feeds else names[tensor, id(memory)]
        for tensor, memory in zip(op.outputs, node.output_memories, strict=True)
    ]
    if kernel.constant:
        call = source.bind("c", binder.constant(node))
    elif kernel.forwards:
        call = arguments[0]
    else:
        call = f"{source.bind('k', binder.bind(node))}({', '.join(arguments)})"
    if _gives_tuple(op.op_def):
        call = f"{', '.join(results)}, = {call}" if results else call
    elif results:
        call = f"{results[0]} = {call}"
    source.add(f"{call}; del {', '.join(dying)}" if dying else call, op)


def _reference_flags(op: Operation) -> list[bool]:
    return [arg.is_ref for arg in input_arguments(op)]


def _gives_tuple(op_def: OpDef) -> bool:
    outputs = op_def.outputs
    return len(outputs) > 1 or (len(outputs) == 1 and outputs[0].is_sequence)
