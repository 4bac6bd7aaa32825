"""Hooks: what is told before and after each step of a monitored session, and may add to it."""

from __future__ import annotations

from typing import Any, NamedTuple

from tfsession.core.exports import export


@export("train.SessionRunArgs")
class SessionRunArgs(NamedTuple):
    """What a hook adds to a step.

    Attributes:
        fetches: any structure of fetches; its values come back in `SessionRunValues.results`.
        feed_dict: feeds of tensors that nobody else feeds.
        options: a `tf.RunOptions`, merged with those of others.
    """

    fetches: Any
    feed_dict: Any = None
    options: Any = None


@export("train.SessionRunValues")
class SessionRunValues(NamedTuple):
    """What a hook gets of a step.

    Attributes:
        results: the values of the fetches that it asked for, or None.
        options: the `tf.RunOptions` of the step, merged.
        run_metadata: the `tf.RunMetadata` of the step.
    """

    results: Any
    options: Any
    run_metadata: Any


@export("train.SessionRunContext")
class SessionRunContext:
    """What a hook may know and ask of a step."""

    def __init__(self, original_args: SessionRunArgs, session: Any) -> None:
        self._original_args = original_args
        self._session = session
        self._stop_requested = False

    @property
    def original_args(self) -> SessionRunArgs:
        """The fetches and feeds that `run` was called with."""
        return self._original_args

    @property
    def session(self) -> Any:
        """The session that runs the step, without hooks."""
        return self._session

    @property
    def stop_requested(self) -> bool:
        """Whether a hook has asked for the end."""
        return self._stop_requested

    def request_stop(self) -> None:
        """Let this step be the last one: `should_stop()` is true after it."""
        self._stop_requested = True


@export("train.SessionRunHook")
class SessionRunHook:
    """What is told of the steps of a monitored session; each method does nothing unless overridden.

    In order: `begin`, the session is made, `after_create_session`; for each step `before_run`, the
    step, `after_run`; `end`. After OutOfRangeError and StopIteration, which end the training,
    `after_run` is left out; after other errors `end` is, too.
    """

    def begin(self) -> None:
        """The session is about to be made; the last moment to add to the graph."""

    def after_create_session(self, session: Any, coord: Any) -> None:
        """A session was made: at the beginning, and after each recovery. The graph is final.

        Args:
            session: the new session.
            coord: the coordinator of its threads.
        """

    def before_run(self, run_context: SessionRunContext) -> SessionRunArgs | None:
        """A step is about to run; gives what to add to it, or None."""

    def after_run(self, run_context: SessionRunContext, run_values: SessionRunValues) -> None:
        """A step has succeeded."""

    def end(self, session: Any) -> None:
        """The training has come to its end; the session may still be used."""
