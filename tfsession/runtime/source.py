"""The text of compiled functions: names of values, a line for each operation, lifetimes, buffers.

A segment becomes one function: a line for each operation, `v7 = k3(v1, v5)`, with values dropped
after their last use. The line number of a failure tells the operation, at no cost while all is
well.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Container, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from math import prod
from typing import Any, Protocol

import numpy as np

from tfsession.core.dtypes import float32, float64, int32, int64, resource
from tfsession.core.op_def import ArgDef
from tfsession.devices.memory import OPERATIONS
from tfsession.devices.transfer import Memory
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor
from tfsession.runtime.control import CancellationManager, stop_closed, stop_late
from tfsession.runtime.partition import Layout, Node, Segment, gives_tuple, input_arguments
from tfsession.runtime.plan import (
    finish_counted,
    finish_fresh,
    finish_fresh_on_device,
    finish_handle,
    finish_reference,
    finish_shared,
    finish_shared_on_device,
)
from tfsession.runtime.regions import Loop
from tfsession.runtime.segments import Function, Value
from tfsession.runtime.transfer_guard import Guard


class Binder(Protocol):
    """Binds kernels for a session: it knows the state that stateful kernels work on."""

    cancellation: CancellationManager
    transfer_guard: Guard | None

    def as_seen(self) -> AbstractContextManager[None]:
        """Operations are, in the block, as the session saw them first."""

    @property
    def strips_debug(self) -> bool:
        """Whether checks and prints are left out."""

    def bind(self, node: Node) -> Function:
        """The kernel of a node as a function of its inputs."""
        ...

    def constant(self, node: Node) -> Value:
        """The value of a node whose kernel is constant, made once for the session."""
        ...


class Names:
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
        """The name of a tensor in a memory."""
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

    def must_read(self, tensor: Tensor, memory: Memory, arg: ArgDef) -> bool:
        """Whether an argument takes the value of a variable whose storage is there."""
        return not arg.is_ref and self.is_variable(tensor, memory)

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
            finish = finish_shared if shared else finish_fresh
            allocator = None if node is None else node.allocator
            ledger = None if allocator is None else allocator.ledger
            return finish if ledger is None else partial(finish_counted, finish, ledger)
        return partial(finish_shared_on_device if shared else finish_fresh_on_device, memory)


# A step looks after so many small operations whether its session was closed meanwhile, and after
# each one that may take its time: that costs a few nanoseconds.
_CLOSING_CHECK = 8
# Elements of the tensors of a small operation.
_SMALL = 1 << 14


def _is_small(op: Operation) -> bool:
    shapes = [tensor._shape for tensor in (*op.inputs, *op.outputs)]
    return all(s is not None and None not in s and prod(s) <= _SMALL for s in shapes)  # type: ignore[arg-type]


class Source:
    """The text of a segment's function as it grows, a line for each operation that computes."""

    def __init__(self, inputs: Sequence[str]) -> None:
        self.lines = [f"def segment({', '.join(inputs)}):"]
        self.ops: list[Operation | None] = [None]
        self.globals: dict[str, Any] = {}
        self._indent = " "

    def bind(self, prefix: str, value: Any) -> str:
        """A name for a value that the text uses."""
        name = f"{prefix}{len(self.globals)}"
        self.globals[name] = value
        return name

    def add(self, line: str, op: Operation | None = None) -> None:
        """A line; its failures are those of `op`."""
        self.lines.append(self._indent + line)
        self.ops.append(op)

    @contextmanager
    def block(self, head: str) -> Iterator[None]:
        """What is added meanwhile stands in a block under this line."""
        self.add(head)
        self._indent += " "
        yield
        self._indent = self._indent[:-1]

    def watch_closing(self, cancellation: CancellationManager) -> None:
        """A line that ends the step if its session was closed."""
        self.globals |= {"closing": cancellation.flag, "stop_closed": stop_closed}
        self.add("if closing: stop_closed()")

    def watch_deadline(self) -> None:
        """A line that ends the step if its time is over."""
        self.globals |= {"clock": time.monotonic, "stop_late": stop_late}
        self.add("if clock() > deadline: stop_late()")

    def compile(self) -> Function:
        """The function."""
        self.globals[OPERATIONS] = self.ops
        code = compile("\n".join(self.lines), "<segment>", "exec")
        exec(code, self.globals)
        function: Function = self.globals["segment"]
        return function


