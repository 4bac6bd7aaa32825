"""Compiled segments: what a step runs, each in its own way, once what it waits for is there.

`start` runs a segment, or begins its wait, and gives the error with which it failed: errors are
raised at the end of a step only, so that none keeps frames and their arrays alive.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from tfsession.core.errors import CancelledError, InternalError, InvalidArgumentError
from tfsession.core.pending import Pending
from tfsession.core.shape import debug_string
from tfsession.devices.transfer import Memory
from tfsession.graph.operation import Operation
from tfsession.runtime.control import uninterrupted
from tfsession.runtime.errors import Ops, failure_of
from tfsession.runtime.partition import Node, Transfer, gives_tuple
from tfsession.runtime.regions import each_bit

if TYPE_CHECKING:
    from tfsession.runtime.execution import Execution, Scope

Value = Any
Function = Callable[..., Any]
Failure = BaseException | None

_INDICES = (np.int32(0), np.int32(1))


@dataclass(slots=True, kw_only=True, eq=False)
class CompiledSegment:
    """What can run once the bits of `waits` have come, and runs if all are alive.

    `arrival` has the bits that come with it, `reads` are the values that it and its transfers take.
    Its nodes are numbered from `first` on.
    """

    waits: int
    arrival: int
    place: Memory
    reads: tuple[str, ...]
    nodes: list[Node]
    transfers: list[Transfer]
    first: int

    @property
    def may_wait(self) -> bool:
        """Whether something in it may have to wait for what is outside of the step."""
        return False

    @property
    def asks(self) -> int:
        """The bits that say when it is ready."""
        return self.waits

    def is_ready(self, scope: Scope) -> bool:
        """Whether it is known whether the segment runs."""
        return not self.waits & ~scope.arrived

    def is_dead(self, scope: Scope) -> bool:
        """Whether a ready segment must not run."""
        return bool(self.waits & scope.dead)

    def start(self, execution: Execution, scope: Scope) -> Failure:
        """Run, or begin to wait; gives the error."""
        raise NotImplementedError

    def release(self) -> None:
        """Drop what it holds in the memory of devices; it cannot run any more."""


@dataclass(slots=True, kw_only=True, eq=False)
class Computation(CompiledSegment):
    """Operations of one place as one function of the values it reads.

    `source` is the function's text; the lines tell the operations of a failure.
    """

    function: Function
    memory: Memory
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    ops_by_line: Sequence[Ops]
    source: str

    def start(self, execution: Execution, scope: Scope) -> Failure:
        """Run the function."""
        try:
            execution.transfer(scope, self.transfers)
            arguments = [scope.values[name] for name in self.inputs]
            if execution.asked is not None:
                arguments.insert(0, execution.asked)
            results = self.call(arguments)
        except BaseException as error:
            return execution.failure(self.failure(error))
        scope.keep(self, self.outputs, results)
        return None

    def call(self, arguments: Sequence[Value]) -> Any:
        """The function's results, computed in its memory."""
        if self.memory is None:
            return self.function(*arguments)
        with self.memory.activate():
            return self.function(*arguments)

    def release(self) -> None:
        """Drop constants and kernels, whoever still holds the function."""
        self.function.__defaults__ = None
        self.function.__globals__.clear()

    def failure(self, error: BaseException) -> BaseException:
        """The error to raise for one that came out of the function: it names the operation."""
        return failure_of(error, self.function.__code__, self.ops_by_line)


@dataclass(slots=True, kw_only=True, eq=False)
class Wait(Computation):
    """One operation that may block: it gives its outputs as the kernel does, or a Pending."""

    @property
    def may_wait(self) -> bool:
        """That is what it is."""
        return True

    def start(self, execution: Execution, scope: Scope) -> Failure:
        """Call the kernel; what it began is noted before Ctrl-C can come."""
        try:
            execution.transfer(scope, self.transfers)
            arguments = [scope.values[name] for name in self.inputs]
            uninterrupted(self._begin, execution, scope, arguments)
        except BaseException as error:
            failure = self.failure(error)
            # What is waited for says itself that the wait was cancelled.
            return failure if isinstance(failure, CancelledError) else execution.failure(failure)
        return None

    def _begin(self, execution: Execution, scope: Scope, arguments: Sequence[Value]) -> None:
        result = self.call(arguments)
        if isinstance(result, Pending):
            execution.wait_for(scope, self, result)
        else:
            self.arrive(execution, scope, result)

    def arrive(self, execution: Execution, scope: Scope, result: Any) -> None:
        """The outputs are there, as the kernel gives them."""
        op = self.nodes[0].op
        outputs = result if gives_tuple(op.op_def) else (result,) if op.outputs else ()
        execution.observe(self.first, outputs)
        scope.keep(self, self.outputs, outputs)

    def error_of(self, error: BaseException) -> BaseException:
        """The error of a wait that failed; it names the operation."""
        return failure_of(error, None, [self.nodes[0].op])


