"""Session: where a graph runs. The thin layer between a program and the runtime's engine."""

from __future__ import annotations

import logging
import threading
import weakref
from _thread import LockType
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from operator import call
from types import TracebackType
from typing import Any, ClassVar, Final

from tfsession.core import forking, protos
from tfsession.core.errors import OpError
from tfsession.core.exports import export
from tfsession.devices import transfer
from tfsession.devices.counters import Counting
from tfsession.devices.device import DeviceAttributes
from tfsession.devices.manager import DeviceManager
from tfsession.devices.transfer import Memory
from tfsession.graph.graph import Graph, get_default_graph
from tfsession.graph.tensor import Tensor
from tfsession.runtime.callable_options import callable_from_options
from tfsession.runtime.callables import callable_with_feeds, callable_without_feeds
from tfsession.runtime.config import (
    RunTerms,
    check_names,
    check_scheme,
    checked_config,
    checked_target,
    parsed_options,
)
from tfsession.runtime.default_session import default_sessions
from tfsession.runtime.errors import enriched
from tfsession.runtime.execute import Engine
from tfsession.runtime.explain import explain_graph, explain_step
from tfsession.runtime.fed_handles import fed_handles, resolve_handles
from tfsession.runtime.feeds import (
    DeviceFeed,
    HandleFeed,
    check_feedable,
    convert_feed,
    expand_feeds,
    resident_converter,
    single_feeds,
)
from tfsession.runtime.fetches import FetchMap
from tfsession.runtime.partial_run import PartialRuns, declared_feeds
from tfsession.runtime.placement_report import PlacementReport
from tfsession.runtime.run_metadata import check_run_options
from tfsession.runtime.step import Step, is_leaf, make_step, nested_key
from tfsession.runtime.transfer_guard import session_guard

logger = logging.getLogger("tfsession")

_live_sessions: Final[weakref.WeakSet[BaseSession]] = weakref.WeakSet()
_live_sessions_lock: Final = forking.lock()
# First parts of the keys of steps.
_TAGS: Final[dict[type, object]] = {kind: object() for kind in (list, tuple, dict, OrderedDict)}
_FED: Final = object()


class SessionInterface:
    """What runs graphs."""

    @property
    def graph(self) -> Graph:
        """The graph that is run."""
        raise NotImplementedError("graph")

    @property
    def sess_str(self) -> Any:
        """Where it is run, as bytes."""
        raise NotImplementedError("sess_str")

    def run(
        self, fetches: Any, feed_dict: Any = None, options: Any = None, run_metadata: Any = None
    ) -> Any:
        """Run a step."""
        raise NotImplementedError("run")


