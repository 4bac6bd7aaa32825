"""Plans: what a step runs. Segments, the transfers between them, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tfsession.core import protos
from tfsession.core.waiting import Stop, here
from tfsession.devices.memory import Ledger
from tfsession.devices.transfer import Memory
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor
from tfsession.runtime.control import FREE, CancellationManager, StepControl, run_cancelled
from tfsession.runtime.execution import Execution
from tfsession.runtime.float_errors import SILENT, settings, use
from tfsession.runtime.partition import Node, Transfer
from tfsession.runtime.recorded_step import RecordedStep
from tfsession.runtime.segments import CompiledRegion, CompiledSegment, Function, Value
from tfsession.runtime.structure import Repeat, each_within
from tfsession.runtime.transfer_guard import Implicit
from tfsession.runtime.wiring import Connections, Element, Wired


@dataclass(slots=True, frozen=True)
class Signature:
    """What makes two steps the same: sorted fetches, targets and feeds, and where feeds lie.

    `memories` has the memory of each feed's value. `on_device` says whether fetched values stay
    where they were made instead of coming to the host, or in which memory each is wanted.
    `arriving` lets feeds come after the step has begun. `connections` are pairs of a tensor and
    what is read in its place; `lowered` likewise pairs what calls of functions give, or these calls
    themselves, with what stands for it. `rewired` has what a rewritten step reads and waits for.
    """

    fetches: tuple[Tensor, ...]
    targets: tuple[Operation, ...]
    feeds: tuple[Tensor, ...]
    memories: tuple[Memory, ...]
    on_device: bool | tuple[Memory, ...] = False
    arriving: bool = False
    connections: tuple[tuple[Tensor, Tensor], ...] = ()
    lowered: tuple[tuple[Element, Element], ...] = ()
    rewired: Mapping[Operation, Wired] = field(default_factory=dict, compare=False)

    @property
    def wiring(self) -> Connections:
        """What is read and waited for in place of what the graph says."""
        return Connections(dict((*self.lowered, *self.connections)), self.rewired)

    @property
    def feed_memories(self) -> dict[Tensor, Memory]:
        """The memory in which the value of each fed tensor is given."""
        return dict(zip(self.feeds, self.memories, strict=True))

    def destinations(self, located: Sequence[Memory]) -> Sequence[Memory]:
        """The memory in which each fetched value is wanted, for those where they were made."""
        if isinstance(self.on_device, tuple):
            return self.on_device
        return located if self.on_device else (None,) * len(located)


@dataclass(slots=True)
class Fetched:
    """For each fetch: the name of its value, where it is wanted, its mask, and what finishes it.

    `sources` names the values as the segments leave them; `transfers` bring those to where they are
    wanted that are elsewhere still.
    """

    names: list[str]
    memories: Sequence[Memory]
    waits: list[int]
    finishers: list[Function]
    transfers: list[Transfer]
    sources: list[str]


class Plan:
    """A compiled step. `run(feed values)` gives the fetched values, ready to hand to the user.

    `nodes` are the operations as they are numbered for those who watch a step.
    A single plan is one host segment that takes the feeds as they come and gives what is fetched.
    `asks` names the attribute of StepControl that compiled functions take first; `variant` gives
    the same plan asking for something else. `implicit` are the copies between devices that it makes
    on its own; None where there are none.
    """

    def __init__(
        self,
        signature: Signature,
        region: CompiledRegion,
        nodes: list[Node],
        names: Mapping[int, Mapping[Tensor, str]],
        fetched: Fetched,
        implicit: Implicit | None,
        cancellation: CancellationManager,
        asks: str,
        compile_variant: Callable[[str, bool], Plan],
        is_single: bool,
        may_wait: bool,
    ) -> None:
        self.signature = signature
        self.feeds = signature.feeds
        self.fetches = signature.fetches
        self.region = region
        self.nodes = nodes
        self.names = names
        self.cancellation = cancellation
        self.feed_names = [
            names[id(m)][t] for t, m in zip(self.feeds, signature.memories, strict=True)
        ]
        self.fetched = fetched
        self.implicit = implicit
        self.source_names = fetched.sources
        # Devices of which the program holds arrays, before the step or after it.
        self.sharers = [
            memory
            for memory in dict.fromkeys((*signature.memories, *fetched.memories))
            if memory is not None
        ]
        self.asks = asks
        self._compile_variant = compile_variant
        self._variants = {(asks, True): self}
        self._is_single = is_single
        self._single: Any = region.segments[0] if is_single else None
        self._recorded = None if is_single or asks else RecordedStep.of(self)
        self.run: Callable[[Sequence[Value]], list[Value]] = (
            self._run_single if is_single else self._run_segments
        )
        self.may_wait = may_wait
        # A loop on a device ends early when the session is closed: what it gives is nothing then.
        inside = each_within(n for s in region.segments if s.place is not None for n in s.nodes)
        self.may_be_cut_short = any(isinstance(node, Repeat) for node in inside)

    @property
    def segments(self) -> list[CompiledSegment]:
        """The segments of the step's root."""
        return self.region.segments

    @property
    def transfers(self) -> list[Transfer]:
        """Every transfer that a step makes, in order."""
        return [t for segment in self.segments for t in segment.transfers] + self.fetched.transfers

    def variant(self, asks: str, in_place: bool = True) -> Plan:
        """The same plan, compiled at first sight, of which the functions take this first.

        `in_place` lets a single plan wait where it is.
        """
        key = asks, in_place
        plan = self._variants.get(key)
        if plan is None:
            plan = self._variants.setdefault(key, self._compile_variant(*key))
            plan._variants = self._variants
        return plan

    @property
    def watched(self) -> Plan:
        """The same plan, of which every operation tells when it is done."""
        return self.variant("observe")

    def release(self) -> None:
        """Drop the constants, whoever still holds the plan; what runs yet fails as closed."""
        for plan in list(self._variants.values()):
            plan.region.release()

    def execute(self, feeds: Sequence[Value], control: StepControl) -> list[Value]:
        """As `run`, under the terms of `control`."""
        asks, gate, deadline, before = control.asks, control.gate, control.deadline, None
        plan = self
        if asks != self.asks or (gate is not None and self.may_wait):
            plan = self.variant(asks, in_place=gate is None)
        try:
            if deadline is not None:
                before, here.deadline = here.deadline, deadline
            if not plan._is_single:
                return Execution(plan, control).run(feeds)
            if control.recorder is not None:
                control.recorder.fed(feeds)
            if asks:
                feeds = (getattr(control, asks), *feeds)
            if gate is None:
                return plan._run_single(feeds)
            return gate.run(plan._run_single, control, self.cancellation.flag, feeds)
        finally:
            if deadline is not None:
                here.deadline = before

    def failure_while_open(self, failure: BaseException) -> BaseException:
        """The error of a segment, or of the step if its session was closed meanwhile.

        What fails then has lost its variables, or its memory.
        """
        is_closed = self.cancellation.flag and isinstance(failure, Exception)
        return run_cancelled() if is_closed else failure

    def _run_single(self, arguments: Sequence[Value]) -> list[Value]:
        segment = self._single
        before = settings()
        try:
            use(SILENT)
            return segment.function(*arguments)  # type: ignore[no-any-return]
        except BaseException as error:
            failure = [segment.failure(error)]
            if not isinstance(error, Stop):
                failure[:] = map(self.failure_while_open, failure)
        finally:
            use(before)
        # Raised here, so that the new error does not keep the failed frame and its arrays alive.
        # Popped, so that this frame, which the error's traceback keeps, does not keep the error.
        raise failure.pop()

    def _run_segments(self, feeds: Sequence[Value]) -> list[Value]:
        if self._recorded is not None:
            found = self._recorded.run(feeds)
            if found is not None:
                return found
        return Execution(self, FREE).run(feeds)