def not_scalar(value: Value) -> NoReturn:
    """Refuse the value of a predicate."""
    shape = debug_string(value.shape)
    raise InvalidArgumentError(
        None, None, f"The second input must be a scalar, but it has shape {shape}"
    )


def uneven(frame: str) -> NoReturn:
    """Refuse a loop whose variables part."""
    raise InternalError(None, None, f"Some variables of the loop {frame!r} go on, some do not.")


@dataclass(slots=True, kw_only=True, eq=False)
class Decision(CompiledSegment):
    """A predicate: its value decides which of two bits comes alive."""

    name: str
    if_false: int
    if_true: int
    switch: Operation

    def start(self, execution: Execution, scope: Scope) -> Failure:
        """Look at the value."""
        try:
            execution.transfer(scope, self.transfers)
            value = scope.values[self.name]
            if value.ndim:
                not_scalar(value)
        except BaseException as error:
            return execution.failure(failure_of(error, None, [self.switch]))
        scope.dead |= self.if_false if value else self.if_true
        scope.keep(self, (), ())
        return None


@dataclass(slots=True, kw_only=True, eq=False)
class Meeting(CompiledSegment):
    """Merges that fire together: with the first of several masks that has come alive.

    `inputs` are the names of each node's inputs, `outputs` of its outputs; `moves` the transfers
    of the inputs that lie elsewhere; `reads_values` tells which are variables to be read.
    """

    alternatives: tuple[int, ...]
    inputs: list[Sequence[str]]
    reads_values: list[list[bool]]
    outputs: list[Sequence[str]]
    moves: list[list[Transfer | None]]
    kernels: list[Function]

    @property
    def asks(self) -> int:
        """The bits of all inputs."""
        return reduce(or_, self.alternatives)

    def is_ready(self, scope: Scope) -> bool:
        """Whether one input is there, or all are known to be dead."""
        unknown = any(waits & ~scope.arrived for waits in self.alternatives)
        return not unknown or self._living(scope) is not None

    def is_dead(self, scope: Scope) -> bool:
        """Whether no input is there."""
        return self._living(scope) is None

    def _living(self, scope: Scope) -> int | None:
        for index, waits in enumerate(self.alternatives):
            if not waits & ~scope.arrived and not waits & scope.dead:
                return index
        return None

    def start(self, execution: Execution, scope: Scope) -> Failure:
        """Let the input that is there through."""
        index = self._living(scope)
        assert index is not None
        names: list[str] = []
        values: list[Value] = []
        rows = zip(
            self.kernels, self.inputs, self.reads_values, self.outputs, self.moves, strict=True
        )
        try:
            for number, (kernel, inputs, reads, outputs, moves) in enumerate(rows):
                move = moves[index]
                if move is not None:
                    execution.transfer(scope, [move])
                arguments: list[Value] = [None] * len(inputs)
                value = scope.values[inputs[index]]
                arguments[index] = value.read() if reads[index] else value
                results = kernel(*arguments)
                execution.observe(self.first + number, results)
                names += outputs
                values += results
        except BaseException as error:
            return execution.failure(failure_of(error, None, [self.nodes[0].op]))
        scope.keep(self, names, values)
        return None


@dataclass(slots=True, kw_only=True, eq=False)
class Signal(CompiledSegment):
    """A ControlTrigger: alive when all that it waits for has come, alive or dead."""

    def is_dead(self, scope: Scope) -> bool:
        """Never."""
        return False

    def start(self, execution: Execution, scope: Scope) -> Failure:
        """Say so."""
        execution.observe(self.first, ())
        scope.keep(self, (), ())
        return None


@dataclass(slots=True, kw_only=True, eq=False)
class Carried:
    """A variable of a loop: the names of its value around and in the loop.

    `value` and `index` are the outputs of its Merge, number `first`; `enter_move` and `next_move`
    are the transfers of values that lie elsewhere than the Merge; `enter_reads` and `next_reads`
    tell whether they are variables to be read.
    """

    enter: str
    enter_index: int
    enter_move: Transfer | None
    enter_reads: bool
    next: str
    next_waits: int
    next_move: Transfer | None
    next_reads: bool
    value: str
    index: str
    first: int


