"""The recorder: what each operation of a step gave, and when; made into step stats at the end.

A recording holds times and shapes, never values: tracing does not make anything live longer. A step
runs in one thread, so an operation begins when the one before it is done.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from tfsession.core.dtypes import resource, variant
from tfsession.devices.device import Device
from tfsession.runtime.device_times import DeviceMarks, KernelTrace
from tfsession.runtime.partition import Node, Transfer
from tfsession.runtime.partition_graphs import GraphNode, StepGraph
from tfsession.runtime.step_stats import (
    Layout,
    NodeRecord,
    Output,
    OutputShape,
    encode_copies,
    encode_node,
)

if TYPE_CHECKING:
    import numpy.typing as npt

Shapes = tuple[OutputShape, ...]

_HANDLES = frozenset({resource, variant})
# Marks in a log: what is no execution of a node.
_NOW: Final = -1
_BEGAN: Final = -2


class NodeExecution(NamedTuple):
    """One execution of a node: how long it took, in nanoseconds, and the shapes of its outputs."""

    node: GraphNode
    outputs: Sequence[Output]
    shapes: Shapes
    nanos: int


class Recording:
    """What came of a step: a serialised StepStats, and the executions in order of their ends."""

    def __init__(
        self,
        trace: PlanTrace,
        step_stats: bytes,
        indices: Sequence[int],
        shapes: Sequence[Shapes],
        nanos: npt.NDArray[np.int64],
    ) -> None:
        self.step_stats = step_stats
        self._trace = trace
        self._observed = indices, shapes, nanos

    def executions(self) -> Iterator[NodeExecution]:
        """Every execution of a node."""
        indices, shapes, nanos = self._observed
        return map(self._trace.execution, indices, shapes, nanos.tolist())


class _Traced(NamedTuple):
    node: GraphNode
    outputs: tuple[Output, ...]
    label: str


class PlanTrace:
    """What the recordings of a plan have in common.

    Args:
        nodes: the plan's operations, in the order of their numbers.
        graph: the graph of the step.
    """

    def __init__(self, nodes: Sequence[Node], graph: StepGraph) -> None:
        self._traced = [_of_node(node, graph.by_op[node.op]) for node in nodes]
        self.kernels = KernelTrace(
            {
                index: (node.memory, node.op.name, node.op.type)
                for index, node in enumerate(nodes)
                if node.memory is not None and not (node.kernel.constant or node.kernel.forwards)
            }
        )
        # Those that give storages or handles: what has a shape there need not be a value's.
        self.special = frozenset(
            index
            for index, traced in enumerate(self._traced)
            if any(_is_special(output) for output in traced.outputs)
        )
        self._sources = self._add(GraphNode("_SOURCE", "NoOp", d) for d in graph.partitions)
        self._arguments = dict(
            zip(graph.arguments, self._add(graph.arguments.values()), strict=True)
        )
        self._results = self._add(graph.results)
        self._records: list[tuple[Shapes, NodeRecord] | None] = [None] * len(self._traced)
        self._layout: tuple[list[int], list[Shapes], Layout] | None = None

    def _add(self, nodes: Iterable[GraphNode]) -> range:
        first = len(self._traced)
        for node in nodes:
            memory = _gpu(node.device)
            outputs = tuple(Output(t, memory, False, False) for t in node.output_dtypes)
            self._traced.append(_Traced(node, outputs, node.label))
        return range(first, len(self._traced))

    def start(self, times_devices: bool = False) -> StepRecorder:
        """A recorder of a step that begins now; `times_devices` asks GPUs for their times."""
        return StepRecorder(self, times_devices)

    def before(self, feeds: Sequence[Any]) -> list[tuple[int, Shapes]]:
        """What happens before the first operation."""
        found: list[tuple[int, Shapes]] = [(index, ()) for index in self._sources]
        for k, index in self._arguments.items():
            found.append((index, (shape_of(feeds[k]) if k < len(feeds) else None,)))
        return found

    def after(self) -> list[tuple[int, Shapes]]:
        """What happens after the last operation."""
        return [(index, ()) for index in self._results]

    def encode(
        self,
        indices: list[int],
        shapes: list[Shapes],
        starts: npt.NDArray[np.int64],
        ends: npt.NDArray[np.int64],
    ) -> bytes:
        """The StepStats of these executions; times are in nanoseconds since 1970."""
        known = self._layout
        if known is None or known[0] != indices or known[1] != shapes:
            records = [self._record(i, found) for i, found in zip(indices, shapes, strict=True)]
            devices = [self._traced[index].node.device.name for index in indices]
            known = self._layout = indices, shapes, Layout(devices, records)
        return known[2].encode(starts, ends)

    def _record(self, index: int, shapes: Shapes) -> NodeRecord:
        known = self._records[index]
        if known is None or known[0] != shapes:
            node, outputs, label = self._traced[index]
            known = self._records[index] = shapes, encode_node(node.name, label, outputs, shapes)
        return known[1]

    def shapes(self, index: int, results: Sequence[Any]) -> Shapes:
        """The shapes of results of any kind; a handle has none but that of one handle."""
        outputs = self._traced[index].outputs
        return tuple(
            () if output.dtype in _HANDLES else shape_of(result)
            for output, result in zip(outputs, results, strict=True)
        )

    def execution(self, index: int, shapes: Shapes, nanos: int) -> NodeExecution:
        """An execution of number `index`."""
        node, outputs, _ = self._traced[index]
        return NodeExecution(node, outputs, shapes, nanos)


def _of_node(node: Node, graph_node: GraphNode) -> _Traced:
    kernel, op = node.kernel, node.op
    has_reference = any(tensor.dtype.is_ref for tensor in op.inputs)
    outputs = []
    for tensor, memory in zip(op.outputs, node.output_memories, strict=True):
        is_state = tensor.dtype.is_ref and not has_reference
        is_handle = tensor.dtype in _HANDLES
        is_new = not (kernel.aliases or kernel.constant or tensor.dtype.is_ref or is_handle)
        is_persistent = is_state or (kernel.constant and not is_handle)
        outputs.append(Output(tensor.dtype, memory, is_new, is_persistent))
    return _Traced(graph_node, tuple(outputs), graph_node.label)


def _is_special(output: Output) -> bool:
    return output.dtype.is_ref or output.dtype in _HANDLES


def shape_of(value: Any) -> OutputShape:
    """The shape of an array, a number, or what a variable's storage holds."""
    if hasattr(value, "is_initialized"):
        value = value.array
        if value is None:
            return None
    shape: OutputShape = getattr(value, "shape", ())
    return shape


