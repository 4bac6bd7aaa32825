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
from tfsession.devices.spares import Spares
from tfsession.devices.threads import this_thread
from tfsession.devices.transfer import Memory
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor
from tfsession.runtime.control import CancellationManager, stop_closed, stop_late
from tfsession.runtime.fuse import Fused, fused
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

    @property
    def threads(self) -> int:
        """How many threads may compute for a step; 0 for as many as there are cores."""
        ...

    @property
    def fuses(self) -> bool:
        """Whether operations may be computed together."""

    @property
    def spares(self) -> Spares:
        """Memory of large arrays, kept from step to step."""
        ...

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
# Ufuncs that NumPy would not have called with `out` by its position.
_OUT_BY_NAME = frozenset({np.maximum, np.minimum})
# Elements of the tensors of a small operation.
_SMALL = 1 << 14


def _is_small(op: Operation) -> bool:
    shapes = [tensor._shape for tensor in (*op.inputs, *op.outputs)]
    return all(s is not None and None not in s and prod(s) <= _SMALL for s in shapes)  # type: ignore[arg-type]


class Source:
    """The text of a segment's function as it grows, a line for each operation that computes.

    The function lets so many `threads` compute for it, 0 for as many as there are cores.
    """

    def __init__(self, inputs: Sequence[str], threads: int) -> None:
        self.lines = [f"def segment({', '.join(inputs)}):"]
        self.ops: list[Operation | None] = [None]
        self.globals: dict[str, Any] = {}
        self._bound: dict[int, str] = {}
        self._functions: list[tuple[list[str], list[Operation | None]]] = []
        self._indent = " "
        self._threads = threads
        if threads:
            self.globals["here"] = this_thread
            self.add(f"before, here.limit = here.limit, {threads}")
            self.add("try:")
            self._indent += " "

    def bind(self, prefix: str, value: Any) -> str:
        """A name for a value that the text uses; the same value has one name."""
        name = self._bound.get(id(value))
        if name is None:
            name = self._bound[id(value)] = f"{prefix}{len(self.globals)}"
            self.globals[name] = value
        return name

    def call(self, function: Function, arguments: Sequence[str], written: str | None = None) -> str:
        """The text of a call; `written` names the array that the result is written to.

        What `partial` holds is spelled out, and a ufunc's `out` given by its position: both cost
        a step much of the time of a small kernel.
        """
        first, last = [], []
        if type(function) is partial:
            first = [self.bind("p", value) for value in function.args]
            last = [f"{key}={self.bind('p', value)}" for key, value in function.keywords.items()]
            function = function.func
        if written is not None:
            by_place = isinstance(function, np.ufunc) and function not in _OUT_BY_NAME
            last.append(written if by_place else f"out={written}")
        return f"{self.bind('k', function)}({', '.join([*first, *arguments, *last])})"

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

    @contextmanager
    def function(self, inputs: Sequence[str]) -> Iterator[str]:
        """What is added meanwhile is a function of its own, of this name."""
        name = f"part{len(self._functions)}"
        around = self.lines, self.ops, self._indent
        self.lines, self.ops, self._indent = [f"def {name}({', '.join(inputs)}):"], [None], " "
        self._functions.append((self.lines, self.ops))
        yield name
        self.lines, self.ops, self._indent = around

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
        if self._threads:
            self.lines.append(" finally: here.limit = before")
            self.ops.append(None)
        for lines, ops in self._functions:
            self.lines += lines
            self.ops += ops
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


class _Where(Container[Any]):
    """Those of which something holds."""

    def __init__(self, holds: Callable[[Any], bool]) -> None:
        self._holds = holds

    def __contains__(self, name: object) -> bool:
        return self._holds(name)


