"""From pruned and placed operations to a plan: segments of straight-line Python over bound kernels.

A segment becomes one function: a line for each operation, `v7 = k3(v1, v5)`, with values dropped
after their last use. The line number of a failure tells the operation, at no cost while all is
well.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from math import prod
from typing import Any, Protocol

from tfsession.core.dtypes import resource
from tfsession.devices.device import Device
from tfsession.devices.transfer import Memory
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor
from tfsession.runtime.control import CancellationManager, stop_closed, stop_late
from tfsession.runtime.partition import (
    Layout,
    Node,
    Segment,
    Transfer,
    gives_tuple,
    input_arguments,
    partition,
)
from tfsession.runtime.plan import (
    Fetched,
    Plan,
    Signature,
    finish_fresh,
    finish_fresh_on_device,
    finish_handle,
    finish_reference,
    finish_shared,
    finish_shared_on_device,
)
from tfsession.runtime.regions import Joint, Loop, LoopVariable, Predicate
from tfsession.runtime.segments import (
    Carried,
    CompiledLoop,
    CompiledRegion,
    CompiledSegment,
    Computation,
    Decision,
    Function,
    Meeting,
    Value,
    Wait,
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
    layout = partition(ops, placement, feeds, arrivals, connections, binder.strips_debug)
    names = _Names(layout, feeds)
    located = [names.location[tensor] for tensor in signature.fetches]
    wanted = signature.destinations(located)
    fetched = Fetched(
        [names.of(t, m) for t, m in zip(signature.fetches, wanted, strict=True)],
        wanted,
        [layout.region.waits.get(tensor, 0) for tensor in signature.fetches],
        [
            names.finisher(tensor, index, memory)
            for index, (tensor, memory) in enumerate(zip(signature.fetches, wanted, strict=True))
        ],
        [
            Transfer(tensor, source, memory)
            for tensor, source, memory in zip(signature.fetches, located, wanted, strict=True)
            if source is not memory
        ],
    )
    # What is connected may have another shape than the graph says.
    compiler = _RegionCompiler(names, binder, asks, reuses=not signature.connections)
    is_single = not signature.arriving and not fetched.transfers and _is_single(layout)
    if is_single:
        region = compiler.compile_single(layout.segments[0], fetched)
    else:
        region = compiler.compile(layout, [names.source_of(t) for t in signature.fetches])
    return Plan(
        signature,
        region,
        compiler.nodes,
        names.names,
        fetched,
        binder.cancellation,
        asks,
        partial(compile_plan, ops, placement, signature, binder),
        is_single,
    )


def _is_single(layout: Layout) -> bool:
    """Whether all is one segment of the host's that waits for nothing."""
    if len(layout.segments) != 1 or not layout.region.is_plain:
        return False
    segment = layout.segments[0]
    return not (segment.transfers or segment.arrival or segment.memory)


class _Names:
    """The name of each value in each memory where it is wanted, and where it was made."""

    def __init__(self, layout: Layout, feeds: Mapping[Tensor, Memory]) -> None:
        self.names: dict[tuple[Tensor, int], str] = {}
        self.feeds = feeds
        self.location = layout.location
        self._nodes: dict[Tensor, Node] = {}
        for tensor, memory in feeds.items():
            self.of(tensor, memory)
        for node in layout.region.all_nodes():
            self._nodes.update((tensor, node) for tensor in node.op.outputs)

    def of(self, tensor: Tensor, memory: Memory) -> str:
        key = (tensor, id(memory))
        name = self.names.get(key)
        if name is None:
            name = self.names[key] = f"v{len(self.names)}"
        return name

    def source_of(self, tensor: Tensor) -> str:
        """The name of a tensor where it was made or fed."""
        return self.of(tensor, self.location[tensor])

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
        node = None if tensor in self.feeds else self._nodes.get(tensor)
        if self.location[tensor] is memory:
            shared = node is None or node.kernel.aliases or node.kernel.constant
        else:
            shared = False  # a copy that the step made
        if memory is None:
            return finish_shared if shared else finish_fresh
        return partial(finish_shared_on_device if shared else finish_fresh_on_device, memory)


# A step looks after so many small operations whether its session was closed meanwhile, and after
# each one that may take its time: that costs a few nanoseconds.
_CLOSING_CHECK = 8
# Elements of the tensors of a small operation.
_SMALL = 1 << 14


