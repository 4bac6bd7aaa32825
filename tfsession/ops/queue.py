"""Queues: FIFOQueue and its kin, through which the threads of a program hand over elements.

A queue's elements are tuples of one or more components, each with a dtype and, for batches, a
shape. They live in the session, from step to step.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from functools import reduce
from typing import Any

from tfsession.core.dimension import Dimension
from tfsession.core.dtypes import DType, resource
from tfsession.core.exports import export
from tfsession.core.op_def import define_op
from tfsession.core.shape import Shape, TensorShape, unknown_shape
from tfsession.graph.constant_value import constant_value
from tfsession.graph.create import convert_to_tensor, create_op, graph_of
from tfsession.graph.operation import Operation
from tfsession.graph.shape_fns import no_outputs, same_as, scalar, unknown
from tfsession.graph.tensor import Tensor
from tfsession.ops.gather import gather
from tfsession.ops.join import stack

# --- definitions ----------------------------------------------------------------------------------


def _reference_shape(op: Operation) -> list[Shape]:
    """A reference is a vector: container and name."""
    return [(2,)]


def _batch_shape(op: Operation) -> list[Shape]:
    n = constant_value(op.inputs[1])
    if n is not None and n.size and n.flat[0] < 0:
        raise ValueError(f"Input 'n' must be >= 0, but is {n.flat[0]}")
    return [None] * len(op.outputs)


_TYPES = "component_types: list(type) >= 1"
_SHAPES = "shapes: list(shape) >= 0 = []"
_CAPACITY = "capacity: int = -1"
_SHARING = ["container: string = ''", "shared_name: string = ''"]
_TIMEOUT = "timeout_ms: int = -1"
_KINDS = {
    "FIFOQueue": [_TYPES, _SHAPES, _CAPACITY],
    "RandomShuffleQueue": [
        *(_TYPES, _SHAPES, _CAPACITY),
        *("min_after_dequeue: int = 0", "seed: int = 0", "seed2: int = 0"),
    ],
    "PaddingFIFOQueue": [_TYPES, _SHAPES, _CAPACITY],
    "PriorityQueue": [
        "component_types: list(type) >= 0 = []",
        *("shapes: list(shape) >= 0", _CAPACITY),
    ],
}

# The first version of each passes a reference to a string, the second a resource.
for _version, _handle in (("", "Ref(string)"), ("V2", "resource")):
    _in, _stateful = f"handle: {_handle}", bool(_version)
    for _name, _attrs in _KINDS.items():
        define_op(
            f"{_name}{_version}",
            outputs=[_in],
            attrs=[*_attrs, *_SHARING],
            stateful=True,
            shape=scalar if _version else _reference_shape,
        )
    for _name in ("QueueEnqueue", "QueueEnqueueMany"):
        define_op(
            f"{_name}{_version}",
            inputs=[_in, "components: Tcomponents"],
            attrs=["Tcomponents: list(type) >= 1", _TIMEOUT],
            stateful=_stateful,
            shape=no_outputs,
        )
    define_op(
        f"QueueDequeue{_version}",
        inputs=[_in],
        outputs=["components: component_types"],
        attrs=[_TYPES, _TIMEOUT],
        stateful=_stateful,
        shape=unknown,
    )
    for _name in ("QueueDequeueMany", "QueueDequeueUpTo"):
        define_op(
            f"{_name}{_version}",
            inputs=[_in, "n: int32"],
            outputs=["components: component_types"],
            attrs=[_TYPES, _TIMEOUT],
            stateful=_stateful,
            shape=_batch_shape if _name == "QueueDequeueMany" else unknown,
        )
    define_op(
        f"QueueClose{_version}",
        inputs=[_in],
        attrs=["cancel_pending_enqueues: bool = false"],
        stateful=_stateful,
        shape=no_outputs,
    )
    define_op(
        f"QueueSize{_version}",
        inputs=[_in],
        outputs=["size: int32"],
        stateful=_stateful,
        shape=same_as(0) if _version else scalar,
    )
    define_op(
        f"QueueIsClosed{_version}",
        inputs=[_in],
        outputs=["is_closed: bool"],
        stateful=_stateful,
        shape=scalar,
    )


@export("QueueBase", "queue.QueueBase", "io.QueueBase")
class QueueBase:
    """A queue of the session: what its elements are, and the operations on it.

    Operations that cannot be done yet wait, without holding up other steps: an enqueue while the
    queue is full, a dequeue while it is empty. `Session.close`, a timeout, and `close` end the
    wait with an error; the queue stays whole.

    Args:
        dtypes: the dtypes of the components.
        shapes: their shapes, or None when they may vary; then no batches can be taken.
        names: names of the components, or None; with names, elements are dicts.
        queue_ref: the handle.

    Raises:
        ValueError: `shapes` or `names` have another length than `dtypes`.
    """

    def __init__(self, dtypes: Any, shapes: Any, names: Any, queue_ref: Tensor) -> None:
        self._dtypes: list[DType] = dtypes
        if shapes is not None and len(shapes) != len(dtypes):
            raise ValueError(
                "Queue shapes must have the same length as dtypes, received "
                f"len(shapes)={len(shapes)}, len(dtypes)={len(dtypes)}"
            )
        self._shapes = [unknown_shape() for _ in dtypes] if shapes is None else (
            [TensorShape(shape) for shape in shapes]
        )  # fmt: skip
        if names is not None and len(names) != len(dtypes):
            raise ValueError(
                "Queue names must have the same length as dtypes,received "
                f"len(names)={len(names)},len {len(dtypes)}"
            )
        self._names: list[Any] | None = names
        self._queue_ref = queue_ref
        self._name: str = queue_ref.op.name.rpartition("/")[2]

    @staticmethod
    def from_list(index: Any, queues: Any) -> QueueBase:
        """The queue at `index`, an integer scalar, of a list of queues of the same dtypes.

        Raises:
            TypeError: `queues` is no list of queues, or their dtypes or names differ.
        """
        if (
            not queues
            or not isinstance(queues, list)
            or not all(isinstance(queue, QueueBase) for queue in queues)
        ):
            raise TypeError("A list of queues expected")
        first = queues[0]
        if not all(first.dtypes == queue.dtypes for queue in queues):
            raise TypeError("Queues do not have matching component dtypes.")
        if not all(first.names == queue.names for queue in queues):
            raise TypeError("Queues do not have matching component names.")
        shapes = [
            reduce(TensorShape.most_specific_compatible_shape, column)
            for column in zip(*(queue.shapes for queue in queues), strict=True)
        ]
        chosen = gather(stack([queue.queue_ref for queue in queues]), index)
        return QueueBase(first.dtypes, shapes, first.names, chosen)

    @property
    def queue_ref(self) -> Tensor:
        """The handle, a resource scalar."""
        return self._queue_ref

    @property
    def name(self) -> str:
        """The name of the operation behind the handle."""
        return self._queue_ref.op.name

    @property
    def dtypes(self) -> list[DType]:
        """The dtypes of the components."""
        return self._dtypes

    @property
    def shapes(self) -> list[TensorShape]:
        """The shapes of the components, unknown ones when they may vary."""
        return self._shapes

    @property
    def names(self) -> list[Any] | None:
        """The names of the components, or None."""
        return self._names

    def _create(
        self, action: str, inputs: Sequence[Any] = (), attrs: Any = None, name: str | None = None
    ) -> Any:
        version = "V2" if self._queue_ref.dtype is resource else ""
        return create_op(f"Queue{action}{version}", [self._queue_ref, *inputs], attrs, name)

    def _values(self, vals: Any) -> list[Any]:
        """The values of an element in the order of the components."""
        if isinstance(vals, dict):
            if not self._names:
                raise ValueError("Queue must have names to enqueue a dictionary")
            if sorted(self._names, key=str) != sorted(vals, key=str):
                raise ValueError(
                    "Keys in dictionary to enqueue do not match names of Queue.  Dictionary: "
                    f"{sorted(vals)},Queue: {sorted(self._names)}"
                )
            return [vals[name] for name in self._names]
        if self._names:
            raise ValueError("You must enqueue a dictionary in a Queue with names")
        values = list(vals) if isinstance(vals, list | tuple) else [vals]
        if len(values) != len(self._dtypes):
            raise ValueError(
                f"Queue '{self.name}' has {len(self._dtypes)} components, but {len(values)} values "
                "were given. A list holds one value for each component: put a list that is the "
                "value of one into another list."
            )
        return values

    def _tensors(self, values: list[Any]) -> list[Tensor]:
        return [
            convert_to_tensor(value, dtype, name=f"component_{i}")
            for i, (value, dtype) in enumerate(zip(values, self._dtypes, strict=True))
        ]

    def _scope(self, stacked: ExitStack, vals: Any, name: str | None, default: str) -> str:
        """Enter the name scope of an enqueue, in the graph of its values."""
        values = vals.values() if isinstance(vals, dict) else (
            vals if isinstance(vals, list | tuple) else [vals]
        )  # fmt: skip
        graph = graph_of([self._queue_ref, *(v for v in values if isinstance(v, Tensor))])
        stacked.enter_context(graph.as_default())
        return stacked.enter_context(graph.name_scope(default if name is None else name))

    def enqueue(self, vals: Any, name: str | None = None) -> Operation:
        """Add one element; waits while the queue is full.

        Args:
            vals: a value for each component, in a list or tuple; the value alone if there is one
                component; a dict by name if the components have names.
            name: name of the operation.

        Returns:
            The operation. When it runs it raises CancelledError on a closed queue.

        Raises:
            TypeError: a value does not fit its dtype.
            ValueError: the values do not fit the components.
        """
        with ExitStack() as stacked:
            scope = self._scope(stacked, vals, name, f"{self._name}_enqueue")
            tensors = self._tensors(self._values(vals))
            for tensor, shape in zip(tensors, self._shapes, strict=True):
                tensor.shape.assert_is_compatible_with(shape)
            operation: Operation = self._create("Enqueue", [tensors], name=scope)
        return operation

    def enqueue_many(self, vals: Any, name: str | None = None) -> Operation:
        """Add the slices of the values along their first dimensions, which are equal.

        The elements enter one by one as there is room: when the wait is ended, those that are in
        stay in.

        Args:
            vals: as for `enqueue`, each with one more dimension in front.
            name: name of the operation.

        Returns:
            The operation. When it runs it raises CancelledError on a closed queue.

        Raises:
            TypeError: a value does not fit its dtype.
            ValueError: the values do not fit the components, or each other.
        """
        with ExitStack() as stacked:
            scope = self._scope(stacked, vals, name, f"{self._name}_EnqueueMany")
            tensors = self._tensors(self._values(vals))
            batch = Dimension(None)
            for tensor, shape in zip(tensors, self._shapes, strict=True):
                given = tensor.shape.with_rank_at_least(1)
                if given._dims is not None:
                    batch = batch.merge_with(given._dims[0])
                    TensorShape(given._dims[1:]).assert_is_compatible_with(shape)
            operation: Operation = self._create("EnqueueMany", [tensors], name=scope)
        return operation

    def _result(self, tensors: list[Tensor], batch: tuple[int | None, ...] = ()) -> Any:
        """What a dequeue gives: a tensor, a list or a dict, with the shapes that are known."""
        for tensor, shape in zip(tensors, self._shapes, strict=True):
            tensor.set_shape(TensorShape(batch).concatenate(shape))
        if self._names:
            return dict(zip(self._names, tensors, strict=True))
        return tensors[0] if len(tensors) == 1 else tensors

    def dequeue(self, name: str | None = None) -> Any:
        """Take one element; waits while there is none.

        Returns:
            A tensor for each component: alone, in a list, or in a dict if they have names. When it
            runs it raises OutOfRangeError if the queue is closed and empty.
        """
        attrs = {"component_types": self._dtypes}
        return self._result(self._create("Dequeue", (), attrs, name or f"{self._name}_Dequeue"))

    def dequeue_many(self, n: Any, name: str | None = None) -> Any:
        """Take `n` elements, stacked; waits until there are so many.

        The elements are taken as they come, and put back if the wait ends with an error.

        Args:
            n: an int32 scalar.
            name: name of the operation.

        Returns:
            As `dequeue`, each with a first dimension of size `n`. When it runs it raises
            OutOfRangeError if the queue is closed and has too few elements.

        Raises:
            ValueError: `n` is negative.
        """
        attrs = {"component_types": self._dtypes}
        name = name or f"{self._name}_DequeueMany"
        tensors = self._create("DequeueMany", [n], attrs, name)
        count = constant_value(tensors[0].op.inputs[1])
        return self._result(tensors, (None if count is None or count.ndim else int(count),))

    def dequeue_up_to(self, n: Any, name: str | None = None) -> Any:
        """Take `n` elements, stacked; once the queue is closed, what is left of them.

        Args:
            n: an int32 scalar.
            name: name of the operation.

        Returns:
            As `dequeue`, each with a first dimension more. When it runs it raises OutOfRangeError
            if the queue is closed and empty.
        """
        attrs = {"component_types": self._dtypes}
        name = name or f"{self._name}_DequeueUpTo"
        return self._result(self._create("DequeueUpTo", [n], attrs, name), (None,))

    def close(self, cancel_pending_enqueues: bool = False, name: str | None = None) -> Operation:
        """Let no more elements enter; those that are in can still be taken.

        Elements that wait to enter do so first, and the operation waits for them; with
        `cancel_pending_enqueues` they are cancelled at once. Closing a closed queue raises
        CancelledError, unless `cancel_pending_enqueues` is set.
        """
        attrs = {"cancel_pending_enqueues": cancel_pending_enqueues}
        operation: Operation = self._create("Close", (), attrs, name or f"{self._name}_Close")
        return operation

    def is_closed(self, name: str | None = None) -> Tensor:
        """Whether the queue is closed: a bool scalar."""
        result: Tensor = self._create("IsClosed", name=name or f"{self._name}_Is_Closed")
        return result

    def size(self, name: str | None = None) -> Tensor:
        """The number of elements: an int32 scalar."""
        result: Tensor = self._create("Size", name=name or f"{self._name}_Size")
        return result
