"""RunMetadata: what the options of a run ask for, and the message that it gets.

The message of the caller is replaced when the step has succeeded, and left alone when it fails.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any, Final

from tfsession.core import forking, protos
from tfsession.core.errors import InvalidArgumentError
from tfsession.core.lazy import lazy
from tfsession.core.wire import nested
from tfsession.devices.device import Device
from tfsession.runtime.cost_graph import CostModel, is_measured
from tfsession.runtime.partition_graphs import StepGraph
from tfsession.runtime.plan import Plan
from tfsession.runtime.recorder import PlanTrace, Recording, StepRecorder
from tfsession.runtime.structure import Structure

# RunOptions.HARDWARE_TRACE.
_HARDWARE_TRACE: Final = 2


def check_run_options(options: Any, config: Any) -> None:
    """Raise InvalidArgumentError where the configuration forbids what a run's options ask for.

    Args:
        options: a RunOptions message, or None.
        config: the session's ConfigProto, or None.
    """
    if options is None or config is None or not options.output_partition_graphs:
        return
    if config.experimental.disable_output_partition_graphs:
        raise InvalidArgumentError(
            None,
            None,
            "RunOptions.output_partition_graphs() is not supported when "
            "disable_output_partition_graphs is true.",
        )


def wants_step_stats(options: Any) -> bool:
    """Whether a run with these options is recorded; any trace level above NO_TRACE counts."""
    if options is None:
        return False
    return bool(options.trace_level > 0 or options.report_tensor_allocations_upon_oom)


def wants_device_times(options: Any) -> bool:
    """Whether GPUs tell when they computed, for which the step waits: from HARDWARE_TRACE on."""
    return options is not None and bool(options.trace_level >= _HARDWARE_TRACE)


class PlanMetadata:
    """What run metadata tells of one plan: its graphs, its costs, and what recordings share.

    Args:
        plan: the plan.
        host: the client's device.
        numbers: the session's, for the names of new nodes.
        config: the session's ConfigProto, or None.
    """

    def __init__(self, plan: Plan, host: Device, numbers: Iterator[int], config: Any) -> None:
        self._plan = plan
        self._host = host
        self._numbers = numbers
        self._lock = forking.lock()
        self._runs = count()
        self._costs = CostModel()
        self._every = self._after = 0
        self.session: Any = None
        if config is not None:
            self._every = config.graph_options.build_cost_model
            self._after = config.graph_options.build_cost_model_after
            if config.experimental.HasField("session_metadata"):
                self.session = config.experimental.session_metadata

    @lazy
    def graph(self) -> StepGraph:
        """The graph of the step."""
        plan = self._plan
        feeds = dict(zip(plan.feeds, plan.signature.memories, strict=True))
        fetches = dict(zip(plan.fetches, plan.fetched.memories, strict=True))
        # A step that is watched has its conditionals and loops as they are.
        is_whole = not any(isinstance(node, Structure) for node in plan.nodes)
        nodes = plan.nodes if is_whole else plan.watched.nodes
        return StepGraph(nodes, feeds, fetches, self._host, self._numbers)

    @lazy
    def _trace(self) -> PlanTrace:
        return PlanTrace(self._plan.watched.nodes, self.graph)

    def partition_graphs(self) -> list[Any]:
        """A GraphDef message for each device; made anew, as constants in it may be large."""
        op = next(iter(self.graph.by_op), None)
        return self.graph.to_graph_defs(None if op is None else op.graph._versions.to_proto())

    def begin(self, options: Any, is_wanted: bool = True) -> StepMetadata:
        """Begin a run; every run of a session that builds cost models must be begun.

        Args:
            options: a RunOptions message, or None.
            is_wanted: whether a RunMetadata message waits to be filled.
        """
        is_costed = is_measured(next(self._runs), self._every, self._after)
        if not is_wanted:
            return StepMetadata(self, None, False, False)
        with self._lock:  # of two threads one makes what is made once
            recorder = None
            if is_costed or wants_step_stats(options):
                recorder = self._trace.start(wants_device_times(options))
            shows_graphs = options is not None and options.output_partition_graphs
            if shows_graphs:
                self.graph  # noqa: B018
        return StepMetadata(self, recorder, is_costed, shows_graphs)

    def cost_graph(self, recording: Recording) -> Any:
        """The CostGraphDef message after one more measured step."""
        with self._lock:
            self._costs.add(recording.executions())
            return self._costs.to_proto(self.graph)


class StepMetadata:
    """The metadata of one run; `recorder` is None where nothing need be recorded."""

    def __init__(
        self,
        plan: PlanMetadata,
        recorder: StepRecorder | None,
        is_costed: bool,
        shows_graphs: bool,
    ) -> None:
        self.recorder = recorder
        self._plan = plan
        self._is_costed = is_costed
        self._shows_graphs = shows_graphs

    def finish(self) -> bytes:
        """The run has succeeded: a serialised RunMetadata, to be parsed into the caller's."""
        message = protos.RunMetadata()
        step_stats = b""
        if self.recorder is not None:
            recording = self.recorder.finish()
            step_stats = nested(1, recording.step_stats)
            if self._is_costed:
                message.cost_graph.CopyFrom(self._plan.cost_graph(recording))
        if self._shows_graphs:
            message.partition_graphs.extend(self._plan.partition_graphs())
        if self._plan.session is not None:
            message.session_metadata.CopyFrom(self._plan.session)
        rest: bytes = message.SerializeToString()
        return step_stats + rest