def finish_fresh(value: Value) -> Value:
    """A fetched value that nobody else holds: an own, contiguous array, or a scalar."""
    if type(value) is np.ndarray:
        if value.ndim == 0:
            return value[()]
        if value.base is None and value.flags.c_contiguous:
            return value
        return value.copy()
    return value


def finish_counted(finish: Function, ledger: Ledger, value: Value) -> Value:
    """As `finish`, for a device of the host with a limit: what the program has is not its own."""
    return ledger.hand_over(finish(value))


def finish_shared(value: Value) -> Value:
    """A fetched value that something else may hold: always a copy."""
    if type(value) is np.ndarray:
        return value[()] if value.ndim == 0 else value.copy()
    return value


def finish_reference(node: str, memory: Memory, variable: Any) -> Value:
    """The value of a fetched reference variable; an error names the node of the fetch."""
    if not variable.is_initialized:
        error = variable.uninitialized()
        raise type(error)(None, None, f"{error.message}\n\t [[{{{{node {node}}}}}]]")
    value = variable.read()
    return finish_shared(value) if memory is None else finish_shared_on_device(memory, value)


# What TensorFlow gives for a fetched resource: opaque bytes.
_HANDLE_DTYPE = np.dtype([("resource", np.uint8, (1,))])


def finish_handle(resource: Any) -> Value:
    """A fetched resource as the bytes of a ResourceHandleProto."""
    proto = protos.ResourceHandleProto(
        container=resource.container, name=resource.name, maybe_type_name=type(resource).__name__
    )
    return np.frombuffer(proto.SerializeToString(), _HANDLE_DTYPE).copy()


def finish_fresh_on_device(memory: Memory, value: Value) -> Value:
    """As `finish_fresh`, for a value that stays on its device: an own, contiguous array."""
    if value.base is None and value.flags.c_contiguous:
        return value
    return finish_shared_on_device(memory, value)


def finish_shared_on_device(memory: Memory, value: Value) -> Value:
    """As `finish_shared`, for a value that stays on its device: always a copy."""
    assert memory is not None
    with memory.activate():
        return value.copy()