class BaseSession(SessionInterface):
    """What Session and InteractiveSession share."""

    def __init__(self, target: Any = "", graph: Any = None, config: Any = None) -> None:
        """See Session."""
        self._closed = True  # until all is made: the destructor runs after a failed constructor
        if graph is not None and not isinstance(graph, Graph):
            raise TypeError(
                f'Argument `graph` must be a tf.Graph, but got "{type(graph).__name__}"'
            )
        self._graph: Graph = get_default_graph() if graph is None else graph
        self._target = checked_target(target)
        self._config = checked_config(config)
        check_scheme(self._target, self._config)
        self._add_shapes = False
        self._engine = self._make_engine(self._config)
        self._steps: dict[Any, Step] = self._engine.steps
        self._partial_runs = PartialRuns(self._engine)
        self._graph_context: Any = None
        self._session_context: Any = None
        self._closed = False
        with _live_sessions_lock:
            _live_sessions.add(self)

    def _make_engine(self, config: Any) -> Engine:
        if config is None:
            return Engine(self._graph, DeviceManager())
        self._add_shapes = config.graph_options.infer_shapes
        devices = DeviceManager(
            dict(config.device_count), config.gpu_options, device_options=config.device_options
        )
        if config.log_device_placement:
            logger.info("%s", devices.device_mapping())
        return Engine(
            self._graph,
            devices,
            allow_soft_placement=config.allow_soft_placement,
            log_device_placement=config.log_device_placement,
            place_pruned_graph=config.graph_options.place_pruned_graph,
            transfer_guard=session_guard(config.device_options.transfer_guard),
            terms=RunTerms(config),
        )

    @property
    def graph(self) -> Graph:
        """The graph that is run."""
        return self._graph

    @property
    def graph_def(self) -> Any:
        """The graph as a GraphDef message, made anew each time."""
        return self._graph.as_graph_def(add_shapes=self._add_shapes)

    @property
    def sess_str(self) -> Any:
        """The target as bytes."""
        return self._target

    def list_devices(self) -> list[DeviceAttributes]:
        """The devices of this session, CPUs first; raises CancelledError after `close`."""
        if self._closed:
            self._engine.check_open()
        return self._engine.devices.list_devices()

    def placement(self) -> dict[str, str]:
        """The full device name of each operation, by operation name.

        The whole graph is placed if it was not; with `place_pruned_graph`, only what has run is
        there. Raises InvalidArgumentError when an operation cannot be placed.
        """
        self._engine.check_open()
        return {op.name: device.name for op, device in self._engine.placement().items()}

    def memory_stats(self, device: Any = None) -> Any:
        """What lives in the memory of a device, in bytes, and which operations hold it.

        Args:
            device: its name, as `tf.device` takes it; None for all devices.

        Returns:
            MemoryStats, or None for a CPU device without a limit, whose memory is not counted; for
            all devices a dict by full name. After `close`, too.

        Raises:
            InvalidArgumentError: the name fits none of the session's devices, or several.
        """
        devices = self._engine.devices
        if device is None:
            return {found.name: found.memory_stats() for found in devices.devices}
        return devices.find(device).memory_stats()

    def explain_placement(self, fetches: Any = None, feeds: Any = None) -> PlacementReport:
        """Where operations run, and why; and the copies between devices that a step makes.

        Nothing runs, no device is touched. `print` the report, or look at its rows; see
        docs/placement.md. Not in TensorFlow.

        Args:
            fetches: as in `run`: the report is about what a run of these needs, placeholders being
                fed from the host. None: about all that `placement` tells of, without transfers.
            feeds: what else is fed: a tensor or its name, a list of them, or a feed_dict.

        Raises:
            RuntimeError, TypeError, ValueError, InvalidArgumentError: as a `run` of this would
                before it begins.
        """
        if self._closed:
            self._check_usable()
        try:
            if fetches is None:
                return explain_graph(self._engine)
            self._check_usable()
            tensors = declared_feeds(self._graph, list(feeds) if isinstance(feeds, dict) else feeds)
            elements = FetchMap(self._graph, fetches, self).elements
            return explain_step(self._engine, elements, tensors)
        except OpError as error:
            failure = [enriched(error, self._graph)]
        raise failure.pop()

    def counting(self) -> Counting:
        """Count what simulated GPUs do, in a block; see docs/testing.md. Not in TensorFlow."""
        return Counting(self._engine.devices.devices, self._engine.devices.find)

    def close(self) -> None:
        """Give back what the session holds. Idempotent; variables are lost."""
        self._closed = True
        self._engine.close()

    def _cancel_waits(self, threads: Collection[int]) -> None:
        self._engine.cancellation.cancel_waits(threads)

    def __del__(self) -> None:
        # Quiet: at the end of the interpreter anything may be gone already, `suppress` as well.
        try:
            if not self._closed:
                self.close()
        except Exception:
            pass

    def as_default(self) -> AbstractContextManager[Any]:
        """Make this the default session of the thread inside a `with` block; does not close it."""
        return default_sessions.pushed(self)

    # --- running --------------------------------------------------------------------------------

    def run(
        self, fetches: Any, feed_dict: Any = None, options: Any = None, run_metadata: Any = None
    ) -> Any:
        """Run what `fetches` needs and give its values.

        Args:
            fetches: a Tensor, Operation, Variable, name, or a nested structure of such.
            feed_dict: values for tensors; keys are tensors or their names.
            options: a RunOptions message.
            run_metadata: a RunMetadata message to be filled.

        Returns:
            Arrays, NumPy scalars, or None for operations, in the structure of `fetches`.

        Raises:
            RuntimeError: the session is closed, or its graph empty.
            TypeError: a fetch or feed is of a wrong kind.
            ValueError: a fetch or feed names nothing, or a fed value has a wrong shape.
            OpError: an operation failed; the session stays usable.
        """
        if options is not None or run_metadata is not None:
            return self._run_with_options(fetches, feed_dict, options, run_metadata)
        # The key begins with what no caller can have, so that no two calls are mixed up.
        tag = _TAGS.get(type(fetches))
        if tag is None:
            key = fetches
        elif isinstance(fetches, dict):
            key = (tag, *fetches, *map(type, fetches), *fetches.values())
        else:
            key = (tag, *fetches)
        if feed_dict:
            # Feeds of another kind are looked at each time.
            key = (_FED, key, *feed_dict) if type(feed_dict) is dict else None
        try:
            step = self._steps.get(key)
        except TypeError:  # a part has no hash
            step = None
        try:
            if step is None:
                step, values = self._find_step(fetches, feed_dict, key)
            else:
                try:
                    values = (
                        list(map(call, step.converters, feed_dict.values())) if feed_dict else ()
                    )
                except DeviceFeed:
                    step, values = self._find_step(fetches, feed_dict, key)
                if self._engine._placed_version != self._graph._version and step.plan is not None:
                    self._engine.extend()
            return step.execute(values)
        except OpError as error:
            failure = [enriched(error, self._graph)]
        # Raised here: the first error's traceback would keep the step's arrays alive. Popped: else
        # this frame would hold the error, whose traceback holds the frame.
        raise failure.pop()

    def _run_with_options(
        self, fetches: Any, feed_dict: Any, options: Any, run_metadata: Any
    ) -> Any:
        options = parsed_options(options)
        try:
            step, values = self._find_step(fetches, feed_dict, None)
            return self._execute(step, values, options, run_metadata)
        except OpError as error:
            failure = [enriched(error, self._graph)]
        raise failure.pop()

    def _execute(self, step: Step, values: Sequence[Any], options: Any, run_metadata: Any) -> Any:
        """Run a step under RunOptions; RunMetadata is replaced when all went well."""
        check_run_options(options, self._config)
        engine, plan, written = self._engine, step.plan, b""
        if plan is None:
            result = step.execute(values)
        else:
            metadata = engine.metadata(plan).begin(options, is_wanted=bool(run_metadata))
            result = step.execute_under(values, engine.terms.control(options, metadata.recorder))
            written = metadata.finish()
        if run_metadata:
            run_metadata.ParseFromString(written)
        return result

    def _find_step(self, fetches: Any, feed_dict: Any, key: Any) -> tuple[Step, Sequence[Any]]:
        """The way of a call that is new, or whose structure is nested.

        `key` is the key of the call that `run` looks up, if it is to be found there next time.
        """
        self._check_usable()
        feeds = single_feeds(feed_dict) if feed_dict else {}
        nested = nested_key(fetches, feeds)
        try:
            step = self._steps.get(nested)
        except TypeError:  # a part has no hash
            step = nested = None
        if step is not None:
            try:
                values = list(map(call, step.converters, feeds.values())) if feeds else ()
            except DeviceFeed:
                pass
            else:
                if self._engine._placed_version != self._graph._version and step.plan is not None:
                    self._engine.extend()
                return step, values
        step, values = self._prepare(fetches, feed_dict)
        if nested is not None and len(step.converters) == len(feeds):
            self._steps[nested] = step
            parts = fetches if type(fetches) in _TAGS else (fetches,)
            parts = parts.values() if isinstance(parts, dict) else parts
            if key is not None and all(map(is_leaf, (*parts, *(feed_dict or ())))):
                self._steps[key] = step
        return step, values

    def _check_usable(self) -> None:
        if self._closed:
            raise RuntimeError("Attempted to use a closed Session.")
        if not self._graph._version:
            raise RuntimeError(
                "The Session graph is empty. Add operations to the graph before calling run()."
            )

    def _prepare(
        self, fetches: Any, feed_dict: Any, on_device: bool = False
    ) -> tuple[Step, Sequence[Any]]:
        """Check and convert the feeds, then the fetches, and compile."""
        keys, values, memories = self._convert_feeds(feed_dict)
        handles = fed_handles(values)
        fetch_map = FetchMap(self._graph, fetches, self, handles)
        if handles and any(element not in values for element in fetch_map.elements):
            resolve_handles(self._engine, values, memories)
        step = make_step(self._engine, fetch_map, keys, list(memories.values()), on_device)
        # What was made for a handle holds for this call alone.
        return step._replace(converters=()) if handles else step, list(values.values())

    def _convert_feeds(
        self, feed_dict: Any
    ) -> tuple[dict[Tensor, Any], dict[Tensor, Any], dict[Tensor, Memory]]:
        """The key, value and memory of each fed tensor."""
        keys: dict[Tensor, Any] = {}
        values: dict[Tensor, Any] = {}
        memories: dict[Tensor, Memory] = {}
        for feed in expand_feeds(self._graph, feed_dict) if feed_dict else ():
            # Where a tensor is fed twice, the later value stands.
            tensor = feed.tensor
            try:
                values[tensor], memories[tensor] = convert_feed(*feed), None
            except HandleFeed:
                values[tensor], memories[tensor] = feed.value, None
            except DeviceFeed:
                array, device = self._engine.adopt(feed.value)
                values[tensor] = resident_converter(tensor, device)(array)
                memories[tensor] = device
            keys[tensor] = feed.key
            check_feedable(self._graph, tensor)
        return keys, values, memories

    def partial_run_setup(self, fetches: Any, feeds: Any = None) -> str:
        """Begin a step that is fed and fetched in several calls of `partial_run`.

        What waits for no feed runs at once, fetched or not.

        Args:
            fetches: all that will be fetched or run, as in `run`.
            feeds: the tensors, or one, that will be fed.

        Returns:
            The handle of the partial run.

        Raises:
            RuntimeError: the session is closed, or its graph empty.
            TypeError: a fetch or feed stands for no tensor.
            InvalidArgumentError: nothing is fetched, or a tensor is fed twice or also fetched.
        """
        self._check_usable()
        tensors = declared_feeds(self._graph, feeds)
        fetch_map = FetchMap(self._graph, fetches, self)
        try:
            return self._partial_runs.setup(fetch_map, tensors)
        except OpError as error:
            failure = [enriched(error, self._graph)]
        raise failure.pop()

    def partial_run(self, handle: Any, fetches: Any, feed_dict: Any = None) -> Any:
        """Feed and fetch more of the step that `partial_run_setup` began.

        Args:
            handle: what `partial_run_setup` gave; None for an ordinary `run`.
            fetches: tensors that it was told of and that were not fetched yet, as in `run`.
            feed_dict: values of tensors that it was told of and that were not fed yet.

        Raises:
            RuntimeError: an operation is fetched, or the session is closed.
            InvalidArgumentError: the call does not fit the setup or what was fed so far; the
                partial run can go on.
            OpError: an operation failed; the partial run is over, the session is not.
        """
        if handle is None:
            return self.run(fetches, feed_dict)
        self._check_usable()
        _, values, memories = self._convert_feeds(feed_dict)
        fetch_map = FetchMap(self._graph, fetches, self, fed_handles(values))
        try:
            resolve_handles(self._engine, values, memories)
            for tensor, device in memories.items():
                if device is not None:
                    values[tensor] = transfer.copy(values[tensor], device, None)
            return self._partial_runs.run(handle, fetch_map, values)
        except OpError as error:
            failure = [enriched(error, self._graph)]
        raise failure.pop()

    def make_callable(
        self,
        fetches: Any,
        feed_list: Any = None,
        accept_options: bool = False,
        device_fetches: bool = False,
    ) -> Callable[..., Any]:
        """A function that runs one step again and again, faster than `run`.

        Args:
            fetches: as in `run`.
            feed_list: the tensors that the function's arguments feed, in order; None for no feeds.
            accept_options: without a feed list, let the function take `options` and
                `run_metadata`.
            device_fetches: give tensors as arrays of the device where they were computed, which
                speak DLPack, instead of copying them to the host. Not in TensorFlow. They can be
                fed again without a copy: `step = session.make_callable(y, [x],
                device_fetches=True); value = step(step(start))`. See docs/interop.md.

        Raises:
            TypeError: `feed_list` is no list or tuple.
        """
        if feed_list is None:
            return callable_without_feeds(self, fetches, accept_options, device_fetches)
        if not isinstance(feed_list, list | tuple):
            raise TypeError(
                f"Argument `feed_list` must be a list or tuple. Received: feed_list={feed_list}"
            )
        return callable_with_feeds(self, fetches, feed_list, device_fetches)

    def _make_callable_from_options(self, callable_options: Any) -> Callable[..., list[Any]]:
        """A function from fed values to fetched ones; see `callable_from_options`."""
        return callable_from_options(self, callable_options)