class Readers:
    """Who reads each value, of parts that stand in an order; `results` are read in the end."""

    def __init__(self, reads: Sequence[Collection[str]], results: Collection[str]) -> None:
        self._reads = reads
        self._results = frozenset(results)
        self._last = {name: index for index, names in enumerate(reads) for name in names}
        self._count = Counter(name for names in reads for name in set(names))

    def behind(self, index: int) -> Container[str]:
        """What is read behind a part."""
        last, results = self._last, self._results
        return _Where(lambda name: name in results or last.get(name, -1) > index)

    def beside(self, index: int) -> Container[str]:
        """What other parts read."""
        own, count, results = self._reads[index], self._count, self._results
        return _Where(lambda name: name in results or count[name] > (name in own))


class _Where(Container[str]):
    """The names of which something holds."""

    def __init__(self, holds: Callable[[str], bool]) -> None:
        self._holds = holds

    def __contains__(self, name: object) -> bool:
        return self._holds(name)  # type: ignore[arg-type]


class Writer:
    """Writes operations into functions; `nodes` are the operations as numbered.

    `asks` names what the functions take first, `reuses` allows results in the memory of inputs.
    """

    def __init__(self, names: Names, binder: Binder, asks: str, reuses: bool) -> None:
        self.nodes: list[Node] = []
        self.names = names
        self.binder = binder
        self.asks = asks
        self._reuses = reuses
        self._scalars: dict[str, Value] = {}  # constants, and what they are called elsewhere

    def source(self, inputs: Sequence[str]) -> Source:
        """A function of these values, and before them of what is asked for."""
        return Source([self.asks, *inputs] if self.asks else inputs)

    def number(self, nodes: Sequence[Node]) -> int:
        """Give numbers to nodes; gives the first one's."""
        first = len(self.nodes)
        self.nodes += nodes
        return first

    def add_nodes(self, source: Source, nodes: Sequence[Node], needed: Container[str]) -> int:
        """A line for each operation; `needed` are the names that are read outside."""
        first = self.number(nodes)
        dying = self._dying(nodes, needed)
        buffers = Buffers(self.names, self._reuses)
        unlooked = 0
        for index, (node, dead) in enumerate(zip(nodes, dying, strict=True)):
            if index and self.asks == "deadline":
                source.watch_deadline()
            if unlooked >= _CLOSING_CHECK:
                source.watch_closing(self.binder.cancellation)
                unlooked = 0
            self._add_node(source, node, first + index, dead, buffers)
            unlooked += 1 if node.kernel.constant or _is_small(node.op) else _CLOSING_CHECK
        return first

    def _dying(self, nodes: Sequence[Node], needed: Container[str]) -> list[list[str]]:
        """For each operation, the values that nothing reads after it."""
        last_use: dict[str, int] = {}
        for index, node in enumerate(nodes):
            for name in self.names.inputs(node):
                last_use[name] = index
            for name in self.names.outputs(node):
                if name != "_":
                    last_use.setdefault(name, index)
        dying: list[list[str]] = [[] for _ in nodes]
        for name, index in last_use.items():
            if name not in needed:
                dying[index].append(name)
        return dying

    def watch(self, source: Source) -> None:
        """A line that looks whether the step may go on."""
        source.watch_closing(self.binder.cancellation)
        if self.asks == "deadline":
            source.watch_deadline()

    def reads(self, segment: Segment) -> dict[str, None]:
        """What a segment and its transfers take, in order."""
        names = self.names
        made: set[str] = set()
        reads = {names.of(t.tensor, t.source): None for t in segment.transfers}
        for node in segment.nodes:
            reads |= dict.fromkeys(name for name in names.inputs(node) if name not in made)
            made.update(names.outputs(node))
        return reads

    def loop_reads(self, loop: Loop) -> tuple[str, ...]:
        """What a loop takes from the region around it."""
        enters = [variable.enter for variable in loop.variables]
        return tuple(map(self.names.source_of, [*loop.constants, *enters]))

    def arguments(self, node: Node) -> list[str]:
        """What an operation takes, as text; a variable's storage is read where a value is asked."""
        names, arguments = self.names, list[str]()
        if not node.inputs:
            return arguments
        for tensor, memory, arg in zip(
            node.inputs, node.input_memories, input_arguments(node.op), strict=True
        ):
            name = names.of(tensor, memory)
            reads = names.must_read(tensor, memory, arg)
            arguments.append(f"{name}.read()" if reads else name)
        return arguments

    def _scalar(self, source: Source, name: str) -> str:
        """An argument of an operator: a constant as a scalar, which is faster than an array."""
        value = self._scalars.get(name)
        return name if value is None else source.bind("s", value)

    def _add_node(
        self, source: Source, node: Node, number: int, dying: list[str], buffers: Buffers
    ) -> None:
        """The line of one operation."""
        op, kernel = node.op, node.kernel
        arguments, results = self.arguments(node), self.names.outputs(node)
        operator = _operator_of(node)
        if kernel.constant:
            value = self.binder.constant(node)
            call = source.bind("c", value)
            if isinstance(value, np.ndarray) and not value.ndim:
                self._scalars[results[0]] = value[()]
        elif kernel.forwards:
            call = arguments[0]
            if call in self._scalars:
                self._scalars.update(dict.fromkeys(results, self._scalars[call]))
        elif operator is not None:
            call = operator.join([self._scalar(source, name) for name in arguments])
        else:
            written = buffers.reusable(node, dying)
            if written is not None:
                arguments.append(f"out={written}")
            call = f"{source.bind('k', self.binder.bind(node))}({', '.join(arguments)})"
        buffers.note(node, results)
        if kernel.forwards:
            line = [" = ".join([*results, call])]
        elif gives_tuple(op.op_def):
            line = [f"{', '.join(results)}, = {call}" if results else call]
        else:
            line = [f"{results[0]} = {call}" if results else call]
        if self.asks == "observe":
            line.append(f"observe({', '.join([str(number), *results])})")
        if dying:
            line.append(f"del {', '.join(dying)}")
        source.add("; ".join(line), op)


