"""Kernels of sparse tensors."""

from __future__ import annotations

from typing import Any

from tfsession.core.errors import InvalidArgumentError
from tfsession.core.rules import kernel
from tfsession.core.shape_tensor import sizes_of
from tfsession.kernels.gather import flat_places


def _refuse(text: str) -> InvalidArgumentError:
    return InvalidArgumentError(None, None, text)


@kernel("SparseToDense", host=["output_shape"])
def sparse_to_dense(
    xp: Any,
    sparse_indices: Any,
    output_shape: Any,
    sparse_values: Any,
    default_value: Any,
    *,
    validate_indices: bool,
) -> Any:
    """One value everywhere, others at the given places."""
    if sparse_indices.ndim > 2:
        raise _refuse("sparse_indices should be a scalar, vector, or matrix")
    sizes = tuple(sizes_of(output_shape, "output_shape must be rank 1, got shape ")[0])
    count = sparse_indices.shape[0] if sparse_indices.ndim else 1
    depth = sparse_indices.shape[1] if sparse_indices.ndim == 2 else 1
    if depth != len(sizes):
        raise _refuse(
            f"output_shape has incorrect number of elements: {len(sizes)} should be: {depth}"
        )
    if sparse_values.ndim > 1 or (sparse_values.ndim and sparse_values.shape[0] != count):
        raise _refuse(
            f"sparse_values has incorrect shape {list(sparse_values.shape)}, should be [] or "
            f"[{count}]"
        )
    if default_value.ndim:
        raise _refuse("default_value should be a scalar.")
    rows = sparse_indices.reshape(count, depth)
    places, bad = flat_places(xp, sizes, rows)
    places = places.reshape(-1)
    if bad.any():
        first = int(xp.nonzero(bad.reshape(-1))[0][0])
        raise _refuse(f"indices[{first}] = {rows[first].tolist()} is out of bounds: need 0 <= "
                      f"index < {list(sizes)}")  # fmt: skip
    if validate_indices and (places[1:] <= places[:-1]).any():
        first = int(xp.nonzero(places[1:] <= places[:-1])[0][0]) + 1
        problem = "repeated" if places[first] == places[first - 1] else "out of order"
        raise _refuse(f"indices[{first}] = {rows[first].tolist()} is {problem}")
    dense = xp.empty(sizes, default_value.dtype)
    dense[...] = default_value
    dense.reshape(-1)[places] = sparse_values
    return dense