class Writer:
    """Writes operations into functions; `nodes` are the operations as numbered.

    `asks` names what the functions take first, `reuses` allows results in the memory of inputs,
    `fetched` are the tensors that the program gets.
    """

    def __init__(
        self,
        names: Names,
        binder: Binder,
        asks: str,
        reuses: bool,
        fetched: Collection[Tensor] = (),
    ) -> None:
        self.nodes: list[Node] = []
        self.names = names
        self.binder = binder
        self.asks = asks
        self._reuses = reuses
        self._fetched = fetched
        self._scalars: dict[str, Value] = {}  # constants, and what they are called elsewhere

    def source(self, inputs: Sequence[str]) -> Source:
        """A function of these values, and before them of what is asked for."""
        return Source([self.asks, *inputs] if self.asks else inputs, self.binder.threads)

    def number(self, nodes: Sequence[Node]) -> int:
        """Give numbers to nodes; gives the first one's."""
        first = len(self.nodes)
        self.nodes += nodes
        return first

    def add_nodes(self, source: Source, nodes: Sequence[Node], needed: Container[str]) -> int:
        """A line for each operation that needs one; `needed` names what is read outside."""
        first = self.number(nodes)
        if self.binder.fuses and self.asks != "observe":
            tensors = _Where(lambda tensor: self.names.of(tensor, None) in needed)
            nodes = fused(nodes, self.names.feeds, tensors)
        self._add_lines(source, nodes, needed, first)
        return first

    def _add_lines(
        self, source: Source, nodes: Sequence[Node], needed: Container[str], first: int
    ) -> None:
        run = Run(self.names, nodes, needed)
        buffers = Buffers(run, self._reuses)
        unlooked, is_begun = 0, False
        for index, node in enumerate(nodes):
            line = self._line(source, run, index, buffers)
            if self.asks == "observe":
                seen = [str(first + index), *map(run.text, run.outputs[index])]
                line.append(f"observe({', '.join(seen)})")
            if dead := run.dying[index]:
                line.append(f"del {', '.join(dead)}")
            if not line:
                continue
            if is_begun and self.asks == "deadline":
                source.watch_deadline()
            if unlooked >= _CLOSING_CHECK:
                source.watch_closing(self.binder.cancellation)
                unlooked = 0
            source.add("; ".join(line), node.op)
            is_begun = True
            unlooked += 1 if node.kernel.constant or _is_small(node.op) else _CLOSING_CHECK

    def _add_group(self, source: Source, group: Fused, arguments: Sequence[str]) -> str:
        """The call of a function of its own, which tries blocks where an input is large."""
        names = self.names
        inputs, outputs = names.inputs(group), names.outputs(group)
        closing = self.binder.cancellation.flag
        blocks = source.bind("g", group.blocks(self._fetched, closing, self.binder.spares))
        large = f" > {group.least}"
        sizes = [f"{names.of(tensor, None)}.size{large}" for tensor in group.unsure]
        with source.function(inputs) as name:
            source.add(f"if {' or '.join(sizes)}:")
            source.add(f" done = {blocks}({', '.join(inputs)})")
            source.add(" if done is not None: return done")
            self._add_lines(source, group.parts, outputs, 0)
            source.add(f"return {', '.join(outputs)}")
        return f"{name}({', '.join(arguments)})"

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

    def arguments(self, node: Node, text: Callable[[str], str] = str) -> list[str]:
        """What an operation takes, as text; a variable's storage is read where a value is asked.

        `text` gives what the value of a name is called there.
        """
        names, arguments = self.names, list[str]()
        if not node.inputs:
            return arguments
        for tensor, memory, arg in zip(
            node.inputs, node.input_memories, input_arguments(node.op), strict=True
        ):
            name = text(names.of(tensor, memory))
            reads = names.must_read(tensor, memory, arg)
            arguments.append(f"{name}.read()" if reads else name)
        return arguments

    def _scalar(self, source: Source, run: Run, name: str) -> str:
        """An argument of an operator: a constant as a scalar, which is faster than an array."""
        value = self._scalars.get(name)
        return run.text(name) if value is None else source.bind("s", value)

    def _line(self, source: Source, run: Run, index: int, buffers: Buffers) -> list[str]:
        """What computes operation number `index` of a run; nothing where names say it all."""
        node, inputs, results = run.nodes[index], run.inputs[index], run.outputs[index]
        kernel, operator = node.kernel, _operator_of(node)
        arguments = self.arguments(node, run.text)
        if kernel.constant:
            value = self.binder.constant(node)
            call = source.bind("c", value)
            if isinstance(value, np.ndarray) and not value.ndim:
                self._scalars[results[0]] = value[()]
            run.call_constant(results[0], call)
        elif kernel.forwards:
            call = arguments[0]
            if inputs[0] in self._scalars:
                self._scalars.update(dict.fromkeys(results, self._scalars[inputs[0]]))
        elif isinstance(node, Fused):
            call = self._add_group(source, node, arguments)
        elif operator is not None:
            call = operator.join([self._scalar(source, run, name) for name in inputs])
        else:
            written = buffers.reusable(index)
            function = self.binder.bind(node)
            call = source.call(function, arguments, None if written is None else run.text(written))
        buffers.note(index)
        targets = [run.text(name) for name in results]
        if kernel.forwards or kernel.constant:
            # Both may have the same name by now.
            targets = [target for target in targets if target != call]
            return [" = ".join([*targets, call])] if targets else []
        if not targets:
            return [call]
        return [f"{', '.join(targets)}{',' * gives_tuple(node.op.op_def)} = {call}"]


