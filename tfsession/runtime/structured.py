"""Structures at work: what chooses and repeats, eagerly and while a device records.

Eagerly the host looks at the truth, and calls the part that is asked for. A recording holds all
parts, and the device looks. What is recorded is planned from what a step was seen to allocate: so
the first time the device rehearses all parts, beside what is really computed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from tfsession.core.errors import InvalidArgumentError, OpError
from tfsession.core.waiting import Stop
from tfsession.devices.accelerator import Accelerator
from tfsession.devices.capture import CaptureRefused, NotRecordable, Recorder
from tfsession.devices.memory import OPERATIONS
from tfsession.graph.operation import Operation
from tfsession.runtime.control import stop_closed
from tfsession.runtime.errors import failure_of
from tfsession.runtime.recorded_state import Composed, VariableState, bound_to, is_variable
from tfsession.runtime.segments import Function, Value, not_scalar
from tfsession.runtime.structure import Fork, Repeat, Structure, Unrolled

PartFunction = Callable[[Structure, int], Function]

# Allocations of a step behind which a loop is not unrolled: planning and recording them all would
# take seconds.
MOST_UNROLLED = 20_000


class StructureCall(Composed):
    """A structure as a function of what it reads.

    Attributes:
        parts: the functions of its parts.
    """

    def __init__(self, node: Structure, part_function: PartFunction) -> None:
        assert isinstance(node.memory, Accelerator)
        super().__init__([part_function(node, number) for number in range(len(node.parts))])
        self._device: Accelerator = node.memory
        self._op = node.op
        self._is_single = len(node.op.outputs) == 1

    def __call__(self, *arguments: Value) -> Any:
        """The outputs; one, or a tuple."""
        watch = self._device.watch
        if not self._asks_device(arguments):
            found = self._eager(arguments)
        elif watch.recording is not None:
            found = self._recorded(watch.recording, arguments)
        elif watch.trace is not None and watch.trace.refusal is None:
            found = self._traced(arguments)
        else:
            found = self._eager(arguments)
        return found[0] if self._is_single else found

    def _asks_device(self, arguments: Sequence[Value]) -> bool:
        """Whether a truth lies on the device."""
        raise NotImplementedError

    def _eager(self, arguments: Sequence[Value]) -> Sequence[Value]:
        """The outputs, computed now."""
        raise NotImplementedError

    def _recorded(self, recorder: Recorder, arguments: Sequence[Value]) -> Sequence[Value]:
        """Where the outputs will be; nothing is computed now. Raises CaptureRefused."""
        raise NotImplementedError

    def _traced(self, arguments: Sequence[Value]) -> Sequence[Value]:
        """The outputs, in memory that was allocated as a recording will allocate it."""
        watch = self._device.watch
        outputs: Sequence[Value] | None = None
        try:
            with self._device.rehearsing(), watch.taking(_nothing_for_each_step):
                outputs = self._recorded(watch.recording, arguments)
        except Exception as error:
            assert watch.trace is not None
            watch.trace.refusal = failure_of(error, None, [self._op])
        with watch.untraced():
            found = self._eager(arguments)
        if outputs is None:
            return found
        for output, value in zip(outputs, found, strict=True):
            if value is not None:
                output[...] = value
        return outputs

    def _place_for(self, value: Value) -> Value:
        return self._device.xp.empty(value.shape, value.dtype)

    @staticmethod
    def _call(function: Function, arguments: Sequence[Value]) -> Sequence[Value]:
        """The results of a part; an error names the operation in it."""
        try:
            return function(*arguments)  # type: ignore[no-any-return]
        except (CaptureRefused, Stop):
            raise
        except BaseException as error:
            failure = [failure_of(error, function.__code__, function.__globals__[OPERATIONS])]
        raise failure.pop()

    def _taken_down(self, function: Function, arguments: Sequence[Value]) -> Sequence[Value]:
        """The results of a part while nothing is computed; variables stay where they are.

        An operation that the device refuses is named; whatever else fails does so in this
        structure, as what is computed here may never be.
        """
        variables = [value for value in (*bound_to(function), *arguments) if is_variable(value)]
        state = VariableState(self._device, variables)
        failure: list[BaseException] = []
        try:
            results: Sequence[Value] = function(*arguments)
            if state.has_moved:
                raise _Unfit("it gives a variable new memory, as others hold what it was")
            if not all(map(self._device.owns, results)):
                raise _Unfit("it gives a value of the host")
            return results
        except _Unfit as error:
            raise NotRecordable(str(error)) from None
        except NotRecordable as error:
            failure.append(failure_of(error, function.__code__, function.__globals__[OPERATIONS]))
        except (CaptureRefused, Stop, OpError):
            raise
        except Exception as error:
            failure.append(NotRecordable(f"{type(error).__name__}: {error}"))
        finally:
            state.restore()
        raise failure.pop()


class _Unfit(Exception):
    """A part does what cannot be done there."""


def _nothing_for_each_step(_: Callable[[], Any]) -> Any:
    raise _Unfit("the host makes something for it, each time that it runs")


class Choice(StructureCall):
    """A Fork: the first argument is the truth that decides."""

    def __init__(self, node: Fork, part_function: PartFunction) -> None:
        super().__init__(node, part_function)
        self._switch = node.switch
        self._results = len(node.parts[0].results)
        self._others = [len(part.others) for part in node.parts]

    def _asks_device(self, arguments: Sequence[Value]) -> bool:
        return self._device.owns(arguments[0])

    def _eager(self, arguments: Sequence[Value]) -> Sequence[Value]:
        truth, *reads = arguments
        way = _holds(truth, self._switch)
        results = list(self._call(self.parts[way], reads))
        # What only the other part makes is not there, and nothing reads it.
        place = len(results) if way == 0 else self._results
        results[place:place] = [None] * self._others[not way]
        return results

    def _recorded(self, recorder: Recorder, arguments: Sequence[Value]) -> Sequence[Value]:
        truth, *reads = arguments
        if truth.ndim:
            raise NotRecordable("a predicate is no scalar")
        outputs: list[Value] = []
        others: list[list[Value]] = [[], []]

        def take_down(number: int) -> None:
            values = self._taken_down(self.parts[number], reads)
            results = values[: self._results]
            if not outputs:
                outputs.extend(map(self._place_for, results))
            forms = [[(v.shape, v.dtype) for v in array] for array in (outputs, results)]
            if forms[0] != forms[1]:
                raise NotRecordable("the two ways of a conditional give other shapes")
            others[number] = list(map(self._place_for, values[self._results :]))
            for output, value in zip([*outputs, *others[number]], values, strict=True):
                output[...] = value

        recorder.choose(truth, partial(take_down, 1), partial(take_down, 0))
        return [*outputs, *others[0], *others[1]]


class Repetition(StructureCall):
    """A Repeat: the first arguments are the first values of its variables."""

    def __init__(
        self, node: Repeat, part_function: PartFunction, closing: Sequence[object]
    ) -> None:
        super().__init__(node, part_function)
        self._variables = node.variables
        self._carried = node.carried
        self._switch = node.switch
        self._closing = closing

    def _asks_device(self, arguments: Sequence[Value]) -> bool:
        return True

    def _eager(self, arguments: Sequence[Value]) -> Sequence[Value]:
        condition, body = self.parts
        state, others = arguments[: self._variables], arguments[self._variables :]
        while True:
            (truth,) = self._call(condition, [*state, *others])
            if not _holds(truth, self._switch):
                return [state[number] for number in self._carried]
            if self._closing:
                stop_closed()
            state = self._call(body, [*state, *others])

    def _recorded(self, recorder: Recorder, arguments: Sequence[Value]) -> Sequence[Value]:
        first, others = arguments[: self._variables], arguments[self._variables :]
        state = list(map(self._place_for, first))
        for place, value in zip(state, first, strict=True):
            place[...] = value
        truth = self._device.xp.empty((), bool)

        def ask() -> None:
            (found,) = self._taken_down(self.parts[0], [*state, *others])
            if found.ndim:
                raise NotRecordable("the condition of a loop is no scalar")
            truth[...] = found

        def turn() -> None:
            values = self._taken_down(self.parts[1], [*state, *others])
            forms = [[(v.shape, v.dtype) for v in array] for array in (state, values)]
            if forms[0] != forms[1]:
                raise NotRecordable("a loop gives its variables other shapes")
            for place, value in zip(state, self._apart(values, state), strict=True):
                if value is not place:
                    place[...] = value
            ask()

        ask()
        recorder.repeat(truth, turn, self._closing)
        return [state[number] for number in self._carried]

    def _apart(self, values: Sequence[Value], state: Sequence[Value]) -> list[Value]:
        """The values, copied where they lie where another variable does, which is written to."""
        address = self._device.address
        ends = [(address(place), address(place) + place.nbytes) for place in state]

        def lies_there(value: Value) -> bool:
            begin = address(value)
            return any(first <= begin < end for first, end in ends)

        return [
            value if value is place or not lies_there(value) else value.copy()
            for place, value in zip(state, values, strict=True)
        ]


class Unrolling(StructureCall):
    """An Unrolled: its turns are done one after another, eagerly and while a device records."""

    def _asks_device(self, arguments: Sequence[Value]) -> bool:
        return False

    def _eager(self, arguments: Sequence[Value]) -> Sequence[Value]:
        results = self._call(self.parts[0], arguments)
        trace = self._device.watch.trace
        if trace is not None and trace.refusal is None and len(trace) > MOST_UNROLLED:
            refused = NotRecordable(f"a step has more than {MOST_UNROLLED} allocations by its end")
            trace.refusal = failure_of(refused, None, [self._op])
        return results


def _holds(truth: Value, switch: Operation | None) -> bool:
    """Whether a truth is one; raises InvalidArgumentError where it is no scalar."""
    failure: list[BaseException] = []
    if truth.ndim:
        try:
            not_scalar(truth)
        except InvalidArgumentError as error:
            failure.append(failure_of(error, None, [switch]))
        raise failure.pop()
    return bool(truth)


def structure_function(
    node: Structure, part_function: PartFunction, closing: Sequence[object]
) -> StructureCall:
    """What computes a structure.

    Args:
        node: the structure.
        part_function: gives the function of a part of it, by its number.
        closing: gets something when the session is closed.
    """
    if isinstance(node, Unrolled):
        return Unrolling(node, part_function)
    if isinstance(node, Repeat):
        return Repetition(node, part_function, closing)
    assert isinstance(node, Fork)
    return Choice(node, part_function)
