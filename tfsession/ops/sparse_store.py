"""Sparse tensors as single values: serialized, for datasets; by number in a store, for queues."""

from __future__ import annotations

from typing import Any

from tfsession.core.dtypes import DType, as_dtype, string
from tfsession.core.exports import export
from tfsession.core.op_def import define_op
from tfsession.core.shape import Shape
from tfsession.graph.conversion import convert_to_tensor
from tfsession.graph.create import create_op
from tfsession.graph.operation import Operation
from tfsession.graph.sparse_tensor import SparseTensor
from tfsession.graph.tensor import Tensor
from tfsession.ops.sparse_math import as_sparse, parts_of

_PARTS = ["sparse_indices: int64", "sparse_values: T", "sparse_shape: int64"]
_FOUND = ["sparse_indices: int64", "sparse_values: dtype", "sparse_shape: int64"]
_WHERE = ["container: string = ''", "shared_name: string = ''"]


def _found(op: Operation) -> list[Shape]:
    return [(None, None), (None,), (None,)]


for _name, _shape in (("SerializeSparse", (3,)), ("SerializeManySparse", (None, 3))):
    define_op(
        _name,
        inputs=_PARTS,
        outputs=["serialized_sparse: out_type"],
        attrs=["T: type", "out_type: {string, variant} = string"],
        shape=lambda op, shape=_shape: [shape],
    )
define_op(
    "DeserializeSparse",
    inputs=["serialized_sparse: Tserialized"],
    outputs=_FOUND,
    attrs=["dtype: type", "Tserialized: {string, variant} = string"],
    shape=_found,
)
define_op(
    "DeserializeManySparse",
    inputs=["serialized_sparse: string"],
    outputs=_FOUND,
    attrs=["dtype: type"],
    shape=_found,
)
for _name, _shape in (("AddSparseToTensorsMap", ()), ("AddManySparseToTensorsMap", (None,))):
    define_op(
        _name,
        inputs=_PARTS,
        outputs=["sparse_handle: int64" if _shape == () else "sparse_handles: int64"],
        attrs=["T: type", *_WHERE],
        shape=lambda op, shape=_shape: [shape],
        stateful=True,
    )
define_op(
    "TakeManySparseFromTensorsMap",
    inputs=["sparse_handles: int64"],
    outputs=_FOUND,
    attrs=["dtype: type", *_WHERE],
    shape=_found,
    stateful=True,
)


@export("serialize_sparse", "io.serialize_sparse")
def serialize_sparse(sp_input: Any, name: str | None = None, out_type: Any = string) -> Tensor:
    """A sparse tensor as a vector of three values: its places, its values and its dense shape.

    Args:
        sp_input: a SparseTensor.
        name: name of the operation.
        out_type: string, for serialized TensorProtos, or variant.

    Raises:
        TypeError: `sp_input` is no SparseTensor.
    """
    sparse = as_sparse(sp_input)
    return create_op("SerializeSparse", parts_of(sparse), {"out_type": out_type}, name)  # type: ignore[no-any-return]


@export("serialize_many_sparse", "io.serialize_many_sparse")
def serialize_many_sparse(sp_input: Any, name: str | None = None, out_type: Any = string) -> Tensor:
    """The slices of a sparse tensor along its first dimension, each as `serialize_sparse` gives it.

    Returns:
        A matrix of three columns. A step fails with InvalidArgumentError for a rank less than 2.
    """
    sparse = as_sparse(sp_input)
    return create_op("SerializeManySparse", parts_of(sparse), {"out_type": out_type}, name)  # type: ignore[no-any-return]


def _restored(outputs: Any, rank: int | None) -> SparseTensor:
    indices, values, shape = outputs
    indices.set_shape([None, rank])
    shape.set_shape([rank])
    return SparseTensor(indices, values, shape)


@export("io.deserialize_many_sparse", "deserialize_many_sparse")
def deserialize_many_sparse(
    serialized_sparse: Any, dtype: Any, rank: int | None = None, name: str | None = None
) -> SparseTensor:
    """One sparse tensor of the rows of `serialize_many_sparse`, or of several of those.

    Args:
        serialized_sparse: a string matrix of three columns.
        dtype: of the values.
        rank: of what is returned, if it is known.
        name: name of the operation.

    Returns:
        A SparseTensor with a dimension more before the others, which are as large as the largest.
    """
    inputs = [convert_to_tensor(serialized_sparse, string)]
    outputs = create_op("DeserializeManySparse", inputs, {"dtype": as_dtype(dtype)}, name)
    return _restored(outputs, rank)


def deserialized(serialized_sparse: Tensor, dtype: DType, rank: int | None) -> SparseTensor:
    """The sparse tensor, of a rank, of vectors of `serialize_sparse`, of any number."""
    outputs = create_op("DeserializeSparse", [serialized_sparse], {"dtype": dtype})
    return _restored(outputs, rank)


def put_down(sparse: SparseTensor, by_rows: bool, shared_name: str) -> Tensor:
    """The number, in a store of this name, under which a step keeps a sparse tensor.

    With `by_rows` the numbers of its slices along the first dimension.
    """
    kind = "AddManySparseToTensorsMap" if by_rows else "AddSparseToTensorsMap"
    return create_op(kind, parts_of(sparse), {"shared_name": shared_name})  # type: ignore[no-any-return]


def taken(numbers: Tensor, dtype: DType, rank: int | None, shared_name: str) -> SparseTensor:
    """The sparse tensor, of a rank, made of those of these numbers."""
    attrs = {"dtype": dtype, "shared_name": shared_name}
    outputs = create_op("TakeManySparseFromTensorsMap", [numbers], attrs)
    return _restored(outputs, rank)
