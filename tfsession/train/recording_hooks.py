"""Hooks that write what a training does: checkpoints, summaries, its speed, traces."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from tfsession.core import protos, verbosity
from tfsession.core.exports import export
from tfsession.core.file_system import file_errors, local_path
from tfsession.graph.default_graph import get_collection, get_default_graph
from tfsession.graph.graph_keys import GraphKeys
from tfsession.tracing.timeline import Timeline
from tfsession.train.file_writer import FileWriterCache
from tfsession.train.frozen_graph import write_graph
from tfsession.train.hooks import SecondOrStepTimer, required_global_step
from tfsession.train.meta_graph import export_meta_graph
from tfsession.train.session_hooks import (
    SessionRunArgs,
    SessionRunContext,
    SessionRunHook,
    SessionRunValues,
)
from tfsession.train.step_counter import get_global_step

# More than a run of a step may count.
_MANY_STEPS: Final = 1_000_000


@export("train.CheckpointSaverListener")
class CheckpointSaverListener:
    """What is told of the checkpoints of a CheckpointSaverHook; does nothing unless overridden."""

    def begin(self) -> None:
        """The hook's `begin`; the graph may still grow."""

    def before_save(self, session: Any, global_step_value: int) -> None:
        """A checkpoint is about to be written."""

    def after_save(self, session: Any, global_step_value: int) -> bool | None:
        """A checkpoint was written; True asks for the end of the training."""

    def end(self, session: Any, global_step_value: int) -> None:
        """The training is at its end."""


@export("train.CheckpointSaverHook")
class CheckpointSaverHook(SessionRunHook):
    """Saves checkpoints: at the beginning, every so often, and at the end.

    Args:
        checkpoint_dir: where to save.
        save_secs: after so many seconds.
        save_steps: after so many steps.
        saver: what saves.
        checkpoint_basename: the names of the files begin so.
        scaffold: has the saver; without both it is the only one in GraphKeys.SAVERS.
        listeners: CheckpointSaverListeners.
        save_graph_def: write the graph, too: `graph.pbtxt` and a `.meta` file for each checkpoint.

    Raises:
        ValueError: not one of `save_secs` and `save_steps`; or `saver` and `scaffold`.
    """

    def __init__(
        self,
        checkpoint_dir: Any,
        save_secs: float | None = None,
        save_steps: int | None = None,
        saver: Any = None,
        checkpoint_basename: str = "model.ckpt",
        scaffold: Any = None,
        listeners: Sequence[CheckpointSaverListener] | None = None,
        save_graph_def: bool = True,
    ) -> None:
        if saver is not None and scaffold is not None:
            raise ValueError("You cannot provide both saver and scaffold.")
        self._saver = saver
        self._checkpoint_dir = checkpoint_dir
        self._save_path = os.path.join(checkpoint_dir, checkpoint_basename)  # noqa: PTH118
        self._scaffold = scaffold
        self._timer = SecondOrStepTimer(every_secs=save_secs, every_steps=save_steps)
        self._listeners = listeners or []
        self._save_graph_def = save_graph_def

    def begin(self) -> None:
        """Open the event file, find the global step."""
        self._summary_writer = FileWriterCache.get(self._checkpoint_dir)
        self._global_step_tensor = required_global_step("CheckpointSaverHook")
        for listener in self._listeners:
            listener.begin()

    def after_create_session(self, session: Any, coord: Any) -> None:
        """Write the graph, and a checkpoint."""
        step = session.run(self._global_step_tensor)
        graph = get_default_graph()
        if self._save_graph_def:
            graph_def = graph.as_graph_def(add_shapes=True)
            write_graph(graph_def, self._checkpoint_dir, "graph.pbtxt")
        saver = self._get_saver()
        self._summary_writer.add_graph(graph)
        saver_def = saver and saver.saver_def
        self._summary_writer.add_meta_graph(
            export_meta_graph(graph=graph, saver_def=saver_def, collection_list=())
        )
        self._save(session, step)
        self._timer.update_last_triggered_step(step)

    def before_run(self, run_context: SessionRunContext) -> SessionRunArgs:
        """Ask for the step."""
        return SessionRunArgs(self._global_step_tensor)

    def after_run(self, run_context: SessionRunContext, run_values: SessionRunValues) -> None:
        """Save, when it is time."""
        # How far the step has been counted since it was read is not known.
        if not self._timer.should_trigger_for_step(run_values.results + _MANY_STEPS):
            return
        step = run_context.session.run(self._global_step_tensor)
        if self._timer.should_trigger_for_step(step):
            self._timer.update_last_triggered_step(step)
            if self._save(run_context.session, step):
                run_context.request_stop()

    def end(self, session: Any) -> None:
        """Save, unless that was done at this step."""
        step = session.run(self._global_step_tensor)
        if step != self._timer.last_triggered_step():
            self._save(session, step)
        for listener in self._listeners:
            listener.end(session, step)

    def _save(self, session: Any, step: int) -> bool:
        """Save; gives whether a listener asks for the end."""
        for listener in self._listeners:
            listener.before_save(session, step)
        verbosity.info("Saving checkpoints for %d into %s.", step, self._save_path)
        self._get_saver().save(
            session, self._save_path, global_step=int(step), write_meta_graph=self._save_graph_def
        )
        log = protos.SessionLog(
            status=protos.SessionLog.CHECKPOINT, checkpoint_path=self._save_path
        )
        self._summary_writer.add_session_log(log, step)
        wishes = [listener.after_save(session, step) for listener in self._listeners]
        return any(wishes)

    def _get_saver(self) -> Any:
        if self._saver is None and self._scaffold is not None:
            return self._scaffold.saver
        if self._saver is None:
            savers = get_collection(GraphKeys.SAVERS)
            if not savers:
                raise RuntimeError(
                    f"No items in collection {GraphKeys.SAVERS}. Please add a saver to the "
                    "collection or provide a saver or scaffold."
                )
            if len(savers) > 1:
                raise RuntimeError(
                    f"More than one item in collection {GraphKeys.SAVERS}. Please indicate which "
                    "one to use by passing it to the constructor."
                )
            (self._saver,) = savers
        return self._saver


