"""Supervisor: a training with services in threads; the older form of monitored sessions."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any, ClassVar

from tfsession.core import protos, verbosity
from tfsession.core.exports import export
from tfsession.graph.default_graph import add_to_collection, get_collection, get_default_graph
from tfsession.graph.graph import Graph
from tfsession.graph.graph_keys import GraphKeys
from tfsession.ops.summary import merge_all
from tfsession.ops.variables import (
    global_variables,
    global_variables_initializer,
    report_uninitialized_variables,
)
from tfsession.session import Session
from tfsession.train.coordinator import Coordinator, LooperThread
from tfsession.train.file_writer import FileWriter
from tfsession.train.frozen_graph import write_graph
from tfsession.train.meta_graph import export_meta_graph
from tfsession.train.saver import Saver
from tfsession.train.scaffold import Scaffold
from tfsession.train.session_manager import SessionManager
from tfsession.train.step_counter import get_global_step, global_step

# What `USE_DEFAULT` has always been: programs write 0.
_DEFAULT = 0


def _found_or_made(given: Any, key: Any, make: Callable[[], Any]) -> Any:
    """What is given; by default the first item of a collection, or what is made and put there."""
    if given is not _DEFAULT:
        return given
    items = get_collection(key)
    if items:
        return items[0]
    made = make()
    if made is not None:
        add_to_collection(key, made)
    return made


@export("train.Supervisor")
class Supervisor:
    """Makes sessions that are ready, and saves checkpoints and summaries in threads beside them.

    What is 0 is found in the collections of the graph, or made; None is for nothing. The graph is
    final afterwards. With a `logdir`, the chief writes the graph, checkpoints, summaries and steps
    a second there.

    Args:
        graph: the default graph when None.
        ready_op: gives the names of variables without values.
        ready_for_local_init_op: the same, of those that `local_init_op` reads.
        is_chief: initialize, restore and save; others wait for the chief.
        init_op: initializes the model.
        init_feed_dict: feeds for it.
        local_init_op: initializes local variables and tables.
        logdir: the directory; None writes nothing.
        summary_op: the summary that is written; None leaves that to `summary_computed`.
        saver: a Saver.
        global_step: the tensor or variable that counts steps.
        save_summaries_secs: seconds between summaries; 0 for none.
        save_model_secs: seconds between checkpoints; 0 for none.
        recovery_wait_secs: seconds between two looks at whether the chief is ready.
        stop_grace_secs: how long `stop` waits for threads.
        checkpoint_basename: names of checkpoints begin so.
        session_manager: a SessionManager, which is made by default.
        summary_writer: a FileWriter, which is made by default; None for none.
        init_fn: called with the session after `init_op`.
        local_init_run_options: a `tf.RunOptions` for `local_init_op`.

    Raises:
        ValueError: a variable has no device, where another process is the chief.
    """

    USE_DEFAULT: ClassVar[Any] = _DEFAULT

    def __init__(
        self,
        graph: Graph | None = None,
        ready_op: Any = USE_DEFAULT,
        ready_for_local_init_op: Any = USE_DEFAULT,
        is_chief: bool = True,
        init_op: Any = USE_DEFAULT,
        init_feed_dict: Any = None,
        local_init_op: Any = USE_DEFAULT,
        logdir: Any = None,
        summary_op: Any = USE_DEFAULT,
        saver: Any = USE_DEFAULT,
        global_step: Any = USE_DEFAULT,
        save_summaries_secs: float = 120,
        save_model_secs: float = 600,
        recovery_wait_secs: float = 30,
        stop_grace_secs: float = 120,
        checkpoint_basename: str = "model.ckpt",
        session_manager: SessionManager | None = None,
        summary_writer: Any = USE_DEFAULT,
        init_fn: Callable[[Any], Any] | None = None,
        local_init_run_options: Any = None,
    ) -> None:
        graph = self._graph = graph or get_default_graph()
        with graph.as_default():
            self.ready_op = _found_or_made(
                ready_op, GraphKeys.READY_OP, report_uninitialized_variables
            )
            self.ready_for_local_init_op = _found_or_made(
                ready_for_local_init_op, GraphKeys.READY_FOR_LOCAL_INIT_OP, lambda: None
            )
            self.init_op = _found_or_made(init_op, GraphKeys.INIT_OP, global_variables_initializer)
            self.local_init_op = _found_or_made(
                local_init_op, GraphKeys.LOCAL_INIT_OP, Scaffold.default_local_init_op
            )
            self.saver = _found_or_made(
                saver, GraphKeys.SAVERS, lambda: Saver() if global_variables() else None
            )
            self.summary_op = _found_or_made(summary_op, GraphKeys.SUMMARY_OP, merge_all)
            self.global_step = _found_or_made(global_step, GraphKeys.GLOBAL_STEP, get_global_step)
        self.init_feed_dict = init_feed_dict
        self.is_chief = is_chief
        self.coord = Coordinator()
        self._stop_grace_secs = stop_grace_secs
        self._init_fn = init_fn
        self._logdir = logdir if is_chief else None
        self.save_summaries_secs = save_summaries_secs if is_chief else None
        self.save_model_secs = save_model_secs if is_chief else None
        self.save_path = (
            os.path.join(self._logdir, checkpoint_basename) if self._logdir else None  # noqa: PTH118
        )
        self.summary_writer: Any = None
        if is_chief and summary_writer is not _DEFAULT:
            self.summary_writer = summary_writer
        elif self._logdir:
            self.summary_writer = FileWriter(self._logdir)
        self._graph_is_written = False
        self.session_manager = session_manager or SessionManager(
            local_init_op=self.local_init_op,
            ready_op=self.ready_op,
            ready_for_local_init_op=self.ready_for_local_init_op,
            graph=graph,
            recovery_wait_secs=recovery_wait_secs,
            local_init_run_options=local_init_run_options,
        )
        if not is_chief:
            _check_devices(graph)
        graph.finalize()

    def _write_graph(self) -> None:
        if self._logdir:
            graph_def = self._graph.as_graph_def(add_shapes=True)
            write_graph(graph_def, self._logdir, "graph.pbtxt")
        if self.summary_writer is not None and not self._graph_is_written:
            saver_def = self.saver and self.saver.saver_def
            self.summary_writer.add_graph(self._graph)
            self.summary_writer.add_meta_graph(
                export_meta_graph(graph=self._graph, saver_def=saver_def, collection_list=())
            )
            self._graph_is_written = True

    def prepare_or_wait_for_session(
        self,
        master: str = "",
        config: Any = None,
        wait_for_checkpoint: bool = False,
        max_wait_secs: float = 7200,
        start_standard_services: bool = True,
    ) -> Session:
        """A session that is ready; its queue runners and services run unless told otherwise.

        For the other arguments see `SessionManager.prepare_session`.
        """
        self.coord.clear_stop()
        if self.summary_writer is not None:
            self.summary_writer.reopen()
        if not self.is_chief:
            session = self.session_manager.wait_for_session(
                master, config=config, max_wait_secs=max_wait_secs
            )
        else:
            session = self.session_manager.prepare_session(
                master,
                init_op=self.init_op,
                saver=self.saver,
                checkpoint_dir=self._logdir,
                wait_for_checkpoint=wait_for_checkpoint,
                max_wait_secs=max_wait_secs,
                config=config,
                init_feed_dict=self.init_feed_dict,
                init_fn=self._init_fn,
            )
            self._write_graph()
            if start_standard_services:
                self.start_standard_services(session)
        if start_standard_services:
            self.start_queue_runners(session)
        return session

    def start_standard_services(self, sess: Session) -> list[LooperThread] | None:
        """Start the threads that write summaries, steps a second and checkpoints; gives them.

        Raises:
            RuntimeError: this is not the chief.
        """
        if not self.is_chief:
            raise RuntimeError(
                "Only chief supervisor can start standard services. Because only chief supervisors "
                "can write events."
            )
        if not self._logdir:
            verbosity.warning("Standard services need a 'logdir' passed to the SessionManager")
            return None
        if self.global_step is not None and self.summary_writer is not None:
            log = protos.SessionLog(status=protos.SessionLog.START)
            self.summary_writer.add_session_log(log, global_step(sess, self.global_step))
        threads: list[LooperThread] = []
        if self.save_summaries_secs and self.summary_writer is not None:
            if self.summary_op is not None:
                threads.append(_SummaryThread(self, sess, self.save_summaries_secs))
            if self.global_step is not None:
                threads.append(_StepCounterThread(self, sess, self.save_summaries_secs))
        if self.saver is not None and self.save_model_secs:
            threads.append(_CheckpointThread(self, sess, self.save_model_secs))
        for thread in threads:
            thread.start()
        return threads

    def start_queue_runners(self, sess: Session, queue_runners: Any = None) -> list[Any]:
        """Start the threads of queue runners, of all those in the graph by default; gives them."""
        if queue_runners is None:
            queue_runners = self._graph.get_collection(GraphKeys.QUEUE_RUNNERS)
        return [
            thread
            for runner in queue_runners
            for thread in runner.create_threads(sess, coord=self.coord, daemon=True, start=True)
        ]

    def loop(
        self,
        timer_interval_secs: float | None,
        target: Callable[..., Any],
        args: Any = None,
        kwargs: Any = None,
    ) -> LooperThread:
        """Call a function again and again, in a thread, until the end; gives the thread."""
        looper = LooperThread(
            self.coord, timer_interval_secs, target=target, args=args, kwargs=kwargs
        )
        looper.start()
        return looper

    def stop(
        self,
        threads: Any = None,
        close_summary_writer: bool = True,
        ignore_live_threads: bool = False,
    ) -> None:
        """End the services and the threads, wait for them; raises what they have met."""
        self.coord.request_stop()
        try:
            self.coord.join(
                threads,
                stop_grace_period_secs=self._stop_grace_secs,
                ignore_live_threads=ignore_live_threads,
            )
        finally:
            if close_summary_writer and self.summary_writer is not None:
                log = protos.SessionLog(status=protos.SessionLog.STOP)
                self.summary_writer.add_session_log(log)
                self.summary_writer.close()
                self._graph_is_written = False

    def request_stop(self, ex: Any = None) -> None:
        """Ask all threads to end; with an error, that `stop` raises."""
        self.coord.request_stop(ex=ex)

    def should_stop(self) -> bool:
        """Whether the end was asked for."""
        return self.coord.should_stop()

    def stop_on_exception(self) -> AbstractContextManager[None]:
        """A context that asks for the end when an error comes out of it."""
        return self.coord.stop_on_exception()

    def wait_for_stop(self) -> None:
        """Wait until the end is asked for."""
        self.coord.wait_for_stop()

    def summary_computed(self, sess: Session, summary: Any, global_step: Any = None) -> None:
        """Write a summary.

        Args:
            sess: the session, which tells the step.
            summary: serialized, or a `tf.Summary`.
            global_step: the step, instead.

        Raises:
            RuntimeError: there is no summary writer.
        """
        if self.summary_writer is None:
            raise RuntimeError("Writing a summary requires a summary writer.")
        if global_step is None and self.global_step is not None:
            global_step = sess.run(self.global_step)
        self.summary_writer.add_summary(summary, global_step)

    @contextmanager
    def managed_session(
        self,
        master: str = "",
        config: Any = None,
        start_standard_services: bool = True,
        close_summary_writer: bool = True,
    ) -> Iterator[Session]:
        """A session that is ready, within a `with` block; all is ended after it.

        An error in the block ends the threads and comes out of it; OutOfRangeError is no error.
        """
        session = None
        try:
            session = self.prepare_or_wait_for_session(
                master, config, start_standard_services=start_standard_services
            )
            yield session
        except Exception:
            self.request_stop(sys.exc_info())
        finally:
            try:
                self.stop(close_summary_writer=close_summary_writer)
            finally:
                if session is not None:
                    with suppress(Exception):
                        session.close()

    PrepareSession = prepare_or_wait_for_session
    StartQueueRunners = start_queue_runners
    StartStandardServices = start_standard_services
    Stop = stop
    RequestStop = request_stop
    Loop = loop
    ShouldStop = should_stop
    StopOnException = stop_on_exception
    WaitForStop = wait_for_stop
    SummaryComputed = summary_computed


def _check_devices(graph: Graph) -> None:
    """The variables of replicas must say where they are, for all to find them."""
    for op in graph.get_operations():
        if op.type in ("Variable", "VariableV2") and not op.device:
            raise ValueError(f"When using replicas, all Variables must have their device set: {op}")


class _Service(LooperThread):
    """A thread of a supervisor that does something every so many seconds."""

    def __init__(self, supervisor: Supervisor, session: Session, seconds: float) -> None:
        super().__init__(supervisor.coord, seconds)
        self._sv = supervisor
        self._sess = session


class _SummaryThread(_Service):
    def run_loop(self) -> None:
        """Write the summary."""
        fetches = {"summary": self._sv.summary_op}
        if self._sv.global_step is not None:
            fetches["step"] = self._sv.global_step
        values = self._sess.run(fetches)
        self._sv.summary_writer.add_summary(values["summary"], values.get("step"))


class _StepCounterThread(_Service):
    def start_loop(self) -> None:
        """Begin to count."""
        self._time = time.monotonic()
        self._step = global_step(self._sess, self._sv.global_step)
        self._tag = f"{self._sv.global_step.op.name}/sec"

    def run_loop(self) -> None:
        """Write how many steps were done a second."""
        now, step = time.monotonic(), global_step(self._sess, self._sv.global_step)
        passed = now - self._time
        speed = (step - self._step) / passed if passed > 0 else float("inf")
        self._time, self._step = now, step
        value = protos.Summary.Value(tag=self._tag, simple_value=speed)
        self._sv.summary_writer.add_summary(protos.Summary(value=[value]), step)
        verbosity.info("%s: %g", self._tag, speed)


class _CheckpointThread(_Service):
    def run_loop(self) -> None:
        """Save."""
        sv = self._sv
        step = None if sv.global_step is None else global_step(self._sess, sv.global_step)
        verbosity.info("Saving checkpoint to path %s", sv.save_path)
        sv.saver.save(self._sess, sv.save_path, global_step=step)
        if sv.summary_writer is not None and step is not None:
            log = protos.SessionLog(
                status=protos.SessionLog.CHECKPOINT, checkpoint_path=sv.save_path
            )
            sv.summary_writer.add_session_log(log, step)
