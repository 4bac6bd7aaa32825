"""Kernels of queues. The value of a handle is the queue itself; elements are in host memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfsession.core.dtypes import DType, int64
from tfsession.core.errors import InvalidArgumentError
from tfsession.core.rules import kernel
from tfsession.core.shape import Shape
from tfsession.resources.queue import Queue
from tfsession.resources.queue_kinds import (
    FIFOQueue,
    PaddingFIFOQueue,
    PriorityQueue,
    RandomShuffleQueue,
)
from tfsession.resources.store import DEFAULT_CONTAINER


def _found(
    ctx: Any, op_type: str, kind: Any, container: bytes, shared_name: bytes,
    *settings: Any, **more: Any,
) -> Queue:  # fmt: skip
    """The queue of the node, or of its shared name, made when first met."""
    found: Queue | None = ctx.state.get("queue")
    if found is None:
        where, store = container.decode() or DEFAULT_CONTAINER, ctx.resources
        name = shared_name.decode() or ctx.state.setdefault("name", store.unique_name(ctx.name))
        made = kind(name, where, *settings, **more)
        found = store.get_or_create(where, name, Queue, lambda: made)
        found.check_shared(made, op_type)
        ctx.state["queue"] = found
    return found


def _define(kind: type[Queue], op_type: str) -> None:
    @kernel(op_type, device="CPU", stateful=True)
    def queue(
        ctx: Any, *, component_types: list[DType], shapes: list[Shape], capacity: int,
        container: bytes, shared_name: bytes,
    ) -> Queue:  # fmt: skip
        return _found(ctx, op_type, kind, container, shared_name, component_types, shapes, capacity)


def _define_shuffle(op_type: str) -> None:
    @kernel(op_type, device="CPU", stateful=True)
    def queue(
        ctx: Any, *, component_types: list[DType], shapes: list[Shape], capacity: int,
        min_after_dequeue: int, seed: int, seed2: int, container: bytes, shared_name: bytes,
    ) -> Queue:  # fmt: skip
        return _found(
            ctx, op_type, RandomShuffleQueue, container, shared_name,
            component_types, shapes, capacity,
            min_after_dequeue=min_after_dequeue, seeds=(seed, seed2),
        )  # fmt: skip


def _define_priority(op_type: str) -> None:
    @kernel(op_type, device="CPU", stateful=True)
    def queue(
        ctx: Any, *, component_types: list[DType], shapes: list[Shape], capacity: int,
        container: bytes, shared_name: bytes,
    ) -> Queue:  # fmt: skip
        return _found(
            ctx, op_type, PriorityQueue, container, shared_name,
            [int64, *component_types], [(), *shapes] if shapes else [], capacity,
        )  # fmt: skip


for _version in ("", "V2"):
    _define(FIFOQueue, f"FIFOQueue{_version}")
    _define(PaddingFIFOQueue, f"PaddingFIFOQueue{_version}")
    _define_shuffle(f"RandomShuffleQueue{_version}")
    _define_priority(f"PriorityQueue{_version}")


def queue_of(handle: Any) -> Queue:
    """The queue of a handle, which may have been chosen from an array of handles."""
    if isinstance(handle, Queue):
        return handle
    chosen = handle.item() if isinstance(handle, np.ndarray) and handle.size == 1 else handle
    if isinstance(chosen, Queue):
        return chosen
    raise InvalidArgumentError(
        None,
        None,
        "Trying to access resource using the wrong type. Expected a queue, got "
        f"{type(chosen).__name__}",
    )


def _check_timeout(timeout_ms: int) -> None:
    if timeout_ms != -1:
        raise InvalidArgumentError(None, None, "Timeout not supported yet.")


def _signature(inputs: str, queue: Queue, types: list[DType]) -> InvalidArgumentError:
    """The error for an operation whose outputs are not the components of the queue."""
    have, expected = (", ".join(t.op_def_name for t in ts) for ts in (types, queue.dtypes))
    return InvalidArgumentError(
        None, None, f"Signature mismatch, have: {inputs}->{have} expected: {inputs}->{expected}"
    )


def _accepting(handle: Any, types: list[DType], timeout_ms: int) -> Queue:
    """The queue, which must take components of these types."""
    queue = queue_of(handle)
    _check_timeout(timeout_ms)
    if types != queue.dtypes:
        have, expected = (
            ", ".join(["resource", *(t.op_def_name for t in ts)]) for ts in (types, queue.dtypes)
        )
        raise InvalidArgumentError(
            None, None, f"Signature mismatch, have: {have}-> expected: {expected}->"
        )
    return queue


@kernel("QueueEnqueue", "QueueEnqueueV2", device="CPU", blocking=True)
def enqueue(
    xp: Any, handle: Any, *components: Any, Tcomponents: list[DType], timeout_ms: int
) -> Any:
    """Add one element."""
    queue = _accepting(handle, Tcomponents, timeout_ms)
    return queue.enqueue(queue.element(components))


@kernel("QueueEnqueueMany", "QueueEnqueueManyV2", device="CPU", blocking=True)
def enqueue_many(
    xp: Any, handle: Any, *components: Any, Tcomponents: list[DType], timeout_ms: int
) -> Any:
    """Add one element for each slice along the first dimension."""
    queue = _accepting(handle, Tcomponents, timeout_ms)
    return queue.enqueue_many(queue.elements(components))


@kernel("QueueDequeue", "QueueDequeueV2", device="CPU", blocking=True)
def dequeue(xp: Any, handle: Any, *, component_types: list[DType], timeout_ms: int) -> Any:
    """Take one element."""
    queue = queue_of(handle)
    _check_timeout(timeout_ms)
    if component_types != queue.dtypes:
        raise _signature("resource", queue, component_types)
    return queue.dequeue()


def _dequeue_batch(
    handle: Any, n: Any, types: list[DType], timeout_ms: int, allow_small: bool
) -> Any:
    queue, count = queue_of(handle), np.asarray(n).ravel()
    _check_timeout(timeout_ms)
    name = "DequeueUpToOp" if allow_small else "DequeueManyOp"
    if not count.size:
        raise InvalidArgumentError(None, None, f"{name} requested no number of elements")
    if count[0] < 0:
        raise InvalidArgumentError(None, None, f"{name} requested {count[0]} < 0 elements")
    if types != queue.dtypes:
        raise _signature("resource, int32", queue, types)
    return queue.dequeue_many(int(count[0]), allow_small)


@kernel("QueueDequeueMany", "QueueDequeueManyV2", device="CPU", blocking=True)
def dequeue_many(
    xp: Any, handle: Any, n: Any, *, component_types: list[DType], timeout_ms: int
) -> Any:
    """Take `n` elements, stacked."""
    return _dequeue_batch(handle, n, component_types, timeout_ms, False)


@kernel("QueueDequeueUpTo", "QueueDequeueUpToV2", device="CPU", blocking=True)
def dequeue_up_to(
    xp: Any, handle: Any, n: Any, *, component_types: list[DType], timeout_ms: int
) -> Any:
    """Take `n` elements, stacked; what is left of a closed queue."""
    return _dequeue_batch(handle, n, component_types, timeout_ms, True)


@kernel("QueueClose", "QueueCloseV2", device="CPU", blocking=True)
def close(xp: Any, handle: Any, *, cancel_pending_enqueues: bool) -> Any:
    """Let no element enter any more."""
    return queue_of(handle).close(cancel_pending_enqueues)


@kernel("QueueSize", "QueueSizeV2", device="CPU")
def size(xp: Any, handle: Any) -> Any:
    """The number of elements."""
    return np.int32(queue_of(handle).size)


@kernel("QueueIsClosed", "QueueIsClosedV2", device="CPU")
def is_closed(xp: Any, handle: Any) -> Any:
    """Whether no element can enter any more."""
    return np.bool_(queue_of(handle).is_closed)
