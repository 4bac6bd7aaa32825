"""From pruned and placed operations to a plan: segments of Python over bound kernels.

A region on one device of the host becomes one function if no two operations in it wait at once, as
does any loop without waits; all else is segments, which an Execution runs as what they wait for
comes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Container, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import NoReturn

from tfsession.core.errors import InvalidArgumentError
from tfsession.devices.device import Device
from tfsession.devices.transfer import Memory
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor
from tfsession.runtime.captured import CapturedComputation
from tfsession.runtime.counted import counted
from tfsession.runtime.function_text import Source
from tfsession.runtime.inline import Bits, Inliner, can_inline, unrolled_function
from tfsession.runtime.moves import moves_of
from tfsession.runtime.names import Names
from tfsession.runtime.padded import padded
from tfsession.runtime.partition import Layout, Node, Segment, Transfer, partition
from tfsession.runtime.plan import Fetched, Plan, Signature
from tfsession.runtime.recordable import cut_to_record, joined
from tfsession.runtime.regions import Joint, Loop, LoopVariable, Predicate, Region, Trigger
from tfsession.runtime.segments import (
    Carried,
    CompiledLoop,
    CompiledRegion,
    CompiledSegment,
    Computation,
    Decision,
    InlinedLoop,
    Meeting,
    Signal,
    Wait,
)
from tfsession.runtime.source import Binder, Readers, Writer
from tfsession.runtime.structuring import structured
from tfsession.runtime.transfer_guard import Implicit
from tfsession.runtime.waits import share_waits


def compile_plan(
    ops: Sequence[Operation],
    placement: Mapping[Operation, Device],
    signature: Signature,
    binder: Binder,
    asks: str = "",
    in_place: bool = True,
) -> Plan:
    """Compile topologically ordered operations into a plan.

    Args:
        ops: what must run, in an order in which it can.
        placement: the device of each operation.
        signature: what is fed and fetched, and where it lies.
        binder: binds kernels to the state of a session.
        asks: what of the StepControl compiled code works with: "deadline" compares it with the
            time after each operation, "observe" is told of each, at the price of a call.
        in_place: whether the function of a plan may wait where it is.
    """
    # What is moved to devices for them is nothing that a guard should have to allow.
    is_free = binder.records and not asks and binder.transfer_guard is None
    refused = binder.unrecorded if is_free else None
    layout = lay_out(ops, placement, signature, binder.strips_debug, refused)
    feeds = signature.feed_memories
    names = Names(layout, feeds, signature.fetches)
    wanted, brought = fetch_transfers(layout, signature)
    moves = [move for move in moves_of(layout, feeds, brought) if not move.is_explicit]
    transfers = share_waits(layout, brought)
    left = {transfer.tensor: transfer.source for transfer in transfers}
    pairs = list(zip(signature.fetches, wanted, strict=True))
    fetched = Fetched(
        [names.of(tensor, memory) for tensor, memory in pairs],
        wanted,
        [layout.region.waits.get(tensor, 0) for tensor in signature.fetches],
        [names.finisher(tensor, index, memory) for index, (tensor, memory) in enumerate(pairs)],
        transfers,
        [names.of(tensor, left.get(tensor, memory)) for tensor, memory in pairs],
    )
    # What is connected may have another shape than the graph says.
    reuses, fetched_tensors = not signature.connections, set(signature.fetches)
    writer = Writer(names, binder, asks, reuses, fetched_tensors, unrolled_function)
    compiler = _RegionCompiler(writer)
    is_single = not signature.arriving and not fetched.transfers
    is_single = is_single and _is_single(layout, may_wait=in_place and asks != "observe")
    nodes = list(layout.region.all_nodes())
    if is_single:
        region = compiler.compile_single(layout, fetched, nodes)
    else:
        # What a segment has brought there before is not brought again.
        results = fetched.sources + [names.of(t.tensor, t.destination) for t in transfers]
        region = compiler.compile(layout, results)
    return Plan(
        signature,
        region,
        # Those that are watched are known by their numbers; nothing else stands for others then.
        compiler.writer.nodes if asks == "observe" else nodes,
        names.names,
        fetched,
        Implicit(moves, binder.transfer_guard) if moves else None,
        binder.cancellation,
        asks,
        partial(_compile_variant, ops, placement, signature, binder),
        is_single,
        any(node.arrival for node in nodes),
    )


def lay_out(
    ops: Sequence[Operation],
    placement: Mapping[Operation, Device],
    signature: Signature,
    strips_debug: bool = False,
    refused: Container[str] | None = None,
) -> Layout:
    """Cut the operations of a step into segments; nothing is bound to a device yet.

    Where the names are given of what devices would not record, what they would is made ready for
    that: conditionals and loops of a GPU become one operation each.

    Raises:
        InvalidArgumentError: an operation has no kernel, loops are not properly nested, or a
            fetched tensor is in a loop.
    """
    feeds = signature.feed_memories
    arrivals = {t: 1 << i for i, t in enumerate(feeds)} if signature.arriving else {}

    def change(region: Region, location: dict[Tensor, Memory]) -> None:
        _check_fetches(region, [t for t in signature.fetches if t not in feeds])
        if refused is not None:
            counted(region, location, feeds)
            structured(region, location, signature.fetches, refused, feeds)

    return partition(ops, placement, feeds, arrivals, signature.wiring, strips_debug, change)


def fetch_transfers(
    layout: Layout, signature: Signature
) -> tuple[Sequence[Memory], list[Transfer]]:
    """The memory in which each fetched value is wanted, and the copies that bring them there."""
    located = [layout.location[tensor] for tensor in signature.fetches]
    wanted = signature.destinations(located)
    rows = zip(signature.fetches, located, wanted, strict=True)
    return wanted, [Transfer(*row) for row in rows if row[1] is not row[2]]


def _compile_variant(
    ops: Sequence[Operation],
    placement: Mapping[Operation, Device],
    signature: Signature,
    binder: Binder,
    asks: str,
    in_place: bool,
) -> Plan:
    with binder.as_seen():
        return compile_plan(ops, placement, signature, binder, asks, in_place)


def _check_fetches(region: Region, fetches: Sequence[Tensor]) -> None:
    """Refuse what is in a loop: it has many values, or none."""
    inside = {node.op for loop in region.loops for node in loop.all_nodes()}
    for tensor in fetches:
        if tensor.op in inside:
            raise InvalidArgumentError(
                None,
                tensor.op,
                f"{{{{node {tensor.op.name}}}}} is in a loop and has no one value to fetch: "
                "fetch what an Exit of the loop gives.",
            )


def _is_single(layout: Layout, may_wait: bool) -> bool:
    """Whether all is on one device of the host and can be one function, which may wait or not."""
    segments = [s for part in layout.all_layouts() for s in part.segments]
    return (
        not any(segment.memory or segment.transfers for segment in segments)
        and len({id(segment.place) for segment in segments}) == 1
        and can_inline(layout, may_wait=may_wait)
    )


def _no_value(index: int) -> NoReturn:
    raise InvalidArgumentError(None, None, f"Retval[{index}] does not have value")


class _RegionCompiler:
    """Turns the segments of regions into functions."""

    def __init__(self, writer: Writer) -> None:
        self.writer = writer
        self._names = writer.names
        self._binder = writer.binder

    def compile_single(self, layout: Layout, fetched: Fetched, nodes: list[Node]) -> CompiledRegion:
        """A region that is a whole plan: it takes all feeds, and hands out finished values."""
        names, writer = self._names, self.writer
        source = writer.source([names.of(tensor, memory) for tensor, memory in names.feeds.items()])
        bits = Inliner(writer, source).write(layout, fetched.names)
        for index, waits in enumerate(fetched.waits):
            if condition := bits.condition(bits.reduced(waits)):
                source.add(f"if not ({condition}): {source.bind('d', _no_value)}({index})")
        values = [
            f"{source.bind('f', finish)}({name})"
            for name, finish in zip(fetched.names, fetched.finishers, strict=True)
        ]
        source.add(f"return [{', '.join(values)}]")
        whole = Segment(None, layout.segments[0].place, nodes=nodes)
        return CompiledRegion([self._computation(whole, source, (), (), (), 0)], {})

    def compile(self, layout: Layout, results: Sequence[str]) -> CompiledRegion:
        """The segments of a region; `results` are the names of what is read when all have run."""
        region = layout.region
        specials: list[CompiledSegment] = [self._decision(p) for p in region.predicates]
        specials += [self._meeting(joint) for joint in region.joints]
        specials += [self._signal(trigger) for trigger in region.triggers]
        for loop, body in zip(region.loops, layout.bodies, strict=True):
            # What is watched is not inlined: each operation is told of when it is done.
            inlines = self.writer.asks != "observe" and can_inline(body)
            specials.append(self._inlined(loop, body) if inlines else self._loop(loop, body))
        outside = set(results).union(*(segment.reads for segment in specials))
        if self._binder.fuses and self.writer.asks != "observe":
            layout.segments = padded(layout.segments, partial(self._is_needed, outside))
        if self._binder.records and self.writer.asks != "observe":
            refused = self._binder.unrecorded
            whole = joined(layout.segments, refused, self._names, self._binder.constant)
            is_needed = partial(self._is_needed, outside)
            layout.segments = cut_to_record(whole, refused, is_needed)
        reads = [self.writer.reads(segment) for segment in layout.segments]
        in_order = region.is_plain and not any(s.waits or s.arrival for s in layout.segments)
        # Those that wait may run after those that stand behind them.
        others = Readers(reads, outside)
        needed = others.behind if in_order else others.beside
        compiled = [
            self._segment(segment, reads[index], needed(index))
            for index, segment in enumerate(layout.segments)
        ]
        compiled += specials
        readers = Counter(name for segment in compiled for name in segment.reads)
        readers.update(results)
        for segment in compiled:
            if isinstance(segment, CapturedComputation):
                segment.stage(self._staged(segment, readers))
        return CompiledRegion(compiled, readers)

    def _is_needed(self, outside: Container[str], tensor: Tensor) -> bool:
        """Whether something else than operations of the region reads a tensor, or gives it."""
        return tensor in self._names.feeds or self._names.source_of(tensor) in outside

    def _staged(
        self, segment: Computation, readers: Mapping[str, int]
    ) -> list[tuple[int, str, Transfer]]:
        """The copies from the host that a segment makes for itself: see CapturedComputation."""
        names, found = self._names, []
        for transfer in segment.transfers:
            tensor, name = transfer.tensor, names.of(transfer.tensor, transfer.destination)
            is_read = tensor.dtype.is_ref and tensor not in names.feeds
            is_own = transfer.destination is segment.memory and readers[name] == 1
            if transfer.source is None and is_own and not is_read and name in segment.inputs:
                found.append((segment.inputs.index(name), names.of(tensor, None), transfer))
        return found

    def _segment(
        self, segment: Segment, reads: Collection[str], needed: Container[str]
    ) -> CompiledSegment:
        names, writer = self._names, self.writer
        taken = dict.fromkeys(name for node in segment.nodes for name in names.inputs(node))
        inputs = tuple(name for name in taken if name in reads)
        if segment.arrival:
            (node,) = segment.nodes
            source = Source(inputs, self._binder.threads)
            kernel = source.bind("k", self._binder.bind(node))
            source.add(f"return {kernel}({', '.join(writer.arguments(node))})", node.op)
            first = writer.number([node])
            outputs = tuple(names.outputs(node))
            return self._computation(segment, source, inputs, outputs, reads, first, Wait)
        made = [name for node in segment.nodes for name in names.outputs(node)]
        outputs = tuple(name for name in dict.fromkeys(made) if name in needed)
        source = writer.source(inputs)
        first = writer.add_nodes(source, segment.nodes, needed, segment.memory)
        source.add(f"return ({''.join(f'{name}, ' for name in outputs)})")
        kind: Callable[..., Computation] = Computation
        if segment.is_recorded:
            kind = partial(CapturedComputation, refuse=self._binder.cannot_record)
        return self._computation(segment, source, inputs, outputs, reads, first, kind)

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
            first=self.writer.number(nodes),
            alternatives=joint.alternatives,
            inputs=[[names.of(*pair) for pair in pairs] for pairs in taken],
            reads_values=[
                [names.must_read(*pair, node.op.op_def.inputs[0]) for pair in pairs]
                for node, pairs in zip(nodes, taken, strict=True)
            ],
            outputs=[names.outputs(node) for node in nodes],
            moves=[[self._move(*pair) for pair in pairs] for pairs in taken],
            kernels=[self._binder.bind(node) for node in nodes],
        )

    def _signal(self, trigger: Trigger) -> Signal:
        node = trigger.node
        return Signal(
            waits=trigger.waits,
            arrival=trigger.arrival,
            place=node.place,
            reads=(),
            nodes=[node],
            transfers=[],
            first=self.writer.number([node]),
        )

    def _inlined(self, loop: Loop, body: Layout) -> Computation:
        names, writer = self._names, self.writer
        reads = writer.loop_reads(loop)
        inputs, outputs = tuple(dict.fromkeys(reads)), tuple(map(names.source_of, loop.results))
        source, bits = writer.source(inputs), Bits(0)
        Inliner(writer, source, 1).add_loop(replace(loop, waits=0), body, bits, outputs)
        if condition := bits.condition(bits.reduced(loop.arrival)):
            source.add(f"if not ({condition}): return None")
        source.add(f"return ({''.join(f'{name}, ' for name in outputs)})")
        whole = Segment(None, None, loop.waits, loop.arrival)
        return self._computation(whole, source, inputs, outputs, reads, 0, InlinedLoop)

    def _loop(self, loop: Loop, body: Layout) -> CompiledLoop:
        names = self._names
        carried = [self._carried(variable) for variable in loop.variables]
        nexts = [names.source_of(variable.next) for variable in loop.variables]
        results = {names.source_of(tensor): waits for tensor, waits in loop.results.items()}
        constants = tuple(names.source_of(tensor) for tensor in loop.constants)
        return CompiledLoop(
            waits=loop.waits,
            arrival=loop.arrival,
            place=None,
            reads=self.writer.loop_reads(loop),
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
        arg = node.op.op_def.inputs[0]
        return Carried(
            enter_reads=names.must_read(variable.enter, memory, arg),
            next_reads=names.must_read(variable.next, memory, arg),
            enter=names.source_of(variable.enter),
            enter_index=list(node.inputs).index(variable.enter),
            enter_move=self._move(variable.enter, memory),
            next=names.source_of(variable.next),
            next_waits=variable.next_waits,
            next_move=self._move(variable.next, memory),
            value=value,
            index=index,
            first=self.writer.number([node]),
        )

    def _computation(
        self,
        segment: Segment,
        source: Source,
        inputs: tuple[str, ...],
        outputs: tuple[str, ...],
        reads: Collection[str],
        first: int,
        kind: Callable[..., Computation] = Computation,
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