@export("train.StepCounterHook")
class StepCounterHook(SessionRunHook):
    """Logs steps a second, and writes them as a summary.

    Args:
        every_n_steps: after so many steps.
        every_n_secs: after so many seconds.
        output_dir: directory of the event file.
        summary_writer: a FileWriter, instead.

    Raises:
        ValueError: not one of `every_n_steps` and `every_n_secs`.
    """

    def __init__(
        self,
        every_n_steps: int | None = 100,
        every_n_secs: float | None = None,
        output_dir: Any = None,
        summary_writer: Any = None,
    ) -> None:
        if (every_n_steps is None) == (every_n_secs is None):
            raise ValueError("exactly one of every_n_steps and every_n_secs should be provided.")
        self._timer = SecondOrStepTimer(every_secs=every_n_secs, every_steps=every_n_steps)
        self._summary_writer = summary_writer
        self._output_dir = output_dir
        self._last_global_step: int | None = None
        self._warnings = 0

    def begin(self) -> None:
        """Open the event file, find the global step."""
        if self._summary_writer is None and self._output_dir:
            self._summary_writer = FileWriterCache.get(self._output_dir)
        self._global_step_tensor = required_global_step("StepCounterHook")
        step = get_global_step()
        assert step is not None
        self._summary_tag = f"{step.op.name}/sec"

    def before_run(self, run_context: SessionRunContext) -> SessionRunArgs:
        """Ask for the step."""
        return SessionRunArgs(self._global_step_tensor)

    def after_run(self, run_context: SessionRunContext, run_values: SessionRunValues) -> None:
        """Tell the speed, when it is time."""
        before = run_values.results
        if self._timer.should_trigger_for_step(before + 1):
            step = run_context.session.run(self._global_step_tensor)
            if self._timer.should_trigger_for_step(step):
                seconds, steps = self._timer.update_last_triggered_step(step)
                if seconds is not None and steps is not None:
                    self._log_and_record(steps, seconds, step)
        if before == self._last_global_step and self._warnings < 5:
            self._warnings += 1
            verbosity.warning(
                "It seems that global step (tf.train.get_global_step) has not been increased: it "
                "is %s. Give it to Optimizer.minimize or Optimizer.apply_gradients.",
                before,
            )
        self._last_global_step = before

    def _log_and_record(self, elapsed_steps: int, elapsed_time: float, global_step: int) -> None:
        speed = elapsed_steps / elapsed_time if elapsed_time else float("inf")
        if self._summary_writer is not None:
            value = protos.Summary.Value(tag=self._summary_tag, simple_value=speed)
            self._summary_writer.add_summary(protos.Summary(value=[value]), global_step)
        verbosity.info("%s: %g", self._summary_tag, speed)


