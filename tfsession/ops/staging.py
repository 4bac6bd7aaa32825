"""Staging areas: one step puts tensors down on a device, a later one takes them there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tfsession.core.exports import export
from tfsession.core.op_def import define_op
from tfsession.core.shape import TensorShape, unknown_shape
from tfsession.graph.create import create_op, graph_of
from tfsession.graph.graph import get_default_graph
from tfsession.graph.operation import Operation
from tfsession.graph.shape_fns import no_outputs, scalar, unknown
from tfsession.graph.tensor import Tensor
from tfsession.ops.constant import identity, no_op

_LIMITS = ["capacity: int >= 0 = 0", "memory_limit: int >= 0 = 0"]
_TYPES, _ANY_TYPES = "dtypes: list(type) >= 1", "dtypes: list(type)"
_SHARING = ["container: string = ''", "shared_name: string = ''"]

define_op(
    "Stage",
    inputs=["values: dtypes"],
    attrs=[*_LIMITS, _TYPES, *_SHARING],
    stateful=True,
    shape=no_outputs,
)
define_op(
    "Unstage",
    outputs=["values: dtypes"],
    attrs=[*_LIMITS, _TYPES, *_SHARING],
    stateful=True,
    shape=unknown,
)
define_op(
    "StagePeek",
    inputs=["index: int32"],
    outputs=["values: dtypes"],
    attrs=[*_LIMITS, _TYPES, *_SHARING],
    stateful=True,
    shape=unknown,
)
define_op(
    "StageSize",
    outputs=["size: int32"],
    attrs=[*_LIMITS, _ANY_TYPES, *_SHARING],
    stateful=True,
    shape=scalar,
)
define_op("StageClear", attrs=[*_LIMITS, _ANY_TYPES, *_SHARING], stateful=True, shape=no_outputs)


@export("contrib.staging.StagingArea", "python.ops.data_flow_ops.StagingArea")
class StagingArea:
    """Elements that steps put down, and that later steps take, first in, first out.

    As a queue, but on the device where it is made, so that what the next step needs is there
    already: run `put` of the next element and what computes with `get` of the last one in one step.

    Args:
        dtypes: the dtypes of the components.
        shapes: their shapes, or None when nothing is known of them.
        names: a name for each component, or None; with names, elements are dicts.
        shared_name: areas of one shared name, in one session and on one device, are one.
        capacity: how many elements there may be; 0 for any number.
        memory_limit: how many bytes they may have together; 0 for any number.

    Raises:
        ValueError: `shapes` or `names` have another length than `dtypes`, or `shared_name` is no
            string.
    """

    def __init__(
        self,
        dtypes: Sequence[Any],
        shapes: Any = None,
        names: Sequence[str] | None = None,
        shared_name: str | None = None,
        capacity: int = 0,
        memory_limit: int = 0,
    ) -> None:
        if shared_name is None:
            shared_name = get_default_graph().unique_name(type(self).__name__)
        elif not isinstance(shared_name, str):
            raise ValueError(f"shared_name must be a string, got {shared_name}")
        for what, given in (("shapes", shapes), ("names", names)):
            if given is not None and len(given) != len(dtypes):
                raise ValueError(f"StagingArea {what} must be the same length as dtypes")
        self._name = shared_name
        self._dtypes = dtypes
        self._shapes = (
            [unknown_shape() for _ in dtypes] if shapes is None else [*map(TensorShape, shapes)]
        )
        self._names = names
        self._capacity = capacity
        self._memory_limit = memory_limit
        # What all other operations are placed with.
        with get_default_graph().name_scope(f"{self._name}_root"):
            self._coloc_op = no_op()

    @property
    def name(self) -> str:
        """The shared name."""
        return self._name

    @property
    def dtypes(self) -> Sequence[Any]:
        """The dtypes of the components."""
        return self._dtypes

    @property
    def shapes(self) -> list[TensorShape]:
        """The shapes of the components, unknown ones when nothing is known."""
        return self._shapes

    @property
    def names(self) -> Sequence[str] | None:
        """The names of the components, or None."""
        return self._names

    @property
    def capacity(self) -> int:
        """How many elements there may be; 0 for any number."""
        return self._capacity

    @property
    def memory_limit(self) -> int:
        """How many bytes they may have together; 0 for any number."""
        return self._memory_limit

    def _create(self, op_type: str, inputs: Any, name: str | None, **attrs: Any) -> Any:
        attrs |= {
            "shared_name": self._name,
            "capacity": self._capacity,
            "memory_limit": self._memory_limit,
        }
        with get_default_graph().colocate_with(self._coloc_op):
            return create_op(op_type, inputs, attrs, name)

    def _values(self, values: Any) -> list[Any]:
        """The values in the order of the components, held against dtypes and shapes."""
        if isinstance(values, dict):
            if not self._names:
                raise ValueError("Staging areas must have names to enqueue a dictionary")
            if not set(values) <= set(self._names):
                raise ValueError(
                    "Keys in dictionary to put do not match names of staging area. Dictionary: "
                    f"{sorted(values)}Queue: {sorted(self._names)}"
                )
            places = [i for i, name in enumerate(self._names) if name in values]
            listed = [values[self._names[i]] for i in places]
        else:
            if self._names:
                raise ValueError("You must enqueue a dictionary in a staging area with names")
            listed, places = list(values), list(range(len(values)))
            if len(listed) > len(self._dtypes):
                raise ValueError(
                    f"Unexpected number of inputs {len(listed)} vs {len(self._dtypes)}"
                )
        for value, i in zip(listed, places, strict=True):
            if value.dtype != self._dtypes[i]:
                raise ValueError(
                    f"Datatypes do not match. Received val.dtype {value.dtype} and dtype "
                    f"{self._dtypes[i]}"
                )
            value.get_shape().assert_is_compatible_with(self._shapes[i])
        return listed

    def put(self, values: Any, name: str | None = None) -> Operation:
        """Add an element; waits while there is no room.

        Args:
            values: a tensor for each component, in a list or tuple; the tensor alone if there is
                one component; a dict by name if the components have names.
            name: name of the operation.

        Returns:
            The operation. When it runs it raises ResourceExhaustedError for an element larger than
            the limit of memory.

        Raises:
            ValueError: the values do not fit the components.
        """
        if not isinstance(values, list | tuple | dict):
            values = [values]
        given = values.values() if isinstance(values, dict) else values
        graph = graph_of([value for value in given if isinstance(value, Tensor)])
        with (
            graph.as_default(),
            graph.name_scope(f"{self._name}_put" if name is None else name) as scope,
        ):
            operation: Operation = self._create("Stage", [self._values(values)], scope)
        return operation

    def _taken(self, tensors: list[Tensor]) -> Any:
        """What a get or a peek gives, on the device of the current scope."""
        if no_op().device != self._coloc_op.device:
            tensors = [identity(tensor) for tensor in tensors]
        for tensor, shape in zip(tensors, self._shapes, strict=True):
            tensor.set_shape(shape)
        return dict(zip(self._names, tensors, strict=True)) if self._names else tensors

    def get(self, name: str | None = None) -> Any:
        """Take the oldest element; waits while there is none.

        Returns:
            A list of a tensor for each component, or a dict if they have names.
        """
        name = f"{self._name}_get" if name is None else name
        return self._taken(self._create("Unstage", [], name, dtypes=self._dtypes))

    def peek(self, index: Any, name: str | None = None) -> Any:
        """The element at `index`, an int32 scalar, from the oldest on; it stays. Waits for it.

        Returns:
            As `get`.
        """
        name = f"{self._name}_peek" if name is None else name
        return self._taken(self._create("StagePeek", [index], name, dtypes=self._dtypes))

    def size(self, name: str | None = None) -> Tensor:
        """The number of elements: an int32 scalar."""
        name = f"{self._name}_size" if name is None else name
        result: Tensor = self._create("StageSize", [], name, dtypes=self._dtypes)
        return result

    def clear(self, name: str | None = None) -> Operation:
        """Drop all elements."""
        name = f"{self._name}_clear" if name is None else name
        operation: Operation = self._create("StageClear", [], name, dtypes=self._dtypes)
        return operation
