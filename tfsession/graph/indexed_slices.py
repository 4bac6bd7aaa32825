"""IndexedSlices: some rows of a tensor, as the gradient of a gather gives them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from tfsession.core.dtypes import DType, as_dtype
from tfsession.core.exports import export
from tfsession.core.shape import TensorShape
from tfsession.graph.composite import composite_type_of, register_composite_type
from tfsession.graph.constant_value import told_shape
from tfsession.graph.conversion import convert_to_tensor, register_tensor_conversion_function
from tfsession.graph.create import create_op
from tfsession.graph.tensor import Tensor

if TYPE_CHECKING:
    from tfsession.graph.graph import Graph
    from tfsession.graph.operation import Operation


@export("IndexedSlicesValue")
class IndexedSlicesValue(NamedTuple):
    """What fetching an IndexedSlices gives, and what may be fed for one."""

    values: Any
    indices: Any
    dense_shape: Any


@export("IndexedSlices")
class IndexedSlices:
    """Rows of a larger tensor: `dense[i]` is the sum of all `values[k]` with `indices[k] == i`.

    Attributes:
        values: a Tensor of shape `[n, ...]`.
        indices: an integer Tensor of shape `[n]`; an index may stand there twice.
        dense_shape: the shape of the dense tensor as an integer Tensor, or None.
    """

    __slots__ = ("__weakref__", "_dense_shape", "_indices", "_values")

    def __init__(self, values: Any, indices: Any, dense_shape: Any = None) -> None:
        self._values = values
        self._indices = indices
        self._dense_shape = dense_shape

    @property
    def values(self) -> Any:
        """The rows."""
        return self._values

    @property
    def indices(self) -> Any:
        """The index of each row."""
        return self._indices

    @property
    def dense_shape(self) -> Any:
        """The shape of the dense tensor, or None."""
        return self._dense_shape

    @property
    def shape(self) -> TensorShape:
        """The static shape of the dense tensor, as far as it is known."""
        if self._dense_shape is None:
            return TensorShape(None)
        return told_shape(self._dense_shape)

    def get_shape(self) -> TensorShape:
        """The same as `shape`."""
        return self.shape

    @property
    def name(self) -> str:
        """The name of `values`."""
        return self._values.name  # type: ignore[no-any-return]

    @property
    def device(self) -> str:
        """The device requested for `values`."""
        return self._values.device  # type: ignore[no-any-return]

    @property
    def op(self) -> Operation:
        """The operation that gives `values`."""
        return self._values.op  # type: ignore[no-any-return]

    @property
    def dtype(self) -> DType:
        """The dtype of `values`."""
        return self._values.dtype  # type: ignore[no-any-return]

    @property
    def graph(self) -> Graph:
        """The graph of the components."""
        return self._values.graph  # type: ignore[no-any-return]

    def consumers(self) -> list[Operation]:
        """The operations that take one of the components as an input."""
        return list(dict.fromkeys(op for part in _components(self) for op in part.consumers()))

    def __neg__(self) -> IndexedSlices:
        return IndexedSlices(-self._values, self._indices, self._dense_shape)

    def __str__(self) -> str:
        shape = "" if self._dense_shape is None else f", dense_shape={self._dense_shape}"
        return f"IndexedSlices(indices={self._indices}, values={self._values}{shape})"


def to_dense(
    value: IndexedSlices, dtype: DType | None = None, name: str | None = None, as_ref: bool = False
) -> Any:
    """The dense tensor of IndexedSlices, in which rows of the same index are summed.

    Raises:
        ValueError: the slices have no `dense_shape`, or another dtype than `dtype`.
    """
    if dtype is not None and not dtype.is_compatible_with(value.dtype):
        raise ValueError(
            f"Incompatible tensor conversion requested to `dtype` {dtype.name} for IndexedSlices "
            f"({value}) with dtype {value.dtype.name}"
        )
    if value.dense_shape is None:
        raise ValueError(
            "Tensor conversion requested for IndexedSlices for argument `value` without "
            f"dense_shape: {value}"
        )
    rows = value.dense_shape[0]
    return create_op("UnsortedSegmentSum", [value.values, value.indices, rows], name=name)


register_tensor_conversion_function(IndexedSlices, to_dense)


def _components(slices: IndexedSlices) -> list[Any]:
    parts = [slices.values, slices.indices, slices.dense_shape]
    return parts if slices.dense_shape is not None else parts[:2]


register_composite_type(
    IndexedSlices,
    _components,
    lambda values: IndexedSlicesValue(*values, *([None] * (3 - len(values)))),
    convert=lambda function, slices: IndexedSlices(*map(function, _components(slices))),
)


@export("convert_to_tensor_or_indexed_slices")
def convert_to_tensor_or_indexed_slices(
    value: Any, dtype: Any = None, name: str | None = None
) -> Any:
    """`value` itself if it is IndexedSlices or another composite, a Tensor for anything else.

    Raises:
        ValueError: `value` has another dtype than `dtype`.
    """
    if composite_type_of(value) is None and not isinstance(value, Tensor):
        return convert_to_tensor(value, dtype, name)
    wanted = None if dtype is None else as_dtype(dtype)
    if wanted is not None and not wanted.is_compatible_with(value.dtype):
        raise ValueError(
            f"Incompatible tensor conversion requested to `dtype` {wanted.name} for `value` "
            f"({value}) with dtype {value.dtype.name}."
        )
    return value