# Ufuncs that Python's operators come to; between scalars those take a tenth of the time.
_OPERATORS = {
    "add": " + ",
    "subtract": " - ",
    "multiply": " * ",
    "equal": " == ",
    "not_equal": " != ",
    "less": " < ",
    "less_equal": " <= ",
    "greater": " > ",
    "greater_equal": " >= ",
}
_SCALARS = frozenset({int32, int64, float32, float64})
_OPERATORS_OF_BOOLS = {"logical_and": " & ", "logical_or": " | "}


def _operator_of(node: Node) -> str | None:
    """The operator between two scalars of the host that a node comes to."""
    ufunc = node.kernel.ufunc
    if ufunc is None or node.memory is not None or len(node.inputs) != 2:
        return None
    if ufunc in _OPERATORS_OF_BOOLS:
        return _OPERATORS_OF_BOOLS[ufunc] if all(t._shape == () for t in node.inputs) else None
    are_scalars = all(t._shape == () and t.dtype in _SCALARS for t in node.inputs)
    return _OPERATORS.get(ufunc) if are_scalars else None


class Buffers:
    """Which values of a host segment may give their memory to the result of a ufunc.

    Writing over an input that dies saves the page faults of a fresh large array, which cost as
    much as the arithmetic.
    """

    def __init__(self, names: Names, reuses: bool) -> None:
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
