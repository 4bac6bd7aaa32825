"""Callables: one step prepared once, called again and again, faster than `Session.run`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import call
from typing import Any, Protocol

from tfsession.core.errors import InvalidArgumentError, OpError
from tfsession.graph.graph import Graph
from tfsession.runtime.config import parsed_options
from tfsession.runtime.errors import enriched, plain
from tfsession.runtime.execute import Engine
from tfsession.runtime.feeds import DeviceFeed
from tfsession.runtime.fetches import FetchMap
from tfsession.runtime.step import Execute, Step, is_leaf, make_step


class Client(Protocol):
    """What a callable needs of its session."""

    run: Callable[..., Any]

    @property
    def graph(self) -> Graph:
        """The graph that is run."""

    @property
    def _engine(self) -> Engine: ...

    def _check_usable(self) -> None: ...

    def _prepare(
        self, fetches: Any, feed_dict: Any, on_device: bool = False
    ) -> tuple[Step, Sequence[Any]]: ...

    def _execute(
        self, step: Step, values: Sequence[Any], options: Any, run_metadata: Any
    ) -> Any: ...


def callable_with_feeds(
    session: Client, fetches: Any, feed_list: Sequence[Any], on_device: bool
) -> Callable[..., Any]:
    """A function of the fed values; nothing is looked at before its first call."""
    engine, graph = session._engine, session.graph
    arity = len(feed_list) if all(map(is_leaf, feed_list)) else -1
    known: Step | None = None
    known_since = 0

    def prepare(args: Sequence[Any]) -> tuple[Step, Sequence[Any]]:
        nonlocal known, known_since
        session._check_usable()
        known, known_since = None, engine.times_forgotten
        feeds = dict(zip(feed_list, args, strict=False))
        step, values = session._prepare(fetches, feeds, on_device)
        # A tensor that stands in the list twice takes the later value: as `run` does.
        known = step if len(step.converters) == arity == len(args) else None
        return step, values

    def run(*args: Any, **kwargs: Any) -> Any:
        if kwargs or len(args) != arity:
            return run_otherwise(args, kwargs)
        try:
            step = known
            if step is None or known_since != engine.times_forgotten:
                step, values = prepare(args)
            else:
                try:
                    values = list(map(call, step.converters, args))
                except DeviceFeed:
                    step, values = prepare(args)
                if engine._placed_version != graph._version:
                    session._check_usable()
                    if step.plan is not None:
                        engine.extend()
            return step.execute(values)
        except OpError as error:
            failure = [enriched(error, graph)]
        raise failure.pop()

    def run_otherwise(args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        if not on_device:
            feeds = dict(zip(feed_list, args, strict=False))
            return session.run(fetches, feed_dict=feeds, **kwargs)
        try:
            step, values = prepare(args)
            return session._execute(step, values, *_options(**kwargs))
        except OpError as error:
            failure = [enriched(error, graph)]
        raise failure.pop()

    return run


def _options(options: Any = None, run_metadata: Any = None) -> tuple[Any, Any]:
    return options, run_metadata


def callable_without_feeds(
    session: Client, fetches: Any, accept_options: bool, on_device: bool
) -> Callable[..., Any]:
    """A function of nothing, or of RunOptions and RunMetadata; its fetches are looked at now."""
    engine, graph = session._engine, session.graph
    fetch_map = FetchMap(graph, fetches, session)
    known: Step | None = None
    if not engine.closed:
        # Also where nothing is fetched: a bad operation anywhere is told now.
        engine.extend()
        if fetch_map.elements:
            known = make_step(engine, fetch_map, {}, (), on_device)
    execute: Execute | None = None if known is None else known.execute

    def check_ready() -> None:
        engine.check_open()
        if known is None:
            raise InvalidArgumentError(
                None, None, "Must specify at least one target to fetch or execute."
            )

    # What the graph has grown by since is no matter of this step.
    def run() -> Any:
        try:
            if execute is None or engine.closed:
                check_ready()
            assert execute is not None
            return execute(())
        except OpError as error:
            failure = [plain(error)]
        raise failure.pop()

    def run_with_options(options: Any = None, run_metadata: Any = None) -> Any:
        options = parsed_options(options)
        try:
            check_ready()
            assert known is not None
            return session._execute(known, (), options, run_metadata)
        except OpError as error:
            failure = [plain(error)]
        raise failure.pop()

    return run_with_options if accept_options else run
