"""Plans: what a step runs. Segments, the transfers between them, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import call
from typing import Any

import numpy as np

from tfsession.core import protos
from tfsession.devices.transfer import Memory, start_copy, wait_for
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor
from tfsession.runtime.errors import failure_of
from tfsession.runtime.partition import Transfer

Value = Any
Function = Callable[..., Any]


@dataclass(slots=True)
class CompiledSegment:
    """A segment as one function of the values it reads, giving the values that leave it.

    `dead` names the values that nothing reads any more once the segment has run; `source` is the
    function's text.
    """

    function: Function
    memory: Memory
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    dead: tuple[str, ...]
    ops_by_line: list[Operation | None]
    transfers: list[Transfer]
    source: str

    def run(self, arguments: Sequence[Value]) -> tuple[Value, ...]:
        """Call the function; an error names the operation that failed."""
        try:
            return self.function(*arguments)  # type: ignore[no-any-return]
        except BaseException as error:
            failure = failure_of(error, self.function.__code__, self.ops_by_line)
        # Raised here, so that the new error does not keep the failed frame and its arrays alive.
        raise failure


class Plan:
    """A compiled step. `run(feed values)` gives the fetched values, ready to hand to the user."""

    def __init__(
        self,
        feeds: Sequence[Tensor],
        fetches: Sequence[Tensor],
        segments: list[CompiledSegment],
        names: Mapping[tuple[Tensor, int], str],
        finishers: Sequence[Function],
        fetch_transfers: list[Transfer],
    ) -> None:
        self.feeds = tuple(feeds)
        self.fetches = tuple(fetches)
        self.segments = segments
        self._finishers = tuple(finishers)
        self._feed_names = [names[tensor, id(None)] for tensor in feeds]
        self._fetch_names = [names[tensor, id(None)] for tensor in fetches]
        self._fetch_transfers = fetch_transfers
        self._names = names
        self._single = (
            len(segments) == 1
            and not segments[0].transfers
            and not fetch_transfers
            and segments[0].memory is None
            and segments[0].inputs == tuple(self._feed_names)
            and segments[0].outputs == tuple(self._fetch_names)
        )
        self.run: Callable[[Sequence[Value]], list[Value]] = (
            self._run_single if self._single else self._run_segments
        )

    @property
    def transfers(self) -> list[Transfer]:
        """Every transfer that a step makes, in order."""
        return [t for segment in self.segments for t in segment.transfers] + self._fetch_transfers

    def _run_single(self, feeds: Sequence[Value]) -> list[Value]:
        segment = self.segments[0]
        with np.errstate(all="ignore"):
            values = segment.run(feeds)
        return list(map(call, self._finishers, values))

    def _run_segments(self, feeds: Sequence[Value]) -> list[Value]:
        values: dict[str, Value] = dict(zip(self._feed_names, feeds, strict=True))
        with np.errstate(all="ignore"):
            for segment in self.segments:
                self._transfer(segment.transfers, values)
                arguments = [values[name] for name in segment.inputs]
                if segment.memory is None:
                    results = segment.run(arguments)
                else:
                    with segment.memory.activate():
                        results = segment.run(arguments)
                for name in segment.dead:
                    del values[name]
                values.update(zip(segment.outputs, results, strict=True))
            self._transfer(self._fetch_transfers, values)
        return [
            finish(values[name])
            for finish, name in zip(self._finishers, self._fetch_names, strict=True)
        ]

    def _transfer(self, transfers: Sequence[Transfer], values: dict[str, Value]) -> None:
        for transfer in transfers:
            tensor, destination = transfer.tensor, transfer.destination
            value = values[self._names[tensor, id(transfer.source)]]
            copied = self._copied(transfer, value)
            values[self._names[tensor, id(destination)]] = copied
        wait_for(transfer.source for transfer in transfers if transfer.destination is None)

    def _copied(self, transfer: Transfer, value: Value) -> Value:
        tensor = transfer.tensor
        try:
            if tensor.dtype.is_ref and tensor not in self.feeds:
                value = value.read()
            return start_copy(value, transfer.source, transfer.destination)
        except Exception as error:
            failure = failure_of(error, None, [tensor.op])
        raise failure


def finish_fresh(value: Value) -> Value:
    """A fetched value that nobody else holds: an own, contiguous array, or a scalar."""
    if type(value) is np.ndarray:
        if value.ndim == 0:
            return value[()]
        if value.base is None and value.flags.c_contiguous:
            return value
        return value.copy()
    return value


def finish_shared(value: Value) -> Value:
    """A fetched value that something else may hold: always a copy."""
    if type(value) is np.ndarray:
        return value[()] if value.ndim == 0 else value.copy()
    return value


def finish_reference(node: str, variable: Any) -> Value:
    """The value of a fetched reference variable; an error names the node of the fetch."""
    if not variable.is_initialized:
        error = variable.uninitialized()
        raise type(error)(None, None, f"{error.message}\n\t [[{{{{node {node}}}}}]]")
    return finish_shared(variable.read())


# What TensorFlow gives for a fetched resource: opaque bytes.
_HANDLE_DTYPE = np.dtype([("resource", np.uint8, (1,))])


def finish_handle(resource: Any) -> Value:
    """A fetched resource as the bytes of a ResourceHandleProto."""
    proto = protos.ResourceHandleProto(
        container=resource.container, name=resource.name, maybe_type_name=type(resource).__name__
    )
    return np.frombuffer(proto.SerializeToString(), _HANDLE_DTYPE).copy()