class StepRecorder:
    """Takes down one step; `observe` is called by the compiled code after each operation.

    Where devices are timed, each entry of the log has a mark on every one of them.
    """

    def __init__(self, trace: PlanTrace, times_devices: bool) -> None:
        self._trace = trace
        self._begin = time.perf_counter_ns()
        # To Unix time: one offset for the step, so that times within it are exact.
        self._epoch = time.time_ns() - self._begin
        self._before = trace.before(())
        self._log: list[tuple[int, int, Shapes]] = [(_NOW, self._begin, ())]
        self._marks = DeviceMarks(trace.kernels.devices if times_devices else ())
        self._copies: list[_Copy] = []
        self._append = _marking(self._log.append, self._marks) if self._marks else self._log.append
        self.observe = _make_observe(trace, self._append)

    def fed(self, values: Sequence[Any]) -> None:
        """The values of the plan's feeds are there, and the first operation begins."""
        self._before = self._trace.before(values)
        self.resume()

    def resume(self) -> None:
        """The step goes on after a wait: what is observed next begins now."""
        self._append((_NOW, time.perf_counter_ns(), ()))

    def began(self, index: int) -> None:
        """Operation number `index` begins now, and ends only after others."""
        self._append((_BEGAN - index, time.perf_counter_ns(), ()))

    def transferred(self, transfer: Transfer, start: int, end: int, value: Any) -> None:
        """A copy was made between two moments, in nanoseconds of `time.perf_counter_ns`.

        Copies between GPUs and the host are told; CPU devices share their memory.
        """
        self._append((_NOW, end, ()))
        source, destination = transfer.source, transfer.destination
        device = _gpu(destination) or _gpu(source)
        if device is None:
            return
        direction = f"{'D' if _gpu(source) else 'H'}to{'D' if _gpu(destination) else 'H'}"
        nbytes = int(getattr(value, "nbytes", 0))
        label = transfer.tensor.op.name, f"MEMCPY{direction}", nbytes
        times = start + self._epoch, end + self._epoch
        self._copies.append(_Copy(device, label, times, len(self._log) - 1))

    def finish(self) -> Recording:
        """The step is done."""
        now = time.perf_counter_ns()
        numbers, moments, shapes = zip(*self._log, strict=True)
        on_devices = self._on_devices(numbers)
        ends = np.array(moments, np.int64)
        starts = np.concatenate([ends[:1], ends[:-1]])
        _set_begun(numbers, ends, starts)
        nodes = np.flatnonzero(np.array(numbers) >= 0)
        kept = nodes.tolist()
        if kept and kept[-1] - kept[0] + 1 == len(kept):  # no mark stands between them
            numbers, shapes = numbers[kept[0] : kept[-1] + 1], shapes[kept[0] : kept[-1] + 1]
        else:
            numbers, shapes = (tuple(part[i] for i in kept) for part in (numbers, shapes))
        before, after = self._before, self._trace.after()
        indices = [*(i for i, _ in before), *numbers, *(i for i, _ in after)]
        found = [*(s for _, s in before), *shapes, *(s for _, s in after)]
        first = np.full(len(before), self._begin)
        starts = np.concatenate([first, starts[nodes], np.full(len(after), ends[-1])])
        ends = np.concatenate([first, ends[nodes], np.full(len(after), now)])
        encoded = self._trace.encode(indices, found, starts + self._epoch, ends + self._epoch)
        return Recording(self._trace, encoded + on_devices, indices, found, ends - starts)

    def _on_devices(self, numbers: Sequence[int]) -> bytes:
        """What devices computed and copied; copies have the host's times where it keeps none."""
        moments = self._marks.moments(self._epoch)
        copies: dict[str, list[tuple[str, str, int, int, int]]] = {}
        for device, label, times, place in self._copies:
            if device in moments:
                start, end = moments[device][place - 1 : place + 1].tolist()
                times = start, end
            copies.setdefault(f"{device.name}/memcpy", []).append((*label, *times))
        encoded = [encode_copies(name, made) for name, made in copies.items()]
        return b"".join([self._trace.kernels.encode(numbers, moments), *encoded])


