"""Callables of CallableOptions: values by position to a list of values, the shortest way to a plan.

Nothing is cast. Feeds and fetches may stay in a device's memory, tensors may be connected, and
every step runs under the same RunOptions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import call
from typing import Any

from tfsession.core import protos
from tfsession.core.device_spec import parse_device_name
from tfsession.core.dtypes import resource, variant
from tfsession.core.errors import (
    InvalidArgumentError,
    NotFoundError,
    OpError,
    OutOfRangeError,
)
from tfsession.devices.device import Device
from tfsession.devices.transfer import Memory
from tfsession.graph.graph import Graph
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor
from tfsession.runtime.callables import Client
from tfsession.runtime.config import parsed_options
from tfsession.runtime.errors import plain
from tfsession.runtime.execute import Engine
from tfsession.runtime.feeds import (
    Converter,
    DeviceFeed,
    typed_converter,
    typed_resident_converter,
)
from tfsession.runtime.partition import HOST_DTYPES
from tfsession.runtime.plan import Signature
from tfsession.runtime.step import Step
from tfsession.runtime.wiring import resolved


def callable_from_options(session: Client, callable_options: Any) -> Callable[..., list[Any]]:
    """A function that takes the fed values in order and gives the fetched ones.

    It takes `run_metadata`, too. Its errors are not told with the lines of the program.

    Args:
        session: runs the steps.
        callable_options: a CallableOptions message, of any package that has it.

    Raises:
        AttributeError: `callable_options` is no message.
        InvalidArgumentError: a name is unknown, nothing is fetched, or tensors cannot be fed,
            fetched or connected so.
        OutOfRangeError: an operation has no such output.
        NotFoundError: a target, or a tensor to connect, is unknown.
        CancelledError: the session is closed.
    """
    options = protos.CallableOptions.FromString(callable_options.SerializeToString())
    run_options = parsed_options(options.run_options) if options.HasField("run_options") else None
    try:
        return _runner(session, _Request(session._engine, options), run_options)
    except OpError as error:
        failure = plain(error)
    raise failure


def _runner(session: Client, request: _Request, run_options: Any) -> Callable[..., list[Any]]:
    engine, first = session._engine, request.step(request.memories)
    converters, execute, arity = first.converters, first.execute, len(request.feeds)
    steps: dict[tuple[Memory, ...], Step] = {}

    def resident(args: Sequence[Any]) -> Step:
        """The step for feeds that lie where these do."""
        places = [engine.adopt(arg) for arg in args]
        memories = tuple([None if place is None else place[1] for place in places])
        if memories not in steps:
            steps[memories] = request.step(memories)
        return steps[memories]

    def run(*args: Any, **kwargs: Any) -> list[Any]:
        try:
            if len(args) != arity:
                raise _invalid(f"Expected {arity} feed tensors, but got {len(args)}")
            if engine.closed:
                engine.check_open()
            step = first
            try:
                values = list(map(call, converters, args))
            except DeviceFeed:
                step = resident(args)
                values = list(map(call, step.converters, args))
            if kwargs or run_options is not None:
                metadata = kwargs.get("run_metadata")
                return session._execute(step, values, run_options, metadata)  # type: ignore[no-any-return]
            return execute(values) if step is first else step.execute(values)  # type: ignore[no-any-return]
        except OpError as error:
            failure = plain(error)
        raise failure

    return run


class _Request:
    """What a CallableOptions message asks for, in terms of the graph."""

    def __init__(self, engine: Engine, options: Any) -> None:
        engine.check_open()
        graph = engine.graph
        self._engine = engine
        self.feeds = [_endpoint(graph, name) for name in options.feed]
        self.memories = _memories(engine, self.feeds, options.feed, options.feed_devices)
        fetches = [_endpoint(graph, name) for name in options.fetch]
        kept = _memories(engine, fetches, options.fetch, options.fetch_devices)
        if not fetches and not options.target:
            raise _invalid("Must specify at least one target to fetch or execute.")
        connections = [(c.from_tensor, c.to_tensor) for c in options.tensor_connection]
        _check_apart([*map(_name, self.feeds), *(to for _, to in connections)], fetches)
        pairs = [(_connected(graph, to), _source(graph, tensor, to)) for tensor, to in connections]
        _check_apart([*map(_name, self.feeds), *(to.name for to, _ in pairs)], fetches)
        self._fetches = tuple(fetches)
        self._on_device = kept if any(kept) else False
        self._connections = tuple(resolved(dict(pairs), self.feeds).items())
        self._targets = _targets(graph, options.target)

    def step(self, memories: tuple[Memory, ...]) -> Step:
        """The step for feeds in these memories; its fetches are in the order asked for."""
        converters = [
            self._converter(tensor, number, memory)
            for number, (tensor, memory) in enumerate(zip(self.feeds, memories, strict=True))
        ]
        signature = Signature(
            self._fetches,
            self._targets,
            tuple(self.feeds),
            memories,
            self._on_device,
            connections=self._connections,
        )
        plan = self._engine.plan(signature)
        return Step(tuple(converters), self._engine.runner(plan), lambda run: run, plan)

    def _converter(self, tensor: Tensor, number: int, memory: Memory) -> Converter:
        argument = f"_arg_{tensor.op.name}_{tensor.value_index}_{number}"
        if memory is None:
            return typed_converter(tensor, argument)
        return typed_resident_converter(tensor, argument, memory, self._engine.adopt)


def _invalid(text: str) -> InvalidArgumentError:
    return InvalidArgumentError(None, None, text)


def _name(tensor: Tensor) -> str:
    return tensor.name


def _split(name: str) -> tuple[str, int]:
    """The operation's name and the output's index; an operation's name means its first output."""
    if name.startswith("^"):
        return name[1:], -1
    operation, colon, index = name.rpartition(":")
    return (operation, int(index)) if colon and index.isdecimal() else (name, 0)


