"""Into how many slices a variable is cut: the partitioners, and what they are asked."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tfsession.core.dtypes import DType, as_dtype, string
from tfsession.core.exports import export
from tfsession.core.shape import TensorShape

# Takes the shape and dtype of a variable, gives the number of slices along each dimension.
Partitioner = Callable[..., list[int]]


class PartitionInfo:
    """What an initializer may know of the whole of which it makes a slice.

    Args:
        full_shape: of the whole variable.
        var_offset: where the slice begins in each dimension.

    Raises:
        TypeError: one of them is no list.
        ValueError: they differ in length, or the slice begins outside.
    """

    def __init__(self, full_shape: Sequence[int], var_offset: Sequence[int]) -> None:
        for name, value in (("full_shape", full_shape), ("var_offset", var_offset)):
            if not isinstance(value, Sequence) or isinstance(value, str):
                raise TypeError(f"`{name}` must be a sequence, instead got {type(value).__name__}")
        if len(full_shape) != len(var_offset):
            raise ValueError(
                f"Expected equal length, but `var_offset` is of length {len(var_offset)} while "
                f"full_shape is of length {len(full_shape)}."
            )
        for offset, size in zip(var_offset, full_shape, strict=True):
            if not 0 <= offset < size:
                raise ValueError(
                    f"Expected 0 <= offset < shape but found offset={offset}, shape={size} for "
                    f"var_offset={var_offset}, full_shape={full_shape}"
                )
        self._full_shape = full_shape
        self._var_offset = var_offset

    @property
    def full_shape(self) -> Sequence[int]:
        """The shape of the whole variable."""
        return self._full_shape

    @property
    def var_offset(self) -> Sequence[int]:
        """Where the slice begins in each dimension."""
        return self._var_offset

    def single_slice_dim(self, shape: Sequence[int]) -> int | None:
        """The dimension along which a slice of `shape` was cut; None if it is the whole.

        Raises:
            TypeError: `shape` is no sequence.
            ValueError: it is not of the right rank, reaches out of the whole, or was cut twice.
        """
        if not isinstance(shape, Sequence):
            raise TypeError(f"`shape` must be a sequence, instead got {type(shape).__name__}")
        if len(shape) != len(self._full_shape):
            raise ValueError(
                f"Expected equal length, but received shape={shape} of length {len(shape)} while "
                f"self.full_shape={self._full_shape} is of length {len(self._full_shape)}."
            )
        for i in range(len(shape)):
            if self._var_offset[i] + shape[i] > self._full_shape[i]:
                raise ValueError(
                    f"With self.var_offset={self._var_offset}, a partition of shape={shape} would "
                    f"exceed self.full_shape={self._full_shape} in dimension {i}."
                )
        cut = [i for i, size in enumerate(shape) if size != self._full_shape[i]]
        if len(cut) > 1:
            raise ValueError(
                f"Cannot use single_slice_dim() with shape={shape} and self.full_shape="
                f"{self._full_shape} since slice dim could be either dimension {cut[0]} or "
                f"{cut[1]}."
            )
        return cut[0] if cut else None

    def single_offset(self, shape: Sequence[int]) -> int:
        """Where a slice of `shape` begins in the dimension along which it was cut."""
        axis = self.single_slice_dim(shape)
        return 0 if axis is None else self._var_offset[axis]


def call_partitioner(partitioner: Any, shape: TensorShape, dtype: DType) -> list[int]:
    """What a partitioner says of a variable; ValueError unless it can be followed."""
    if not callable(partitioner):
        raise ValueError(f"Partitioner must be callable, but received: {partitioner}")
    if not shape.is_fully_defined():
        raise ValueError(
            f"Shape of a new partitioned variable must be fully defined, but instead was {shape}."
        )
    if shape.rank is None or shape.rank < 1:
        raise ValueError(f"A partitioned Variable must have rank at least 1, shape: {shape}")
    slicing = partitioner(shape=shape, dtype=dtype)
    if not isinstance(slicing, Sequence):
        raise ValueError(f"Partitioner must return a sequence, but saw: {slicing}")
    if len(slicing) != shape.rank:
        raise ValueError(
            f"Partitioner returned a partition list that does not match the Variable's rank: "
            f"{slicing} vs. {shape}"
        )
    if any(p < 1 for p in slicing):
        raise ValueError(f"Partitioner returned zero partitions for some axes: {slicing}")
    if sum(p > 1 for p in slicing) > 1:
        raise ValueError(
            "Can only slice a variable along one dimension: "
            f"shape: {shape}, partitioning: {slicing}"
        )
    return list(slicing)


def sliced_axis(partitions: Sequence[int]) -> tuple[int, int]:
    """The dimension along which there are several slices, and how many."""
    found = ((axis, count) for axis, count in enumerate(partitions) if count > 1)
    return next(found, (0, 1))


def slices_of(shape: Sequence[int], count: int, axis: int) -> Iterator[tuple[list[int], list[int]]]:
    """Offset and shape of each slice; the first ones have one more where it does not come out."""
    least, excess = divmod(shape[axis], count)
    start = 0
    for i in range(count):
        offset, part = [0] * len(shape), list(shape)
        offset[axis], part[axis] = start, least + (i < excess)
        start += part[axis]
        yield offset, part


@export("fixed_size_partitioner")
def fixed_size_partitioner(num_shards: int, axis: int = 0) -> Partitioner:
    """A partitioner that cuts each variable into `num_shards` slices along `axis`.

    Where the dimension is smaller there are as many slices as it has.
    """

    def partitioner(shape: Any, **unused: Any) -> list[int]:
        partitions = [1] * len(shape)
        partitions[axis] = min(num_shards, shape.as_list()[axis])
        return partitions

    return partitioner


@export("variable_axis_size_partitioner")
def variable_axis_size_partitioner(
    max_shard_bytes: int,
    axis: int = 0,
    bytes_per_string_element: int = 16,
    max_shards: int | None = None,
) -> Partitioner:
    """A partitioner whose slices along `axis` have `max_shard_bytes` bytes at most, if possible.

    Args:
        max_shard_bytes: the limit; one row is never cut.
        axis: the dimension that is cut.
        bytes_per_string_element: how many bytes a text counts.
        max_shards: no more slices than that, however large they are.

    Raises:
        ValueError: a number is below 1; when called, the shape is not known.
    """
    if max_shard_bytes < 1 or bytes_per_string_element < 1:
        raise ValueError(
            "Both max_shard_bytes and bytes_per_string_element must be positive. Currently, "
            f"max_shard_bytes is {max_shard_bytes} and bytes_per_string_element is "
            f"{bytes_per_string_element}"
        )
    if max_shards and max_shards < 1:
        raise ValueError("max_shards must be positive.")

    def partitioner(shape: Any, dtype: Any) -> list[int]:
        if not isinstance(shape, TensorShape):
            raise ValueError(f"shape is not a TensorShape: {shape}")
        if not shape.is_fully_defined():
            raise ValueError(f"shape is not fully defined: {shape}")
        sizes = shape.as_list()
        bytes_per_row = math.prod(sizes) / sizes[axis] * _bytes(dtype, bytes_per_string_element)
        rows_per_shard = max(1, math.floor(max_shard_bytes / bytes_per_row))
        shards = math.ceil(sizes[axis] / rows_per_shard)
        partitions = [1] * len(sizes)
        partitions[axis] = min(max_shards, shards) if max_shards else shards
        return partitions

    return partitioner


@export("min_max_variable_partitioner")
def min_max_variable_partitioner(
    max_partitions: int = 1,
    axis: int = 0,
    min_slice_size: int = 256 << 10,
    bytes_per_string_element: int = 16,
) -> Partitioner:
    """A partitioner whose slices have `min_slice_size` bytes at least.

    Args:
        max_partitions: no more slices than that.
        axis: the dimension that is cut.
        min_slice_size: the least size of a slice in bytes.
        bytes_per_string_element: how many bytes a text counts.

    Raises:
        ValueError: when called, the variable has no such dimension.
    """

    def partitioner(shape: Any, dtype: Any) -> list[int]:
        if axis >= len(shape):
            raise ValueError(
                f"Cannot partition variable along axis {axis} when shape is only {shape}"
            )
        sizes = shape.as_list()
        total = math.prod(sizes) * _bytes(dtype, bytes_per_string_element)
        partitions = [1] * len(sizes)
        wanted = math.ceil(total / min_slice_size)
        partitions[axis] = max(1, min(sizes[axis], max_partitions, wanted))
        return partitions

    return partitioner


def _bytes(dtype: Any, of_text: int) -> int:
    dtype = as_dtype(dtype).base_dtype
    return of_text if dtype is string else dtype.size