@export("Session")
class Session(BaseSession):
    """Runs the operations of a graph and owns the state they leave: variables above all.

    Args:
        target: empty; no other process can be reached.
        graph: the graph to run; the default graph when None.
        config: a ConfigProto, copied.

    Raises:
        TypeError: an argument is of a wrong kind.
        NotFoundError: the target is unknown, or the configuration leaves no CPU device.
        UnimplementedError: the target or the configuration asks for what is not there.
    """

    def __enter__(self) -> Session:
        if self._graph_context is not None:
            raise RuntimeError(
                "Session context managers are not re-entrant. Use `Session.as_default()` if you "
                "want to enter a session multiple times."
            )
        self._graph_context = self._graph.as_default()
        self._graph_context.__enter__()
        self._session_context = self.as_default()
        self._session_context.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is OpError:  # not one of its subclasses: so does TensorFlow
            logger.error("Session closing due to error %s", error)
        # Without the error: the stacks have nothing to do with it.
        self._session_context.__exit__(None, None, None)
        self._graph_context.__exit__(None, None, None)
        self._graph_context = self._session_context = None
        if kind is None:
            self.close()
            return
        # What failed may also block the closing; the error must come out all the same.
        thread = threading.Thread(name="SessionCloseThread", target=self.close, daemon=True)
        thread.start()
        thread.join(30.0)
        if thread.is_alive():
            logger.error("The session did not close within 30 seconds after an error.")

    @staticmethod
    def reset(target: Any, containers: Any = None, config: Any = None) -> None:
        """Close all sessions of this process: their steps are cancelled, their state is gone.

        Args:
            target: empty; no other process can be reached.
            containers: names of containers. A session's containers go with it, named or not.
            config: a ConfigProto.

        Raises:
            TypeError: the target or a name is no text.
            NotFoundError, UnimplementedError: the target is not this process.
        """
        check_names([] if target is None else [target])
        check_names([] if containers is None else containers)
        if config is not None:
            config.SerializeToString()
        check_scheme(checked_target(target), config)
        with _live_sessions_lock:
            sessions = list(_live_sessions)
        for session in sessions:
            session._engine.close()