class _Copy(NamedTuple):
    """A copy: on which GPU it is shown, its name, kind and bytes, and its place in the log."""

    device: Device
    label: tuple[str, str, int]
    times: tuple[int, int]
    place: int


_Append = Callable[[tuple[int, int, Shapes]], None]


def _marking(append: _Append, marks: DeviceMarks) -> _Append:
    add = marks.add

    def append_and_mark(entry: tuple[int, int, Shapes]) -> None:
        append(entry)
        add()

    return append_and_mark


def _set_begun(
    numbers: Sequence[int], moments: npt.NDArray[np.int64], starts: npt.NDArray[np.int64]
) -> None:
    """Put in the starts of the operations that ended only after others."""
    if min(numbers) >= _NOW:
        return
    begun: dict[int, int] = {}
    for place, number in enumerate(numbers):
        if number < _NOW:
            begun[_BEGAN - number] = int(moments[place])
        elif number in begun:
            starts[place] = begun.pop(number)


def _gpu(device: Device | None) -> Device | None:
    return None if device is None or device.device_type == "CPU" else device


def _make_observe(trace: PlanTrace, append: _Append) -> Callable[..., None]:
    """The method `observe`, bound to what it needs: it is called for every operation."""
    clock, special, shapes = time.perf_counter_ns, trace.special, trace.shapes

    def observe(index: int, *results: Any) -> None:
        now = clock()
        if index not in special:
            try:
                if len(results) == 1:
                    append((index, now, (results[0].shape,)))
                else:
                    append((index, now, tuple([result.shape for result in results])))
                return
            except AttributeError:  # no array: a text, or a number of Python
                pass
        append((index, now, shapes(index, results)))

    return observe
