"""Queues of what to read: names of files, numbers, slices of tensors, in order or shuffled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tfsession.core.dtypes import float32, int64, string
from tfsession.core.exports import export
from tfsession.graph.create import convert_to_tensor, graph_of
from tfsession.graph.graph_keys import GraphKeys
from tfsession.graph.tensor import Tensor
from tfsession.ops.cast import cast
from tfsession.ops.compare import greater
from tfsession.ops.constant import constant, identity
from tfsession.ops.control import assert_
from tfsession.ops.gather import gather
from tfsession.ops.queue_kinds import FIFOQueue
from tfsession.ops.random import random_shuffle
from tfsession.ops.sequence import range_
from tfsession.ops.shape import shape, size
from tfsession.ops.summary import scalar
from tfsession.ops.variables import Variable
from tfsession.train.queue_runner import QueueRunner, add_queue_runner


@export("train.limit_epochs")
def limit_epochs(tensor: Any, num_epochs: int | None = None, name: str | None = None) -> Any:
    """`tensor`, `num_epochs` times; then OutOfRangeError.

    The count is the local variable `epochs`, which `tf.local_variables_initializer()` initializes.

    Args:
        tensor: any tensor.
        num_epochs: how many times; without a limit when None.
        name: name of the operation.

    Raises:
        ValueError: `num_epochs` is not positive.
    """
    if num_epochs is None:
        return tensor
    if num_epochs <= 0:
        raise ValueError(f"num_epochs must be > 0 not {num_epochs}.")
    graph = graph_of([tensor])
    with graph.as_default(), graph.name_scope(name or "limit_epochs") as scope:
        epochs = Variable(
            constant(0, int64),
            name="epochs",
            trainable=False,
            collections=[GraphKeys.LOCAL_VARIABLES],
        )
        counter = epochs.count_up_to(num_epochs)
        with graph.control_dependencies([counter]):
            return identity(tensor, name=scope)


@export("train.input_producer")
def input_producer(
    input_tensor: Any,
    element_shape: Any = None,
    num_epochs: int | None = None,
    shuffle: bool = True,
    seed: int | None = None,
    capacity: int = 32,
    shared_name: str | None = None,
    summary_name: str | None = None,
    name: str | None = None,
    cancel_op: Any = None,
) -> FIFOQueue:
    """A queue of the rows of a tensor, again and again, with a QueueRunner that fills it.

    Args:
        input_tensor: a tensor of one row at least.
        element_shape: the shape of a row, where that of `input_tensor` is not known.
        num_epochs: how many times each row comes; without a limit when None.
        shuffle: in another order each time.
        seed: an int that makes the order repeatable.
        capacity: of the queue.
        shared_name: queues of one shared name, in one session, are one queue.
        summary_name: name of a summary of how full the queue is; none when None.
        name: name of the operations.
        cancel_op: closes the queue when the coordinator stops; made when None.

    Raises:
        ValueError: the shape of a row is not known.
    """
    graph = graph_of([input_tensor])
    with graph.as_default(), graph.name_scope(name or "input_producer"):
        tensor = convert_to_tensor(input_tensor, name="input_tensor")
        row_shape = tensor.shape[1:].merge_with(element_shape)
        if not row_shape.is_fully_defined():
            raise ValueError(
                "Either `input_tensor` must have a fully defined shape or `element_shape` must be "
                "specified"
            )
        if shuffle:
            tensor = random_shuffle(tensor, seed=seed)
        tensor = limit_epochs(tensor, num_epochs)
        queue = FIFOQueue(
            capacity=capacity,
            dtypes=[tensor.dtype.base_dtype],
            shapes=[row_shape],
            shared_name=shared_name,
            name=name,  # type: ignore[arg-type]
        )
        enqueue = queue.enqueue_many([tensor])
        add_queue_runner(QueueRunner(queue, [enqueue], cancel_op=cancel_op))
        if summary_name is not None:
            scalar(summary_name, cast(queue.size(), float32) * (1.0 / capacity))
        return queue


@export("train.string_input_producer")
def string_input_producer(
    string_tensor: Any,
    num_epochs: int | None = None,
    shuffle: bool = True,
    seed: int | None = None,
    capacity: int = 32,
    shared_name: str | None = None,
    name: str | None = None,
    cancel_op: Any = None,
) -> FIFOQueue:
    """A queue of texts, such as names of files, again and again.

    Args:
        string_tensor: a string vector.
        num_epochs: how many times each text comes; without a limit when None.
        shuffle: in another order each time.
        seed: an int that makes the order repeatable.
        capacity: of the queue.
        shared_name: queues of one shared name, in one session, are one queue.
        name: name of the operations.
        cancel_op: closes the queue when the coordinator stops; made when None.

    Returns:
        The queue. Filling it raises InvalidArgumentError if the vector is empty.

    Raises:
        ValueError: `string_tensor` is an empty list.
    """
    complaint = "string_input_producer requires a non-null input tensor"
    if isinstance(string_tensor, list | tuple | np.ndarray) and not len(string_tensor):
        raise ValueError(complaint)
    graph = graph_of([string_tensor])
    with graph.as_default(), graph.name_scope(name or "input_producer") as scope:
        texts = convert_to_tensor(string_tensor, string)
        with graph.control_dependencies([assert_(greater(size(texts), 0), [complaint])]):
            texts = identity(texts)
        return input_producer(
            texts,
            [],
            num_epochs,
            shuffle,
            seed,
            capacity,
            shared_name,
            f"fraction_of_{capacity}_full",
            scope,
            cancel_op,
        )


@export("train.range_input_producer")
def range_input_producer(
    limit: Any,
    num_epochs: int | None = None,
    shuffle: bool = True,
    seed: int | None = None,
    capacity: int = 32,
    shared_name: str | None = None,
    name: str | None = None,
) -> FIFOQueue:
    """A queue of the integers from 0 to `limit - 1`, again and again.

    Args:
        limit: an int32 scalar.
        num_epochs: how many times each integer comes; without a limit when None.
        shuffle: in another order each time.
        seed: an int that makes the order repeatable.
        capacity: of the queue.
        shared_name: queues of one shared name, in one session, are one queue.
        name: name of the operations.
    """
    graph = graph_of([limit])
    with graph.as_default(), graph.name_scope(name or "input_producer") as scope:
        return input_producer(
            range_(limit),
            [],
            num_epochs,
            shuffle,
            seed,
            capacity,
            shared_name,
            f"fraction_of_{capacity}_full",
            scope,
        )


@export("train.slice_input_producer")
def slice_input_producer(
    tensor_list: Sequence[Any],
    num_epochs: int | None = None,
    shuffle: bool = True,
    seed: int | None = None,
    capacity: int = 32,
    shared_name: str | None = None,
    name: str | None = None,
) -> list[Tensor]:
    """A row of each tensor, always the same one of all, another one each time.

    Args:
        tensor_list: tensors with equal first dimensions.
        num_epochs: how many times each row comes; without a limit when None.
        shuffle: in another order each time.
        seed: an int that makes the order repeatable.
        capacity: of the queue.
        shared_name: queues of one shared name, in one session, are one queue.
        name: name of the operations.

    Raises:
        ValueError: there is no tensor.
    """
    graph = graph_of(list(tensor_list))
    with graph.as_default(), graph.name_scope(name or "input_producer"):
        tensors = [convert_to_tensor(tensor) for tensor in tensor_list]
        if not tensors:
            raise ValueError("Expected at least one tensor in slice_input_producer().")
        count = shape(tensors[0])[0]
        index = range_input_producer(
            count, num_epochs, shuffle, seed, capacity, shared_name
        ).dequeue()
        return [gather(tensor, index) for tensor in tensors]
