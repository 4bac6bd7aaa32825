"""Partial runs: one step whose feeds come, and whose fetches go, in several calls.

The step is under way from its setup on: every feed is an arrival, and what does not wait for one
runs at once. An error ends this step alone; the session and its other partial runs go on.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from itertools import count
from operator import attrgetter
from queue import Empty, SimpleQueue
from typing import Any

from tfsession.core import forking
from tfsession.core.errors import InvalidArgumentError, OpError
from tfsession.graph.composite import composite_type_of
from tfsession.graph.graph import Graph
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor
from tfsession.runtime.control import FREE, run_cancelled, timed_out
from tfsession.runtime.execute import Engine
from tfsession.runtime.execution import Execution
from tfsession.runtime.feeds import encoded
from tfsession.runtime.fetches import FetchMap
from tfsession.runtime.plan import Plan, Signature

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


class PartialRun:
    """One partial run: its step, and what was fed and fetched of it so far.

    Calls of several threads may overlap: segments run under a lock, waits do not hold it.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._execution = Execution(plan, FREE)
        self._execution.arrived = self._note_arrival
        self._unfed = set(plan.feeds)
        self._unfetched = set(plan.fetches)
        self._lock = forking.rlock()
        self._wakeups: SimpleQueue[None] = SimpleQueue()
        self._waiting = 0
        self._error: BaseException | None = None

    @property
    def is_over(self) -> bool:
        """Whether no call can follow: all was fed and fetched, or an error ended the step."""
        return self._error is not None or not (self._unfed or self._unfetched)

    def begin(self) -> None:
        """Run what waits for no feed; an error shows at the first call that follows."""
        with self._lock:
            self._go_on()

    def check(self, feeds: Sequence[Tensor], fetches: Sequence[Tensor]) -> None:
        """Raise InvalidArgumentError for a call that does not fit; it leaves no trace."""
        for verb, tensors, declared, open_ones in (
            ("feed", feeds, self.plan.feeds, self._unfed),
            ("fetch", fetches, self.plan.fetches, self._unfetched),
        ):
            for tensor in tensors:
                if tensor not in declared:
                    raise _invalid(
                        f"The {verb} {tensor.name} was not specified in partial_run_setup."
                    )
                if tensor not in open_ones:
                    done = "fed" if verb == "feed" else "fetched"
                    raise _invalid(f"The {verb} {tensor.name} has already been {done}.")
        missing = _missing_feed(fetches, self._unfed.difference(feeds))
        if missing is not None:
            raise _invalid(
                f"Fetch {missing.name} can't be computed from the feeds that have been fed so far."
            )

    def run(
        self, values: Mapping[Tensor, Any], fetches: Sequence[Tensor], timeout: float | None
    ) -> list[Any]:
        """Feed some values, and give those of some fetches once they are there.

        Raises:
            InvalidArgumentError: the call does not fit; the run can go on.
            DeadlineExceededError: it took more than `timeout` seconds; the run is over.
            OpError: an operation of the step failed; the run is over.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._lock:
            if self._error is not None:
                raise self._error
            self.check(list(values), fetches)
            self._unfed.difference_update(values)
            self._unfetched.difference_update(fetches)
            self._execution.feed(values)
            self._go_on()
        indices = [self.plan.fetches.index(tensor) for tensor in fetches]
        while True:
            with self._lock:
                if self._error is not None:
                    raise self._error
                if all(map(self._execution.has, indices)):
                    return self._fetched(indices)
                self._waiting += 1
            try:
                remaining = None if deadline is None else max(0.0, deadline - time.monotonic())
                self._wakeups.get(timeout=remaining)
            except Empty:
                with self._lock:
                    self._end(timed_out())
            except BaseException:
                with self._lock:
                    self._end(run_cancelled())
                raise
            finally:
                with self._lock:
                    self._waiting -= 1
            with self._lock:
                self._go_on()

    def cancel(self) -> None:
        """End the run, as its session closes."""
        with self._lock:
            self._end(run_cancelled())

    def abandon(self) -> None:
        """End the run: it was another process's."""
        self.cancel()

    def _fetched(self, indices: list[int]) -> list[Any]:
        try:
            return self._execution.fetch(indices)
        except OpError as error:
            self._end(error)
            raise

    def _go_on(self) -> None:
        """Run what is ready; the lock is held."""
        if self._error is None:
            try:
                self._execution.go_on()
            except BaseException as error:
                self._end(error)
        self._wake()

    def _end(self, error: BaseException) -> None:
        if self._error is None:
            self._error = error
            self._execution.withdraw()
            self._execution.values.clear()
        self._wake()

    def _wake(self) -> None:
        for _ in range(self._waiting):
            self._wakeups.put(None)

    def _note_arrival(self) -> None:
        """A wait has ended, in any thread: those who wait go on, or else a thread of its own."""
        if self._waiting:
            self._wakeups.put(None)
        else:
            threading.Thread(target=self.begin, daemon=True).start()


def _missing_feed(fetches: Sequence[Tensor], unfed: set[Tensor]) -> Tensor | None:
    """A feed that one of the fetches needs and does not have yet."""
    if not unfed:
        return None
    seen: set[Operation] = set()
    stack = [tensor.op for tensor in fetches]
    while stack:
        op = stack.pop()
        if op in seen:
            continue
        seen.add(op)
        for tensor in op.inputs:
            if tensor in unfed:
                return tensor
            stack.append(tensor.op)
        for source in op.control_inputs:
            fed = [tensor for tensor in source.outputs if tensor in unfed]
            if fed:
                return fed[0]
            stack.append(source)
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
            InvalidArgumentError: nothing is fetched or run, or a feed stands there twice.
        """
        fetches = [e for e in fetch_map.elements if isinstance(e, Tensor)]
        targets = [e for e in fetch_map.elements if isinstance(e, Operation)]
        if not fetches and not targets:
            raise _invalid("Must specify at least one target to fetch or execute.")
        for number, tensor in enumerate(feeds):
            if tensor in feeds[:number]:
                raise _invalid(f'Endpoint "{tensor.name}" fed more than once.')
            if tensor in fetches:
                raise _invalid(f"{tensor.name} is both fed and fetched.")
        signature = Signature(
            tuple(sorted(fetches, key=_by_name)),
            tuple(sorted(targets, key=_by_name)),
            tuple(sorted(feeds, key=_by_name)),
            (None,) * len(feeds),
            arriving=True,
        )
        run = PartialRun(self._engine.plan(signature))
        names = (
            ",".join(e.name for e in part)
            for part in (signature.feeds, signature.fetches, signature.targets)
        )
        handle = "{}->{}/{}/1/;{}".format(*names, next(self._numbers))
        self._runs[handle] = run
        self._engine.cancellation.attend(run)
        run.begin()
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
            fed = {tensor: encoded(tensor, value) for tensor, value in values.items()}
            known.update(zip(tensors, self._run(handle, fed, tensors), strict=True))
        return fetch_map.rebuild([known[e] for e in fetch_map.elements if isinstance(e, Tensor)])

    def _run(self, handle: Any, values: Mapping[Tensor, Any], fetches: list[Tensor]) -> list[Any]:
        if not isinstance(handle, str):
            raise TypeError(
                f"A partial run's handle is what partial_run_setup gave, a str: not {handle!r}"
            )
        run = self._runs.get(handle)
        if run is None:
            raise _invalid("Must run 'setup' before performing partial runs!")
        control = self._engine.terms.default
        try:
            return run.run(values, fetches, None if control is None else control().remaining())
        finally:
            if run.is_over and self._runs.pop(handle, None) is not None:
                self._engine.cancellation.leave(run)
