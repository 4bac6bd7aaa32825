"""Partial runs: one step whose feeds come, and whose fetches go, in several calls.

The step is under way from its setup on: every feed is an arrival, and what does not wait for one
runs at once. An error ends this step alone; the session and its other partial runs go on.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import count, pairwise
from math import inf
from operator import attrgetter
from queue import Empty, SimpleQueue
from typing import Any

from tfsession.core import forking
from tfsession.core.errors import InvalidArgumentError, OpError, error_from_code
from tfsession.core.waiting import timed_out
from tfsession.graph.composite import composite_type_of
from tfsession.graph.graph import Graph
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor
from tfsession.runtime.control import StepControl, run_cancelled
from tfsession.runtime.errors import failure_of
from tfsession.runtime.execute import Engine
from tfsession.runtime.execution import Execution
from tfsession.runtime.feeds import encoded
from tfsession.runtime.fetches import FetchMap
from tfsession.runtime.plan import Plan, Signature
from tfsession.runtime.wiring import AS_IN_GRAPH, is_fed_placeholder, sources_of

_by_name = attrgetter("name")


def declared_feeds(graph: Graph, feeds: Any) -> list[Tensor]:
    """The tensors that a partial run may be fed, from one key or a list of them.

    Raises:
        TypeError: a key stands for no tensor of the graph.
    """
    if feeds is None:
        return []
    tensors = []
    for feed in feeds if isinstance(feeds, list | tuple) else [feeds]:
        composite = composite_type_of(feed)
        for part in [feed] if composite is None else composite.components(feed):
            try:
                tensor = graph.as_graph_element(part, allow_operation=False)
            except Exception as error:
                raise TypeError(
                    f"Cannot interpret argument `feed` key as Tensor: {error.args[0]}"
                ) from None
            assert isinstance(tensor, Tensor)
            tensors.append(tensor)
    return tensors


def _invalid(text: str) -> InvalidArgumentError:
    return InvalidArgumentError(None, None, text)


def _again(error: OpError) -> OpError:
    """The same error for another thread, without a traceback, which would keep values alive."""
    return error_from_code(error.node_def, error.op, error.message, error.error_code)


class PartialRun:
    """One partial run: its step, and what was fed and fetched of it so far.

    Calls of several threads may overlap: segments run under a lock, waits do not hold it.

    Args:
        plan: what to run.
        control: its pool, and whether there is a deadline; which one, each call says.
    """

    def __init__(self, plan: Plan, control: StepControl) -> None:
        self._execution = Execution(plan.variant(control.asks), control)
        self._execution.arrived = self._note_arrival
        self._feeds = frozenset(plan.feeds)
        self._fetches = {tensor: number for number, tensor in enumerate(plan.fetches)}
        self._unfed = set(self._feeds)
        self._unfetched = set(self._fetches)
        self._lock = forking.rlock()
        self._calls = 0  # under way, in any thread
        # For each call that waits: how to wake it, and the numbers of the fetches that it is for.
        self._waiting: dict[SimpleQueue[None], list[int]] = {}
        self._is_cancelled = False
        self._error: OpError | None = None
        self._has_told_error = False

    @property
    def is_over(self) -> bool:
        """Whether no call can follow: all was fed and fetched, or a call ended with the step."""
        return self._has_told_error or not (self._unfed or self._unfetched or self._calls)

    def begin(self) -> None:
        """Run what is ready; an error shows at the first call that follows."""
        with self._alone():
            self._go_on(inf)

    def run(
        self, values: Mapping[Tensor, Any], fetches: Sequence[Tensor], deadline: float = inf
    ) -> list[Any]:
        """Feed some values, and give those of some fetches once they are there.

        The call that feeds or fetches the last of all ends with the step.

        Args:
            values: converted feeds.
            fetches: what to give, in this order.
            deadline: the moment of `time.monotonic` at which the run ends.

        Raises:
            InvalidArgumentError: the call does not fit; the run can go on.
            DeadlineExceededError: the deadline has come; the run is over.
            OpError: an operation of the step failed; the run is over.
        """
        with self._alone():
            self._check(list(values), fetches)
            self._unfed.difference_update(values)
            self._unfetched.difference_update(fetches)
            self._calls += 1
        try:
            with self._alone():
                if not self._is_last:  # the caller may change its arrays before the step reads them
                    values = {tensor: value.copy("K") for tensor, value in values.items()}
                self._execution.feed(values)
                self._go_on(deadline)
            return self._results(fetches, deadline)
        except BaseException as error:
            self._fail(error)
            self._has_told_error = True
            raise
        finally:
            with self._alone():
                self._calls -= 1
                if self.is_over:
                    self._let_go()

    def _check(self, feeds: Sequence[Tensor], fetches: Sequence[Tensor]) -> None:
        """Raise InvalidArgumentError for a call that does not fit; it leaves no trace."""
        for verb, tensors, declared, open_ones in (
            ("feed", feeds, self._feeds, self._unfed),
            ("fetch", fetches, self._fetches, self._unfetched),
        ):
            for tensor in tensors:
                if tensor not in declared:
                    raise _invalid(
                        f"The {verb} {tensor.name} was not specified in partial_run_setup."
                    )
                if tensor not in open_ones:
                    done = "fed" if verb == "feed" else "fetched"
                    raise _invalid(f"The {verb} {tensor.name} has already been {done}.")
        missing = _missing_feed(fetches, self._feeds, self._unfed.difference(feeds))
        if missing is not None:
            raise _invalid(
                f"Fetch {missing.name} can't be computed from the feeds that have been fed so far."
            )

    def _results(self, fetches: Sequence[Tensor], deadline: float) -> list[Any]:
        """Wait for some fetches, and take them."""
        indices = [self._fetches[tensor] for tensor in fetches]
        wakeups: SimpleQueue[None] = SimpleQueue()
        while True:
            with self._alone():
                if self._error is not None:
                    raise _again(self._error)
                if self._is_served(indices):
                    for tensor, index in zip(fetches, indices, strict=True):
                        if self._execution.is_dead(index):
                            raise _invalid(f"The tensor returned for {tensor.name} was not valid.")
                    return self._execution.fetch(indices)
                self._waiting[wakeups] = indices
            remaining = None if deadline == inf else max(0.0, deadline - time.monotonic())
            try:
                wakeups.get(timeout=remaining)
            except Empty:
                raise timed_out() from None
            with self._alone():
                del self._waiting[wakeups]
                self._go_on(deadline)

    @property
    def _is_last(self) -> bool:
        """Whether the call that is under way is the last one."""
        return self._calls == 1 and not (self._unfed or self._unfetched)

    def _is_served(self, indices: Sequence[int]) -> bool:
        execution = self._execution
        return all(map(execution.has, indices)) and not (self._is_last and execution.is_waiting)

    def cancel(self) -> None:
        """End the run, as its session closes; never waits for calls that are under way."""
        self._is_cancelled = True
        # Who is at work meanwhile looks at the end.
        if self._lock.acquire(blocking=False):
            try:
                self._end(run_cancelled())
            finally:
                self._lock.release()

    def abandon(self) -> None:
        """End the run in a forked process, if other threads had a part in it."""
        if self._calls:
            self._end(run_cancelled())

    @contextmanager
    def _alone(self) -> Iterator[None]:
        try:
            with self._lock:
                yield
        finally:
            if self._is_cancelled:
                self.cancel()

    def _go_on(self, deadline: float) -> None:
        """Run what is ready; the lock is held."""
        if self._error is None:
            try:
                self._execution.go_on(deadline)
            except BaseException as error:
                self._fail(error)
                if not isinstance(error, Exception):
                    raise
        self._wake()

    def _fail(self, error: BaseException) -> None:
        """End the run with an error that has come out of it."""
        with self._alone():
            failure = failure_of(error, None, [None])
            self._end(_again(failure) if isinstance(failure, OpError) else run_cancelled())

    def _end(self, error: OpError) -> None:
        if self._error is None:
            self._error = error
            try:
                self._execution.withdraw()
            finally:
                while self._execution.is_waiting:  # Ctrl-C, and perhaps once more
                    self._execution.withdraw()
                self._wake()
                self._let_go()

    def _let_go(self) -> None:
        """Hold no values, nor this object through its own step."""
        self._execution.values.clear()
        self._execution.arrived = None

    def _wake(self) -> None:
        """Let the calls return that can; the lock is held."""
        for wakeups, indices in self._waiting.items():
            if self._error is not None or self._is_served(indices):
                wakeups.put(None)

    def _note_arrival(self) -> None:
        """A wait has ended, in any thread: a call that waits goes on, or a thread of its own.

        The one who has ended it may be at work in another run: nothing is locked here.
        """
        if self._error is not None:
            return
        for wakeups in list(self._waiting):
            wakeups.put(None)
            return
        with suppress(RuntimeError):  # no more threads: the next call goes on
            threading.Thread(target=self.begin, daemon=True).start()


def _missing_feed(
    fetches: Sequence[Tensor], feeds: Collection[Tensor], unfed: set[Tensor]
) -> Tensor | None:
    """A feed that one of the fetches needs and does not have yet."""
    if not unfed:
        return None
    seen: set[Operation] = set()
    stack = [tensor.op for tensor in fetches]
    while stack:
        op = stack.pop()
        for tensor in op.inputs:
            if tensor in unfed:
                return tensor
        for control in op.control_inputs:
            if is_fed_placeholder(control, unfed):
                return control.outputs[0]
        before = dict.fromkeys(sources_of(op, feeds, AS_IN_GRAPH))
        stack.extend(source for source in before if source not in seen)
        seen.update(before)
    return None


class PartialRuns:
    """The partial runs of a session by their handles."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._runs: dict[str, PartialRun] = {}
        self._numbers = count()

    def setup(self, fetch_map: FetchMap, feeds: Sequence[Tensor]) -> str:
        """Begin a partial run and give its handle.

        Raises:
            InvalidArgumentError: nothing is fetched or run, a feed stands there twice or is also
                fetched, or an operation of the graph cannot be placed.
            CancelledError: the session was reset.
        """
        self._engine.extend()
        number = next(self._numbers)
        fetches = [e for e in fetch_map.elements if isinstance(e, Tensor)]
        targets = [e for e in fetch_map.elements if isinstance(e, Operation)]
        signature = Signature(
            tuple(sorted(fetches, key=_by_name)),
            tuple(sorted(targets, key=_by_name)),
            tuple(sorted(feeds, key=_by_name)),
            (None,) * len(feeds),
            arriving=True,
        )
        _check_signature(signature)
        run = PartialRun(self._engine.plan(signature), self._engine.terms.control())
        names = (
            ",".join(e.name for e in part)
            for part in (signature.feeds, signature.fetches, signature.targets)
        )
        handle = "{}->{}/{}/1/;{}".format(*names, number)
        self._runs[handle] = run
        self._engine.cancellation.attend(self)
        try:
            run.begin()
        except BaseException:
            run.cancel()
            self._forget(handle)
            raise
        return handle

    def run(self, handle: Any, fetch_map: FetchMap, values: Mapping[Tensor, Any]) -> Any:
        """Go on with a partial run: feed some converted values, give what is fetched.

        Raises:
            TypeError: the handle is no text.
            RuntimeError: an operation is fetched.
            InvalidArgumentError: there is no such run, it is over, or the call does not fit it.
            OpError: see PartialRun.run.
        """
        wanted = [e for e in fetch_map.elements if e not in values]
        targets = [e for e in wanted if isinstance(e, Operation)]
        if targets:
            raise RuntimeError(
                "partial_run() requires empty `target_list`. "
                f"Received: target_list={targets} (non-empty)"
            )
        known = dict(values)
        if wanted or values:
            tensors = [e for e in wanted if isinstance(e, Tensor)]
            known.update(zip(tensors, self._run(handle, values, tensors), strict=True))
        return fetch_map.rebuild_from()(
            [known[e] for e in fetch_map.elements if isinstance(e, Tensor)]
        )

    def _run(self, handle: Any, values: Mapping[Tensor, Any], fetches: list[Tensor]) -> list[Any]:
        if isinstance(handle, bytes):
            handle = handle.decode(errors="replace")
        if not isinstance(handle, str):
            raise TypeError(
                f"A partial run's handle is what partial_run_setup gave, a str: not {handle!r}"
            )
        fed = {tensor: encoded(tensor, value) for tensor, value in values.items()}
        self._engine.check_open()
        run = self._runs.get(handle)
        if run is None:
            raise _invalid("Must run 'setup' before performing partial runs!")
        try:
            return run.run(fed, fetches, self._engine.terms.control().deadline or inf)
        finally:
            if run.is_over:
                self._forget(handle)

    def cancel(self) -> None:
        """End all, as the session closes."""
        for handle in list(self._runs):
            run = self._runs.pop(handle, None)
            if run is not None:
                run.cancel()

    def abandon(self) -> None:
        """Go on in a forked process, where no other thread is."""
        for run in list(self._runs.values()):
            run.abandon()

    def _forget(self, handle: str) -> None:
        self._runs.pop(handle, None)
        if not self._runs:
            self._engine.cancellation.leave(self)
            if self._runs:  # one has begun meanwhile
                self._engine.cancellation.attend(self)


def _check_signature(signature: Signature) -> None:
    if not signature.fetches and not signature.targets:
        raise _invalid("Must specify at least one target to fetch or execute.")
    for tensor, following in pairwise(signature.feeds):
        if tensor is following:
            raise _invalid(f'Endpoint "{tensor.name}" fed more than once.')
    for tensor in signature.fetches:
        if tensor in signature.feeds:
            raise _invalid(f"{tensor.name} is both fed and fetched.")
