"""Updates of parts of variables, as their methods."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tfsession.core.exports import export
from tfsession.graph.create import convert_to_tensor, create_op, graph_of
from tfsession.graph.indexed_slices import IndexedSlices
from tfsession.graph.tensor import Tensor
from tfsession.ops.cast import cast
from tfsession.ops.constant import ones_like
from tfsession.ops.join import concat
from tfsession.ops.shape import expand_dims, reshape
from tfsession.ops.shape import shape as shape_of
from tfsession.ops.state import scatter_nd_update as update_elements


def _by_slices(name: str, kind: str, what: str) -> Callable[..., Any]:
    def scatter(
        self: Any, sparse_delta: Any, use_locking: bool = False, name: str | None = None
    ) -> Any:
        if not isinstance(sparse_delta, IndexedSlices):
            raise TypeError(self._no_slices(sparse_delta))
        return self._scatter(kind, sparse_delta, use_locking, name)

    scatter.__name__, scatter.__qualname__ = name, f"Variable.{name}"
    scatter.__doc__ = f"""{what} an IndexedSlices; gives the new value.

        Raises:
            TypeError: `sparse_delta` is no IndexedSlices.
        """
    return scatter


def _by_indices(name: str, kind: str, what: str) -> Callable[..., Any]:
    def scatter(self: Any, indices: Any, updates: Any, name: str | None = None) -> Any:
        return self._scatter_nd(kind, indices, updates, name)

    scatter.__name__, scatter.__qualname__ = name, f"Variable.{name}"
    scatter.__doc__ = f"""{what} `updates`, at the index vectors `indices`; gives the new value."""
    return scatter


class ScatterMethods:
    """Updates of rows, and of elements or slices by index vector.

    A class of variables says how: `_scatter(kind, slices, use_locking, name)` for rows,
    `_scatter_nd(kind, indices, updates, name)`, and `_no_slices(value)` for a text of errors.
    """

    scatter_add = _by_slices("scatter_add", "Add", "Add to rows those of")
    scatter_div = _by_slices("scatter_div", "Div", "Divide rows by those of")
    scatter_max = _by_slices("scatter_max", "Max", "Set rows to the greater of them and those of")
    scatter_min = _by_slices("scatter_min", "Min", "Set rows to the lesser of them and those of")
    scatter_mul = _by_slices("scatter_mul", "Mul", "Multiply rows with those of")
    scatter_sub = _by_slices("scatter_sub", "Sub", "Subtract from rows those of")
    scatter_update = _by_slices("scatter_update", "Update", "Set rows to those of")
    scatter_nd_add = _by_indices("scatter_nd_add", "Add", "Add to elements or slices")
    scatter_nd_sub = _by_indices("scatter_nd_sub", "Sub", "Subtract from elements or slices")
    scatter_nd_update = _by_indices("scatter_nd_update", "Update", "Set elements or slices to")

    def batch_scatter_update(
        self, sparse_delta: Any, use_locking: bool = False, name: str | None = None
    ) -> Any:
        """Set rows of each member of a batch to those of an IndexedSlices of batches."""
        return batch_scatter_update(
            self, sparse_delta.indices, sparse_delta.values, use_locking, name
        )


class ScatterExtremes:
    """What the two kinds of variables have beside."""

    scatter_nd_max = _by_indices("scatter_nd_max", "Max", "Set elements to the greater of them and")
    scatter_nd_min = _by_indices("scatter_nd_min", "Min", "Set elements to the lesser of them and")


@export("batch_scatter_update")
def batch_scatter_update(
    ref: Any, indices: Any, updates: Any, use_locking: bool = True, name: str | None = None
) -> Any:
    """Set `ref[i, ..., indices[i, ..., j]]` to `updates[i, ..., j]`: rows of members of a batch.

    Args:
        ref: variable of rank n at least.
        indices: integer tensor of rank n, the row of each update along the last of n dimensions.
        updates: tensor of the shape of `indices`, followed by that of a row.
        use_locking: let no other update of the variable come in between.
        name: name scope of the operations.

    Returns:
        The variable's new value.

    Raises:
        ValueError: `indices` are of unknown rank.
    """
    graph = graph_of([ref, indices, updates])
    with graph.as_default(), graph.name_scope(name):
        indices = convert_to_tensor(indices, name="indices")
        sizes, static = shape_of(indices), indices._shape
        if static is None:
            raise ValueError("batch_gather does not allow indices with unknown shape.")
        last = expand_dims(indices, axis=-1)
        parts = [
            _numbers(sizes[axis], axis, len(static) + 1, last) for axis in range(len(static) - 1)
        ]
        return update_elements(ref, concat([*parts, last], axis=-1), updates, use_locking)


def _numbers(size: Tensor, axis: int, rank: int, like: Tensor) -> Tensor:
    """The index along `axis` of each element of `like`."""
    outer: list[Any] = [1] * rank
    outer[axis] = size
    numbers = reshape(create_op("Range", [0, size, 1]), outer)
    if numbers.dtype != like.dtype:
        numbers = cast(numbers, like.dtype)
    return numbers * ones_like(like)
