"""SparseTensor: a tensor of which only some elements are stored, with their places."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from tfsession.core import dtypes
from tfsession.core.dtypes import DType
from tfsession.core.exports import export
from tfsession.core.shape import TensorShape
from tfsession.graph.composite import register_composite_type
from tfsession.graph.constant_value import told_shape
from tfsession.graph.conversion import convert_to_tensor
from tfsession.graph.create import graph_of
from tfsession.graph.tensor import Tensor, evaluate_in_session

if TYPE_CHECKING:
    from tfsession.graph.graph import Graph
    from tfsession.graph.operation import Operation


@export("SparseTensorValue")
class SparseTensorValue(NamedTuple):
    """What fetching a SparseTensor gives, and what may be fed for one."""

    indices: Any
    values: Any
    dense_shape: Any


@export("SparseTensor", "sparse.SparseTensor")
class SparseTensor:
    """A tensor that is zero but for some elements: `dense[tuple(indices[k])] == values[k]`.

    Most ops want the indices in row-major order; nothing checks that they are.

    Args:
        indices: an int64 Tensor of shape `[n, rank]`, or what converts to one.
        values: a Tensor of shape `[n]`.
        dense_shape: an int64 Tensor of shape `[rank]`. A constant, once it has told the static
            shape, cannot be fed any more.

    Raises:
        ValueError: a component has a wrong rank or dtype, or two contradict each other.
        TypeError: an argument converts to no tensor.
    """

    __slots__ = ("__weakref__", "_dense_shape", "_indices", "_shape", "_values")

    def __init__(self, indices: Any, values: Any, dense_shape: Any) -> None:
        graph = graph_of([indices, values, dense_shape])
        with graph.as_default(), graph.name_scope("SparseTensor"):
            self._indices = convert_to_tensor(indices, dtypes.int64, "indices")
            self._values = convert_to_tensor(values, name="values")
            self._dense_shape = convert_to_tensor(dense_shape, dtypes.int64, "dense_shape")
            self._shape = told_shape(self._dense_shape)
        places = self._indices.shape.with_rank(2).dims
        count = self._values.shape.with_rank(1).dims
        rank = self._dense_shape.shape.with_rank(1).dims
        assert places is not None
        assert count is not None
        assert rank is not None
        places[0].assert_is_compatible_with(count[0])
        places[1].assert_is_compatible_with(rank[0])

    @classmethod
    def from_value(cls, sparse_tensor_value: Any) -> SparseTensor:
        """A SparseTensor of the components of a SparseTensorValue, or of another SparseTensor.

        Raises:
            TypeError: the value is neither.
        """
        if not isinstance(sparse_tensor_value, SparseTensor | SparseTensorValue):
            raise TypeError(
                f"Argument sparse_tensor_value={sparse_tensor_value} is neither a SparseTensor nor "
                "SparseTensorValue."
            )
        return SparseTensor(
            sparse_tensor_value.indices,
            sparse_tensor_value.values,
            sparse_tensor_value.dense_shape,
        )

    @property
    def indices(self) -> Tensor:
        """The places of the stored elements, of shape `[n, rank]`."""
        return self._indices

    @property
    def values(self) -> Tensor:
        """The stored elements, of shape `[n]`."""
        return self._values

    @property
    def dense_shape(self) -> Tensor:
        """The shape of the dense tensor, of shape `[rank]`."""
        return self._dense_shape

    @property
    def shape(self) -> TensorShape:
        """The static shape of the dense tensor, as far as it is known."""
        return self._shape

    def get_shape(self) -> TensorShape:
        """The same as `shape`."""
        return self._shape

    def set_shape(self, shape: Any) -> None:
        """Merge `shape` into the static shape; raises ValueError when they contradict."""
        self._shape = self._shape.merge_with(shape)

    def with_values(self, new_values: Any) -> SparseTensor:
        """A SparseTensor of other elements, of any dtype, in the same places."""
        return SparseTensor(self._indices, new_values, self._dense_shape)

    @property
    def dtype(self) -> DType:
        """The dtype of `values`."""
        return self._values.dtype

    @property
    def op(self) -> Operation:
        """The operation that gives `values`."""
        return self._values.op

    @property
    def graph(self) -> Graph:
        """The graph of the components."""
        return self._indices.graph

    def consumers(self) -> list[Operation]:
        """The operations that take one of the components as an input."""
        parts = (self._indices, self._values, self._dense_shape)
        return list(dict.fromkeys(op for part in parts for op in part.consumers()))

    def eval(self, feed_dict: Any = None, session: Any = None) -> Any:
        """The SparseTensorValue of this in `session`, or in the default session."""
        return evaluate_in_session(self, feed_dict, session)

    def __repr__(self) -> str:
        return (
            f"SparseTensor(indices={self._indices}, values={self._values}, "
            f"dense_shape={self._dense_shape})"
        )


def _components(sparse: SparseTensor) -> list[Tensor]:
    return [sparse.indices, sparse.values, sparse.dense_shape]


def _convert(function: Callable[[Any], Any], sparse: SparseTensor) -> SparseTensor:
    result = SparseTensor(*map(function, _components(sparse)))
    result.set_shape(sparse.shape)
    return result


register_composite_type(
    SparseTensor,
    _components,
    lambda values: SparseTensorValue(*values),
    convert=_convert,
)


@export("convert_to_tensor_or_sparse_tensor")
def convert_to_tensor_or_sparse_tensor(
    value: Any, dtype: Any = None, name: str | None = None
) -> Tensor | SparseTensor:
    """A SparseTensor for a SparseTensor or a SparseTensorValue, a Tensor for anything else.

    Raises:
        RuntimeError: a SparseTensor has another dtype than `dtype`.
    """
    if isinstance(value, SparseTensorValue):
        value = SparseTensor.from_value(value)
    if not isinstance(value, SparseTensor):
        return convert_to_tensor(value, dtype, name)
    wanted = None if dtype is None else dtypes.as_dtype(dtype)
    if wanted is not None and not wanted.is_compatible_with(value.dtype):
        raise RuntimeError(
            f"Sparse dtype mismatch. Requested: {wanted.name},  Actual: {value.dtype.name}"
        )
    return value
