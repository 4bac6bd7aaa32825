"""SessionManager: sessions whose variables have values, from a checkpoint or from initializers."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from tfsession.core import verbosity
from tfsession.core.errors import DeadlineExceededError, FailedPreconditionError
from tfsession.core.exports import export
from tfsession.graph.default_graph import get_default_graph
from tfsession.graph.graph import Graph
from tfsession.session import Session
from tfsession.train.checkpoint_state import get_checkpoint_state


@export("train.SessionManager")
class SessionManager:
    """Makes sessions, restores or initializes what is in them, and sees that all is ready.

    Args:
        local_init_op: run in each session, once the model is ready for it.
        ready_op: gives the names of variables without values; None when that need not be seen.
        ready_for_local_init_op: the same, of those that `local_init_op` reads.
        graph: the graph of the sessions; the default graph when None.
        recovery_wait_secs: seconds between two looks at whether others have done their part.
        local_init_run_options: a `tf.RunOptions` for `local_init_op`.
        local_init_feed_dict: feeds for it.

    Raises:
        ValueError: `ready_for_local_init_op` without `local_init_op`.
    """

    def __init__(
        self,
        local_init_op: Any = None,
        ready_op: Any = None,
        ready_for_local_init_op: Any = None,
        graph: Graph | None = None,
        recovery_wait_secs: float = 30,
        local_init_run_options: Any = None,
        local_init_feed_dict: Any = None,
    ) -> None:
        if ready_for_local_init_op is not None and local_init_op is None:
            raise ValueError(
                "If you pass a ready_for_local_init_op you must also pass a local_init_op , "
                f"ready_for_local_init_op [{ready_for_local_init_op}]"
            )
        self._local_init_op = local_init_op
        self._ready_op = ready_op
        self._ready_for_local_init_op = ready_for_local_init_op
        self._graph = graph or get_default_graph()
        self._recovery_wait_secs = recovery_wait_secs
        self._local_init_run_options = local_init_run_options
        self._local_init_feed_dict = local_init_feed_dict

    def prepare_session(
        self,
        master: str,
        init_op: Any = None,
        saver: Any = None,
        checkpoint_dir: Any = None,
        checkpoint_filename_with_path: Any = None,
        wait_for_checkpoint: bool = False,
        max_wait_secs: float = 7200,
        config: Any = None,
        init_feed_dict: Any = None,
        init_fn: Callable[[Any], Any] | None = None,
    ) -> Session:
        """A session that is ready: restored from a checkpoint, or else initialized.

        Args:
            master: the target of the session.
            init_op: what initializes, when there is no checkpoint.
            saver: what restores; nothing is restored without it.
            checkpoint_dir: where the newest checkpoint is restored from.
            checkpoint_filename_with_path: the checkpoint, instead.
            wait_for_checkpoint: wait until there is one.
            max_wait_secs: so many seconds at most.
            config: a `tf.ConfigProto`.
            init_feed_dict: feeds for `init_op`.
            init_fn: called with the session after `init_op`.

        Raises:
            RuntimeError: nothing is given that initializes, or the model is not ready afterwards.
            ValueError: two checkpoints are given.
        """
        session = self._session(master, config)
        try:
            restored = self._restore(
                session, saver, checkpoint_dir, checkpoint_filename_with_path, wait_for_checkpoint,
                max_wait_secs,
            )  # fmt: skip
            if not restored:
                if init_op is None and init_fn is None and self._local_init_op is None:
                    raise RuntimeError(
                        "Model is not initialized and no init_op or init_fn or local_init_op was "
                        "given"
                    )
                if init_op is not None:
                    session.run(init_op, feed_dict=init_feed_dict)
                if init_fn is not None:
                    init_fn(session)
            who = f"Init op: {getattr(init_op, 'name', init_op)}, init fn: {init_fn}"
            missing = self._initialize_locally(session)
            if missing is not None:
                raise RuntimeError(
                    "Init operations did not make model ready for local_init.  "
                    f"{who}, error: {missing}"
                )
            missing = uninitialized(self._ready_op, session, "Model not ready")
            if missing is not None:
                raise RuntimeError(
                    f"Init operations did not make model ready.  {who}, "
                    f"local_init_op: {self._local_init_op}, error: {missing}"
                )
        except BaseException:
            session.close()
            raise
        return session

    def recover_session(
        self,
        master: str,
        saver: Any = None,
        checkpoint_dir: Any = None,
        checkpoint_filename_with_path: Any = None,
        wait_for_checkpoint: bool = False,
        max_wait_secs: float = 7200,
        config: Any = None,
    ) -> tuple[Session, bool]:
        """A session, restored if there is a checkpoint; and whether it is restored and ready.

        For the arguments see `prepare_session`.
        """
        session = self._session(master, config)
        try:
            restored = self._restore(
                session, saver, checkpoint_dir, checkpoint_filename_with_path, wait_for_checkpoint,
                max_wait_secs,
            )  # fmt: skip
            missing = self._initialize_locally(session)
            if restored and missing is None:
                missing = uninitialized(self._ready_op, session, "Model not ready")
        except BaseException:
            session.close()
            raise
        if restored:
            source = checkpoint_dir or checkpoint_filename_with_path
            done = "" if missing is None else f", which did not make it ready: {missing}"
            verbosity.info("Restored model from %s%s", source, done)
        return session, restored and missing is None

    def wait_for_session(
        self, master: str, config: Any = None, max_wait_secs: float | None = float("inf")
    ) -> Session:
        """A session of a model that another process initializes, once it is ready.

        Raises:
            DeadlineExceededError: it was not ready within `max_wait_secs`.
        """
        limit = float("inf") if max_wait_secs is None else max_wait_secs
        until = time.monotonic() + limit
        while True:
            session = self._session(master, config)
            try:
                missing = self._initialize_locally(session)
                if missing is None:
                    missing = uninitialized(self._ready_op, session, "Model not ready")
            except BaseException:
                session.close()
                raise
            if missing is None:
                return session
            session.close()
            if time.monotonic() + self._recovery_wait_secs > until:
                raise DeadlineExceededError(
                    None, None, f"Session was not ready after waiting {limit:.0f} secs."
                )
            verbosity.info("Waiting for model to be ready: %s", missing)
            time.sleep(self._recovery_wait_secs)

    def _session(self, master: str, config: Any) -> Session:
        return Session(master, graph=self._graph, config=config)

    def _restore(
        self, session: Session, saver: Any, directory: Any, path: Any, wait: bool, limit: float
    ) -> bool:
        """Restore the checkpoint that is named, or the newest of a directory; whether there is."""
        if directory and path:
            raise ValueError(
                "Can not provide both checkpoint_dir and checkpoint_filename_with_path."
            )
        if saver is None or not (directory or path):
            return False
        known = None
        if not path:
            until = time.monotonic() + limit
            while True:
                known = get_checkpoint_state(directory)
                if known is not None and known.model_checkpoint_path:
                    path = known.model_checkpoint_path
                    break
                if not wait or time.monotonic() >= until:
                    return False
                verbosity.info("Waiting for checkpoint to be available.")
                time.sleep(self._recovery_wait_secs)
        initializers = self._graph.get_collection("saved_model_initializers")
        if initializers:
            session.run(initializers)
        saver.restore(session, path)
        if known is not None:
            saver.recover_last_checkpoints(known.all_model_checkpoint_paths)
        return True

    def _initialize_locally(self, session: Session) -> str | None:
        """Run the local initializer if the model is ready for it; else what is missing."""
        if self._local_init_op is None:
            return None
        missing = uninitialized(
            self._ready_for_local_init_op, session, "Model not ready for local init"
        )
        if missing is None:
            session.run(
                self._local_init_op,
                feed_dict=self._local_init_feed_dict,
                options=self._local_init_run_options,
            )
        return missing


def uninitialized(ready_op: Any, session: Session, what: str) -> str | None:
    """What has no value yet, as a text; None when nothing is missing."""
    if ready_op is None:
        return None
    try:
        names = session.run(ready_op)
    except FailedPreconditionError as error:
        if "uninitialized" not in str(error):
            verbosity.warning("%s : error [%s]", what, error)
            raise
        return str(error)
    if names is None or names.dtype == np.int32 or not names.size:
        return None
    return "Variables not initialized: " + ", ".join([name.decode() for name in names])
