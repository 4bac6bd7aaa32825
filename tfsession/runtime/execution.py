"""Execution: one step under way, for plans of several segments and for steps that may wait.

The calling thread runs every segment that is ready. An operation that has to wait leaves a Pending
behind; only when nothing else is ready does the thread wait for an arrival. So no pool is needed,
blocked steps cost nothing, and a step may hold both ends of a queue.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from heapq import heappop, heappush
from math import inf
from queue import Empty, SimpleQueue
from threading import get_ident
from typing import TYPE_CHECKING, Any

from tfsession.core.errors import CancelledError, InvalidArgumentError
from tfsession.core.pending import Pending
from tfsession.core.waiting import Stop, here, remaining, timed_out
from tfsession.devices.memory import on_behalf_of
from tfsession.devices.transfer import start_copy, wait_for
from tfsession.graph.tensor import Tensor
from tfsession.runtime.control import PATIENCE, StepControl, run_cancelled
from tfsession.runtime.errors import combined, failure_of
from tfsession.runtime.float_errors import SILENT, settings, use
from tfsession.runtime.partition import Transfer
from tfsession.runtime.regions import each_bit
from tfsession.runtime.segments import CompiledRegion, CompiledSegment, LoopRun, Wait

if TYPE_CHECKING:
    from tfsession.runtime.plan import Plan

Value = Any

# Arrives when the step is to be cancelled.
_CANCEL = None


class Scope:
    """One region under way: the root of a step, or one iteration of a loop.

    Attributes:
        values: what is there and will be read.
        arrived, dead: the bits that have come, and those of them that are dead.
        waiting: how many waits and loops have begun here and not ended.
        loop: what the scope is an iteration of.
    """

    __slots__ = (
        "_known",
        "_ready",
        "_region",
        "arrived",
        "dead",
        "loop",
        "readers",
        "values",
        "waiting",
    )

    def __init__(
        self, region: CompiledRegion, values: dict[str, Value], loop: LoopRun | None = None
    ) -> None:
        self._region = region
        # Numbers of segments: a heap of those that are ready, and all that were put there.
        self._ready = region.first.copy()
        self._known = set(self._ready)
        self.values = values
        self.readers = dict(region.readers)
        self.arrived = 0
        self.dead = 0
        self.waiting = 0
        self.loop = loop

    def next(self) -> CompiledSegment | None:
        """The first segment of which it is known whether it runs; it begins now."""
        return self._region.segments[heappop(self._ready)] if self._ready else None

    @property
    def ready(self) -> list[CompiledSegment]:
        """The segments that could begin now."""
        return [self._region.segments[number] for number in sorted(self._ready)]

    @property
    def left(self) -> list[CompiledSegment]:
        """The segments that have not begun."""
        begun = self._known.difference(self._ready)
        return [s for number, s in enumerate(self._region.segments) if number not in begun]

    def arrive(self, bits: int) -> None:
        """Bits have come; those that are dead are in `dead` by now."""
        self.arrived |= bits
        segments, watchers = self._region.segments, self._region.watchers
        for bit in each_bit(bits):
            for number in watchers.get(bit, ()):
                if number not in self._known and segments[number].is_ready(self):
                    self._known.add(number)
                    heappush(self._ready, number)

    def keep(
        self, segment: CompiledSegment, names: Sequence[str], results: Sequence[Value]
    ) -> None:
        """Take in what a segment gives, and drop what nobody reads any more."""
        self.release(segment.reads)
        values, readers = self.values, self.readers
        for name, value in zip(names, results, strict=True):
            if readers.get(name):
                values[name] = value
        self.arrive(segment.arrival)

    def bury(self, segment: CompiledSegment) -> None:
        """A segment does not run, nor does what waits for it."""
        self.release(segment.reads)
        self.dead |= segment.arrival
        self.arrive(segment.arrival)

    def release(self, names: Iterable[str]) -> None:
        """One reader of each has done."""
        values, readers = self.values, self.readers
        for name in names:
            readers[name] -= 1
            if not readers[name]:
                values.pop(name, None)


class Execution:
    """The state of one step: the scopes under way, and what they wait for.

    Attributes:
        control: the terms of the step.
        asked: what compiled functions take first, or None.
        arrived: called when a wait has ended, in the thread that ended it.

    Raises InvalidArgumentError where the transfer guard forbids what the step would copy.
    """

    def __init__(self, plan: Plan, control: StepControl) -> None:
        if plan.implicit is not None:
            plan.implicit.check()
        self.control = control
        self.asked = getattr(control, plan.asks) if plan.asks else None
        self.arrived: Callable[[], object] | None = None
        self._plan = plan
        self._root = Scope(plan.region, {})
        self._failed: list[CompiledSegment] = []
        self._in_flight: dict[Pending, tuple[Scope, Wait]] = {}
        self._arrivals: SimpleQueue[Pending | None] = SimpleQueue()

    @property
    def values(self) -> dict[str, Value]:
        """The values that are there, by name."""
        return self._root.values

    # --- a whole step ---------------------------------------------------------------------------

    def run(self, feeds: Sequence[Value]) -> list[Value]:
        """Run the step to its end and give the fetched values."""
        before = settings()
        try:
            use(SILENT)
            return self._run(feeds)
        finally:
            use(before)

    def _run(self, feeds: Sequence[Value]) -> list[Value]:
        plan, recorder = self._plan, self.control.recorder
        waiting = plan.cancellation.waiting
        try:
            self.values.update(zip(plan.feed_names, feeds, strict=True))
            if recorder is not None:
                recorder.fed(feeds)
            if plan.may_wait:
                waiting[self] = get_ident()
            self.advance(self._root)
            while self._in_flight:
                self._wait()
            return self.fetch(range(len(plan.fetches)))
        finally:
            # First and alone: Ctrl-C can come after any call.
            waiting.pop(self, None)
            if self._in_flight:
                self._withdraw_interrupted()
            for device in plan.sharers:
                device.hand_out()
            self.values.clear()

    def _withdraw_interrupted(self) -> None:
        """Give up all waits; Ctrl-C at this moment comes out afterwards."""
        interrupt = None
        while self._in_flight:
            try:
                self.withdraw()
            except KeyboardInterrupt as error:
                interrupt = error
        if interrupt is not None:
            raise interrupt

    def _wait(self) -> None:
        """Wait for one arrival, and run what is ready then."""
        scopes = [self._root]
        try:
            pending = self._arrivals.get(timeout=remaining())
        except Empty:
            # What has arrived in the last moment is not lost: the step goes on with it.
            if self.withdraw(scopes):
                raise timed_out() from None
        else:
            if pending is _CANCEL:
                raise (self.withdraw() or [run_cancelled()])[0]
            if self.control.recorder is not None:
                self.control.recorder.resume()
            scopes = self._take(pending)
        for scope in scopes:
            self.advance(scope)

    def cancel(self) -> None:
        """End the wait of the thread that runs this step; from any thread."""
        self._arrivals.put(_CANCEL)

    def abandon(self) -> None:
        """Take back what is waited for: the thread that waits is not in this process."""
        for pending in list(self._in_flight):
            pending.cancel()

    # --- segments -------------------------------------------------------------------------------

    def advance(self, scope: Scope) -> None:
        """Run all that is ready since something came to a scope; raises what the step ends with."""
        control, closing = self.control, self._plan.cancellation.flag
        if control.gate is None:
            failures = self._run_from(scope)
        else:
            failures = control.gate.run(self._run_from, control, closing, scope)
        if not failures:
            return
        derived = self.withdraw()
        failures += [error for error in derived if not isinstance(error, CancelledError)]
        failures[:] = [combined(failures)]
        derived.clear()
        raise failures.pop()  # this frame must not keep the error, whose traceback keeps the frame

    def _run_from(self, scope: Scope) -> list[BaseException]:
        """Run what is ready in a scope, and in those around it if it ends; gives the errors."""
        failure = None
        while failure is None and (loop := scope.loop) is not None:
            failure = loop.go_on(self)
            if failure is None and not loop.is_over:
                return []
            scope = loop.outer
        if failure is None:
            failure = self.run_ready(scope)
        if failure is None:
            return []
        is_alone = self._plan.cancellation.flag or not isinstance(failure, Exception)
        return [failure, *([] if is_alone else self._failures_elsewhere())]

    def run_ready(self, scope: Scope) -> BaseException | None:
        """Run every segment of a scope that need not wait; gives the error that ended the step."""
        closing = self._plan.cancellation.flag
        while (segment := scope.next()) is not None:
            if closing:
                return run_cancelled()
            if segment.is_dead(scope):
                scope.bury(segment)
                continue
            failure = segment.start(self, scope)
            if failure is not None:
                self._failed.append(segment)
                return failure
        return None

    def open_scope(self, region: CompiledRegion, values: dict[str, Value], loop: LoopRun) -> Scope:
        """Begin an iteration of a loop."""
        return Scope(region, values, loop)

    def _failures_elsewhere(self) -> list[BaseException]:
        """The errors of segments on other devices that were ready when one failed.

        They would have been running at that moment: their errors are no consequence of it.
        """
        failures, root = [], self._root
        places = {id(segment.place) for segment in self._failed}
        open_ops = {n.op for segment in (*self._failed, *root.left) for n in segment.nodes}
        for segment in root.ready:
            if segment.may_wait or id(segment.place) in places:
                continue
            own = {node.op for node in segment.nodes}
            needs = {tensor.op for node in segment.nodes for tensor in node.inputs}
            needs.update(control for node in segment.nodes for control in node.controls)
            if not segment.is_dead(root) and not (needs - own) & open_ops:
                places.add(id(segment.place))
                failure = segment.start(self, root)
                if failure is not None:
                    failures.append(failure)
        return failures

    def failure(self, error: BaseException) -> BaseException:
        """The error to raise for one of a segment.

        What fails once its session is closed has lost its variables, or its memory.
        """
        if isinstance(error, Stop):
            error = error.error
        return self._plan.failure_while_open(error)

    def observe(self, index: int, outputs: Sequence[Value]) -> None:
        """Tell who records that an operation is done which no compiled code runs."""
        if self.control.recorder is not None:
            self.control.recorder.observe(index, *outputs)

    def check(self) -> None:
        """Raise the error of a step that may not go on."""
        self.control.check(self._plan.cancellation.flag)

    # --- arrivals -------------------------------------------------------------------------------

    def wait_for(self, scope: Scope, segment: Wait, pending: Pending) -> None:
        """An operation has begun to wait."""
        if self.control.recorder is not None:
            self.control.recorder.began(segment.first)
        scope.waiting += 1
        self._in_flight[pending] = scope, segment
        pending.when_done(self._note)

    def feed(self, values: Mapping[Tensor, Value]) -> None:
        """Let feeds of a partial run arrive."""
        root = self._root
        names = zip(self._plan.feeds, self._plan.feed_names, strict=True)
        for number, (tensor, name) in enumerate(names):
            if tensor in values:
                if root.readers.get(name):
                    root.values[name] = values[tensor]
                root.arrive(1 << number)

    def go_on(self, deadline: float) -> None:
        """Take in what has arrived, and run what is ready before `deadline`; never waits."""
        self.control.deadline = deadline
        if self._plan.asks:
            self.asked = getattr(self.control, self._plan.asks)
        before, until = settings(), here.deadline
        try:
            use(SILENT)
            here.deadline = deadline if deadline < inf else None
            with suppress(Empty):
                while True:
                    pending = self._arrivals.get_nowait()
                    if pending is not _CANCEL:
                        for scope in self._take(pending):
                            self.advance(scope)
            self.advance(self._root)
        finally:
            here.deadline = until
            use(before)

    def _note(self, pending: Pending) -> None:
        self._arrivals.put(pending)
        arrived = self.arrived
        if arrived is not None:
            arrived()

    def _take(self, pending: Pending) -> list[Scope]:
        """Take in the end of a wait; gives where it was, raises the error with which it ended."""
        if pending not in self._in_flight:
            return []  # it was seen before
        scope, segment = self._in_flight.pop(pending)
        scope.waiting -= 1
        if pending.error is not None:
            self.withdraw()
            raise segment.error_of(pending.error)
        segment.arrive(self, scope, pending.result)
        return [scope]

    def withdraw(self, reached: list[Scope] | None = None) -> list[BaseException]:
        """Cancel what is in flight and wait for its end; gives the errors.

        What completed before it could be cancelled has arrived: `reached` gets where.
        """
        for pending in list(self._in_flight):
            pending.cancel()
        until = time.monotonic() + PATIENCE
        errors: list[BaseException] = []
        for pending, (scope, segment) in list(self._in_flight.items()):
            while not pending.is_done and (remaining := until - time.monotonic()) > 0:
                # Whatever arrives: what counts is whether this one is done.
                with suppress(Empty):
                    self._arrivals.get(timeout=remaining)
            if self._in_flight.pop(pending, None) is None:
                continue
            scope.waiting -= 1
            if not pending.is_done:
                errors.append(run_cancelled())
            elif pending.error is not None:
                errors.append(segment.error_of(pending.error))
            else:
                segment.arrive(self, scope, pending.result)
                if reached is not None:
                    reached.append(scope)
        return errors

    # --- values ---------------------------------------------------------------------------------

    @property
    def is_waiting(self) -> bool:
        """Whether an operation has begun that has not ended."""
        return bool(self._in_flight)

    def has(self, index: int) -> bool:
        """Whether fetch number `index` can be given: a value, or the error that there is none."""
        return self._plan.source_names[index] in self.values or self.is_dead(index)

    def is_dead(self, index: int) -> bool:
        """Whether it is known that fetch number `index` has no value: on a way not taken."""
        waits, root = self._plan.fetched.waits[index], self._root
        return not waits & ~root.arrived and bool(waits & root.dead)

    def fetch(self, indices: Iterable[int]) -> list[Value]:
        """The values of some fetches, ready for the user."""
        plan, values, fetched = self._plan, self.values, self._plan.fetched
        indices = list(indices)
        for index in indices:
            if self.is_dead(index):
                raise InvalidArgumentError(None, None, f"Retval[{index}] does not have value")
        wanted = {plan.fetches[index] for index in indices}
        self.transfer(self._root, [t for t in fetched.transfers if t.tensor in wanted])
        if plan.may_be_cut_short and plan.cancellation.flag:
            raise run_cancelled()
        found = [fetched.finishers[index](values[fetched.names[index]]) for index in indices]
        for index in indices:
            self._root.release({plan.source_names[index], fetched.names[index]})
        return found

    def transfer(self, scope: Scope, transfers: Sequence[Transfer]) -> list[str]:
        """Make copies, those that are not there yet; gives the names of what was copied."""
        if not transfers:
            return []
        names = [self._plan.names[id(t.destination)][t.tensor] for t in transfers]
        begun = []
        for transfer, name in zip(transfers, names, strict=True):
            if name not in scope.values:
                scope.values[name] = self._copied(scope, transfer)
                if transfer.destination is None:
                    begun.append(transfer.source)
        wait_for(begun)
        return names

    def _copied(self, scope: Scope, transfer: Transfer) -> Value:
        tensor = transfer.tensor
        recorder = self.control.recorder
        if recorder is not None:
            recorder.resume()
        start = time.perf_counter_ns()
        try:
            value = scope.values[self._plan.names[id(transfer.source)][tensor]]
            if tensor.dtype.is_ref and tensor not in self._plan.feeds:
                value = value.read()
            with on_behalf_of(tensor.op.name, tensor.op.type):
                copied = start_copy(value, transfer.source, transfer.destination)
        except Exception as error:
            failure = [failure_of(error, None, [tensor.op])]
        else:
            if recorder is not None:
                recorder.transferred(transfer, start, time.perf_counter_ns(), copied)
            return copied
        raise failure.pop()
