"""Monitored sessions: training with hooks, which goes on after the loss of a session.

A MonitoredSession holds a session in layers, each of which keeps the next as `_sess`: one makes a
new session when one is lost, one looks after the threads that feed it, one tells the hooks.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from tfsession.core import protos, verbosity
from tfsession.core.errors import AbortedError, OutOfRangeError, UnavailableError
from tfsession.core.exports import export
from tfsession.graph.default_graph import get_default_graph
from tfsession.graph.graph import Graph
from tfsession.graph.graph_keys import GraphKeys
from tfsession.train.coordinator import Coordinator
from tfsession.train.recording_hooks import (
    CheckpointSaverHook,
    StepCounterHook,
    SummarySaverHook,
)
from tfsession.train.scaffold import (
    ChiefSessionCreator,
    Scaffold,
    SessionCreator,
    WorkerSessionCreator,
)
from tfsession.train.session_hooks import (
    SessionRunArgs,
    SessionRunContext,
    SessionRunHook,
    SessionRunValues,
)

__all__ = ["MonitoredSession", "MonitoredTrainingSession", "SingularMonitoredSession"]

# Errors after which a new session may succeed.
_LOST = (AbortedError, UnavailableError)
_LOST_TEXT = (
    "A session was lost; a new one will be made. This may be because a machine was taken away. "
    "Error: %s"
)
USE_DEFAULT = object()


class _Layer:
    """What the layers share: they hand on to the next."""

    def __init__(self, sess: Any) -> None:
        self._sess = sess

    @property
    def graph(self) -> Graph:
        """The graph of the session."""
        return self._sess.graph  # type: ignore[no-any-return]

    @property
    def sess_str(self) -> Any:
        """The target of the session."""
        return self._sess.sess_str

    def should_stop(self) -> bool:
        """Whether this layer, or one below, asks for the end."""
        if self._sess is None or self._check_stop():
            return True
        return isinstance(self._sess, _Layer) and self._sess.should_stop()

    def _check_stop(self) -> bool:
        return False

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """Run a step."""
        return self._sess.run(*args, **kwargs)

    def close(self) -> None:
        """Close what is below; the loss of it is no error any more."""
        session, self._sess = self._sess, None
        if session is not None:
            try:
                session.close()
            except _LOST as error:
                verbosity.error("The session that is closed was lost. Error: %s", error)


class _HookedSession(_Layer):
    """Tells hooks of the steps, and lets them add to each."""

    def __init__(self, sess: Any, hooks: Sequence[SessionRunHook]) -> None:
        super().__init__(sess)
        self._hooks = hooks
        self._should_stop = False

    def _check_stop(self) -> bool:
        return self._should_stop

    def run(
        self, fetches: Any, feed_dict: Any = None, options: Any = None, run_metadata: Any = None
    ) -> Any:
        """Run a step with all that the hooks ask for; RuntimeError after the end."""
        if self.should_stop():
            raise RuntimeError("Run called even after should_stop requested.")
        context = SessionRunContext(SessionRunArgs(fetches, feed_dict), self._sess)
        merged = protos.RunOptions()
        if options is not None:
            merged.CopyFrom(protos.coerce(options, protos.RunOptions))
        if run_metadata is None:
            run_metadata = protos.RunMetadata()
        asked = {"caller": fetches}
        feeds = self._ask(context, asked, feed_dict, merged)
        values = self._sess.run(asked, feeds, merged, run_metadata)
        for hook in self._hooks:
            hook.after_run(context, SessionRunValues(values.get(hook), merged, run_metadata))
        self._should_stop = self._should_stop or context.stop_requested
        return values["caller"]

    def _ask(
        self, context: SessionRunContext, asked: dict[Any, Any], feed_dict: Any, options: Any
    ) -> Any:
        """Add to `asked` and `options` what the hooks ask for; gives the feeds of all."""
        feeds: dict[Any, Any] = {}
        for hook in self._hooks:
            args = hook.before_run(context)
            if args is None:
                continue
            if args.fetches is not None:
                asked[hook] = args.fetches
            if args.feed_dict:
                _check_disjoint(feeds, args.feed_dict, "Same tensor is fed by two hooks.")
                feeds.update(args.feed_dict)
            if args.options:
                _merge_options(options, protos.coerce(args.options, protos.RunOptions))
        if not feeds:
            return feed_dict
        if feed_dict:
            text = "Same tensor is fed by a SessionRunHook and user."
            _check_disjoint(feed_dict, feeds, text)
            feeds.update(feed_dict)
        return feeds


def _check_disjoint(feeds: Any, others: Any, text: str) -> None:
    both = set(feeds) & set(others)
    if both:
        raise RuntimeError(f"{text} Conflict(s): {list(both)}")


def _merge_options(options: Any, others: Any) -> None:
    """Let `options` ask for what `others` do, too."""
    for field in (
        *("trace_level", "timeout_in_ms", "inter_op_thread_pool"),
        *("output_partition_graphs", "report_tensor_allocations_upon_oom"),
    ):
        setattr(options, field, max(getattr(options, field), getattr(others, field)))
    options.debug_options.MergeFrom(others.debug_options)


class _CoordinatedSession(_Layer):
    """Tells errors of the threads that feed the session; ends them with it."""

    def __init__(self, sess: Any, coord: Coordinator, stop_grace_period_secs: float) -> None:
        super().__init__(sess)
        self._coord = coord
        self._stop_grace_period_secs = stop_grace_period_secs

    def _check_stop(self) -> bool:
        self._coord.raise_requested_exception()
        return self._coord.should_stop()

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """Run a step; that a thread has lost the session goes before an error of the step."""
        try:
            return self._sess.run(*args, **kwargs)
        except _LOST:
            raise
        except Exception as error:
            try:
                self._coord.raise_requested_exception()
            except _LOST:
                raise
            except Exception:
                raise error from None
            raise

    def close(self) -> None:
        """End the threads, close the session; raises what the threads met."""
        self._coord.request_stop()
        try:
            self._coord.join(
                stop_grace_period_secs=self._stop_grace_period_secs, ignore_live_threads=True
            )
        finally:
            super().close()


class _RecoverableSession(_Layer):
    """Makes a new session when one is lost, and runs the step again."""

    def __init__(self, creator: Callable[[], _CoordinatedSession]) -> None:
        self._creator = creator
        super().__init__(self._created())

    def _created(self) -> _CoordinatedSession:
        while True:
            try:
                return self._creator()
            except _LOST as error:
                verbosity.info(_LOST_TEXT, error)

    def _check_stop(self) -> bool:
        try:
            return self._sess._check_stop()  # type: ignore[no-any-return]
        except _LOST as error:
            self._forget(error)
            self._sess = self._created()
            return False
        except Exception:
            return True  # the next step, or the end, tells the error

    def _forget(self, error: Exception) -> None:
        verbosity.info(_LOST_TEXT, error)
        try:
            self.close()
        except Exception as second:
            verbosity.info("What was lost could not be closed. Error: %s", second)

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """Run a step, with as many sessions as it takes."""
        return self.retried(lambda session: session.run(*args, **kwargs))

    def retried(self, action: Callable[[_CoordinatedSession], Any]) -> Any:
        """What `action` gives of a session that is not lost meanwhile."""
        while True:
            try:
                if self._sess is None:
                    self._sess = self._created()
                return action(self._sess)
            except _LOST as error:
                self._forget(error)


class StepContext:
    """What a `step_fn` works with."""

    def __init__(self, session: Any, run_with_hooks_fn: Callable[..., Any]) -> None:
        self._session = session
        self._run_with_hooks_fn = run_with_hooks_fn

    @property
    def session(self) -> Any:
        """The session without hooks."""
        return self._session

    def run_with_hooks(self, *args: Any, **kwargs: Any) -> Any:
        """Run a step of which the hooks are told; the arguments are those of `run`."""
        return self._run_with_hooks_fn(*args, **kwargs)

    def request_stop(self) -> None:
        """End the training: raises StopIteration, which `with` takes as the end."""
        raise StopIteration("step_fn has requested the iterations to stop.")


class _MonitoredSession:
    StepContext = StepContext

    def __init__(
        self,
        session_creator: SessionCreator | None,
        hooks: Sequence[SessionRunHook] | None,
        should_recover: bool,
        stop_grace_period_secs: float,
    ) -> None:
        self._graph = get_default_graph()
        self._graph_was_finalized = self._graph.finalized
        self._hooks = list(hooks or ())
        for hook in self._hooks:
            hook.begin()
        self._creator = session_creator or ChiefSessionCreator()
        self._stop_grace_period_secs = stop_grace_period_secs
        self._raw: Any = None
        try:
            self._sess: Any = (
                _RecoverableSession(self._created) if should_recover else self._created()
            )
        except BaseException:
            self._unfinalize()
            raise

    def _created(self) -> _CoordinatedSession:
        """A new session with its threads, of which the hooks are told."""
        raw = self._raw = self._creator.create_session()
        coord = Coordinator(clean_stop_exception_types=[])
        layers = _CoordinatedSession(
            _HookedSession(raw, self._hooks), coord, self._stop_grace_period_secs
        )
        try:
            with raw.graph.as_default():
                for runner in raw.graph.get_collection(GraphKeys.QUEUE_RUNNERS):
                    runner.create_threads(raw, coord=coord, daemon=True, start=True)
                for hook in self._hooks:
                    hook.after_create_session(raw, coord)
        except BaseException:
            self._raw = None
            layers.close()
            raise
        return layers

    @property
    def graph(self) -> Graph | None:
        """The graph of the session; None once it is closed."""
        return None if self._raw is None else self._raw.graph

    def _opened(self) -> Any:
        if self._sess is None:
            raise RuntimeError("Session is already closed.")
        return self._sess

    def run(
        self, fetches: Any, feed_dict: Any = None, options: Any = None, run_metadata: Any = None
    ) -> Any:
        """Run a step, of which the hooks are told; otherwise as `Session.run`.

        Raises:
            RuntimeError: the session is closed, or a hook has asked for the end; or a tensor is fed
                twice.
        """
        return self._opened().run(
            fetches, feed_dict=feed_dict, options=options, run_metadata=run_metadata
        )

    def run_step_fn(self, step_fn: Callable[..., Any]) -> Any:
        """Call `step_fn(step_context)`; again with a new session when one is lost.

        Args:
            step_fn: a function of one argument, `step_context`, a StepContext.

        Raises:
            ValueError: it has other arguments.
        """
        names = tuple(inspect.signature(step_fn).parameters)
        if names != ("step_context",):
            raise ValueError(
                "`step_fn` may either have one `step_context` argument, or `self` and "
                f"`step_context` arguments if it's an instance method. Got {names} instead."
            )

        def call(session: Any) -> Any:
            return step_fn(StepContext(self._raw, session.run))

        session = self._opened()
        return session.retried(call) if isinstance(session, _RecoverableSession) else call(session)

    def should_stop(self) -> bool:
        """Whether a hook or a thread has asked for the end, or the session is closed."""
        return self._sess is None or self._sess.should_stop()

    def close(self) -> None:
        """End the hooks and the threads, close the session; RuntimeError if that was done."""
        self._close(None)

    def __enter__(self) -> Any:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: Any, traceback: Any) -> bool:
        ended = kind in (OutOfRangeError, StopIteration)
        self._close(None if ended else kind)
        return ended

    def _close(self, kind: type[BaseException] | None) -> None:
        session = self._opened()
        try:
            if kind is None:
                for hook in self._hooks:
                    hook.end(self._raw)
        finally:
            self._sess = None
            try:
                session.close()
            finally:
                self._raw = None
                self._unfinalize()

    def _unfinalize(self) -> None:
        if not self._graph_was_finalized:
            self._graph._unsafe_unfinalize()

    def _is_closed(self) -> bool:
        return self._raw is None

    def _tf_sess(self) -> Any:
        return self._raw


@export("train.MonitoredSession")
class MonitoredSession(_MonitoredSession):
    """A session with hooks, which makes a new session when one is lost.

    It is lost by AbortedError and UnavailableError: a step that ends so is run again, once a new
    session has restored the newest checkpoint. OutOfRangeError and StopIteration in a `with` block
    are its end, not errors.

    Args:
        session_creator: makes the sessions; ChiefSessionCreator by default.
        hooks: SessionRunHooks, told in this order.
        stop_grace_period_secs: how long `close` waits for threads.
    """

    def __init__(
        self,
        session_creator: SessionCreator | None = None,
        hooks: Sequence[SessionRunHook] | None = None,
        stop_grace_period_secs: float = 120,
    ) -> None:
        super().__init__(session_creator, hooks, True, stop_grace_period_secs)


@export("train.SingularMonitoredSession")
class SingularMonitoredSession(_MonitoredSession):
    """A session with hooks, which is not made anew: it may be used beside others.

    Args:
        hooks: SessionRunHooks, told in this order.
        scaffold: the operations that initialize and save; made by default.
        master: the target of the session.
        config: a `tf.ConfigProto`.
        checkpoint_dir: the newest checkpoint there is restored.
        stop_grace_period_secs: how long `close` waits for threads.
        checkpoint_filename_with_path: a checkpoint to restore, instead.
    """

    def __init__(
        self,
        hooks: Sequence[SessionRunHook] | None = None,
        scaffold: Scaffold | None = None,
        master: str = "",
        config: Any = None,
        checkpoint_dir: Any = None,
        stop_grace_period_secs: float = 120,
        checkpoint_filename_with_path: Any = None,
    ) -> None:
        creator = ChiefSessionCreator(
            scaffold, master, config, checkpoint_dir, checkpoint_filename_with_path
        )
        super().__init__(creator, hooks, False, stop_grace_period_secs)

    def raw_session(self) -> Any:
        """The session without hooks."""
        return self._raw


def _one_of(steps: Any, secs: Any, default: tuple[Any, Any]) -> tuple[Any, Any]:
    """When to save, in steps and seconds: as given, or the default when neither is."""
    if steps is USE_DEFAULT and secs is USE_DEFAULT:
        return default
    return (None if steps is USE_DEFAULT else steps), (None if secs is USE_DEFAULT else secs)


def _is_due(steps: Any, secs: Any) -> bool:
    return bool((steps and steps > 0) or (secs and secs > 0))


@export("train.MonitoredTrainingSession")
def MonitoredTrainingSession(
    master: str = "",
    is_chief: bool = True,
    checkpoint_dir: Any = None,
    scaffold: Scaffold | None = None,
    hooks: Sequence[SessionRunHook] | None = None,
    chief_only_hooks: Sequence[SessionRunHook] | None = None,
    save_checkpoint_secs: Any = USE_DEFAULT,
    save_summaries_steps: Any = USE_DEFAULT,
    save_summaries_secs: Any = USE_DEFAULT,
    config: Any = None,
    stop_grace_period_secs: float = 120,
    log_step_count_steps: int | None = 100,
    max_wait_secs: float = 7200,
    save_checkpoint_steps: Any = USE_DEFAULT,
    summary_dir: Any = None,
    save_graph_def: bool = True,
) -> MonitoredSession:
    """A MonitoredSession with the hooks that a training has: checkpoints, summaries, its speed.

    Args:
        master: the target of the session.
        is_chief: initialize, restore and save; a session of another worker waits for the chief's.
        checkpoint_dir: where checkpoints are restored from and saved; None saves none.
        scaffold: the operations that initialize and save; made by default.
        hooks: more hooks, told last.
        chief_only_hooks: more hooks of the chief, told first.
        save_checkpoint_secs: seconds between checkpoints; 600 by default; None or 0 saves none.
        save_summaries_steps: steps between summaries; 100 by default.
        save_summaries_secs: seconds between summaries.
        config: a `tf.ConfigProto`.
        stop_grace_period_secs: how long `close` waits for threads.
        log_step_count_steps: steps between two looks at the speed; None or 0 for none.
        max_wait_secs: how long a worker waits for the chief.
        save_checkpoint_steps: steps between checkpoints, instead of seconds.
        summary_dir: where summaries are written; `checkpoint_dir` when None.
        save_graph_def: see CheckpointSaverHook.
    """
    summaries = _one_of(save_summaries_steps, save_summaries_secs, (100, None))
    checkpoints = _one_of(save_checkpoint_steps, save_checkpoint_secs, (None, 600))
    scaffold = scaffold or Scaffold()
    if not is_chief:
        worker = WorkerSessionCreator(scaffold, master, config, max_wait_secs)
        return MonitoredSession(worker, hooks, stop_grace_period_secs)
    all_hooks: list[SessionRunHook] = list(chief_only_hooks or ())
    summary_dir = summary_dir or checkpoint_dir
    if summary_dir and log_step_count_steps and log_step_count_steps > 0:
        all_hooks.append(
            StepCounterHook(output_dir=summary_dir, every_n_steps=log_step_count_steps)
        )
    if summary_dir and _is_due(*summaries):
        all_hooks.append(SummarySaverHook(*summaries, output_dir=summary_dir, scaffold=scaffold))
    if checkpoint_dir and _is_due(*checkpoints):
        steps, secs = checkpoints
        all_hooks.append(
            CheckpointSaverHook(
                checkpoint_dir, secs, steps, scaffold=scaffold, save_graph_def=save_graph_def
            )
        )
    all_hooks.extend(hooks or ())
    chief = ChiefSessionCreator(scaffold, master, config, checkpoint_dir)
    return MonitoredSession(chief, all_hooks, stop_grace_period_secs)