@export("InteractiveSession")
class InteractiveSession(BaseSession):
    """A Session that is the default one from its construction to its `close`.

    Args:
        target: empty; no other process can be reached.
        graph: the graph to run, which becomes the default one too.
        config: a ConfigProto; its `graph_options.place_pruned_graph` is set to True.
    """

    _count_lock: ClassVar[LockType] = forking.lock()
    _active_count: ClassVar[int] = 0

    def __init__(self, target: Any = "", graph: Any = None, config: Any = None) -> None:
        self._closed = True
        if not config:
            options = protos.GPUOptions(allow_growth=True)
            config = protos.ConfigProto(gpu_options=options)
        config.graph_options.place_pruned_graph = True
        super().__init__(target, graph, config)
        with InteractiveSession._count_lock:
            is_another_active = InteractiveSession._active_count > 0
            InteractiveSession._active_count += 1
        if is_another_active:  # not under the lock, which a destructor takes, too
            logger.error(
                "An interactive session is already active. This can cause out-of-memory errors or "
                "some other unexpected errors (due to the unpredictable timing of garbage "
                "collection) in some cases. Call `InteractiveSession.close()` to release what the "
                "other session holds."
            )
        self._explicitly_closed = False
        self._default_session = self.as_default()
        self._default_session.__enter__()
        self._explicit_graph = graph
        self._default_graph: Any = None
        if graph is not None:
            self._default_graph = graph.as_default()
            self._default_graph.__enter__()

    def close(self) -> None:
        """Close the session and take it off the stacks, of which it must be on top."""
        super().close()
        with InteractiveSession._count_lock:
            if self._explicitly_closed:
                return
            self._explicitly_closed = True
            InteractiveSession._active_count -= 1
        if self._explicit_graph is not None:
            self._default_graph.__exit__(None, None, None)
        self._default_session.__exit__(None, None, None)