@export("train.SummarySaverHook")
class SummarySaverHook(SessionRunHook):
    """Writes summaries: of the first step, and then every so often.

    Args:
        save_steps: after so many steps.
        save_secs: after so many seconds.
        output_dir: directory of the event file.
        summary_writer: a FileWriter, instead.
        scaffold: has the summary.
        summary_op: the summary, or a list of summaries, instead.

    Raises:
        ValueError: not one of `save_steps` and `save_secs`, or not one of the last two.
    """

    def __init__(
        self,
        save_steps: int | None = None,
        save_secs: float | None = None,
        output_dir: Any = None,
        summary_writer: Any = None,
        scaffold: Any = None,
        summary_op: Any = None,
    ) -> None:
        if (scaffold is None) == (summary_op is None):
            raise ValueError("Exactly one of scaffold or summary_op must be provided.")
        self._summary_op = summary_op
        self._summary_writer = summary_writer
        self._output_dir = output_dir
        self._scaffold = scaffold
        self._timer = SecondOrStepTimer(every_secs=save_secs, every_steps=save_steps)

    def begin(self) -> None:
        """Open the event file, find the global step."""
        if self._summary_writer is None and self._output_dir:
            self._summary_writer = FileWriterCache.get(self._output_dir)
        self._next_step: int | None = None
        self._global_step_tensor = required_global_step("SummarySaverHook")

    def before_run(self, run_context: SessionRunContext) -> SessionRunArgs:
        """Ask for the step, and when it is time for the summaries."""
        self._request_summary = self._next_step is None or self._timer.should_trigger_for_step(
            self._next_step
        )
        requests = {"global_step": self._global_step_tensor}
        summaries = self._get_summary_op()
        if self._request_summary and summaries is not None:
            requests["summary"] = summaries
        return SessionRunArgs(requests)

    def after_run(self, run_context: SessionRunContext, run_values: SessionRunValues) -> None:
        """Write the summaries."""
        if self._summary_writer is None:
            return
        step = run_values.results["global_step"] + 1
        if self._request_summary:
            step = run_context.session.run(self._global_step_tensor)
            if self._next_step is None:
                log = protos.SessionLog(status=protos.SessionLog.START)
                self._summary_writer.add_session_log(log, step)
            self._timer.update_last_triggered_step(step)
            for summary in run_values.results.get("summary", ()):
                self._summary_writer.add_summary(summary, step)
        self._next_step = step + 1

    def end(self, session: Any = None) -> None:
        """Flush the event file."""
        if self._summary_writer is not None:
            self._summary_writer.flush()

    def _get_summary_op(self) -> list[Any] | None:
        found = self._scaffold.summary_op if self._summary_op is None else self._summary_op
        return found if found is None or isinstance(found, list) else [found]


@export("train.ProfilerHook")
class ProfilerHook(SessionRunHook):
    """Writes traces of steps: `timeline-<step>.json` for Chrome, and RunMetadata for TensorBoard.

    Args:
        save_steps: after so many steps.
        save_secs: after so many seconds.
        output_dir: where to write.
        show_dataflow: see `Timeline.generate_chrome_trace_format`.
        show_memory: see there.

    Raises:
        ValueError: not one of `save_steps` and `save_secs`.
    """

    def __init__(
        self,
        save_steps: int | None = None,
        save_secs: float | None = None,
        output_dir: Any = "",
        show_dataflow: bool = True,
        show_memory: bool = False,
    ) -> None:
        self._output_dir = Path(local_path(output_dir))
        self._file_writer = FileWriterCache.get(output_dir)
        self._show_dataflow = show_dataflow
        self._show_memory = show_memory
        self._timer = SecondOrStepTimer(every_secs=save_secs, every_steps=save_steps)

    def begin(self) -> None:
        """Find the global step."""
        self._next_step: int | None = None
        self._global_step_tensor = required_global_step("ProfilerHook")

    def before_run(self, run_context: SessionRunContext) -> SessionRunArgs:
        """Ask for the step, and when it is time for a trace; not of the first step."""
        self._request_trace = self._next_step is not None and self._timer.should_trigger_for_step(
            self._next_step
        )
        options = (
            protos.RunOptions(trace_level=protos.RunOptions.FULL_TRACE)
            if self._request_trace
            else None
        )
        return SessionRunArgs({"global_step": self._global_step_tensor}, options=options)

    def after_run(self, run_context: SessionRunContext, run_values: SessionRunValues) -> None:
        """Write the trace."""
        before = run_values.results["global_step"]
        if self._next_step is None:
            self._timer.update_last_triggered_step(before)
        step = before + 1
        if self._request_trace:
            step = run_context.session.run(self._global_step_tensor)
            self._timer.update_last_triggered_step(step)
            self._save(step, run_values.run_metadata)
        self._next_step = step + 1

    def _save(self, step: int, run_metadata: Any) -> None:
        text = Timeline(run_metadata.step_stats).generate_chrome_trace_format(
            show_dataflow=self._show_dataflow, show_memory=self._show_memory
        )
        with file_errors():
            path = self._output_dir / f"timeline-{step}.json"
            path.write_text(text, encoding="utf-8")
        verbosity.info("Saving timeline for %d into '%s'.", step, path)
        self._file_writer.add_run_metadata(run_metadata, f"step_{step}")
