"""The text of compiled functions: names of values, a line for each operation, lifetimes, buffers.

A segment becomes one function: a line for each operation, `v7 = k3(v1, v5)`, with values dropped
after their last use. The line number of a failure tells the operation, at no cost while all is
well.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Container, Hashable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import lru_cache, partial
from itertools import chain
from math import prod
from operator import attrgetter
from typing import Any, NamedTuple, Protocol

import numpy as np

from tfsession.core.dtypes import DType
from tfsession.core.rules import Kernel
from tfsession.core.shape import Shape
from tfsession.devices.spares import Spares
from tfsession.devices.transfer import Memory
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor
from tfsession.runtime.beside import side_by_side
from tfsession.runtime.buffers import Buffers
from tfsession.runtime.control import CancellationManager
from tfsession.runtime.direct import read_directly
from tfsession.runtime.errors import Ops
from tfsession.runtime.function_text import Source
from tfsession.runtime.fuse import Group, fused
from tfsession.runtime.fuse_attention import fused_attention
from tfsession.runtime.fuse_chains import chained
from tfsession.runtime.fuse_convolutions import fused_convolutions
from tfsession.runtime.fuse_device import fused_on_device
from tfsession.runtime.fuse_layers import fused_layers
from tfsession.runtime.fuse_products import fused_products
from tfsession.runtime.fuse_updates import fused_updates, late_updates
from tfsession.runtime.in_place import in_place
from tfsession.runtime.names import Names
from tfsession.runtime.partition import Node, Segment, gives_tuple, input_arguments
from tfsession.runtime.pieces import Call, Pattern, Piece
from tfsession.runtime.regions import Loop
from tfsession.runtime.runs import Key, Keyed, Run, pieces_of
from tfsession.runtime.segments import Function, Value
from tfsession.runtime.spelling import operator_of, spelling_of
from tfsession.runtime.structure import Structure, Unrolled
from tfsession.runtime.structured import structure_function
from tfsession.runtime.transfer_guard import Guard

# What groups operations of the host, in order, and of which kernels there must be one for that.
_GROUPS_OF_HOST: tuple[tuple[Callable[..., Sequence[Node]], Callable[[Kernel], object]], ...] = (
    (fused_convolutions, attrgetter("takes_then")),
    (chained, attrgetter("takes_then")),
    (fused, attrgetter("traces")),
    (fused_layers, lambda kernel: kernel.op_type == "MatMul"),
    (side_by_side, attrgetter("slow")),
)


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
# Operations of a run that is written in one piece.
_LONG = 512
# Elements of the tensors of a small operation.
_SMALL = 1 << 14
_CONSTANT, _FORWARDS, _NOTHING, _GROUP = map(Call, ("constant", "forwards", "nothing", None))


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
    `fetched` are the tensors that the program gets, `unrolled` writes the function of a loop.
    """

    def __init__(
        self,
        names: Names,
        binder: Binder,
        asks: str,
        reuses: bool,
        fetched: Collection[Tensor] = (),
        unrolled: Callable[[Writer, Unrolled], Function] | None = None,
    ) -> None:
        self.nodes: list[Node] = []
        self._unrolled = unrolled
        self.names = names
        self.binder = binder
        self.asks = asks
        self._reuses = reuses
        self._fetched = fetched
        self._scalars: dict[Tensor, Value] = {}  # constants, and what they are elsewhere
        self._patterns: dict[Hashable, Pattern] = {}
        self._ufuncs: dict[tuple[Kernel, DType | None], tuple[Memory, Call]] = {}

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
                nodes = read_directly(nodes, self.names.feeds, is_needed)
                kernels = {node.kernel for node in nodes}
                for group, is_of_use in _GROUPS_OF_HOST:
                    if any(map(is_of_use, kernels)):
                        nodes = group(nodes, self.names.feeds, is_needed)
            else:
                nodes = late_updates(nodes, self.names.feeds)
                nodes = fused_attention(nodes, self.names.feeds, is_needed)
                nodes = fused_products(nodes, self.names.feeds, is_needed)
                nodes = fused_on_device(nodes, self.names.feeds, is_needed)
                nodes = fused_updates(nodes, self.names.feeds, is_needed)
        if len(nodes) > _LONG:
            self._add_long(source, nodes, needed, memory, first)
            return first
        inputs, outputs = self.names.of_nodes(nodes)
        part = _Part(source, source, {}, set(), needed)
        calls = self._calls(part, nodes, outputs)
        self._add_run(part, Run(nodes, inputs, outputs, needed, part.constants), calls, first)
        return first

    def _add_long(
        self,
        source: Source,
        nodes: Sequence[Node],
        needed: Container[str],
        memory: Memory,
        first: int,
    ) -> None:
        """Write a long run, cut into pieces."""
        inputs, outputs = self.names.keys_of_nodes(nodes, memory)
        last_use = {key: index for index, keys in enumerate(inputs) for key in keys}
        known = chain(last_use, chain.from_iterable(outputs))
        outside = self.names.keys_in(known, needed, memory)
        part = _Part(source, source, {}, set(), outside, memory)
        for begin, end in pieces_of(nodes, outputs, last_use):
            cut = slice(begin, end)
            rows = nodes[cut], inputs[cut], outputs[cut]
            calls = self._calls(part, rows[0], rows[2])
            piece = Piece(*rows, part.constants)
            piece.needed.update([key for key in piece.keys if last_use.get(key, -1) >= end])
            piece.needed.update(outside.intersection(piece.keys))
            self._add_piece(part, piece, calls, first + begin)

    def _add_piece(self, part: _Part, piece: Piece, calls: Sequence[Call], first: int) -> None:
        """Write a piece of a long run as a function of its own.

        It is given its values in a list, which it empties: so they end where they are read last.
        """
        outer, fresh = part.source, part.fresh.intersection(piece.taken)
        part.fresh.difference_update(piece.taken)
        is_alone = self.asks == "observe"  # which tells numbers
        known = part.constants, self._scalars
        found = None if is_alone else piece.kind(calls, known, fresh, self.names.feeds)
        kind, values = found or (None, ())
        pattern = self._patterns.get(kind) if found else None
        if pattern is None:
            source = self._written(part._replace(fresh=fresh), piece, calls, first)
            part.fresh.update(fresh.intersection(piece.needed))
            if found:
                self._patterns[kind] = Pattern.of(source, piece, values, part.fresh)
            function, ops = source.compile(), source.ops
        else:
            function, ops = pattern.function(piece, values)
            part.fresh.update([piece.keys[number] for number in pattern.fresh])
        taken, given, gone = (
            ", ".join([self.names.of_key(key, part.memory) for key in keys])
            for keys in (
                piece.taken,
                piece.given,
                [key for key in piece.taken if key not in piece.needed],
            )
        )
        outer.add(f"given = [{taken}]")
        if gone:
            outer.add(f"del {gone}")
        call = f"{outer.bind('g', function)}({f'{self.asks}, ' * bool(self.asks)}given)"
        outer.add(f"{given}, = {call}" if given else call, ops)

    def _written(self, part: _Part, piece: Piece, calls: Sequence[Call], first: int) -> Source:
        """The text of a piece."""
        source = Source([self.asks, "given"] if self.asks else ["given"])
        rows = piece.nodes, piece.inputs, piece.outputs
        run = Run(*rows, piece.needed, part.constants, piece.taken)
        if piece.taken:
            taken = ", ".join(map(run.texts.__getitem__, piece.taken))
            source.add(f"{taken}, = given; given.clear()")
        self.watch(source)
        self._add_run(part._replace(source=source), run, calls, first)
        given = ", ".join(map(run.texts.__getitem__, piece.given))
        source.add(f"return {given}{',' * (len(piece.given) == 1)}")
        return source

    def _add_run(self, part: _Part, run: Run, calls: Sequence[Call], first: int) -> None:
        """Write operations one after another, numbered from `first` on."""
        source = part.source
        buffers = Buffers(run, self._reuses, part.fresh)
        unlooked, is_begun = 0, False
        for index, node in enumerate(run.nodes):
            line, op = self._line(part, run, index, calls[index], buffers)
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
        inner = part._replace(source=source, fresh=set())
        self._add_run(inner, run, self._calls(inner, group.parts, made), 0)
        source.add(f"return {', '.join(outputs)}")
        function = part.source.bind("g", source.compile())
        return f"{function}({', '.join([*asked, *arguments])})", source.ops

    def _part_function(self, node: Structure, number: int) -> Function:
        """A part of a structure as a function of what the structure reads; it gives a tuple."""
        if isinstance(node, Unrolled):
            assert self._unrolled is not None
            return self._unrolled(self, node)
        names, part = self.names, node.parts[number]
        source = Source([names.of(*read) for read in node.reads])
        tensors = [*part.results, *part.others]
        results = [names.of(tensor, node.memory) for tensor in tensors]
        self.add_nodes(source, part.nodes, frozenset(results), node.memory)
        given = [
            f"{name}.read()" if names.is_variable(tensor, node.memory) else name
            for name, tensor in zip(results, tensors, strict=True)
        ]
        source.add(f"return ({''.join(f'{value}, ' for value in given)})")
        return source.compile()

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
        # A form of a kernel may take more than the operation does.
        rows = zip(node.inputs, node.input_memories, input_arguments(node.op), strict=False)
        for index, (tensor, memory, arg) in enumerate(rows):
            if names.must_read(tensor, memory, arg):
                arguments[index] += ".read()"
        return arguments

    @staticmethod
    def _texts(part: _Part, run: Run, keys: Sequence[Key]) -> list[str]:
        """What values, by their first keys, are called; constants by what holds them."""
        constants, texts = part.constants, run.texts
        if not constants or constants.keys().isdisjoint(keys):
            return [texts[key] for key in keys]
        return [
            part.source.bind("c", constants[key]) if key in constants else texts[key]
            for key in keys
        ]

    def _calls(self, part: _Part, nodes: Sequence[Node], outputs: Keyed) -> list[Call]:
        """How operations are called; makes constants known."""
        calls, known = [], self._ufuncs
        for node, results in zip(nodes, outputs, strict=True):
            key = node.kernel, node.inputs[0].dtype if node.inputs else None
            found = known.get(key)
            if found is not None and found[0] is node.allocator:
                calls.append(found[1])
                continue
            call = self._call(part, node, results)
            calls.append(call)
            if type(call.function) is np.ufunc and node.kernel.spells is None:
                known[key] = node.allocator, call
        return calls

    def _call(self, part: _Part, node: Node, results: Sequence[Key]) -> Call:
        """How an operation is called."""
        kernel = node.kernel
        if kernel.constant:
            self._add_constants(part, node, results)
            return _CONSTANT
        is_stateful = kernel.stateful or node.op.op_def.is_stateful
        if not (node.inputs or results or is_stateful or node.arrival):
            return _NOTHING  # others have waited for it, no more
        if kernel.forwards:
            if (scalar := self._scalars.get(node.inputs[0])) is not None and "_" not in results:
                self._scalars.update(dict.fromkeys(node.op.outputs, scalar))
            return _FORWARDS
        if isinstance(node, Group):
            return _GROUP
        if isinstance(node, Structure):
            closing = self.binder.cancellation.flag
            return Call(None, (), structure_function(node, self._part_function, closing))
        # What is connected may have another shape than the graph says.
        can_be = kernel.spells and self._reuses and self.binder.fuses and "_" not in results
        spelling = spelling_of(node, self.names.feeds) if can_be else None
        if spelling is not None:
            names, values = tuple(spelling.values), tuple(spelling.values.values())
            return Call((kernel.op_type, spelling.text, names), values, None, spelling.text, names)
        function = self.binder.bind(node)
        if node.arrival:
            return Call(None, (), in_place(self.binder.cancellation, node.op, function))
        how = (kernel.op_type, kernel.site)
        if type(function) is not partial:
            return Call(how, (function,), function)
        keywords = function.keywords
        values = (*function.args, *keywords.values(), function.func)
        return Call((*how, len(function.args), *keywords), values, function)

    def _line(
        self, part: _Part, run: Run, index: int, call: Call, buffers: Buffers
    ) -> tuple[list[str], Ops]:
        """What computes operation number `index` of a run, and whose failures are its.

        There is nothing to do where names say it all.
        """
        source, node, results = part.source, run.nodes[index], run.outputs[index]
        ops: Ops = node.blamed
        if call is _CONSTANT or call is _NOTHING:
            return [], ops
        inputs, texts = run.inputs[index], run.texts
        taken = self._texts(part, run, inputs)
        arguments = self.arguments(node, taken)
        if call is _FORWARDS:
            text = arguments[0]
        elif call is _GROUP:
            assert isinstance(node, Group)
            text, ops = self._add_group(part, node, taken)
        elif call.text:
            written = buffers.reusable(index)
            buffers.note(index)
            spelled = call.text.format(
                *arguments,
                result=", ".join([texts[key] for key in results]),
                out="" if written is None else f", {texts[written]}",
                **{
                    name: source.bind("k", value)
                    for name, value in zip(call.names, call.values, strict=True)
                },
            )
            return [spelled], ops
        elif (operator := operator_of(node)) is not None:
            scalars = self._scalars
            text = operator.join(
                source.bind("s", scalars[tensor]) if tensor in scalars else text
                for tensor, text in zip(node.inputs, arguments, strict=True)
            )
        else:
            assert call.function is not None
            written = buffers.reusable(index)
            owned = node.kernel.takes_over and buffers.is_given_up(index)
            out = None if written is None else texts[written]
            text = source.call(call.function, arguments, out, owned)
        buffers.note(index)
        if call is _FORWARDS:
            # What only goes through is called as before.
            targets = [texts[key] for key in results if run.value(key) == key]
            targets = [target for target in targets if target != text]
            return [" = ".join([*targets, text])] if targets else [], ops
        if not results:
            return [text], ops
        if len(results) == 1 and node.op.op_def.has_single_output:
            return [f"{texts[results[0]]} = {text}"], ops
        made = ", ".join([texts[key] for key in results])
        return [f"{made}{',' * gives_tuple(node.op.op_def)} = {text}"], ops

    def _add_constants(self, part: _Part, node: Node, results: Sequence[Key]) -> None:
        """Make constants known; a line only gives them the names by which others read them."""
        value = self.binder.constant(node)
        values = value if gives_tuple(node.op.op_def) else (value,)
        for key, tensor, value in zip(results, node.op.outputs, values, strict=True):
            if key == "_":
                continue
            part.constants[key] = value
            if isinstance(value, np.ndarray) and not value.ndim:
                self._scalars[tensor] = value[()]
            if key in part.outside:
                name = self.names.of_key(key, part.memory)
                part.outer.add(f"{name} = {part.outer.bind('c', value)}", node.op)


class _Part(NamedTuple):
    """Where a run is written, and what its pieces share.

    Attributes:
        source: the text of a piece.
        outer: the text around all pieces; `source` itself where there are none.
        constants: those known so far, by key.
        fresh: see Buffers.
        outside: the keys of what is read outside of the run.
        memory: that of the segment.
    """

    source: Source
    outer: Source
    constants: dict[Key, Value]
    fresh: set[Key]
    outside: Container[Key]
    memory: Memory = None
