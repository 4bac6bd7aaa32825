"""The queues that programs make: FIFOQueue, RandomShuffleQueue, PaddingFIFOQueue, PriorityQueue."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tfsession.core.dtypes import DType, as_dtype, int64
from tfsession.core.exports import export
from tfsession.core.shape import TensorShape, as_shape
from tfsession.graph.create import create_op
from tfsession.graph.graph import get_default_graph
from tfsession.ops.queue import QueueBase
from tfsession.ops.random import get_seed


def _as_types(dtypes: Any) -> list[DType]:
    return [as_dtype(d) for d in (dtypes if isinstance(dtypes, list | tuple) else [dtypes])]


def _is_size(value: Any) -> bool:
    return value is None or isinstance(value, int)


def _as_shapes(shapes: Any) -> list[TensorShape] | None:
    """Fully defined shapes: one is taken for a list of one."""
    if shapes is None:
        return None
    if isinstance(shapes, TensorShape):
        shapes = [shapes]
    if not isinstance(shapes, list | tuple):
        raise TypeError(
            "Shapes must be a TensorShape or a list or tuple of TensorShapes, got "
            f"{type(shapes)} instead."
        )
    if all(map(_is_size, shapes)):
        shapes = [shapes]
    found = [as_shape(shape) for shape in shapes]
    if not all(shape.is_fully_defined() for shape in found):
        raise ValueError(f"All shapes must be fully defined: {found}")
    return found


def _as_partial_shapes(shapes: Any) -> list[TensorShape]:
    if (
        not isinstance(shapes, Sequence)
        or isinstance(shapes, str | bytes)
        or not shapes
        or any(map(_is_size, shapes))
    ):
        raise ValueError("When providing partial shapes, a list of shapes must be provided.")
    found = [as_shape(shape) for shape in shapes]
    if any(shape.rank is None for shape in found):
        raise ValueError(f"All shapes must have a defined rank: {found}")
    return found


def _as_names(names: Any, dtypes: list[DType]) -> list[Any] | None:
    if names is None:
        return None
    names = list(names) if isinstance(names, list | tuple) else [names]
    if len(names) != len(dtypes):
        raise ValueError(
            "List of names must have the same length as the list of dtypes, received "
            f"len(names)={len(names)},len(dtypes)={len(dtypes)}"
        )
    return names


def _seed_of_name(text: str) -> int:
    """The second seed of a shared queue: it must not depend on what else the graph holds."""
    import hashlib  # noqa: PLC0415  (it loads a library for cryptography)

    digest = hashlib.md5(text.encode(), usedforsecurity=False)
    return int(digest.hexdigest()[:8], 16) & 0x7FFFFFFF


@export("FIFOQueue", "queue.FIFOQueue")
class FIFOQueue(QueueBase):
    """A queue that gives its elements in the order in which they came.

    Args:
        capacity: how many elements it can hold; a negative number stands for no limit.
        dtypes: the dtype of each component.
        shapes: the shape of each component, fully defined, or None when they may vary.
        names: a name for each component, or None.
        shared_name: queues of one shared name, in one session, are one queue.
        name: name of the operation.
    """

    def __init__(self, capacity: int, dtypes: Any, shapes: Any = None, names: Any = None,
                 shared_name: str | None = None, name: str = "fifo_queue") -> None:  # fmt: skip
        types, checked = _as_types(dtypes), _as_shapes(shapes)
        names = _as_names(names, types)
        attrs = {
            "component_types": types,
            "shapes": checked,
            "capacity": capacity,
            "shared_name": shared_name,
        }
        graph = get_default_graph()
        # Outside of the control flow around it, and in host memory: a queue serves many steps.
        with graph.control_dependencies(None), graph.device("CPU"):
            queue_ref = create_op("FIFOQueueV2", (), attrs, name)
        super().__init__(types, checked, names, queue_ref)


@export("RandomShuffleQueue", "queue.RandomShuffleQueue", "io.RandomShuffleQueue")
class RandomShuffleQueue(QueueBase):
    """A queue that gives its elements in random order.

    Args:
        capacity: how many elements it can hold; a negative number stands for no limit.
        min_after_dequeue: how many elements must stay after each dequeue, for mixing, until the
            queue is closed.
        dtypes: the dtype of each component.
        shapes: the shape of each component, fully defined, or None when they may vary.
        names: a name for each component, or None.
        seed: an int that makes the order repeatable; see `set_random_seed`.
        shared_name: queues of one shared name, in one session, are one queue.
        name: name of the operation.
    """

    def __init__(
        self, capacity: int, min_after_dequeue: int, dtypes: Any, shapes: Any = None,
        names: Any = None, seed: int | None = None, shared_name: str | None = None,
        name: str = "random_shuffle_queue",
    ) -> None:  # fmt: skip
        types, checked = _as_types(dtypes), _as_shapes(shapes)
        names = _as_names(names, types)
        first, second = get_seed(seed)
        if first is not None and seed is None and shared_name is not None:
            second = _seed_of_name(f"{first}{shared_name}")
        attrs = {
            "component_types": types,
            "shapes": checked,
            "capacity": capacity,
            "min_after_dequeue": min_after_dequeue,
            "seed": first,
            "seed2": second,
            "shared_name": shared_name,
        }
        queue_ref = create_op("RandomShuffleQueueV2", (), attrs, name)
        super().__init__(types, checked, names, queue_ref)


@export("PaddingFIFOQueue", "queue.PaddingFIFOQueue", "io.PaddingFIFOQueue")
class PaddingFIFOQueue(QueueBase):
    """A queue in order of arrival whose batches are padded where the sizes of elements vary.

    Args:
        capacity: how many elements it can hold; a negative number stands for no limit.
        dtypes: the dtype of each component.
        shapes: the shape of each component, with None for sizes that vary. A batch has there the
            largest size of its elements; zeros or empty strings fill the others up.
        names: a name for each component, or None.
        shared_name: queues of one shared name, in one session, are one queue.
        name: name of the operation.
    """

    def __init__(self, capacity: int, dtypes: Any, shapes: Any, names: Any = None,
                 shared_name: str | None = None, name: str = "padding_fifo_queue",
    ) -> None:  # fmt: skip
        types, checked = _as_types(dtypes), _as_partial_shapes(shapes)
        names = _as_names(names, types)
        if len(types) != len(checked):
            raise ValueError(
                f"Shapes must be provided for all components, but received {len(types)} dtypes and "
                f"{len(checked)} shapes."
            )
        attrs = {
            "component_types": types,
            "shapes": checked,
            "capacity": capacity,
            "shared_name": shared_name,
        }
        queue_ref = create_op("PaddingFIFOQueueV2", (), attrs, name)
        super().__init__(types, checked, names, queue_ref)


@export("PriorityQueue", "queue.PriorityQueue", "io.PriorityQueue")
class PriorityQueue(QueueBase):
    """A queue that gives the element with the least priority number first.

    The first component of its elements is the priority, an int64 scalar; `types` and `shapes` are
    those of the others.

    Args:
        capacity: how many elements it can hold; a negative number stands for no limit.
        types: the dtype of each component but the priority.
        shapes: the shape of each component but the priority, fully defined.
        names: a name for each component, the priority included, or None.
        shared_name: queues of one shared name, in one session, are one queue.
        name: name of the operation.
    """

    def __init__(self, capacity: int, types: Any, shapes: Any = None, names: Any = None,
                 shared_name: str | None = None, name: str = "priority_queue") -> None:  # fmt: skip
        types, checked = _as_types(types), _as_shapes(shapes)
        if checked is None:
            raise TypeError("Expected list for 'shapes' argument to 'priority_queue_v2' Op, not "
                            "None.")  # fmt: skip
        attrs = {
            "component_types": types,
            "shapes": checked,
            "capacity": capacity,
            "shared_name": shared_name,
        }
        queue_ref = create_op("PriorityQueueV2", (), attrs, name)
        super().__init__([int64, *types], [TensorShape(()), *checked], names, queue_ref)
