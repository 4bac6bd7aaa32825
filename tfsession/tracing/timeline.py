"""Timeline: step stats as a trace that Chrome's and Perfetto's viewers show.

The trace is in the viewers' event format ("Trace Event Format" of the Chromium project): each
device is a process, each lane of operations that do not overlap a thread. It has the same events as
TensorFlow's, in the same order.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from tfsession.core.exports import export

__all__ = ["AllocationMaximum", "StepStatsAnalysis", "Timeline"]

_LABEL: Final = re.compile(r"(.*) = (.*)\((.*)\)")


class AllocationMaximum(NamedTuple):
    """The most that an allocator has held: when, in microseconds; bytes; the tensors' names."""

    timestamp: int
    num_bytes: int
    tensors: set[str]


class StepStatsAnalysis(NamedTuple):
    """A trace, and the maximum of each allocator by its name."""

    chrome_trace: ChromeTrace
    allocator_maximums: dict[str, AllocationMaximum]


class ChromeTrace:
    """Events in the order in which they were added, names of processes first."""

    def __init__(self) -> None:
        self._processes: list[dict[str, Any]] = []
        self._events: list[dict[str, Any]] = []

    def add_process(self, name: str) -> int:
        """The number of a new process."""
        pid = len(self._processes)
        self._processes.append(
            {"name": "process_name", "ph": "M", "pid": pid, "args": {"name": name}}
        )
        return pid

    def add(
        self, phase: str, category: str, name: str, place: tuple[int, int], time: int, **rest: Any
    ) -> None:
        """Add an event at a process and a thread; `time` is in microseconds."""
        pid, tid = place
        event = {"ph": phase, "cat": category, "name": name, "pid": pid, "tid": tid, "ts": time}
        self._events.append(event | rest)

    def format_to_string(self, pretty: bool = False) -> str:
        """The trace as JSON."""
        trace = {"traceEvents": self._processes + self._events}
        if pretty:
            return json.dumps(trace, indent=4, separators=(",", ": "))
        return json.dumps(trace, separators=(",", ":"))


@export("python.client.timeline.Timeline")
class Timeline:
    """The execution of a step over time.

    Args:
        step_stats: a StepStats message, as in `RunMetadata.step_stats`; it is not changed.
        graph: not used; there for programs that give it.
    """

    def __init__(self, step_stats: Any, graph: Any = None) -> None:
        self._step_stats = step_stats
        self._graph = graph

    def generate_chrome_trace_format(
        self, show_dataflow: bool = True, show_memory: bool = False, op_time: str = "schedule"
    ) -> str:
        """The trace as a text to save in a file; for the arguments see `analyze_step_stats`."""
        return self.analyze_step_stats(
            show_dataflow=show_dataflow, show_memory=show_memory, op_time=op_time
        ).chrome_trace.format_to_string(pretty=True)

    def analyze_step_stats(
        self, show_dataflow: bool = True, show_memory: bool = True, op_time: str = "schedule"
    ) -> StepStatsAnalysis:
        """The trace, and how much memory each allocator has held.

        Args:
            show_dataflow: draw arrows from where tensors are made to where they are read.
            show_memory: show the lives of tensors, and the bytes of each allocator over time.
            op_time: which time of an operation is shown: "schedule", as the step stats have it;
                "gpu", that of its kernels on a GPU; "all", from the start of the operation to the
                end of its last kernel.
        """
        analysis = _Analysis(self._step_stats, op_time)
        analysis.show_tensors(show_memory)
        analysis.show_operations(show_dataflow)
        maximums = analysis.show_memory() if show_memory else {}
        return StepStatsAnalysis(analysis.trace, maximums)


@dataclass(slots=True)
class _Activity:
    """An execution of a node, where and when it is shown; times are in microseconds."""

    stats: Any
    start: int
    end: int
    lane: int = 0


@dataclass(slots=True)
class _Process:
    """A device: its activities, and the numbers of its two processes."""

    device: str
    activities: list[_Activity]
    compute: int
    tensors: int

    @property
    def has_kernels(self) -> bool:
        """Whether its activities are kernels and copies of a GPU, not operations."""
        return "/stream:" in self.device or "/memcpy" in self.device


@dataclass(slots=True)
class _Tensor:
    """A tensor from the start of what makes it to the end of its last reader."""

    number: int
    pid: int
    start: int
    last_use: int
    allocator: str
    num_bytes: int
    made: tuple[int, int, int]  # when, in which process and lane


