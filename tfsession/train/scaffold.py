"""What a training needs around its model: Scaffold, and the makers of sessions that use it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from tfsession.core import verbosity
from tfsession.core.exports import export
from tfsession.graph.default_graph import add_to_collection, get_collection, get_default_graph
from tfsession.graph.graph_keys import GraphKeys
from tfsession.ops.constant import group
from tfsession.ops.summary import merge_all
from tfsession.ops.variables import (
    global_variables,
    global_variables_initializer,
    local_variables_initializer,
    report_uninitialized_variables,
)
from tfsession.session import Session
from tfsession.train.saver import Saver
from tfsession.train.session_manager import SessionManager

__all__ = ["ChiefSessionCreator", "Scaffold", "SessionCreator", "WorkerSessionCreator"]


@export("train.Scaffold")
class Scaffold:
    """The operations that a training needs beside its own: `finalize` makes those not given.

    Args:
        init_op: initializes the model; of all global variables by default.
        init_feed_dict: feeds for it.
        init_fn: `f(scaffold, session)`, called after it.
        ready_op: gives the names of variables without values.
        ready_for_local_init_op: the same, of global variables.
        local_init_op: initializes local variables and tables.
        summary_op: the summary; all of GraphKeys.SUMMARIES merged, by default.
        saver: a Saver; of all variables by default.
        copy_from_scaffold: has what is not given here.
        local_init_feed_dict: feeds for `local_init_op`.

    Raises:
        TypeError: `copy_from_scaffold` is no Scaffold.
    """

    def __init__(
        self,
        init_op: Any = None,
        init_feed_dict: Any = None,
        init_fn: Callable[[Any, Any], Any] | None = None,
        ready_op: Any = None,
        ready_for_local_init_op: Any = None,
        local_init_op: Any = None,
        summary_op: Any = None,
        saver: Any = None,
        copy_from_scaffold: Any = None,
        local_init_feed_dict: Any = None,
    ) -> None:
        if copy_from_scaffold is not None and not isinstance(copy_from_scaffold, Scaffold):
            raise TypeError("copy_from_scaffold is not a Scaffold instance.")

        def given(value: Any, name: str) -> Any:
            return getattr(copy_from_scaffold, name, None) if value is None else value

        self._user_init_fn = given(init_fn, "_user_init_fn")
        self.init_op = given(init_op, "init_op")
        self.init_feed_dict = given(init_feed_dict, "init_feed_dict")
        self.ready_op = given(ready_op, "ready_op")
        self.ready_for_local_init_op = given(ready_for_local_init_op, "ready_for_local_init_op")
        self.local_init_op = given(local_init_op, "local_init_op")
        self.local_init_feed_dict = given(local_init_feed_dict, "local_init_feed_dict")
        self.summary_op = given(summary_op, "summary_op")
        self.saver = given(saver, "saver")

    def finalize(self) -> Scaffold:
        """Make what was not given, in the default graph, and let the graph grow no more.

        Raises:
            RuntimeError: a collection has several things of a kind.
        """
        for part, key, make in (
            ("init_op", GraphKeys.INIT_OP, _default_init_op),
            ("ready_op", GraphKeys.READY_OP, report_uninitialized_variables),
            (
                "ready_for_local_init_op",
                GraphKeys.READY_FOR_LOCAL_INIT_OP,
                lambda: report_uninitialized_variables(global_variables()),
            ),
            ("local_init_op", GraphKeys.LOCAL_INIT_OP, Scaffold.default_local_init_op),
            ("summary_op", GraphKeys.SUMMARY_OP, merge_all),
            ("saver", GraphKeys.SAVERS, lambda: Saver(sharded=True, allow_empty=True)),
        ):
            if getattr(self, part) is None:
                setattr(self, part, Scaffold.get_or_default(part, key, make))
        self.saver.build()
        get_default_graph().finalize()
        verbosity.info("Graph was finalized.")
        return self

    @staticmethod
    def get_or_default(
        arg_name: str, collection_key: Any, default_constructor: Callable[[], Any]
    ) -> Any:
        """The only item of a collection; an item that is made and put there when it is empty.

        Raises:
            RuntimeError: the collection has several items.
        """
        items = get_collection(collection_key)
        if len(items) > 1:
            raise RuntimeError(
                f'More than one item in the collection "{collection_key}". Please indicate which '
                "one to use by passing it to the tf.Scaffold constructor as:  "
                f"tf.Scaffold({arg_name}=item to use)"
            )
        if items:
            return items[0]
        made = default_constructor()
        if made is not None:
            add_to_collection(collection_key, made)
        return made

    @staticmethod
    def default_local_init_op() -> Any:
        """An operation that initializes local variables and tables."""
        tables = group(*get_collection(GraphKeys.TABLE_INITIALIZERS), name="init_all_tables")
        return group(local_variables_initializer(), tables)

    @property
    def init_fn(self) -> Callable[[Any], Any] | None:
        """What is called with a session that was just initialized."""
        function = self._user_init_fn
        return None if function is None else lambda session: function(self, session)


def _default_init_op() -> Any:
    return group(global_variables_initializer(), *get_collection("saved_model_initializers"))


@export("train.SessionCreator")
class SessionCreator(ABC):
    """Makes sessions for a monitored session."""

    @abstractmethod
    def create_session(self) -> Session:
        """A session that is ready for steps."""


class _ScaffoldedCreator(SessionCreator):
    def __init__(self, scaffold: Scaffold | None, master: str, config: Any) -> None:
        self._scaffold = scaffold or Scaffold()
        self._master = master
        self._config = config
        self._session_manager: SessionManager | None = None

    def _get_session_manager(self) -> SessionManager:
        """The manager, once the graph is complete."""
        self._scaffold.finalize()
        if self._session_manager is None:
            self._session_manager = SessionManager(
                local_init_op=self._scaffold.local_init_op,
                local_init_feed_dict=self._scaffold.local_init_feed_dict,
                ready_op=self._scaffold.ready_op,
                ready_for_local_init_op=self._scaffold.ready_for_local_init_op,
                graph=get_default_graph(),
            )
        return self._session_manager


@export("train.ChiefSessionCreator")
class ChiefSessionCreator(_ScaffoldedCreator):
    """Makes sessions that restore the newest checkpoint, or else initialize the model.

    Args:
        scaffold: the operations; made by default.
        master: the target of the sessions.
        config: a `tf.ConfigProto`.
        checkpoint_dir: where the checkpoints are.
        checkpoint_filename_with_path: a checkpoint, instead.
    """

    def __init__(
        self,
        scaffold: Scaffold | None = None,
        master: str = "",
        config: Any = None,
        checkpoint_dir: Any = None,
        checkpoint_filename_with_path: Any = None,
    ) -> None:
        super().__init__(scaffold, master, config)
        self._checkpoint_dir = checkpoint_dir
        self._checkpoint_filename_with_path = checkpoint_filename_with_path

    def create_session(self) -> Session:
        """A session whose variables have values."""
        manager, scaffold = self._get_session_manager(), self._scaffold
        return manager.prepare_session(
            self._master,
            saver=scaffold.saver,
            checkpoint_dir=self._checkpoint_dir,
            checkpoint_filename_with_path=self._checkpoint_filename_with_path,
            config=self._config,
            init_op=scaffold.init_op,
            init_feed_dict=scaffold.init_feed_dict,
            init_fn=scaffold.init_fn,
        )


@export("train.WorkerSessionCreator")
class WorkerSessionCreator(_ScaffoldedCreator):
    """Makes sessions of a model that another process initializes: waits for that.

    Args:
        scaffold: the operations; made by default.
        master: the target of the sessions.
        config: a `tf.ConfigProto`.
        max_wait_secs: how long to wait.
    """

    def __init__(
        self,
        scaffold: Scaffold | None = None,
        master: str = "",
        config: Any = None,
        max_wait_secs: float = 30 * 60,
    ) -> None:
        super().__init__(scaffold, master, config)
        self._max_wait_secs = max_wait_secs

    def create_session(self) -> Session:
        """A session whose variables have values."""
        return self._get_session_manager().wait_for_session(
            self._master, config=self._config, max_wait_secs=self._max_wait_secs
        )