def _is_small(op: Operation) -> bool:
    shapes = [tensor._shape for tensor in (*op.inputs, *op.outputs)]
    return all(s is not None and None not in s and prod(s) <= _SMALL for s in shapes)  # type: ignore[arg-type]


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


class _RegionCompiler:
    """Turns the segments of regions into functions; `nodes` are the operations as numbered."""

    def __init__(self, names: _Names, binder: Binder, asks: str, reuses: bool) -> None:
        self.nodes: list[Node] = []
        self._names = names
        self._binder = binder
        self._asks = asks
        self._reuses = reuses

    def compile_single(self, segment: Segment, fetched: Fetched) -> CompiledRegion:
        """A segment that is a whole plan: it takes all feeds, and hands out finished values."""
        names = self._names
        source = self._source([names.of(tensor, memory) for tensor, memory in names.feeds.items()])
        first = self._add_nodes(source, segment, frozenset(fetched.names))
        values = [
            f"{source.bind('f', finish)}({name})"
            for name, finish in zip(fetched.names, fetched.finishers, strict=True)
        ]
        source.add(f"return [{', '.join(values)}]")
        return CompiledRegion([self._computation(segment, source, (), (), (), first)], {})

    def compile(self, layout: Layout, results: Sequence[str]) -> CompiledRegion:
        """The segments of a region; `results` are the names of what is read when all have run."""
        region = layout.region
        specials: list[CompiledSegment] = [self._decision(p) for p in region.predicates]
        specials += [self._meeting(joint) for joint in region.joints]
        for loop, body in zip(region.loops, layout.bodies, strict=True):
            specials.append(self._loop(loop, body))
        outside = set(results).union(*(segment.reads for segment in specials))
        reads = [self._reads(segment) for segment in layout.segments]
        in_order = region.is_plain and not any(s.waits or s.arrival for s in layout.segments)
        compiled: list[CompiledSegment] = []
        for index, segment in enumerate(layout.segments):
            # Those that wait may run after those that stand behind them.
            others = reads[index + 1 :] if in_order else reads[:index] + reads[index + 1 :]
            compiled.append(self._segment(segment, reads[index], outside.union(*others)))
        compiled += specials
        readers = Counter(name for segment in compiled for name in segment.reads)
        readers.update(results)
        return CompiledRegion(compiled, readers)

    def _reads(self, segment: Segment) -> dict[str, None]:
        """What a segment and its transfers take, in order."""
        names = self._names
        made: set[str] = set()
        reads = {names.of(t.tensor, t.source): None for t in segment.transfers}
        for node in segment.nodes:
            reads |= dict.fromkeys(name for name in names.inputs(node) if name not in made)
            made.update(names.outputs(node))
        return reads

    def _segment(
        self, segment: Segment, reads: Collection[str], needed: Collection[str]
    ) -> CompiledSegment:
        names = self._names
        taken = dict.fromkeys(name for node in segment.nodes for name in names.inputs(node))
        inputs = tuple(name for name in taken if name in reads)
        if segment.arrival:
            (node,) = segment.nodes
            source = _Source(inputs)
            kernel = source.bind("k", self._binder.bind(node))
            source.add(f"return {kernel}({', '.join(self._arguments(node))})", node.op)
            first = self._number([node])
            outputs = tuple(names.outputs(node))
            return self._computation(segment, source, inputs, outputs, reads, first, Wait)
        made = [name for node in segment.nodes for name in names.outputs(node)]
        outputs = tuple(name for name in dict.fromkeys(made) if name in needed)
        source = self._source(inputs)
        first = self._add_nodes(source, segment, needed)
        source.add(f"return ({''.join(f'{name}, ' for name in outputs)})")
        return self._computation(segment, source, inputs, outputs, reads, first)

    def _number(self, nodes: Sequence[Node]) -> int:
        """Give numbers to nodes; gives the first one's."""
        first = len(self.nodes)
        self.nodes += nodes
        return first

    # --- control flow ---------------------------------------------------------------------------

    def _decision(self, predicate: Predicate) -> Decision:
        names, tensor = self._names, predicate.tensor
        source = names.location[tensor]
        return Decision(
            waits=predicate.waits,
            arrival=predicate.if_false | predicate.if_true,
            place=None,
            reads=tuple({names.source_of(tensor): None, names.of(tensor, None): None}),
            nodes=[],
            transfers=[] if source is None else [Transfer(tensor, source, None)],
            first=0,
            name=names.of(tensor, None),
            if_false=predicate.if_false,
            if_true=predicate.if_true,
            switch=predicate.switch,
        )

    def _move(self, tensor: Tensor, memory: Memory) -> Transfer | None:
        source = self._names.location[tensor]
        return None if source is memory else Transfer(tensor, source, memory)

    def _meeting(self, joint: Joint) -> Meeting:
        names, nodes = self._names, joint.nodes
        taken = [list(zip(n.inputs, n.input_memories, strict=True)) for n in nodes]
        return Meeting(
            waits=0,
            arrival=joint.arrival,
            place=nodes[0].place,
            reads=tuple([names.source_of(t) for pairs in taken for t, _ in pairs]),
            nodes=nodes,
            transfers=[],
            first=self._number(nodes),
            alternatives=joint.alternatives,
            inputs=[[names.of(*pair) for pair in pairs] for pairs in taken],
            outputs=[names.outputs(node) for node in nodes],
            moves=[[self._move(*pair) for pair in pairs] for pairs in taken],
            kernels=[self._binder.bind(node) for node in nodes],
        )

    def _loop(self, loop: Loop, body: Layout) -> CompiledLoop:
        names = self._names
        carried = [self._carried(variable) for variable in loop.variables]
        nexts = [names.source_of(variable.next) for variable in loop.variables]
        results = {names.source_of(tensor): waits for tensor, waits in loop.results.items()}
        constants = tuple(names.source_of(tensor) for tensor in loop.constants)
        enters = [names.source_of(variable.enter) for variable in loop.variables]
        return CompiledLoop(
            waits=loop.waits,
            arrival=loop.arrival,
            place=None,
            reads=(*constants, *enters),
            nodes=[],
            transfers=[],
            first=0,
            frame="/".join(loop.frame),
            constants=constants,
            carried=carried,
            results=results,
            body=self.compile(body, [*results, *nexts]),
        )

    def _carried(self, variable: LoopVariable) -> Carried:
        names, node = self._names, variable.merge
        memory = node.input_memories[0]
        value, index = names.outputs(node)
        return Carried(
            enter=names.source_of(variable.enter),
            enter_index=list(node.inputs).index(variable.enter),
            enter_move=self._move(variable.enter, memory),
            next=names.source_of(variable.next),
            next_waits=variable.next_waits,
            next_move=self._move(variable.next, memory),
            value=value,
            index=index,
            first=self._number([node]),
        )

    # --- functions ------------------------------------------------------------------------------

    def _source(self, inputs: Sequence[str]) -> _Source:
        return _Source([self._asks, *inputs] if self._asks else inputs)

    def _computation(
        self,
        segment: Segment,
        source: _Source,
        inputs: tuple[str, ...],
        outputs: tuple[str, ...],
        reads: Collection[str],
        first: int,
        kind: type[Computation] = Computation,
    ) -> Computation:
        return kind(
            waits=segment.waits,
            arrival=segment.arrival,
            place=segment.place,
            reads=tuple(reads),
            nodes=segment.nodes,
            transfers=segment.transfers,
            first=first,
            function=source.compile(),
            memory=segment.memory,
            inputs=inputs,
            outputs=outputs,
            ops_by_line=source.ops,
            source="\n".join(source.lines),
        )

    def _add_nodes(self, source: _Source, segment: Segment, needed: Collection[str]) -> int:
        """A line for each operation; `needed` are the names that are read outside."""
        first = self._number(segment.nodes)
        dying = self._dying(segment, needed)
        buffers = _Buffers(self._names, self._reuses)
        unlooked = 0
        for index, (node, dead) in enumerate(zip(segment.nodes, dying, strict=True)):
            if index and self._asks == "deadline":
                source.watch_deadline()
            if unlooked >= _CLOSING_CHECK:
                source.watch_closing(self._binder.cancellation)
                unlooked = 0
            self._add_node(source, node, first + index, dead, buffers)
            unlooked += 1 if node.kernel.constant or _is_small(node.op) else _CLOSING_CHECK
        return first

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

    def _add_node(
        self, source: _Source, node: Node, number: int, dying: list[str], buffers: _Buffers
    ) -> None:
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
            line.append(f"observe({', '.join([str(number), *results])})")
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
