"""Kernels of TensorArrays. The value of a handle is the array itself, which lives as its step.

Nothing is copied: what is written may be read elsewhere, too, so that nobody may write over it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tfsession.core.dtypes import DType, string
from tfsession.core.errors import InvalidArgumentError
from tfsession.core.rules import kernel
from tfsession.core.shape import Shape, debug_string
from tfsession.resources.tensor_array import TensorArray, array_of, parts_of

# Nobody looks at the flow: it may lie anywhere, and stays there.
_READS, _WRITES = {"flow_in": ""}, {"flow_in": "flow_out"}


def _refuse(text: str) -> InvalidArgumentError:
    return InvalidArgumentError(None, None, text)


def _not_scalar(index: Any) -> InvalidArgumentError:
    shape = debug_string(index.shape)
    return _refuse(f"TensorArray index must be scalar, but had shape: {shape}")


def _numbers(indices: Any) -> list[int]:
    if indices.ndim != 1:
        raise _refuse(f"Expected indices to be a vector, but received shape: {indices.shape}")
    numbers: list[int] = indices.tolist()
    return numbers


@kernel("TensorArrayV3", stateful=True, records=True, host=["size"])
def tensor_array(
    ctx: Any, size: Any, *, dtype: DType, element_shape: Shape, dynamic_size: bool,
    clear_after_read: bool, identical_element_shapes: bool, tensor_array_name: bytes,
) -> tuple[TensorArray, Any]:  # fmt: skip
    """A new array."""
    if size.ndim:
        shape = debug_string(size.shape)
        raise _refuse(f"TensorArray size must be scalar, but had shape: {shape}")
    if size < 0:
        raise _refuse("Size should be >= 0.")
    made = TensorArray(
        tensor_array_name.decode() or ctx.name,
        dtype,
        size.item(),
        element_shape,
        grows=dynamic_size,
        clears=clear_after_read,
        is_uniform=identical_element_shapes,
    )
    return made, ctx.xp.zeros((), np.float32)


@kernel("TensorArrayReadV3", host=["index"], aliases=True, unseen=_READS)
def read(xp: Any, handle: Any, index: Any, flow_in: Any, *, dtype: DType) -> Any:
    """One element."""
    if type(handle) is not TensorArray:
        handle = array_of(handle)
    if index.ndim:
        raise _not_scalar(index)
    return handle.read(xp, index.item(), dtype)


@kernel("TensorArrayWriteV3", host=["index"], aliases=True, unseen=_WRITES)
def write(xp: Any, handle: Any, index: Any, value: Any, flow_in: Any, *, T: DType) -> Any:
    """One element is there."""
    if type(handle) is not TensorArray:
        handle = array_of(handle)
    if index.ndim:
        raise _not_scalar(index)
    handle.write(index.item(), value, T)
    return flow_in


@kernel("TensorArrayGatherV3", host=["indices"], unseen=_READS)
def gather(
    xp: Any, handle: Any, indices: Any, flow_in: Any, *, dtype: DType, element_shape: Shape
) -> Any:
    """Elements, stacked."""
    return array_of(handle).gather(xp, _numbers(indices), dtype, element_shape)


@kernel("TensorArrayScatterV3", host=["indices"], aliases=True, unseen=_WRITES)
def scatter(xp: Any, handle: Any, indices: Any, value: Any, flow_in: Any, *, T: DType) -> Any:
    """The slices of the value are there."""
    array, numbers = array_of(handle), _numbers(indices)
    if not value.ndim or len(value) != len(numbers):
        raise _refuse(
            "Expected len(indices) == values.shape[0], but saw: "
            f"{len(numbers)} vs. {len(value) if value.ndim else 0}"
        )
    size, largest = array.size, max(numbers, default=-1)
    if largest >= size:
        if not array.grows:
            raise _refuse(f"Max scatter index must be < array size ({largest} vs. {size})")
        array.grow(largest + 1)
    # The dots: a text would be a text, and no array.
    slices = [value[i, ...] for i in range(len(value))] if T is string else value
    for number, element in zip(numbers, slices, strict=True):
        array.write(number, element, T)
    return flow_in


@kernel("TensorArrayConcatV3", host_outputs=["lengths"], unseen=_READS)
def concat(
    xp: Any, handle: Any, flow_in: Any, *, dtype: DType, element_shape_except0: Shape
) -> tuple[Any, Any]:
    """All elements, one behind the other, and their lengths."""
    value, lengths = array_of(handle).concat(xp, dtype, element_shape_except0)
    return value, np.array(lengths, np.int64)


@kernel("TensorArraySplitV3", host=["lengths"], aliases=True, unseen=_WRITES)
def split(xp: Any, handle: Any, value: Any, lengths: Any, flow_in: Any, *, T: DType) -> Any:
    """The parts of the value are there."""
    array = array_of(handle)
    if lengths.ndim != 1:
        shape = debug_string(lengths.shape)
        raise _refuse(f"Expected lengths to be a vector, received shape: {shape}")
    parts, size = parts_of(value, lengths.tolist()), array.size
    if array.grows:
        array.grow(len(parts))
    elif len(parts) != size:
        raise _refuse(
            f"TensorArray's size is not equal to the size of lengths ({size} vs. {len(parts)}), "
            "and the TensorArray is not marked as dynamically resizeable"
        )
    for number, part in enumerate(parts):
        array.write(number, part, T)
    return flow_in


@kernel("TensorArraySizeV3", host_outputs=["size"], unseen=_READS)
def size(xp: Any, handle: Any, flow_in: Any) -> Any:
    """How many elements there are."""
    return np.int32(array_of(handle).size)


@kernel("TensorArrayGradV3", aliases=True, unseen=_WRITES)
def gradients(xp: Any, handle: Any, flow_in: Any, *, source: bytes) -> tuple[TensorArray, Any]:
    """The array of the gradients of one source."""
    return array_of(handle).gradients(source.decode()), flow_in


@kernel("TensorArrayCloseV3")
def close(xp: Any, handle: Any) -> None:
    """Drop the elements."""
    array_of(handle).close()
