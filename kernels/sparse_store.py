"""Kernels of sparse tensors as single values: serialized, or by number in a store."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfsession.core.dtypes import DType, variant
from tfsession.core.rules import kernel
from tfsession.core.shape import debug_string
from tfsession.core.tensor_proto import parsed, serialized
from tfsession.kernels.sparse_math import refuse
from tfsession.resources.sparse_store import Sparse, SparseStore, joined, rows_of
from tfsession.resources.store import DEFAULT_CONTAINER


def _sparse(indices: Any, values: Any, shape: Any) -> Sparse:
    """The parts of a sparse tensor, which must fit together."""
    for name, part, rank in (("indices", indices, 2), ("values", values, 1), ("shape", shape, 1)):
        if part.ndim != rank:
            kind = "matrix" if rank == 2 else "vector"
            raise refuse(
                f"Input {name} should be a {kind} but received shape {debug_string(part.shape)}"
            )
    if indices.shape != (len(values), len(shape)):
        raise refuse(
            f"Input indices should be of shape [{len(values)},{len(shape)}], for so many values "
            f"and dimensions, but received shape {debug_string(indices.shape)}"
        )
    return Sparse(indices, values, shape)


# --- serialized -----------------------------------------------------------------------------------


def _packed(tensors: list[Sparse], out_type: DType) -> Any:
    result = np.empty((len(tensors), 3), object)
    for row, tensor in enumerate(tensors):
        for column, part in enumerate(tensor.owned()):
            result[row, column] = part if out_type is variant else serialized(part, True)
    return result


@kernel("SerializeSparse", device="CPU")
def serialize_sparse(
    xp: Any, sparse_indices: Any, sparse_values: Any, sparse_shape: Any, *, out_type: DType
) -> Any:
    """Places, values and shape, each as one value."""
    return _packed([_sparse(sparse_indices, sparse_values, sparse_shape)], out_type)[0]


@kernel("SerializeManySparse", device="CPU")
def serialize_many_sparse(
    xp: Any, sparse_indices: Any, sparse_values: Any, sparse_shape: Any, *, out_type: DType
) -> Any:
    """A row for each slice along the first dimension."""
    rows = rows_of(_sparse(sparse_indices, sparse_values, sparse_shape))
    return _packed(rows, out_type)


def _unpacked(parts: Any, dtype: DType) -> Sparse:
    found = []
    for part, expected in zip(parts, (np.dtype(np.int64), dtype.numpy, None), strict=True):
        value = part
        if isinstance(part, bytes):
            try:
                value = parsed(part)[1]
            except ValueError:
                raise refuse("Could not parse serialized_sparse as TensorProtos") from None
        if not isinstance(value, np.ndarray) or (expected is not None and value.dtype != expected):
            raise refuse(
                f"Requested SparseTensor of type {dtype.name} but the serialized one has "
                f"{getattr(value, 'dtype', type(value).__name__)}"
            )
        found.append(value)
    return _sparse(*found)


@kernel("DeserializeSparse", device="CPU")
def deserialize_sparse(xp: Any, serialized_sparse: Any, *, dtype: DType) -> Any:
    """The parts of one sparse tensor, of all that are given."""
    shape = serialized_sparse.shape
    if not shape:
        raise refuse("Serialized sparse should have non-zero rank but received shape []")
    if shape[-1] != 3:
        raise refuse(
            "Serialized sparse should have 3 as the last dimension but received shape "
            f"{debug_string(shape)}"
        )
    tensors = [_unpacked(parts, dtype) for parts in serialized_sparse.reshape(-1, 3)]
    return tuple(joined(tensors, shape[:-1]))


@kernel("DeserializeManySparse", device="CPU")
def deserialize_many_sparse(xp: Any, serialized_sparse: Any, *, dtype: DType) -> Any:
    """The parts of one sparse tensor, made of rows."""
    if serialized_sparse.ndim != 2:
        raise refuse(
            "Serialized sparse should be a matrix but received shape "
            f"{debug_string(serialized_sparse.shape)}"
        )
    return deserialize_sparse(xp, serialized_sparse, dtype=dtype)


# --- by number ------------------------------------------------------------------------------------


def _store(ctx: Any, container: bytes, shared_name: bytes) -> SparseStore:
    where, name = container.decode() or DEFAULT_CONTAINER, shared_name.decode() or ctx.name
    found: SparseStore = ctx.resources.get_or_create(
        where, name, SparseStore, lambda: SparseStore(name, where)
    )
    return found


@kernel("AddSparseToTensorsMap", device="CPU", stateful=True)
def add_sparse(
    ctx: Any, sparse_indices: Any, sparse_values: Any, sparse_shape: Any, *, container: bytes,
    shared_name: bytes,
) -> Any:  # fmt: skip
    """The number of a sparse tensor."""
    tensor = _sparse(sparse_indices, sparse_values, sparse_shape)
    return np.int64(_store(ctx, container, shared_name).add([tensor])[0])


@kernel("AddManySparseToTensorsMap", device="CPU", stateful=True)
def add_many_sparse(
    ctx: Any, sparse_indices: Any, sparse_values: Any, sparse_shape: Any, *, container: bytes,
    shared_name: bytes,
) -> Any:  # fmt: skip
    """The numbers of the slices along the first dimension."""
    rows = rows_of(_sparse(sparse_indices, sparse_values, sparse_shape))
    return np.array(_store(ctx, container, shared_name).add(rows), np.int64)


@kernel("TakeManySparseFromTensorsMap", device="CPU", stateful=True)
def take_many_sparse(
    ctx: Any, sparse_handles: Any, *, dtype: DType, container: bytes, shared_name: bytes
) -> Any:
    """The parts of one sparse tensor, made of those of these numbers."""
    if sparse_handles.ndim != 1:
        raise refuse(
            "sparse_handles should be a vector but received shape "
            f"{debug_string(sparse_handles.shape)}"
        )
    store = _store(ctx, container, shared_name)
    tensors = store.take(sparse_handles.tolist())
    for tensor in tensors:
        if tensor.values.dtype != dtype.numpy:
            raise refuse(f"dtype mismatch: {dtype.name} vs. {tensor.values.dtype}")
    return tuple(joined(tensors, (len(tensors),)))