def _endpoint(graph: Graph, name: str) -> Tensor:
    """The tensor to feed or fetch."""
    operation, index = _split(name)
    op = graph._ops.get(operation)
    if op is None:
        raise _invalid(
            f"Tensor {operation}:{index}, specified in either feed_devices or fetch_devices was "
            "not found in the Graph"
        )
    if not 0 <= index < len(op.outputs):
        raise OutOfRangeError(
            None,
            None,
            f"Node '{op.name}' (type: '{op.type}', num of outputs: {len(op.outputs)}) does not "
            f"have output {index}",
        )
    return op.outputs[index]


def _connected(graph: Graph, name: str) -> Tensor:
    """The tensor in whose place another is read."""
    operation, index = _split(name)
    op = graph._ops.get(operation)
    if op is None:
        raise NotFoundError(None, None, f"FeedInputs: unable to find feed output {name}")
    if not 0 <= index < len(op.outputs):
        raise _invalid(f"FeedInputs: {name} should have output index < {len(op.outputs)}")
    return op.outputs[index]


def _source(graph: Graph, name: str, to: str) -> Tensor:
    """The tensor that is read in place of the one called `to`."""
    operation, index = _split(name)
    op = graph._ops.get(operation)
    if op is None:
        raise _invalid(f'Requested tensor connection from unknown node: "{to}".')
    if not 0 <= index < len(op.outputs):
        raise _invalid(
            f'Requested tensor connection from unknown edge: "{to}" (actual number of outputs = '
            f"{len(op.outputs)})."
        )
    return op.outputs[index]


def _targets(graph: Graph, names: Sequence[str]) -> tuple[Operation, ...]:
    found = [graph._ops.get(_split(name)[0]) for name in names]
    missing = [name for name, op in zip(names, found, strict=True) if op is None]
    if missing:
        text = "".join(f"{name} " for name in missing)
        raise NotFoundError(None, None, f"PruneForTargets: Some target nodes not found: {text}")
    return tuple([op for op in found if op is not None])


def _check_apart(replaced: Sequence[str], fetches: Sequence[Tensor]) -> None:
    """Raise InvalidArgumentError where a tensor is fed or connected twice, or also fetched."""
    for number, name in enumerate(replaced):
        if name in replaced[:number]:
            raise _invalid(f'Endpoint "{name}" fed more than once.')
    for tensor in fetches:
        if tensor.name in replaced:
            raise _invalid(f"{tensor.name} is both fed and fetched.")


def _memories(
    engine: Engine, tensors: Sequence[Tensor], names: Sequence[str], devices: Mapping[str, str]
) -> tuple[Memory, ...]:
    """The memory of each tensor: the host's where no device is named for it."""
    memories: list[Memory] = []
    for tensor, name in zip(tensors, names, strict=True):
        device = _device(engine, name, devices[name]) if name in devices else None
        if device is None or device.device_type == "CPU":
            memories.append(None)
            continue
        dtype = tensor.dtype.base_dtype
        if dtype in HOST_DTYPES or dtype in (resource, variant):
            raise _invalid(
                f"Cannot feed or fetch tensor '{tensor.name}' from device {device.name} as "
                f"feeding/fetching from GPU devices is not yet supported for {dtype.op_def_name} "
                "tensors"
            )
        memories.append(device)
    return tuple(memories)


def _device(engine: Engine, tensor: str, text: str) -> Device:
    name = parse_device_name(text)
    if name is None:
        raise _invalid(
            f"Invalid device name ('{text}') provided for the tensor '{tensor}' in CallableOptions"
        )
    for device in engine.devices.devices:
        if device.name == name.to_string():
            return device
    raise _invalid(
        f"Device '{text}' specified for tensor '{tensor}' in CallableOptions does not exist"
    )
