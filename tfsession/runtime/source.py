"""The text of compiled functions: names of values, a line for each operation, lifetimes, buffers.

A segment becomes one function: a line for each operation, `v7 = k3(v1, v5)`, with values dropped
after their last use. The line number of a failure tells the operation, at no cost while all is
well.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Container, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import lru_cache, partial
from math import prod
from types import CodeType, FunctionType
from typing import Any, NamedTuple, Protocol

import numpy as np

from tfsession.core.shape import Shape
from tfsession.devices.memory import OPERATIONS
from tfsession.devices.spares import Spares
from tfsession.devices.threads import this_thread
from tfsession.devices.transfer import Memory
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor
from tfsession.runtime.beside import side_by_side
from tfsession.runtime.buffers import Buffers
from tfsession.runtime.control import CancellationManager, stop_closed, stop_late
from tfsession.runtime.errors import Ops
from tfsession.runtime.fuse import Group, fused
from tfsession.runtime.fuse_attention import fused_attention
from tfsession.runtime.fuse_convolutions import fused_convolutions
from tfsession.runtime.fuse_device import fused_on_device
from tfsession.runtime.fuse_products import fused_products
from tfsession.runtime.fuse_updates import fused_updates
from tfsession.runtime.in_place import in_place
from tfsession.runtime.names import Names
from tfsession.runtime.partition import Node, Segment, gives_tuple, input_arguments
from tfsession.runtime.regions import Loop
from tfsession.runtime.runs import Named, Run, pieces_of
from tfsession.runtime.segments import Function, Value
from tfsession.runtime.spelling import operator_of, spelling_of
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
    def records(self) -> bool:
        """Whether GPUs may record what they are asked to do."""

    unrecorded: set[str]

    def cannot_record(self, node: Node) -> None:
        """Take down that a device has refused to record an operation."""

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


# A step looks after so many small operations whether its session was closed meanwhile, and after
# each one that may take its time: that costs a few nanoseconds.
_CLOSING_CHECK = 8
# Ufuncs that NumPy would not have called with `out` by its position.
_OUT_BY_NAME = frozenset({np.maximum, np.minimum})
# Operations of a run that is written in one piece.
_LONG = 512
# Elements of the tensors of a small operation.
_SMALL = 1 << 14


@lru_cache(maxsize=1 << 12)
def _is_small_shape(shape: Shape) -> bool:
    return shape is not None and None not in shape and prod(shape) <= _SMALL  # type: ignore[arg-type]


def _is_small(op: Operation) -> bool:
    is_small, seen = _is_small_shape, None
    for tensor in (*op.outputs, *op.inputs):
        shape = tensor._shape
        if shape is not seen or shape is None:  # mostly all have the same
            if not is_small(shape):
                return False
            seen = shape
    return True


class Source:
    """The text of a segment's function as it grows, a line for each operation that computes.

    The function lets so many `threads` compute for it, 0 for as many as there are cores.
    """

    def __init__(self, inputs: Sequence[str], threads: int = 0) -> None:
        self.lines = [""]
        self.ops: list[Ops] = [None]
        self.values: dict[str, Any] = {}
        self._inputs = inputs
        self._bound: dict[int, str] = {}
        self._indent = " "
        self._threads = threads
        if threads:
            self.values["here"] = this_thread
            self.add(f"before, here.limit = here.limit, {threads}")
            self.add("try:")
            self._indent += " "

    def bind(self, prefix: str, value: Any) -> str:
        """A name for a value that the text uses; the same value has one name."""
        name = self._bound.get(id(value))
        if name is None:
            name = self._bound[id(value)] = f"{prefix}{len(self.values)}"
            self.values[name] = value
        return name

    def call(
        self,
        function: Function,
        arguments: Sequence[str],
        written: str | None = None,
        owned: bool = False,
    ) -> str:
        """The text of a call; `written` names the array that the result is written to.

        `owned` says that nobody else has the last input.
        What `partial` holds is spelled out, and a ufunc's `out` given by its position: both cost
        a step much of the time of a small kernel.
        """
        parts = arguments
        if type(function) is partial:
            parts = [self.bind("p", value) for value in function.args]
            parts += arguments
            parts += [f"{key}={self.bind('p', value)}" for key, value in function.keywords.items()]
            parts += ["owned=True"] * owned
            function = function.func
        if written is not None:
            by_place = isinstance(function, np.ufunc) and function not in _OUT_BY_NAME
            parts = [*parts, written if by_place else f"out={written}"]
        return f"{self.bind('k', function)}({', '.join(parts)})"

    def add(self, line: str, op: Ops = None) -> None:
        """A line; its failures are those of `op`, or of the operations of a piece called there."""
        self.lines.append(self._indent + line)
        self.ops.append(op)

    @contextmanager
    def block(self, head: str) -> Iterator[None]:
        """What is added meanwhile stands in a block under this line."""
        self.add(head)
        self._indent += " "
        begin = len(self.lines)
        yield
        if len(self.lines) == begin:
            self.add("pass")
        self._indent = self._indent[:-1]

    def watch_closing(self, cancellation: CancellationManager) -> None:
        """A line that ends the step if its session was closed."""
        self.values |= {"closing": cancellation.flag, "stop_closed": stop_closed}
        self.add("if closing: stop_closed()")

    def watch_deadline(self) -> None:
        """A line that ends the step if its time is over."""
        self.values |= {"clock": time.monotonic, "stop_late": stop_late}
        self.add("if clock() > deadline: stop_late()")

    def compile(self) -> Function:
        """The function; what the text uses are defaults, so that like texts share their code."""
        if self._threads:
            self.lines.append(" finally: here.limit = before")
            self.ops.append(None)
        self.lines[0] = f"def segment({', '.join([*self._inputs, *self.values])}):"
        text = "\n".join(self.lines)
        code = _known_code(text) if len(text) < _KEPT else _code(text)
        return FunctionType(code, {OPERATIONS: self.ops}, "segment", tuple(self.values.values()))


# Characters of a text whose code is kept: that of a piece of a long run has some ten thousand.
_KEPT = 1 << 16


def _code(text: str) -> CodeType:
    (code,) = [c for c in compile(text, "<segment>", "exec").co_consts if type(c) is CodeType]
    return code


_known_code = lru_cache(maxsize=256)(_code)


class Readers:
    """Who reads each value, of parts that stand in an order; `results` are read in the end."""

    def __init__(self, reads: Sequence[Collection[str]], results: Collection[str]) -> None:
        self._reads = reads
        self._results = frozenset(results)
        self._last = {name: index for index, names in enumerate(reads) for name in names}
        self._counts = Counter(name for names in reads for name in set(names))

    def behind(self, index: int) -> Container[str]:
        """What is read behind a part."""
        return _Behind(self._results, self._last, index)

    def beside(self, index: int) -> Container[str]:
        """What other parts read."""
        return _Beside(self._results, self._counts, self._reads[index])


class _Behind(Container[str]):
    """The names of results, and of what is read last behind a part."""

    def __init__(self, results: Container[str], last: Mapping[str, int], part: int) -> None:
        self._results = results
        self._last = last
        self._part = part

    def __contains__(self, name: Any) -> bool:
        return name in self._results or self._last.get(name, -1) > self._part


class _Needed(Container[Tensor]):
    """The tensors of a memory whose names are needed."""

    def __init__(self, names: Names, needed: Container[str], memory: Memory) -> None:
        self._names = names
        self._needed = needed
        self._memory = memory

    def __contains__(self, tensor: Any) -> bool:
        return self._names.of(tensor, self._memory) in self._needed


class _Beside(Container[str]):
    """The names of results, and of what is read by more than the one that reads `own`."""

    def __init__(self, results: Container[str], counts: Counter[str], own: Container[str]) -> None:
        self._results = results
        self._counts = counts
        self._own = own

    def __contains__(self, name: Any) -> bool:
        return name in self._results or self._counts[name] > (name in self._own)


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

    def add_nodes(
        self,
        source: Source,
        nodes: Sequence[Node],
        needed: Container[str],
        memory: Memory = None,
    ) -> int:
        """A line for each operation that needs one; `needed` names what is read outside.

        `memory` is that of the segment.
        """
        first = self.number(nodes)
        if self.binder.fuses and self.asks != "observe":
            is_needed = _Needed(self.names, needed, memory)
            if memory is None:
                nodes = fused_convolutions(nodes, self.names.feeds, is_needed)
                nodes = fused(nodes, self.names.feeds, is_needed)
                nodes = side_by_side(nodes, self.names.feeds, is_needed)
            else:
                nodes = fused_attention(nodes, self.names.feeds, is_needed)
                nodes = fused_products(nodes, self.names.feeds, is_needed)
                nodes = fused_on_device(nodes, self.names.feeds, is_needed)
                nodes = fused_updates(nodes, self.names.feeds, is_needed)
        inputs, outputs = self.names.of_nodes(nodes)
        part = _Part(source, source, {}, set(), needed, needed)
        if len(nodes) <= _LONG:
            self._add_run(part, Run(nodes, inputs, outputs, needed, part.constants), first)
            return first
        last_use = {name: index for index, names in enumerate(inputs) for name in names}
        for begin, end in pieces_of(nodes, inputs, outputs):
            cut = slice(begin, end)
            rows = nodes[cut], inputs[cut], outputs[cut]
            known = set().union(*rows[1], *rows[2])
            read = {name for name in known if last_use.get(name, -1) >= end}
            read.update([name for name in known - read if name in needed])
            self._add_piece(part._replace(needed=read), *rows, first + begin)
        return first

    def _add_piece(
        self, part: _Part, nodes: Sequence[Node], inputs: Named, outputs: Named, first: int
    ) -> None:
        """Write a piece of a long run as a function of its own.

        It is given its values in a list, which it empties: so they end where they are read last.
        """
        constants, needed, outer = part.constants, part.needed, part.source
        made = dict.fromkeys(name for names in outputs for name in names if name != "_")
        rows = zip(nodes, outputs, strict=True)
        made_constant = {name for n, names in rows if n.kernel.constant for name in names}
        read = dict.fromkeys(name for names in inputs for name in names)
        taken = [name for name in read if name not in made and name not in constants]
        given = [name for name in made if name in needed and name not in made_constant]
        source = Source([self.asks, "given"] if self.asks else ["given"])
        run = Run(nodes, inputs, outputs, needed, constants, taken)
        if taken:
            source.add(f"{', '.join(map(run.texts.__getitem__, taken))}, = given; given.clear()")
        self.watch(source)
        # A set of its own: that of a very long run would be slow to look into.
        fresh = part.fresh.intersection(taken)
        part.fresh.difference_update(taken)
        self._add_run(part._replace(source=source, fresh=fresh), run, first)
        part.fresh.update([name for name in fresh if name in needed])
        source.add(
            f"return {', '.join(map(run.texts.__getitem__, given))}{',' * (len(given) == 1)}"
        )
        outer.add(f"given = [{', '.join(taken)}]")
        if gone := [name for name in taken if name not in needed]:
            outer.add(f"del {', '.join(gone)}")
        function = outer.bind("g", source.compile())
        call = f"{function}({', '.join([self.asks, 'given'] if self.asks else ['given'])})"
        outer.add(f"{', '.join(given)}, = {call}" if given else call, source.ops)

    def _add_run(self, part: _Part, run: Run, first: int) -> None:
        """Write operations one after another, numbered from `first` on."""
        source = part.source
        buffers = Buffers(run, self._reuses, part.fresh)
        unlooked, is_begun = 0, False
        for index, node in enumerate(run.nodes):
            line, op = self._line(part, run, index, buffers)
            dead = run.dying.get(index)
            if self.asks == "observe":
                results = [run.value(name) for name in run.outputs[index]]
                seen = [str(first + index), *self._texts(part, run, results)]
                line.append(f"observe({', '.join(seen)})")
            if dead:
                line.append(f"del {', '.join(map(run.texts.__getitem__, dead))}")
            if not line:
                continue
            if is_begun and self.asks == "deadline":
                source.watch_deadline()
            if unlooked >= _CLOSING_CHECK:
                source.watch_closing(self.binder.cancellation)
                unlooked = 0
            source.add("; ".join(line), op)
            is_begun = True
            unlooked += 1 if node.kernel.constant or _is_small(node.op) else _CLOSING_CHECK

    def _add_group(self, part: _Part, group: Group, arguments: Sequence[str]) -> tuple[str, Ops]:
        """The call of a function of its own, which computes the group at once or one by one.

        It takes variables as they are, like its operations.
        """
        names, asked = self.names, [self.asks] if self.asks else []
        inputs, outputs = names.inputs(group), names.outputs(group)
        source = Source([*asked, *inputs])
        closing = self.binder.cancellation.flag
        computed = group.computed(self._fetched, closing, self.binder.spares)
        if group.memory is not None:
            first, last = group.parts[0].op.name, group.parts[-1].op.name
            computed = group.memory.shown(computed, f"{first} .. {last}")
        values = dict(zip(group.inputs, inputs, strict=True))
        for tensor, read in zip(group.inputs, self.arguments(group), strict=True):
            if read != values[tensor]:
                reader = next(node.op for node in group.parts if tensor in node.inputs)
                source.add(f"{values[tensor]}_read = {read}", reader)
                values[tensor] += "_read"
        with source.block(f"if {group.condition(values.__getitem__)}:"):
            call = f"{source.bind('g', computed)}({', '.join(values.values())})"
            source.add(f"done = {call}", group.parts[-1].op)
            source.add("if done is not None: return done")
        taken, made = ([of(p) for p in group.parts] for of in (names.inputs, names.outputs))
        run = Run(group.parts, taken, made, outputs, part.constants)
        self._add_run(part._replace(source=source, fresh=set(), needed=outputs), run, 0)
        source.add(f"return {', '.join(outputs)}")
        function = part.source.bind("g", source.compile())
        return f"{function}({', '.join([*asked, *arguments])})", source.ops

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

    def arguments(self, node: Node, texts: Sequence[str] | None = None) -> list[str]:
        """What an operation takes, as text; a variable's storage is read where a value is asked.

        `texts` are what the inputs are called there, if not by their names.
        """
        names = self.names
        arguments = list(names.inputs(node) if texts is None else texts)
        for tensor in node.inputs:
            if tensor.dtype.is_ref:
                break
        else:
            return arguments
        rows = zip(node.inputs, node.input_memories, input_arguments(node.op), strict=True)
        for index, (tensor, memory, arg) in enumerate(rows):
            if names.must_read(tensor, memory, arg):
                arguments[index] += ".read()"
        return arguments

    @staticmethod
    def _texts(part: _Part, run: Run, names: Sequence[str]) -> list[str]:
        """What values, by their first names, are called; constants by what holds them."""
        constants, texts = part.constants, run.texts
        if not constants or constants.keys().isdisjoint(names):
            return [texts[name] for name in names]
        return [
            part.source.bind("c", constants[name]) if name in constants else texts[name]
            for name in names
        ]

    def _line(self, part: _Part, run: Run, index: int, buffers: Buffers) -> tuple[list[str], Ops]:
        """What computes operation number `index` of a run, and whose failures are its.

        There is nothing to do where names say it all.
        """
        source, node, results = part.source, run.nodes[index], run.outputs[index]
        kernel = node.kernel
        ops: Ops = node.blamed
        if kernel.constant:
            self._add_constants(part, node, results)
            return [], ops
        inputs, texts = run.inputs[index], run.texts
        is_stateful = kernel.stateful or node.op.op_def.is_stateful
        if not (inputs or results or is_stateful or node.arrival):
            return [], ops  # others have waited for it, no more
        taken = self._texts(part, run, inputs)
        arguments = self.arguments(node, taken)
        if kernel.forwards:
            call = arguments[0]
            if inputs[0] in self._scalars:
                self._scalars.update(dict.fromkeys(results, self._scalars[inputs[0]]))
        elif isinstance(node, Group):
            call, ops = self._add_group(part, node, taken)
        elif kernel.spells is not None and (spelled := self._spelled(part, run, index, buffers)):
            buffers.note(index)
            return [spelled], ops
        elif (operator := operator_of(node)) is not None:
            call = operator.join(
                source.bind("s", self._scalars[name]) if name in self._scalars else text
                for name, text in zip(inputs, arguments, strict=True)
            )
        else:
            written = buffers.reusable(index)
            function = self.binder.bind(node)
            if node.arrival:
                function = in_place(self.binder.cancellation, node.op, function)
            owned = kernel.takes_over and buffers.is_given_up(index)
            out = None if written is None else texts[written]
            call = source.call(function, arguments, out, owned)
        buffers.note(index)
        if kernel.forwards:
            # What only goes through is called as before.
            targets = [texts[name] for name in results if run.value(name) == name]
            targets = [target for target in targets if target != call]
            return [" = ".join([*targets, call])] if targets else [], ops
        if not results:
            return [call], ops
        if len(results) == 1 and node.op.op_def.has_single_output:
            return [f"{texts[results[0]]} = {call}"], ops
        made = ", ".join([texts[name] for name in results])
        return [f"{made}{',' * gives_tuple(node.op.op_def)} = {call}"], ops

    def _spelled(self, part: _Part, run: Run, index: int, buffers: Buffers) -> str:
        """The text of an operation that its kernel spells out; none where that cannot be."""
        node, results = run.nodes[index], run.outputs[index]
        # What is connected may have another shape than the graph says.
        can_be = self._reuses and self.binder.fuses and "_" not in results
        spelling = spelling_of(node, self.names.feeds) if can_be else None
        if spelling is None:
            return ""
        source, written = part.source, buffers.reusable(index)
        return spelling.text.format(
            *self.arguments(node, self._texts(part, run, run.inputs[index])),
            result=", ".join([run.texts[name] for name in results]),
            out="" if written is None else f", {run.texts[written]}",
            **{name: source.bind("k", value) for name, value in spelling.values.items()},
        )

    def _add_constants(self, part: _Part, node: Node, results: Sequence[str]) -> None:
        """Make constants known; a line only gives them the names by which others read them."""
        value = self.binder.constant(node)
        values = value if gives_tuple(node.op.op_def) else (value,)
        for name, value in zip(results, values, strict=True):
            part.constants[name] = value
            if isinstance(value, np.ndarray) and not value.ndim:
                self._scalars[name] = value[()]
            if name in part.outside:
                part.outer.add(f"{name} = {part.outer.bind('c', value)}", node.op)


class _Part(NamedTuple):
    """Where a run is written, and what its pieces share.

    Attributes:
        source: the text of a piece.
        outer: the text around all pieces; `source` itself where there are none.
        constants: those known so far, by name.
        fresh: see Buffers.
        outside: what is read outside of the run.
        needed: what is read outside of the piece.
    """

    source: Source
    outer: Source
    constants: dict[str, Value]
    fresh: set[str]
    outside: Container[str]
    needed: Container[str]
