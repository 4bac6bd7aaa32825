"""Reductions of sparse tensors: over the stored elements that differ in some dimensions only."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from tfsession.core.rules import kernel
from tfsession.core.shape import debug_string
from tfsession.core.shape_tensor import numbers_of
from tfsession.kernels.segment_sums import row_sums
from tfsession.kernels.sparse_math import (
    check_places,
    flat_places,
    refuse,
    split_places,
    stored_sizes,
)


def _reduced_axes(reduction_axes: list[int], rank: int) -> set[int]:
    axes = set()
    for axis in reduction_axes:
        if not -rank <= axis < rank:
            raise refuse(f"Invalid reduction dimension {axis}, for input with {rank} dimensions.")
        axes.add(axis % rank)
    return axes


class _Groups:
    """The stored elements by their places in the dimensions that are left."""

    def __init__(self, xp: Any, places: Any, values: Any, shape: Any, axes: list[int]) -> None:
        sizes = numbers_of(shape, "Expected input_shape to be a vector; got shape: ")
        check_places(xp, places, sizes)
        if values.shape != places.shape[:1]:
            raise refuse(
                f"Expected as many indices as values, got {debug_string(places.shape)} and "
                f"{debug_string(values.shape)}"
            )
        reduced = _reduced_axes(axes, len(sizes))
        kept = [axis for axis in range(len(sizes)) if axis not in reduced]
        self.xp, self.values = xp, values
        self.sizes = [sizes[axis] for axis in kept]
        self.full_sizes = [1 if axis in reduced else size for axis, size in enumerate(sizes)]
        self.kept = kept
        keys = flat_places(xp, places[:, kept], self.sizes)
        self.keys, self.first, inverse = xp.unique(keys, return_index=True, return_inverse=True)
        self.numbers = inverse.reshape(-1)

    def sums(self, values: Any) -> Any:
        """The sum of each group."""
        return row_sums(self.xp, self.numbers, values, self.keys.size)

    def greatest(self) -> Any:
        """The greatest value of each group."""
        result = self.values[self.first]
        self.xp.maximum.at(result, self.numbers, self.values)
        return result

    def dense(self, results: Any, keep_dims: bool) -> Any:
        """A result for each group as a dense tensor; zeros where there is no group."""
        flat = self.xp.zeros(math.prod(self.sizes), results.dtype)
        flat[self.keys] = results
        return flat.reshape(self.full_sizes if keep_dims else self.sizes)

    def sparse(self, results: Any, keep_dims: bool) -> Any:
        """The same as indices, values and shape."""
        xp = self.xp
        sizes = self.full_sizes if keep_dims else self.sizes
        places = split_places(xp, self.keys, sizes)
        return places, results, xp.asarray(sizes, xp.int64)


Form = Callable[[_Groups, Any, bool], Any]
_HOST = {"host": ["input_shape", "reduction_axes"]}


def _reduction(op_type: str, results: Callable[[_Groups, Any], Any], form: Form) -> None:
    """Define the kernel of a reduction of stored elements, one result for each group of them."""

    @kernel(op_type, **_HOST)
    def reduced(
        xp: Any,
        input_indices: Any,
        input_values: Any,
        input_shape: Any,
        reduction_axes: Any,
        *,
        keep_dims: bool,
    ) -> Any:
        axes = reduction_axes.reshape(-1).tolist()
        groups = _Groups(xp, input_indices, input_values, input_shape, axes)
        return form(groups, results(groups, input_values), keep_dims)


for _name, _results in (
    ("Sum", lambda groups, values: groups.sums(values)),
    ("Max", lambda groups, values: groups.greatest()),
):
    _reduction(f"SparseReduce{_name}", _results, _Groups.dense)
    _reduction(f"SparseReduce{_name}Sparse", _results, _Groups.sparse)


@kernel("SparseSoftmax", host=["sp_shape"])
def softmax(xp: Any, sp_indices: Any, sp_values: Any, sp_shape: Any) -> Any:
    """The share of each stored element in its row."""
    if len(stored_sizes(sp_values, sp_shape)) < 2:
        shape = debug_string(sp_shape.shape)
        raise refuse(f"Input should have rank >= 2, but received shape: {shape}")
    groups = _Groups(xp, sp_indices, sp_values, sp_shape, [-1])
    raised = xp.exp(sp_values - groups.greatest()[groups.numbers])
    return raised / groups.sums(raised)[groups.numbers]
