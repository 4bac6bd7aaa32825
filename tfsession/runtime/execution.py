"""Execution: one step under way, for plans of several segments and for steps that may wait.

The calling thread runs every segment that is ready. An operation that has to wait leaves a Pending
behind; only when nothing else is ready does the thread wait for an arrival. So no pool is needed,
blocked steps cost nothing, and a step may hold both ends of a queue.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext, suppress
from queue import Empty, SimpleQueue
from threading import get_ident
from typing import TYPE_CHECKING, Any

from tfsession.core.errors import CancelledError
from tfsession.core.pending import Pending
from tfsession.devices.transfer import start_copy, wait_for
from tfsession.graph.tensor import Tensor
from tfsession.runtime.control import StepControl, run_cancelled, timed_out, uninterrupted
from tfsession.runtime.errors import combined, failure_of
from tfsession.runtime.float_errors import SILENT, settings, use
from tfsession.runtime.partition import Transfer, gives_tuple

if TYPE_CHECKING:
    from tfsession.runtime.plan import CompiledSegment, Plan

Value = Any

# Arrives when the step is to be cancelled.
_CANCEL = None
# Seconds that a cancelled operation may take to give up before it is left behind.
_PATIENCE = 5.0


class Execution:
    """The state of one step: the values that are there, and the segments that are still to run."""

    def __init__(self, plan: Plan, control: StepControl) -> None:
        self.values: dict[str, Value] = {}
        self._plan = plan
        self._control = control
        self._todo = list(plan.segments)
        self._readers = dict(plan.readers)
        self._arrived = 0
        self._in_flight: dict[int, tuple[CompiledSegment, Pending]] = {}
        self._arrivals: SimpleQueue[CompiledSegment | None] = SimpleQueue()
        # Called when a wait has ended, in the thread that ended it.
        self.arrived: Callable[[], object] | None = None

    # --- a whole step ---------------------------------------------------------------------------

    def run(self, feeds: Sequence[Value]) -> list[Value]:
        """Run the step to its end and give the fetched values."""
        plan, recorder = self._plan, self._control.recorder
        waiting = plan.cancellation.waiting
        before = settings()
        try:
            use(SILENT)
            self.values.update(zip(plan.feed_names, feeds, strict=True))
            if recorder is not None:
                recorder.fed(feeds)
            if plan.may_wait:
                waiting[self] = get_ident()
            self.advance()
            while self._in_flight:
                self._wait()
            return self.fetch(range(len(plan.fetches)))
        finally:
            # Ctrl-C can come after each call: what is most needed comes first.
            waiting.pop(self, None)
            use(before)
            while self._in_flight:  # interrupted, and perhaps once more
                self.withdraw()
            self.values.clear()

    def _wait(self) -> None:
        """Wait for one arrival, and run what is ready then."""
        try:
            segment = self._arrivals.get(timeout=self._control.remaining())
        except Empty:
            # What has arrived in the last moment is not lost: the step goes on with it.
            if self.withdraw():
                raise timed_out() from None
        else:
            if segment is _CANCEL:
                raise (self.withdraw() or [run_cancelled()])[0]
            if self._control.recorder is not None:
                self._control.recorder.resume()
            self._take(segment)
        self.advance()

    def cancel(self) -> None:
        """End the wait of the thread that runs this step; from any thread."""
        self._arrivals.put(_CANCEL)

    def abandon(self) -> None:
        """Take back what is waited for: the thread that waits is not in this process."""
        for _, pending in list(self._in_flight.values()):
            pending.cancel()

    # --- segments -------------------------------------------------------------------------------

    def advance(self) -> None:
        """Run every segment that need not wait; raises what the step ends with."""
        control, closing = self._control, self._plan.cancellation.flag
        if control.gate is None:
            failures = self._run_ready()
        else:
            failures = control.gate.run(self._run_ready, control, closing)
        if not failures:
            return
        derived = self.withdraw()
        failures += [error for error in derived if not isinstance(error, CancelledError)]
        try:
            raise combined(failures)
        finally:
            del failures, derived  # or the error and this frame would keep each other

    def _run_ready(self) -> list[BaseException]:
        """Run every segment that need not wait; gives the errors that ended the step."""
        closing = self._plan.cancellation.flag
        while (segment := self._next()) is not None:
            if closing:
                return [run_cancelled()]
            self._todo.remove(segment)
            failure = self._start(segment)
            if failure is not None:
                elsewhere = [] if closing else self._failures_elsewhere(segment)
                return [failure, *elsewhere] if isinstance(failure, Exception) else [failure]
        return []

    def _next(self) -> CompiledSegment | None:
        missing = ~self._arrived
        for segment in self._todo:
            if not segment.waits & missing:
                return segment
        return None

    def _failures_elsewhere(self, failed: CompiledSegment) -> list[BaseException]:
        """The errors of segments on other devices that were ready when one failed.

        They would have been running at that moment: their errors are no consequence of it.
        """
        failures = []
        places = {id(failed.place)}
        for segment in list(self._todo):
            ready = not segment.waits & ~self._arrived and id(segment.place) not in places
            brought = {self._plan.names[t.tensor, id(t.destination)] for t in segment.transfers}
            needs = set(segment.reads) - brought
            if ready and not segment.arrival and needs <= self.values.keys():
                places.add(id(segment.place))
                failure = self._start(segment)
                if failure is not None:
                    failures.append(failure)
        return failures

    def _start(self, segment: CompiledSegment) -> BaseException | None:
        """Run a segment, or begin its wait; gives the error with which it failed."""
        values, plan = self.values, self._plan
        try:
            self._transfer(segment.transfers)
            arguments = [values[name] for name in segment.inputs]
            if segment.arrival:
                uninterrupted(self._begin, segment, arguments)
                return None
            if plan.asks:
                arguments.insert(0, getattr(self._control, plan.asks))
            with nullcontext() if segment.memory is None else segment.memory.activate():
                results = segment.function(*arguments)
        except BaseException as error:
            return plan.failure(segment, error)
        self._keep(segment, results)
        return None

    def _begin(self, segment: CompiledSegment, arguments: Sequence[Value]) -> None:
        """Run an operation that may have to wait, or note its wait."""
        with nullcontext() if segment.memory is None else segment.memory.activate():
            results = segment.function(*arguments)
        if isinstance(results, Pending):
            if self._control.recorder is not None:
                self._control.recorder.began(self._plan.first_index[id(segment)])
            self._in_flight[segment.arrival] = segment, results
            results.when_done(lambda pending: self._note(segment))
        else:
            self._arrive(segment, results)

    def _keep(self, segment: CompiledSegment, results: Sequence[Value]) -> None:
        """Take in what a segment gives, and drop what nobody reads any more."""
        values, readers = self.values, self._readers
        self._release(segment.reads)
        for name, value in zip(segment.outputs, results, strict=True):
            if readers.get(name):
                values[name] = value

    def _release(self, names: Iterable[str]) -> None:
        """One reader of each has done."""
        values, readers = self.values, self._readers
        for name in names:
            readers[name] -= 1
            if not readers[name]:
                values.pop(name, None)

    # --- arrivals -------------------------------------------------------------------------------

    def feed(self, values: Mapping[Tensor, Value]) -> None:
        """Let feeds of a partial run arrive."""
        for number, (tensor, name) in enumerate(
            zip(self._plan.feeds, self._plan.feed_names, strict=True)
        ):
            if tensor in values:
                if self._readers.get(name):
                    self.values[name] = values[tensor]
                self._arrived |= 1 << number

    def go_on(self) -> None:
        """Take in what has arrived, and run what is ready; never waits."""
        before = settings()
        try:
            use(SILENT)
            with suppress(Empty):
                while True:
                    segment = self._arrivals.get_nowait()
                    if segment is not _CANCEL:
                        self._take(segment)
            self.advance()
        finally:
            use(before)

    def _note(self, segment: CompiledSegment) -> None:
        self._arrivals.put(segment)
        arrived = self.arrived
        if arrived is not None:
            arrived()

    def _take(self, segment: CompiledSegment) -> None:
        """Take in the end of a wait; raises the error with which it ended."""
        if segment.arrival not in self._in_flight:
            return  # it was seen before
        pending = self._in_flight.pop(segment.arrival)[1]
        if pending.error is not None:
            self.withdraw()
            raise self._failure_of_wait(segment, pending)
        self._arrive(segment, pending.result)

    def _arrive(self, segment: CompiledSegment, result: Any) -> None:
        op = segment.nodes[0].op
        outputs = result if gives_tuple(op.op_def) else (result,) if op.outputs else ()
        if self._control.recorder is not None:
            self._control.recorder.observe(self._plan.first_index[id(segment)], *outputs)
        self._keep(segment, outputs)
        self._arrived |= segment.arrival

    def _failure_of_wait(self, segment: CompiledSegment, pending: Pending) -> BaseException:
        assert pending.error is not None
        return failure_of(pending.error, None, [segment.nodes[0].op])

    def withdraw(self) -> list[BaseException]:
        """Cancel what is in flight and wait for its end; gives the errors.

        What completed before it could be cancelled has arrived.
        """
        for _, pending in list(self._in_flight.values()):
            pending.cancel()
        until = time.monotonic() + _PATIENCE
        errors: list[BaseException] = []
        for segment, pending in list(self._in_flight.values()):
            while not pending.is_done and (remaining := until - time.monotonic()) > 0:
                # Whatever arrives: what counts is whether this one is done.
                with suppress(Empty):
                    self._arrivals.get(timeout=remaining)
            self._in_flight.pop(segment.arrival, None)
            if not pending.is_done:
                errors.append(run_cancelled())
            elif pending.error is not None:
                errors.append(self._failure_of_wait(segment, pending))
            else:
                self._arrive(segment, pending.result)
        return errors

    # --- values ---------------------------------------------------------------------------------

    @property
    def is_waiting(self) -> bool:
        """Whether an operation has begun that has not ended."""
        return bool(self._in_flight)

    def has(self, index: int) -> bool:
        """Whether the value of fetch number `index` is there."""
        plan = self._plan
        return plan.names[plan.fetches[index], id(plan.fetch_sources[index])] in self.values

    def fetch(self, indices: Iterable[int]) -> list[Value]:
        """The values of some fetches, ready for the user."""
        plan, values = self._plan, self.values
        indices = list(indices)
        wanted = {plan.fetches[index] for index in indices}
        transfers = [t for t in plan.fetch_transfers if t.tensor in wanted]
        self._transfer(transfers)
        found = [plan.finishers[index](values[plan.fetch_names[index]]) for index in indices]
        for memory in dict.fromkeys(plan.fetch_memories):
            if memory is not None:
                memory.hand_out()
        self._release([plan.fetch_names[index] for index in indices])
        self._release([plan.names[t.tensor, id(t.source)] for t in transfers])
        return found

    def _transfer(self, transfers: Sequence[Transfer]) -> None:
        if not transfers:
            return
        names, values = self._plan.names, self.values
        for transfer in transfers:
            name = names[transfer.tensor, id(transfer.destination)]
            if name not in values:
                values[name] = self._copied(transfer)
        wait_for(transfer.source for transfer in transfers if transfer.destination is None)

    def _copied(self, transfer: Transfer) -> Value:
        tensor = transfer.tensor
        recorder = self._control.recorder
        start = time.perf_counter_ns()
        try:
            value = self.values[self._plan.names[tensor, id(transfer.source)]]
            if tensor.dtype.is_ref and tensor not in self._plan.feeds:
                value = value.read()
            copied = start_copy(value, transfer.source, transfer.destination)
        except Exception as error:
            failure = failure_of(error, None, [tensor.op])
        else:
            if recorder is not None:
                recorder.transferred(transfer, start, time.perf_counter_ns(), copied)
            return copied
        raise failure