class Run:
    """Operations one after another: what their values are called in the text, and when they end.

    A value that goes through an operation unchanged needs no second name, nor does a constant, and
    a result takes over the name of a value that ends where it is made: so there is less to do
    between two kernels. What is `needed` outside has the name by which it is known there.
    """

    def __init__(self, names: Names, nodes: Sequence[Node], needed: Container[str]) -> None:
        self.nodes = nodes
        self.inputs = [names.inputs(node) for node in nodes]
        self.outputs = [names.outputs(node) for node in nodes]
        self.ends: dict[str, int] = {}  # the last reader of each value that is not needed
        self.dying: list[list[str]] = [[] for _ in nodes]  # the names that go with each reader
        self._needed = needed
        self._same: dict[str, str] = {}  # what went through, and what it was
        self._texts: dict[str, str] = {}
        self._find_ends(names)
        self._share_names()

    def value(self, name: str) -> str:
        """The value of this name by the name that it had first."""
        return self._same.get(name, name)

    def text(self, name: str) -> str:
        """What the value of this name is called in the text."""
        value = self._same.get(name, name)
        return self._texts.get(value, value)

    def call_constant(self, name: str, text: str) -> None:
        """A constant that only this run reads is called by the name of its global."""
        if name != "_" and name not in self._needed:
            self._texts[name] = text

    def _find_ends(self, names: Names) -> None:
        last_use: dict[str, int] = {}
        constants: set[str] = set()
        for index, node in enumerate(self.nodes):
            last_use.update((self.value(name), index) for name in self.inputs[index])
            results = self.outputs[index]
            if node.kernel.constant:
                constants.update(results)
            elif node.kernel.forwards and not self._reads_storage(names, node):
                value, results = self.value(self.inputs[index][0]), results.copy()
                for name in self.outputs[index]:
                    if name != "_" and name not in self._needed:
                        self._same[name] = value
                        results.remove(name)
            for name in results:
                if name != "_":
                    last_use.setdefault(name, index)
        for name, index in last_use.items():
            if name not in self._needed and name not in constants:
                self.ends[name] = index
                self.dying[index].append(name)

    def _reads_storage(self, names: Names, node: Node) -> bool:
        arg = input_arguments(node.op)[0]
        return names.must_read(node.inputs[0], node.input_memories[0], arg)

    def _share_names(self) -> None:
        """From the end on: what ends where something is made gets the name of that."""
        made_at = {
            name: index
            for index, results in enumerate(self.outputs)
            for name in results
            if name != "_" and name not in self._same
        }
        for index in range(len(self.nodes) - 1, -1, -1):
            results = self.outputs[index]
            if not results or self.nodes[index].kernel.constant or made_at.get(results[0]) != index:
                continue
            for name in self.dying[index]:
                if made_at.get(name, index) < index:
                    self._texts[name] = self.text(results[0])
                    self.dying[index].remove(name)
                    break


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

    def __init__(self, run: Run, reuses: bool) -> None:
        self._run = run
        self._reuses = reuses
        self._fresh: set[str] = set()

    def note(self, index: int) -> None:
        """Take in what an operation makes, and what may live on in its result or its state."""
        run, node, results = self._run, self._run.nodes[index], self._run.outputs[index]
        kernel = node.kernel
        if kernel.forwards and all(run.value(name) != name for name in results):
            return  # the same values as before
        if kernel.aliases or kernel.stateful:
            self._fresh.difference_update(map(run.value, run.inputs[index]))
        elif self._reuses and not kernel.constant and node.memory is None and len(results) == 1:
            self._fresh.update(results)

    def reusable(self, index: int) -> str | None:
        """The value over which ufunc number `index` may write, if there is one."""
        run, node = self._run, self._run.nodes[index]
        if node.kernel.ufunc is None or node.memory is not None or len(node.op.outputs) != 1:
            return None
        for tensor, name in zip(node.inputs, run.inputs[index], strict=True):
            value = run.value(name)
            ends_here = run.ends.get(value) == index
            if ends_here and value in self._fresh and _has_the_result(node, tensor):
                return value
        return None


def _has_the_result(node: Node, tensor: Tensor) -> bool:
    """Whether the result of a ufunc surely has the shape and dtype of this input, an array."""
    out = node.op.outputs[0]
    if tensor.dtype is not out.dtype or not tensor._shape:
        return False
    if None not in tensor._shape and tensor._shape == out._shape:
        return True
    return all(other is tensor or other._shape == () for other in node.inputs)
