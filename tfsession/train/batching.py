"""Batches of what one step gives at a time: queues in between, with the runners that fill them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tfsession.core.dtypes import float32, int32
from tfsession.core.exports import export
from tfsession.core.shape import TensorShape, as_shape
from tfsession.graph.create import convert_to_tensor, graph_of
from tfsession.graph.sparse_tensor import SparseTensor, SparseTensorValue
from tfsession.graph.tensor import Tensor
from tfsession.ops.cast import cast
from tfsession.ops.constant import no_op
from tfsession.ops.elementwise import maximum
from tfsession.ops.layer import smart_cond
from tfsession.ops.partition import dynamic_partition
from tfsession.ops.queue import QueueBase
from tfsession.ops.queue_kinds import FIFOQueue, PaddingFIFOQueue, RandomShuffleQueue
from tfsession.ops.summary import scalar
from tfsession.train.queue_runner import QueueRunner, add_queue_runner
from tfsession.train.sparse_batching import restored, stored


class _Batch:
    """One call of a batching function: what enters the queue, and how it comes out.

    Args:
        tensors_list: for each enqueue operation a list or a dict of tensors, all alike.
        batch_size: how many elements a batch has.
        enqueue_many: whether the tensors are batches already, of any size.
        shapes: of the elements; those of the tensors when None.
        keep_input: whether the elements enter: a bool scalar, or with `enqueue_many` a vector.
        smaller: whether the last batch may be smaller.
        shared_name: of the queue.
    """

    def __init__(
        self, tensors_list: Sequence[Any], batch_size: Any, enqueue_many: bool, shapes: Any,
        keep_input: Any, smaller: bool, shared_name: str | None,
    ) -> None:  # fmt: skip
        if not tensors_list:
            raise ValueError("Expected at least one set of tensors")
        self._original = tensors_list[0]
        if isinstance(self._original, dict):
            keys = set(self._original)
            if any(set(tensors) != keys for tensors in tensors_list[1:]):
                raise ValueError("All dictionaries in tensors_list must have the same keys")
        self.lists = [
            [tensors[key] for key in sorted(tensors, key=str)]
            if isinstance(tensors, dict)
            else list(tensors)
            for tensors in tensors_list
        ]
        self._batch_size = batch_size
        self._many = enqueue_many
        self._given_shapes = shapes
        self._keep_input = keep_input
        self._smaller = smaller
        self._shared_name = shared_name

    def build(
        self,
        name: str | None,
        default_name: str,
        make: Callable[..., QueueBase],
        repeats: int,
        fullness: Callable[[QueueBase], tuple[str, Any]],
    ) -> Any:
        """The queue, the operations that fill it, and a batch out of it.

        Args:
            name: name of the operations.
            default_name: what they are called when `name` is None.
            make: makes the queue.
            repeats: how many threads run each enqueue operation.
            fullness: the name and the value of a summary of how full the queue is.
        """
        values = [value for tensors in self.lists for value in tensors]
        graph = graph_of([*values, self._keep_input])
        with graph.as_default(), graph.name_scope(name or default_name) as scope:
            self.lists = [[_as_tensor(value) for value in tensors] for tensors in self.lists]
            if not self.lists[0]:
                raise ValueError("Expected at least one tensor in batch().")
            keep = self._checked_keep_input()
            self.lists, kept = stored(self.lists, self._many, keep, scope)
            queue = make(dtypes=self._types(), shapes=self._shapes(), shared_name=self._shared_name)
            enqueue_ops = [self._enqueue(queue, tensors, keep) for tensors in self.lists]
            add_queue_runner(QueueRunner(queue, enqueue_ops * repeats))
            scalar(*fullness(queue))
            take = queue.dequeue_up_to if self._smaller else queue.dequeue_many
            batch = take(self._batch_size, name=scope)
            if any(kept):
                columns = restored(batch if isinstance(batch, list) else [batch], kept)
                batch = columns if len(columns) > 1 else columns[0]
            return self._as_given(batch)

    def _checked_keep_input(self) -> Tensor:
        keep: Tensor = convert_to_tensor(self._keep_input)
        rank = keep.shape.rank
        if rank is None:
            raise ValueError("`keep_input` dimensions must be known at graph construction.")
        if rank == 1 and not self._many:
            raise ValueError("`keep_input` cannot be a vector when `enqueue_many=False`.")
        if rank > 1:
            raise ValueError("`keep_input` must be 0 or 1 dimensions.")
        return keep

    def _types(self) -> list[Any]:
        types = [tensor.dtype for tensor in self.lists[0]]
        for tensors in self.lists[1:]:
            others = [tensor.dtype for tensor in tensors]
            if others != types:
                first, second = (", ".join(t.name for t in ts) for ts in (types, others))
                raise TypeError(f"Expected types to be consistent: {first} vs. {second}.")
        return [dtype.base_dtype for dtype in types]

    def _shapes(self) -> Any:
        if self._given_shapes is not None:
            return self._given_shapes
        for tensors in self.lists:
            for tensor in tensors:
                if tensor.shape.rank is None:
                    raise ValueError(f"Cannot infer Tensor's rank: {tensor}")
        return [self._merged(column) for column in zip(*self.lists, strict=True)]

    def _merged(self, tensors: Sequence[Tensor]) -> TensorShape:
        shapes = [as_shape(tensor.shape) for tensor in tensors]
        if self._many:
            shapes = [shape.with_rank_at_least(1)[1:] for shape in shapes]
        merged = shapes[0]
        for shape in shapes[1:]:
            merged.merge_with(shape)
            merged = merged.most_specific_compatible_shape(shape)
        return merged

    def _enqueue(self, queue: QueueBase, tensors: list[Any], keep: Tensor) -> Any:
        put = queue.enqueue_many if self._many else queue.enqueue
        if keep.shape.rank == 1:
            chosen = cast(keep, int32)
            return put([dynamic_partition(tensor, chosen, 2)[1] for tensor in tensors])
        return smart_cond(keep, lambda: put(tensors), no_op)

    def _as_given(self, batch: Any) -> Any:
        """The batch in a dict, a list or alone, as the tensors were given."""
        if not isinstance(self._original, dict):
            return batch
        columns = batch if isinstance(batch, list) else [batch]
        return dict(zip(sorted(self._original, key=str), columns, strict=True))


def _as_tensor(value: Any) -> Any:
    if isinstance(value, SparseTensorValue):
        return SparseTensor.from_value(value)
    return value if isinstance(value, SparseTensor) else convert_to_tensor(value)


def _in_order(
    build: _Batch, default_name: str, name: str | None, capacity: int, pad: bool, threads: int
) -> Any:
    def make(**settings: Any) -> QueueBase:
        return (PaddingFIFOQueue if pad else FIFOQueue)(capacity=capacity, **settings)

    def fullness(queue: QueueBase) -> tuple[str, Any]:
        return f"fraction_of_{capacity}_full", cast(queue.size(), float32) * (1.0 / capacity)

    return build.build(name, default_name, make, threads, fullness)


def _shuffled(
    build: _Batch, default_name: str, name: str | None, capacity: int, least: int,
    seed: int | None, threads: int,
) -> Any:  # fmt: skip
    if capacity <= least:
        raise ValueError(f"capacity {capacity} must be bigger than min_after_dequeue {least}.")

    def make(**settings: Any) -> QueueBase:
        return RandomShuffleQueue(capacity=capacity, min_after_dequeue=least, seed=seed, **settings)

    def fullness(queue: QueueBase) -> tuple[str, Any]:
        over = cast(maximum(0, queue.size() - least), float32) * (1.0 / (capacity - least))
        return f"fraction_over_{least}_of_{capacity - least}_full", over

    return build.build(name, default_name, make, threads, fullness)


@export("train.batch")
def batch(
    tensors: Any, batch_size: Any, num_threads: int = 1, capacity: int = 32,
    enqueue_many: bool = False, shapes: Any = None, dynamic_pad: bool = False,
    allow_smaller_final_batch: bool = False, shared_name: str | None = None,
    name: str | None = None,
) -> Any:  # fmt: skip
    """Batches of tensors that each step gives anew, by a queue and a QueueRunner that fills it.

    Args:
        tensors: a list or a dict of tensors, or of sparse tensors.
        batch_size: how many elements a batch has: an int, or an int32 scalar.
        num_threads: how many threads fill the queue; with several the order may change.
        capacity: of the queue.
        enqueue_many: the tensors are batches already, of any size: elements are their rows.
        shapes: of the elements; those of the tensors when None.
        dynamic_pad: elements may have other sizes where a shape says None, and are padded.
        allow_smaller_final_batch: give what is left when there is no more, instead of dropping it.
        shared_name: queues of one shared name, in one session, are one queue.
        name: name of the operations.

    Returns:
        Tensors as they were given, with a first dimension more; a single one alone. When they are
        run they raise OutOfRangeError if there is no more.

    Raises:
        ValueError: there is no tensor, or a shape is not known.
    """
    build = _Batch([tensors], batch_size, enqueue_many, shapes, True,
                   allow_smaller_final_batch, shared_name)  # fmt: skip
    return _in_order(build, "batch", name, capacity, dynamic_pad, num_threads)


@export("train.maybe_batch")
def maybe_batch(
    tensors: Any, keep_input: Any, batch_size: Any, num_threads: int = 1, capacity: int = 32,
    enqueue_many: bool = False, shapes: Any = None, dynamic_pad: bool = False,
    allow_smaller_final_batch: bool = False, shared_name: str | None = None,
    name: str | None = None,
) -> Any:  # fmt: skip
    """As `batch`, of those elements for which `keep_input` is true.

    `keep_input` is a bool scalar; with `enqueue_many` it may be a vector, one for each row.
    """
    build = _Batch([tensors], batch_size, enqueue_many, shapes, keep_input,
                   allow_smaller_final_batch, shared_name)  # fmt: skip
    return _in_order(build, "batch", name, capacity, dynamic_pad, num_threads)


@export("train.batch_join")
def batch_join(
    tensors_list: Sequence[Any], batch_size: Any, capacity: int = 32, enqueue_many: bool = False,
    shapes: Any = None, dynamic_pad: bool = False, allow_smaller_final_batch: bool = False,
    shared_name: str | None = None, name: str | None = None,
) -> Any:  # fmt: skip
    """As `batch`, of several lists or dicts of tensors; a thread for each fills the queue."""
    build = _Batch(tensors_list, batch_size, enqueue_many, shapes, True,
                   allow_smaller_final_batch, shared_name)  # fmt: skip
    return _in_order(build, "batch_join", name, capacity, dynamic_pad, 1)


@export("train.maybe_batch_join")
def maybe_batch_join(
    tensors_list: Sequence[Any], keep_input: Any, batch_size: Any, capacity: int = 32,
    enqueue_many: bool = False, shapes: Any = None, dynamic_pad: bool = False,
    allow_smaller_final_batch: bool = False, shared_name: str | None = None,
    name: str | None = None,
) -> Any:  # fmt: skip
    """As `batch_join`, of those elements for which `keep_input` is true."""
    build = _Batch(tensors_list, batch_size, enqueue_many, shapes, keep_input,
                   allow_smaller_final_batch, shared_name)  # fmt: skip
    return _in_order(build, "batch_join", name, capacity, dynamic_pad, 1)


@export("train.shuffle_batch")
def shuffle_batch(
    tensors: Any, batch_size: Any, capacity: int, min_after_dequeue: int, num_threads: int = 1,
    seed: int | None = None, enqueue_many: bool = False, shapes: Any = None,
    allow_smaller_final_batch: bool = False, shared_name: str | None = None,
    name: str | None = None,
) -> Any:  # fmt: skip
    """As `batch`, in random order.

    Args:
        tensors: a list or a dict of tensors.
        batch_size: how many elements a batch has: an int, or an int32 scalar.
        capacity: of the queue.
        min_after_dequeue: how many elements stay in the queue for mixing.
        num_threads: how many threads fill the queue.
        seed: an int that makes the order repeatable.
        enqueue_many: the tensors are batches already, of any size: elements are their rows.
        shapes: of the elements; those of the tensors when None.
        allow_smaller_final_batch: give what is left when there is no more, instead of dropping it.
        shared_name: queues of one shared name, in one session, are one queue.
        name: name of the operations.

    Raises:
        ValueError: there is no tensor, a shape is not known, or `capacity` is too small.
    """
    build = _Batch([tensors], batch_size, enqueue_many, shapes, True,
                   allow_smaller_final_batch, shared_name)  # fmt: skip
    return _shuffled(build, "shuffle_batch", name, capacity, min_after_dequeue, seed, num_threads)


@export("train.maybe_shuffle_batch")
def maybe_shuffle_batch(
    tensors: Any, batch_size: Any, capacity: int, min_after_dequeue: int, keep_input: Any,
    num_threads: int = 1, seed: int | None = None, enqueue_many: bool = False,
    shapes: Any = None, allow_smaller_final_batch: bool = False, shared_name: str | None = None,
    name: str | None = None,
) -> Any:  # fmt: skip
    """As `shuffle_batch`, of those elements for which `keep_input` is true."""
    build = _Batch([tensors], batch_size, enqueue_many, shapes, keep_input,
                   allow_smaller_final_batch, shared_name)  # fmt: skip
    return _shuffled(build, "shuffle_batch", name, capacity, min_after_dequeue, seed, num_threads)


@export("train.shuffle_batch_join")
def shuffle_batch_join(
    tensors_list: Sequence[Any], batch_size: Any, capacity: int, min_after_dequeue: int,
    seed: int | None = None, enqueue_many: bool = False, shapes: Any = None,
    allow_smaller_final_batch: bool = False, shared_name: str | None = None,
    name: str | None = None,
) -> Any:  # fmt: skip
    """As `shuffle_batch`, of several lists or dicts of tensors, with a thread for each."""
    build = _Batch(tensors_list, batch_size, enqueue_many, shapes, True,
                   allow_smaller_final_batch, shared_name)  # fmt: skip
    return _shuffled(build, "shuffle_batch_join", name, capacity, min_after_dequeue, seed, 1)


@export("train.maybe_shuffle_batch_join")
def maybe_shuffle_batch_join(
    tensors_list: Sequence[Any], batch_size: Any, capacity: int, min_after_dequeue: int,
    keep_input: Any, seed: int | None = None, enqueue_many: bool = False, shapes: Any = None,
    allow_smaller_final_batch: bool = False, shared_name: str | None = None,
    name: str | None = None,
) -> Any:  # fmt: skip
    """As `shuffle_batch_join`, of those elements for which `keep_input` is true."""
    build = _Batch(tensors_list, batch_size, enqueue_many, shapes, keep_input,
                   allow_smaller_final_batch, shared_name)  # fmt: skip
    return _shuffled(build, "shuffle_batch_join", name, capacity, min_after_dequeue, seed, 1)