class _Analysis:
    """The making of one trace."""

    def __init__(self, step_stats: Any, op_time: str) -> None:
        self.trace = ChromeTrace()
        self._allocators = self.trace.add_process("Allocators")
        self._tensors: dict[str, _Tensor] = {}
        kernels = {} if op_time == "schedule" else _kernel_times(step_stats)
        self._processes = []
        for stats in step_stats.dev_stats:
            activities = [_activity(node) for node in stats.node_stats]
            if "/job" in stats.device and "/stream:all" not in stats.device:
                _extend(activities, kernels, only_kernels=op_time == "gpu")
            _assign_lanes(activities)
            compute = self.trace.add_process(f"{stats.device} Compute")
            tensors = self.trace.add_process(f"{stats.device} Tensors")
            self._processes.append(_Process(stats.device, activities, compute, tensors))

    def _all(self) -> Iterator[tuple[_Process, _Activity]]:
        for process in self._processes:
            for activity in process.activities:
                yield process, activity

    def show_tensors(self, show_memory: bool) -> None:
        """Take in what every node has given; show it where memory is shown."""
        for process, activity in self._all():
            start, end = activity.start, activity.end
            for index, output in enumerate(activity.stats.output):
                name = activity.stats.node_name + (f":{index}" if index else "")
                allocation = output.tensor_description.allocation_description
                tensor = self._tensors[name] = _Tensor(
                    len(self._tensors),
                    process.tensors,
                    start,
                    end,
                    allocation.allocator_name,
                    allocation.requested_bytes,
                    (end, process.compute, activity.lane),
                )
                if show_memory:
                    place = process.tensors, activity.lane
                    text = str(output.tensor_description).replace('"', "")
                    snapshot = {"snapshot": {"tensor_description": text}}
                    self.trace.add("N", "Tensor", name, place, start, id=tensor.number)
                    self.trace.add(
                        "O", "Tensor", name, place, end - 1, id=tensor.number, args=snapshot
                    )

    def show_operations(self, show_dataflow: bool) -> None:
        """Show every node, and the arrows to it."""
        flows = 0
        for process, activity in self._all():
            stats = activity.stats
            name, op, inputs = _described(stats, process.has_kernels)
            place = process.compute, activity.lane
            args = {"name": name, "op": op}
            args |= {f"input{i}": source for i, source in enumerate(inputs)}
            duration = activity.end - activity.start
            self.trace.add("X", "Op", op, place, activity.start, dur=duration, args=args)
            for source in inputs:
                found = self._source(source)
                if found is None:
                    continue
                source, tensor = found
                tensor.last_use = max(tensor.last_use, activity.end - 1)
                time, *made_at = tensor.made
                # An arrow within a lane would only hide the operations.
                if show_dataflow and tuple(made_at) != place:
                    pid, tid = made_at
                    self.trace.add("s", "DataFlow", source, (pid, tid), time, id=flows)
                    self.trace.add("t", "DataFlow", source, place, activity.start, id=flows)
                    flows += 1

    def _source(self, name: str) -> tuple[str, _Tensor] | None:
        """The tensor that an input names; what a `_Recv` hands on is that of its source."""
        tensor = self._tensors.get(name)
        if tensor is None and name.rfind("/_") > 0:
            name = name[: name.rfind("/_")]
            tensor = self._tensors.get(name)
        return None if tensor is None else (name, tensor)

    def show_memory(self) -> dict[str, AllocationMaximum]:
        """Show the ends of tensors and the bytes of each allocator; gives the maxima."""
        changes: dict[str, list[tuple[int, int, str]]] = defaultdict(list)
        for name, tensor in self._tensors.items():
            place = tensor.pid, 0
            self.trace.add("D", "Tensor", name, place, tensor.last_use, id=tensor.number)
            changes[tensor.allocator] += [
                (tensor.start, tensor.num_bytes, name),
                (tensor.last_use, -tensor.num_bytes, name),
            ]
        maximums = {}
        for allocator, found in changes.items():
            found.sort()
            total, most, when = 0, 0, -1
            for index, (time, num_bytes, _) in enumerate(found):
                total += num_bytes
                if total > most:
                    most, when = total, index
                place = self._allocators, 0
                self.trace.add("C", "Memory", allocator, place, time, args={allocator: total})
            maximums[allocator] = _maximum(found[: when + 1], most)
        return maximums


def _maximum(changes: list[tuple[int, int, str]], num_bytes: int) -> AllocationMaximum:
    """The maximum that is reached by these changes of what is held."""
    held: set[str] = set()
    for _, change, name in changes:
        if change < 0:
            held.discard(name)
        else:
            held.add(name)
    return AllocationMaximum(changes[-1][0] if changes else 0, num_bytes, held)


def _activity(stats: Any) -> _Activity:
    start = stats.all_start_micros
    return _Activity(stats, start, start + stats.all_end_rel_micros)


def _kernel_times(step_stats: Any) -> dict[str, tuple[int, int]]:
    """From the start of the first kernel to the end of the last, for each node."""
    times: dict[str, tuple[int, int]] = {}
    for stats in step_stats.dev_stats:
        if "/stream:all" not in stats.device:
            continue
        for kernel in map(_activity, stats.node_stats):
            name, _ = _kernel_name(kernel.stats)
            start, end = times.get(name, (kernel.start, kernel.end))
            times[name] = min(start, kernel.start), max(end, kernel.end)
    return times


def _extend(
    activities: list[_Activity], kernels: dict[str, tuple[int, int]], only_kernels: bool
) -> None:
    """Let operations last until their kernels have ended."""
    for activity in activities:
        times = kernels.get(activity.stats.node_name)
        if times is not None:
            activity.end = max(times[1], activity.end)
            if only_kernels:
                activity.start = times[0]


def _assign_lanes(activities: list[_Activity]) -> None:
    """Give each activity the first lane that is free when it starts."""
    ends = [0]
    for activity in activities:
        free = (lane for lane, end in enumerate(ends) if activity.start > end)
        activity.lane = next(free, len(ends))
        ends[activity.lane : activity.lane + 1] = [activity.end]


def _described(stats: Any, is_kernel: bool) -> tuple[str, str, list[str]]:
    """The name, the op type and the inputs of a node, as its label tells them."""
    if is_kernel:
        return *_kernel_name(stats), []
    name = stats.node_name
    if name == "RecvTensor":  # a message of another process: its label has another form
        return name, name, []
    match = _LABEL.match(stats.timeline_label)
    if match is None:
        return name, "unknown", []
    _, op, inputs = match.groups()
    return name, op, inputs.split(", ") if inputs else []


def _kernel_name(stats: Any) -> tuple[str, str]:
    """The name and the op type of the node that has started a kernel: `... @@name:op#...`."""
    label, name = stats.timeline_label, stats.node_name
    start, end = label.find("@@"), label.find("#")
    if start >= 0 and end > start + 2:
        name = label[start + 2 : end]
    fields = [*name.split(":"), "unknown"]
    return fields[0], fields[1]
