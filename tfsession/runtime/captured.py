"""Segments of a GPU that are recorded: seen twice with like arguments, they are one call from then.

The first time a segment runs as it is, and what it allocates is noted. The second time it runs
while the device records it, over memory that is planned from those notes; from then on the
recording is replayed. What distinguishes two recordings of a segment is what it could look at:
shapes and types of arrays, values that lie on the host, and where variables lie.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tfsession.core import forking
from tfsession.core.collections_off import no_collections
from tfsession.core.errors import OpError
from tfsession.core.modes import modes
from tfsession.devices.accelerator import Accelerator
from tfsession.devices.capture import CaptureRefused, NotRecordable
from tfsession.devices.memory import on_behalf_of
from tfsession.devices.slab import FOREVER, Lifetime, Lifetimes, Slab, aligned, lay_out
from tfsession.graph.operation import Operation
from tfsession.resources.variable import Variable, moves
from tfsession.runtime.errors import failure_of
from tfsession.runtime.partition import Node, Transfer
from tfsession.runtime.recorded_state import (
    Home,
    VariableState,
    aliases,
    bound_to,
    held,
    is_variable,
    locations,
)
from tfsession.runtime.segments import Computation, Failure, Function, Value
from tfsession.runtime.structure import Unrolled, each_within

if TYPE_CHECKING:
    from tfsession.runtime.execution import Execution, Scope

Key = tuple[Any, ...]

# Recordings of one segment, and sets of arguments that it remembers to have seen once.
_MOST_RECORDINGS, _MOST_SEEN = 8, 64
# As many recordings for the same arguments: a loop reads what it has just made.
_TWINS = 2
# Larger inputs are not copied: their place is a part of what distinguishes recordings.
_COPIED = 1 << 20
# Larger values of the host would not be compared in no time.
_COMPARED = 1 << 12
# So many steps in a row that are all new, and a loop is left to the host: only it tells them apart.
_MOST_NEW = 16
# So often a recording may fail before the segment is left as it is.
_PATIENCE = 2


@dataclass(slots=True, kw_only=True, eq=False)
class CapturedComputation(Computation):
    """Operations of a GPU as one function, or as its recording.

    `staged` are copies from the host that nobody but this needs: a recording takes such values from
    the host as they are. Each stands with the number of the input and the value's name there.
    `refuse` is told of an operation that the device would not record.
    """

    refuse: Callable[[Node], None]
    staged: list[tuple[int, str, Transfer]] = field(default_factory=list)
    recordings: Recordings = field(init=False)
    taken: list[str] = field(init=False)
    brought: list[Transfer] = field(init=False)

    def __post_init__(self) -> None:
        """Nothing is staged, nothing recorded."""
        self.stage([])
        self.recordings = Recordings(self)

    def stage(self, rows: list[tuple[int, str, Transfer]]) -> None:
        """Take these from the host."""
        self.staged = rows
        self.taken = list(self.inputs)
        for number, name, _ in rows:
            self.taken[number] = name
        own = {transfer for _, _, transfer in rows}
        self.brought = [transfer for transfer in self.transfers if transfer not in own]

    def start(self, execution: Execution, scope: Scope) -> Failure:
        """Replay a recording, make one, or run the function."""
        recordings = self.recordings
        if recordings.is_off:
            return Computation.start(self, execution, scope)
        values = scope.values
        try:
            if self.brought:
                execution.transfer(scope, self.brought)
            arguments = [values[name] for name in self.taken]
            results = recordings.run(arguments, execution, scope.readers)
            if results is None:
                execution.transfer(scope, [transfer for _, _, transfer in self.staged])
                own = [values[name] for name in self.inputs]
                results = recordings.run_watched(own, arguments, execution)
        except BaseException as error:
            return execution.failure(self.failure(error))
        if recordings.refused is not None:
            self.refuse(next(n for n in each_within(self.nodes) if n.op is recordings.refused))
            recordings.refused = None
        scope.keep(self, self.outputs, results)
        return None

    def release(self) -> None:
        """Drop the recordings, and what the function holds."""
        self.recordings.clear()
        Computation.release(self)


class Recordings:
    """The recordings of one segment, and what it was seen with.

    Attributes:
        is_off: it is not recorded any more.
        reasons: why it could not be recorded, each time.
        refused: the operation that the device would not record, until that is told.
    """

    def __init__(self, segment: CapturedComputation) -> None:
        assert isinstance(segment.memory, Accelerator)
        self.is_off = False
        self.reasons: list[str] = []
        self.refused: Operation | None = None
        self._segment = segment
        self._device: Accelerator = segment.memory
        loops = (node.op for node in segment.nodes if isinstance(node, Unrolled))
        self._loop = next(loops, None)
        self._new = 0
        self._bound = [value for value in bound_to(segment.function) if is_variable(value)]
        self._known: OrderedDict[Key, list[_Recorded]] = OrderedDict()
        self._seen: OrderedDict[Key, _Needs] = OrderedDict()
        self._last: _Recorded | None = None
        self._homes: list[Home] = []
        self._lock = forking.lock()
        assert self._device.ledger is not None
        self._device.ledger.reclaimers.add(self)

    def _key_of(self, arguments: Sequence[Value]) -> Key | None:
        """What distinguishes these arguments from others; None if that cannot be told.

        The last part tells where variables lie, which a step may change.
        """
        device, staged, variables = self._device, self._staged, self._variables(arguments)
        aliased = aliases(device, arguments, staged, variables)
        key: list[Any] = [modes.tensor_float_32, tuple(aliased)]
        for number, value in enumerate(arguments):
            if number in staged:
                key.append((value.shape, value.dtype))
            elif device.owns(value):
                is_copied = value.nbytes <= _COPIED and number not in aliased
                key.append((value.shape, value.dtype))
                key.append(None if is_copied else (device.address(value), value.strides))
            elif isinstance(value, Variable):
                key.append(id(value))
            elif _can_look(value):
                key.append(_look(value))
            else:
                return None
        key.append(locations(variables))
        return tuple(key)

    @property
    def _staged(self) -> frozenset[int]:
        return frozenset(number for number, _, _ in self._segment.staged)

    def _variables(self, arguments: Sequence[Value]) -> list[Variable]:
        return [*self._bound, *filter(is_variable, arguments)]

    def run(
        self,
        arguments: Sequence[Value],
        execution: Execution | None,
        readers: Mapping[str, int] | None = None,
    ) -> Sequence[Value] | None:
        """The results by a recording, made now if it is time for it; None where there is none.

        Without an execution none is made, and nothing is asked about going on. `readers` tells how
        many segments still read each name.
        """
        if not self._seen or not self._lock.acquire(blocking=False):
            return None
        try:
            with self._device.update_lock:
                if self._homes and not self._are_home():
                    return None
                recorded = self._last
                if recorded is None or not (recorded.fits(arguments) and recorded.is_free()):
                    if execution is None:
                        return None
                    key = self._key_of(arguments)
                    if key is None or self._must_leave(self._seen.get(key), arguments, readers):
                        return None
                    recorded = self._free(key, arguments, execution)
                    if recorded is None:
                        return None
                    self._last = recorded
                elif self._must_leave(recorded.needs, arguments, readers):
                    return None
                if execution is not None:
                    execution.check()
                return recorded.run(arguments)
        finally:
            self._lock.release()

    def _must_leave(
        self,
        needs: _Needs | None,
        arguments: Sequence[Value],
        readers: Mapping[str, int] | None,
    ) -> bool:
        """Whether a variable is to be written to elsewhere, as others look at where it lies."""
        if needs is not None and needs.written:
            self._homes = held(needs.written, self._segment.taken, arguments, readers or {})
        return bool(self._homes)

    def _are_home(self) -> bool:
        """Whether variables are back where recordings write to them; they are waited for once."""
        homes, self._homes = self._homes, []
        with self._device.activate():
            for home in homes:
                home.take_back()
        return not any(home.is_away for home in homes)

    def _free(self, key: Key, arguments: Sequence[Value], execution: Execution) -> _Recorded | None:
        """A recording whose last results nobody has any more, made now if it is time for it."""
        twins = [recorded for recorded in self._known.get(key, ()) if not recorded.is_stale]
        for recorded in twins:
            if recorded.is_free():
                self._known.move_to_end(key)
                return recorded
        if key not in self._seen or len(twins) == _TWINS:
            return None
        made = self._record(key, arguments, execution)
        if made is not None:
            self._keep((*key[:-1], locations(self._variables(arguments))), [*twins, made])
        return made

    def run_watched(
        self, own: Sequence[Value], arguments: Sequence[Value], execution: Execution
    ) -> Sequence[Value]:
        """The results by the function of `own`, which are what `arguments` are, on the device.

        What it allocates is noted if these arguments are new.
        """
        segment, key = self._segment, self._key_of(arguments)
        if execution.asked is not None:
            own = [execution.asked, *own]
        if key is None or key in self._seen:
            if key is None:
                self._note_new()
            results: Sequence[Value] = segment.call(own)
            return results
        variables = self._variables(arguments)
        state = VariableState(self._device, variables)
        before = [variable.updates for variable in variables]
        with self._device.watch.tracing() as trace:
            results = segment.call(own)
            lifetimes = trace.lifetimes()
        if trace.refusal is not None:
            with self._lock:
                self._give_up(trace.refusal)
            return results
        # What a recording copies in the end, so that an assignment does not show in what was read.
        overtaken = state.overtaken(results)
        for value in overtaken:
            lifetimes.append(Lifetime(value.nbytes, FOREVER - 1, FOREVER))
        updates = zip(variables, before, strict=True)
        written = [v for v, count in updates if v.updates > count and not v.is_reference]
        self._note_new()
        with self._lock:
            seen = (*key[:-1], locations(variables))
            self._seen[seen] = _Needs(lifetimes, trace.inputs, list(dict.fromkeys(written)))
            if len(self._seen) > _MOST_SEEN:
                self._seen.popitem(last=False)
        return results

    def _note_new(self) -> None:
        """A step was like none before: what the host tells a loop may never come again."""
        self._new += 1
        if self._new == _MOST_NEW and self._loop is not None:
            with self._lock:
                text = f"{_MOST_NEW} steps in a row told a loop what none had told it before"
                self._give_up(failure_of(NotRecordable(text), None, [self._loop]))

    def _record(
        self, key: Key, arguments: Sequence[Value], execution: Execution
    ) -> _Recorded | None:
        self._new = 0
        try:
            return _Recorded(
                self._segment,
                self._device,
                arguments,
                self._staged,
                self._variables(arguments),
                self._seen[key],
                [] if execution.asked is None else [execution.asked],
            )
        except Exception as error:
            self._seen.pop(key, None)
            self._give_up(error)
            return None

    def _give_up(self, error: BaseException) -> None:
        """Take down that the segment could not be recorded, this time or at all."""
        failure = self._segment.failure(error)
        self.reasons.append(str(failure))
        # Other allocations than planned may be as planned the next time; all else may not.
        is_final = isinstance(error, NotRecordable) or not isinstance(error, CaptureRefused)
        if is_final and isinstance(failure, OpError):
            self.refused = failure.op
        if self.refused is not None or len(self.reasons) >= _PATIENCE:
            self.is_off = True
            self._forget()

    def _keep(self, key: Key, twins: list[_Recorded]) -> None:
        self._known[key] = twins
        self._known.move_to_end(key)
        while sum(map(len, self._known.values())) > _MOST_RECORDINGS and len(self._known) > 1:
            self._known.popitem(last=False)

    def reclaim(self) -> None:
        """Give the memory of recordings back: a device has no more of it."""
        if self._lock.acquire(blocking=False):
            try:
                self._forget()
            finally:
                self._lock.release()

    def _forget(self) -> None:
        self._last = None
        self._homes.clear()
        self._known.clear()

    def clear(self) -> None:
        """Forget all; nothing is recorded any more."""
        self.is_off = True
        self._forget()
        self._seen.clear()


class _Needs(NamedTuple):
    """What a step was seen to allocate, and to have the host make for it.

    `written` are the resource variables that it wrote to.
    """

    lifetimes: Lifetimes
    inputs: Sequence[tuple[tuple[int, ...], Any]]
    written: Sequence[Variable]


class _Recorded:
    """One recording: its slab, what goes in, and what comes out.

    Attributes:
        needs: what the step was seen to do.
        is_stale: a variable lies elsewhere by now.
    """

    def __init__(
        self,
        segment: CapturedComputation,
        device: Accelerator,
        arguments: Sequence[Value],
        staged: frozenset[int],
        variables: Sequence[Variable],
        needs: _Needs,
        asked: Sequence[Any],
    ) -> None:
        self.is_stale = False
        self.needs = needs
        self._device = device
        plan = lay_out(needs.lifetimes)
        aliased = aliases(device, arguments, staged, variables)
        fresh, places, sent, base = _places(device, arguments, staged, aliased, needs.inputs)
        with on_behalf_of(segment.nodes[-1].op.name, "recorded step"):
            with device.activate():
                self._slab = device.slab(base + plan.nbytes)
            self._staging = device.staging(self._slab, sent) if sent else None
        self._inputs: list[tuple[int, Any]] = []
        self._sent: list[tuple[int, Any]] = []
        self._fresh = [(offset, *form) for offset, form in zip(fresh, needs.inputs, strict=True)]
        self._made: list[tuple[Callable[[], Any], Any]] = []
        for place in self._fresh:
            assert self._staging is not None
            self._staging.array(*place)[...] = 0  # what is recorded may look for such places
        state = VariableState(device, variables)
        with device.activate(), device.watch.taking(self._input):
            own = self._take_in(arguments, staged, places)
            self._bring(arguments)
            results = self._record(segment.function, [*asked, *own], plan, base, state)
        first, last = segment.nodes[0].op.name, segment.nodes[-1].op.name
        self._replay = device.shown(self._recording.replay, f"replay: {first} .. {last}")
        self._watched = state.when_moved(self._moved)
        self._variables = list(variables)
        self._located = locations(variables)
        self._last_move: object = None
        self._rounds_to_tf32 = modes.tensor_float_32
        self._forms = [(n, own[n].shape, own[n].dtype, type(arguments[n])) for n in places]
        others = [n for n in range(len(arguments)) if n not in places]
        self._same = [(n, arguments[n]) for n in others if is_variable(arguments[n])]
        self._looked_at = [(n, *_look(arguments[n])) for n in others if _can_look(arguments[n])]
        may_alias = bool(self._inputs) and bool(variables)
        known = len(self._same) + len(self._looked_at)
        self._is_told_by_forms = known == len(others) and not may_alias
        self._views: list[Any] = []
        self._results = [self._result(value, own, state, segment) for value in results]

    def _input(self, make: Callable[[], Any]) -> Any:
        """Where the recording finds what the host makes for each step."""
        number = len(self._made)
        if number == len(self._fresh):
            raise CaptureRefused("the host makes more for this step than it did before")
        assert self._staging is not None
        self._made.append((make, self._staging.array(*self._fresh[number])))
        return self._slab.array(*self._fresh[number])

    def _take_in(
        self, arguments: Sequence[Value], staged: frozenset[int], places: dict[int, int]
    ) -> list[Value]:
        """The arguments with those of the slab for what is copied there."""
        own = list(arguments)
        for number, offset in places.items():
            value = arguments[number]
            own[number] = self._slab.array(offset, value.shape, value.dtype)
            if number in staged:
                assert self._staging is not None
                host = self._staging.array(offset, value.shape, value.dtype)
                self._sent.append((number, host))
            else:
                self._inputs.append((number, own[number]))
        return own

    def _record(
        self,
        function: Function,
        arguments: Sequence[Any],
        plan: Slab,
        base: int,
        state: VariableState,
    ) -> list[Value]:
        """Record the function; gives its results, none of which is computed yet."""
        try:
            recording = self._device.recording(self._slab, plan, base, state.arrays)
            # What a collection finds would be freed in the middle of the recording.
            with no_collections(), recording as self._recording:
                return state.settle(function(*arguments))
        finally:
            state.restore()

    def _moved(self, _: Any) -> None:
        self.is_stale = True

    def _result(
        self, value: Value, own: Sequence[Value], state: VariableState, segment: CapturedComputation
    ) -> Callable[[Sequence[Value]], Value]:
        """What gives a result after each replay, of the arguments."""
        device = self._device
        if not device.owns(value) or not value.size:
            if isinstance(value, np.ndarray):
                return lambda _: value.copy()
            if value is None or isinstance(value, Variable | np.generic) or device.owns(value):
                return lambda _: value
            raise CaptureRefused(f"a result is a {type(value).__name__}")
        if self._slab.holds(value):
            view = value[...]
            self._views.append(view)
            number = len(self._views) - 1
            return lambda _: self._views[number]
        for position, argument in enumerate(own):
            if value is argument:
                return lambda arguments: arguments[position]
        variable = state.variable_at(value)
        if variable is not None:
            return lambda _: variable.array
        if any(value is bound for bound in bound_to(segment.function)):
            return lambda _: value
        raise CaptureRefused("a result is a part of an input")

    def fits(self, arguments: Sequence[Value]) -> bool:
        """Whether these are surely like those that it was recorded with, for who has no key."""
        if self.is_stale or not self._is_told_by_forms:
            return False
        if modes.tensor_float_32 != self._rounds_to_tf32:
            return False
        for number, shape, dtype, kind in self._forms:
            value = arguments[number]
            if value.shape != shape or value.dtype != dtype or type(value) is not kind:
                return False
        for number, variable in self._same:
            if arguments[number] is not variable:
                return False
        for number, *seen in self._looked_at:
            if not _can_look(arguments[number]) or [*_look(arguments[number])] != seen:
                return False
        last_move = moves.last
        if last_move is not self._last_move:
            if locations(self._variables) != self._located:
                return False
            self._last_move = last_move
        return True

    def is_free(self) -> bool:
        """Whether nobody has a result of the last replay."""
        return all(sys.getrefcount(view) <= _OWN_REFERENCES for view in self._views)

    def _bring(self, arguments: Sequence[Value]) -> None:
        """Put arguments where the recording reads them."""
        staging = self._staging
        if staging is not None:
            staging.ready()
            for number, host in self._sent:
                host[...] = arguments[number]
            for make, host in self._made:
                host[...] = make()
            staging.send()
        for number, array in self._inputs:
            array[...] = arguments[number]

    def run(self, arguments: Sequence[Value]) -> list[Value]:
        """The results for arguments like those that it was recorded with."""
        # Inputs that lie on the device are copied there, as by any kernel.
        with self._device.activate() if self._inputs else self._device.replaying():
            self._bring(arguments)
            self._replay()
        return [result(arguments) for result in self._results]


def _places(
    device: Accelerator,
    arguments: Sequence[Value],
    staged: frozenset[int],
    aliased: Sequence[int],
    inputs: Sequence[tuple[tuple[int, ...], Any]],
) -> tuple[list[int], dict[int, int], int, int]:
    """Where the inputs of a slab lie: those made for each step, those from the host, all others.

    Gives where each of the first lies, where arguments lie, and how much comes from the host, and
    all together.
    """
    fresh: list[int] = []
    end = 0
    for shape, dtype in inputs:
        fresh.append(end)
        end += aligned(prod(shape) * dtype.itemsize)
    places: dict[int, int] = {}
    for number in sorted(staged):
        places[number] = end
        end += aligned(arguments[number].nbytes)
    if not end and (fresh or staged):
        end = aligned(1)  # of arrays without elements, too, there is a place
    sent = end
    for number, value in enumerate(arguments):
        if number in staged or number in aliased or not device.owns(value):
            continue
        if value.nbytes <= _COPIED:
            places[number] = end
            end += aligned(value.nbytes)
    return fresh, places, sent, end


def _can_look(value: Value) -> bool:
    """Whether a value lies on the host, and is compared in no time."""
    if type(value) is np.ndarray:
        return value.nbytes <= _COMPARED and not value.dtype.hasobject
    return isinstance(value, np.generic)


def _look(value: Value) -> tuple[Any, ...]:
    """What a recording may depend on of a value on the host."""
    return type(value), value.shape, value.dtype, value.tobytes()


def _own_references() -> int:
    views = [np.empty(1)]
    return max(sys.getrefcount(view) for view in views)


# What Python counts when only the recording has a view; it differs between its versions.
_OWN_REFERENCES = _own_references()
