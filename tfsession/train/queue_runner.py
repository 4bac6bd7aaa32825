"""Queue runners: threads of their own that keep queues filled."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Sequence
from typing import Any

from tfsession.core import protos, verbosity
from tfsession.core.errors import (
    OpError,
    OutOfRangeError,
    error_code_from_exception_type,
    exception_type_from_error_code,
)
from tfsession.core.exports import export
from tfsession.graph.collection_protos import (
    CollectionProto,
    collection_protos,
    within_scope,
    without_scope,
)
from tfsession.graph.graph import get_default_graph
from tfsession.graph.graph_keys import GraphKeys
from tfsession.runtime.default_session import get_default_session
from tfsession.session import BaseSession, SessionInterface
from tfsession.train.coordinator import Coordinator

# Seconds after which a thread that does not end is told so again: it may just begin to wait.
_POLL = 0.02


@export("train.QueueRunner", "train.queue_runner.QueueRunner")
class QueueRunner:
    """Fills a queue from threads, one for each of its enqueue operations, until there is no more.

    When the last thread runs out of elements the queue is closed, so that those who take elements
    find the end. When the coordinator stops, the queue is closed and waits at it are cancelled.

    Args:
        queue: the queue.
        enqueue_ops: operations that add to it; one may stand there several times.
        close_op: closes it; made when None.
        cancel_op: closes it and cancels what waits to enter; made when None.
        queue_closed_exception_types: the errors that mean that there is no more, as a tuple;
            OutOfRangeError when None.
        queue_runner_def: a QueueRunnerDef message instead of all these.
        import_scope: the name scope into which the graph of the message was imported.

    Raises:
        ValueError: there is no queue or operation, or a message beside them.
        TypeError: `queue_closed_exception_types` is no tuple of errors.
    """

    def __init__(
        self,
        queue: Any = None,
        enqueue_ops: Sequence[Any] | None = None,
        close_op: Any = None,
        cancel_op: Any = None,
        queue_closed_exception_types: Any = None,
        queue_runner_def: Any = None,
        import_scope: str | None = None,
    ) -> None:
        self._lock = threading.Lock()
        self._running: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()
        self._exceptions_raised: list[BaseException] = []
        if queue_runner_def:
            if queue or enqueue_ops:
                raise ValueError("queue_runner_def and queue are mutually exclusive.")
            self._read(protos.coerce(queue_runner_def, protos.QueueRunnerDef), import_scope)
            return
        if not queue or not enqueue_ops:
            raise ValueError("Must provide queue and enqueue_ops.")
        closed = queue_closed_exception_types
        if closed is not None and not (
            isinstance(closed, tuple) and closed and all(issubclass(t, OpError) for t in closed)
        ):
            raise TypeError(
                "queue_closed_exception_types, when provided, must be a tuple of tf.error types, "
                f"but saw: {closed}"
            )
        self._queue = queue
        self._enqueue_ops = enqueue_ops
        self._close_op = queue.close() if close_op is None else close_op
        self._cancel_op = queue.close(cancel_pending_enqueues=True) if cancel_op is None else (
            cancel_op
        )  # fmt: skip
        self._closed: tuple[Any, ...] = closed or (OutOfRangeError,)

    def _read(self, message: Any, scope: str | None) -> None:
        graph = get_default_graph()

        def found(name: str) -> Any:
            return graph.as_graph_element(within_scope(name, scope))

        self._queue = found(message.queue_name)
        self._enqueue_ops = [found(name) for name in message.enqueue_op_name]
        self._close_op = found(message.close_op_name)
        self._cancel_op = found(message.cancel_op_name)
        codes = message.queue_closed_exception_types
        self._closed = tuple(map(exception_type_from_error_code, codes)) or (OutOfRangeError,)

    @property
    def queue(self) -> Any:
        """The queue; the operation behind it when the runner comes from a message."""
        return self._queue

    @property
    def enqueue_ops(self) -> Any:
        """The operations that add to it."""
        return self._enqueue_ops

    @property
    def close_op(self) -> Any:
        """The operation that closes the queue."""
        return self._close_op

    @property
    def cancel_op(self) -> Any:
        """The operation that closes the queue and cancels what waits to enter."""
        return self._cancel_op

    @property
    def queue_closed_exception_types(self) -> tuple[Any, ...]:
        """The errors that mean that there is no more to add."""
        return self._closed

    @property
    def exceptions_raised(self) -> list[BaseException]:
        """The errors that ended threads that have no coordinator."""
        return self._exceptions_raised

    @property
    def name(self) -> str:
        """The name of the queue."""
        name: str = self._queue.name
        return name

    def _run(self, session: Any, enqueue_op: Any, coord: Coordinator | None) -> None:
        """Add elements until there are no more, or the coordinator stops."""
        try:
            enqueue = session.make_callable(enqueue_op)
            while coord is None or not coord.should_stop():
                enqueue()
        except self._closed:
            if self._leave(session):
                _run_quietly(session, self._close_op)
        except Exception as error:
            self._leave(session)
            if coord is not None:
                coord.request_stop(error)
                return
            verbosity.error("Exception in QueueRunner: %s", error)
            with self._lock:
                self._exceptions_raised.append(error)
            raise
        else:
            self._leave(session)

    def _leave(self, session: Any) -> bool:
        """Count a thread that ends; tells whether it is the last one."""
        with self._lock:
            self._running[session] -= 1
            return self._running[session] == 0

    def _close_on_stop(
        self, session: Any, coord: Coordinator, threads: list[threading.Thread]
    ) -> None:
        """Let the threads end once the coordinator stops, whatever they wait for."""
        coord.wait_for_stop()
        _run_quietly(session, self._cancel_op)
        if isinstance(session, BaseSession):
            while alive := [thread for thread in threads if thread.is_alive()]:
                session._cancel_waits([thread.ident for thread in alive if thread.ident])
                alive[0].join(_POLL)

    def create_threads(
        self, sess: Any, coord: Coordinator | None = None, daemon: bool = False, start: bool = False
    ) -> list[threading.Thread]:
        """Threads that fill the queue in a session; none where there are some already.

        Args:
            sess: the session.
            coord: the coordinator that errors are told, and that stops the threads.
            daemon: whether the program may end before they do.
            start: start them.
        """
        with self._lock:
            if self._running.get(sess, 0) > 0:
                return []
            self._running[sess] = len(self._enqueue_ops)
            self._exceptions_raised = []
        start_of_name = f"QueueRunnerThread-{self.name}-"
        threads = [
            threading.Thread(target=self._run, args=(sess, op, coord), name=start_of_name + op.name)
            for op in self._enqueue_ops
        ]
        if coord is not None:
            threads.append(
                threading.Thread(
                    target=self._close_on_stop,
                    args=(sess, coord, list(threads)),
                    name=f"{start_of_name}close_on_stop",
                )
            )
        for thread in threads:
            if coord is not None:
                coord.register_thread(thread)
            if daemon:
                thread.daemon = True
            if start:
                thread.start()
        return threads

    def to_proto(self, export_scope: str | None = None) -> Any:
        """The QueueRunnerDef message; None for a queue outside of the scope."""
        if export_scope is not None and not self.name.startswith(export_scope):
            return None
        return protos.QueueRunnerDef(
            queue_name=without_scope(self.name, export_scope),
            enqueue_op_name=[without_scope(op.name, export_scope) for op in self._enqueue_ops],
            close_op_name=without_scope(self._close_op.name, export_scope),
            cancel_op_name=without_scope(self._cancel_op.name, export_scope),
            queue_closed_exception_types=map(error_code_from_exception_type, self._closed),
        )

    @staticmethod
    def from_proto(queue_runner_def: Any, import_scope: str | None = None) -> QueueRunner:
        """The runner of a QueueRunnerDef message, in the default graph."""
        return QueueRunner(queue_runner_def=queue_runner_def, import_scope=import_scope)


collection_protos[GraphKeys.QUEUE_RUNNERS] = CollectionProto(
    "QueueRunnerDef", QueueRunner.to_proto, QueueRunner.from_proto
)


def _run_quietly(session: Any, operation: Any) -> None:
    """Run what closes a queue; that it is closed already, or the session is, does not matter."""
    try:
        session.run(operation)
    except Exception as error:
        verbosity.debug("Ignored exception: %s", error)


@export("train.add_queue_runner", "train.queue_runner.add_queue_runner")
def add_queue_runner(qr: QueueRunner, collection: str = GraphKeys.QUEUE_RUNNERS) -> None:
    """Let `start_queue_runners` start this runner, too."""
    get_default_graph().add_to_collection(collection, qr)


@export("train.start_queue_runners", "train.queue_runner.start_queue_runners")
def start_queue_runners(
    sess: Any = None,
    coord: Coordinator | None = None,
    daemon: bool = True,
    start: bool = True,
    collection: str = GraphKeys.QUEUE_RUNNERS,
) -> list[threading.Thread]:
    """Start the threads of all queue runners of the default graph.

    Args:
        sess: the session; the default one when None.
        coord: the coordinator that errors are told, and that stops the threads.
        daemon: whether the program may end before they do.
        start: False only makes them.
        collection: the graph collection that holds the runners.

    Returns:
        The threads.

    Raises:
        ValueError: there is no session.
        TypeError: `sess` is none.
    """
    if sess is None:
        sess = get_default_session()
        if sess is None:
            raise ValueError(
                "Cannot start queue runners: No default session is registered. Use `with "
                "sess.as_default()` or pass an explicit session to "
                "tf.start_queue_runners(sess=sess)"
            )
    if not isinstance(sess, SessionInterface):
        # Monitored sessions have started theirs.
        if type(sess).__name__ in ("MonitoredSession", "SingularMonitoredSession"):
            return []
        raise TypeError(f"sess must be a `tf.Session` object. Given class: {type(sess)}")
    runners = get_default_graph().get_collection(collection)
    if not runners:
        verbosity.warning(
            "`tf.train.start_queue_runners()` was called when no queue runners were defined. You "
            "can safely remove the call to this deprecated function."
        )
    with sess.graph.as_default():
        return [
            thread
            for runner in runners
            for thread in runner.create_threads(sess, coord=coord, daemon=daemon, start=start)
        ]