@dataclass(slots=True, eq=False)
class CompiledRegion:
    """The segments of the root of a step, or of the body of a loop, and who reads each value.

    `first` are the numbers of those that are ready at once, `watchers` of those that ask for a bit.
    """

    segments: list[CompiledSegment]
    readers: Mapping[str, int]
    first: list[int] = field(init=False)
    watchers: dict[int, list[int]] = field(init=False)

    def __post_init__(self) -> None:
        """Look which segment asks for what."""
        self.first, self.watchers = [], {}
        for number, segment in enumerate(self.segments):
            if not segment.asks:
                self.first.append(number)
            for bit in each_bit(segment.asks):
                self.watchers.setdefault(bit, []).append(number)

    @property
    def may_wait(self) -> bool:
        """Whether something in it may have to wait for what is outside of the step."""
        return any(segment.may_wait for segment in self.segments)

    def release(self) -> None:
        """Drop what the segments hold in the memory of devices."""
        for segment in self.segments:
            segment.release()


@dataclass(slots=True, kw_only=True, eq=False)
class CompiledLoop(CompiledSegment):
    """A loop: its body runs until no variable goes on."""

    frame: str
    constants: tuple[str, ...]
    carried: list[Carried]
    results: dict[str, int]
    body: CompiledRegion

    @property
    def may_wait(self) -> bool:
        """Whether its body may."""
        return self.body.may_wait

    def release(self) -> None:
        """Drop what the body holds."""
        self.body.release()

    def start(self, execution: Execution, scope: Scope) -> Failure:
        """Run the loop as far as it goes."""
        return LoopRun(self, scope).begin(execution)


@dataclass(slots=True, kw_only=True, eq=False)
class InlinedLoop(Computation):
    """A loop as one function, which gives None instead of results that are not there."""

    def start(self, execution: Execution, scope: Scope) -> Failure:
        """Run all iterations."""
        try:
            arguments = [scope.values[name] for name in self.inputs]
            if execution.asked is not None:
                arguments.insert(0, execution.asked)
            results = self.function(*arguments)
        except BaseException as error:
            return execution.failure(self.failure(error))
        if results is None:
            scope.bury(self)
        else:
            scope.keep(self, self.outputs, results)
        return None


class LoopRun:
    """A loop under way, in one iteration of the region around it."""

    def __init__(self, loop: CompiledLoop, outer: Scope) -> None:
        self.outer = outer
        self.is_over = False
        self._loop = loop
        self._scope: Scope | None = None
        self._constants = {name: outer.values[name] for name in loop.constants}
        self._results: dict[str, Value] = {}
        outer.waiting += 1

    def begin(self, execution: Execution) -> Failure:
        """Begin the first iteration, with what came through the Enters, and go on from there."""
        try:
            outer = self.outer
            values = [
                (c, self._brought(execution, outer, c.enter, c.enter_move, c.enter_reads))
                for c in self._loop.carried
            ]
        except BaseException as error:
            return execution.failure(error)
        self._begin_iteration(execution, values, 0)
        return self.go_on(execution)

    @staticmethod
    def _brought(
        execution: Execution, scope: Scope, name: str, move: Transfer | None, reads: bool
    ) -> Value:
        if move is not None:
            (name,) = execution.transfer(scope, [move])
        value = scope.values[name]
        return value.read() if reads else value

    def _begin_iteration(
        self, execution: Execution, values: Sequence[tuple[Carried, Value]], turn: int
    ) -> None:
        inside = dict(self._constants)
        for carried, value in values:
            index = _INDICES[carried.enter_index ^ turn]
            inside[carried.value], inside[carried.index] = value, index
            execution.observe(carried.first, (value, index))
        self._scope = execution.open_scope(self._loop.body, inside, self)

    def go_on(self, execution: Execution) -> Failure:
        """Run iterations until one has to wait, or the loop ends; gives the error."""
        while True:
            scope = self._scope
            assert scope is not None
            failure = execution.run_ready(scope)
            if failure is not None or scope.waiting:
                return failure
            for name, waits in self._loop.results.items():
                if not waits & scope.dead:
                    self._results[name] = scope.values[name]
            try:
                execution.check()
                values = self._next_values(execution, scope)
            except BaseException as error:
                return execution.failure(error)
            if not values:
                self._end()
                return None
            self._begin_iteration(execution, values, 1)

    def _next_values(self, execution: Execution, scope: Scope) -> list[tuple[Carried, Value]]:
        carried = [c for c in self._loop.carried if not c.next_waits & scope.dead]
        if carried and len(carried) < len(self._loop.carried):
            uneven(self._loop.frame)
        return [
            (c, self._brought(execution, scope, c.next, c.next_move, c.next_reads)) for c in carried
        ]

    def _end(self) -> None:
        outer, loop = self.outer, self._loop
        self.is_over, self._scope = True, None
        outer.waiting -= 1
        if len(self._results) < len(loop.results):
            outer.bury(loop)
        else:
            outer.keep(loop, tuple(self._results), tuple(self._results.values()))
