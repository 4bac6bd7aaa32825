"""Kernels of lists of tensors and of optional values: host objects whose elements are shared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tfsession.core.dtypes import DType, resource, string, variant
from tfsession.core.rules import kernel
from tfsession.core.shape import Shape, is_fully_defined
from tfsession.core.shape_tensor import numbers_of
from tfsession.resources.tensor_list import (
    ABSENT,
    Optional,
    TensorList,
    added,
    refuse,
    zeros,
    zeros_like,
)

# What is put into a list may be read elsewhere, too: nobody may write over it.
_HOST: Any = {"device": "CPU", "aliases": True}


def _shape(element_shape: Any) -> Shape:
    if not element_shape.ndim:
        if int(element_shape) == -1:
            return None
        raise refuse(
            "The only valid scalar shape tensor is the fully unknown shape specified as -1."
        )
    text = f"Shape must be at most rank 1 but is rank {element_shape.ndim}: "
    sizes = numbers_of(element_shape, text)
    if min(sizes, default=0) < -1:
        raise refuse(f"Dimensions of a shape must be -1 or more: {sizes}")
    return tuple(None if size == -1 else size for size in sizes)


def _list(value: Any) -> TensorList:
    if not isinstance(value, TensorList):
        raise refuse("Input handle is not a list.")
    return value


def _dims(element: Any) -> tuple[int, ...]:
    return () if isinstance(element, TensorList | Optional) else element.shape


@kernel("EmptyTensorList", **_HOST)
def empty(xp: Any, element_shape: Any, max_num_elements: Any, *, element_dtype: DType) -> Any:
    """A list without elements; a limit below zero is none."""
    limit = int(max_num_elements)
    return TensorList(element_dtype, _shape(element_shape), [], 0, limit if limit >= 0 else None)


@kernel("TensorListReserve", **_HOST)
def reserve(xp: Any, element_shape: Any, num_elements: Any, *, element_dtype: DType) -> Any:
    """A list of elements that are not set."""
    count = int(num_elements)
    if count < 0:
        raise refuse(f"The num_elements to reserve must be a non negative number, but got {count}")
    return TensorList(element_dtype, _shape(element_shape), [None] * count, count)


@kernel("TensorListPushBack", **_HOST)
def push_back(xp: Any, input_handle: Any, tensor: Any, *, element_dtype: DType) -> Any:
    """One more element."""
    found = _list(input_handle)
    found.check(element_dtype, _dims(tensor))
    return found.pushed(tensor)


@kernel("TensorListPopBack", **_HOST)
def pop_back(xp: Any, input_handle: Any, element_shape: Any, *, element_dtype: DType) -> Any:
    """The last element, and the list without it."""
    found = _list(input_handle)
    found.check(element_dtype)
    if not found.length:
        raise refuse("Trying to pop from an empty list.")
    element = found.element(xp, found.length - 1, _shape(element_shape))
    return found.popped(), element


@kernel("TensorListGetItem", **_HOST)
def get_item(
    xp: Any, input_handle: Any, index: Any, element_shape: Any, *, element_dtype: DType
) -> Any:
    """One element."""
    found = _list(input_handle)
    found.check(element_dtype)
    return found.element(xp, int(index), _shape(element_shape))


@kernel("TensorListSetItem", **_HOST)
def set_item(
    xp: Any,
    input_handle: Any,
    index: Any,
    item: Any,
    *,
    element_dtype: DType,
    resize_if_index_out_of_bounds: bool,
) -> Any:
    """One element is another."""
    found = _list(input_handle)
    found.check(element_dtype, _dims(item))
    return found.replaced(int(index), item, resize_if_index_out_of_bounds)


@kernel("TensorListLength", device="CPU")
def length(xp: Any, input_handle: Any) -> Any:
    """How many elements there are."""
    return np.asarray(_list(input_handle).length, np.int32)


@kernel("TensorListElementShape", device="CPU")
def element_shape(xp: Any, input_handle: Any, *, shape_type: DType) -> Any:
    """What is known of the shape of all elements."""
    shape = _list(input_handle).shape
    if shape is None:
        return np.asarray(-1, shape_type.numpy)
    return np.array([-1 if size is None else size for size in shape], shape_type.numpy)


@kernel("TensorListResize", **_HOST)
def resize(xp: Any, input_handle: Any, size: Any) -> Any:
    """Cut or filled."""
    if size < 0:
        raise refuse(f"TensorListSlice expects size to be non-negative. Got: {int(size)}")
    return _list(input_handle).resized(int(size))


def _stacked(xp: Any, found: TensorList, indices: Sequence[int], shape: Shape, dtype: DType) -> Any:
    """Elements in a row; their shape must be known where there are none."""
    found.check(dtype)
    shape = found.merged(shape)
    elements = [found.element(xp, index, shape) for index in indices]
    if not elements:
        if not is_fully_defined(shape):
            raise refuse(
                "Tried to stack elements of an empty list with non-fully-defined element_shape"
            )
        return zeros(xp, (0, *shape), dtype)  # type: ignore[misc]
    sizes = {element.shape for element in elements}
    if len(sizes) > 1:
        raise refuse(f"Tried to stack list which only contains elements of shapes {sorted(sizes)}")
    found.merged(shape)
    return xp.stack(elements)


@kernel("TensorListStack", device="CPU")
def stack(
    xp: Any, input_handle: Any, element_shape: Any, *, element_dtype: DType, num_elements: int
) -> Any:
    """All elements in a row."""
    found = _list(input_handle)
    if num_elements not in (-1, found.length):
        raise refuse(
            f"Operation expected a list with {num_elements} elements but got a list with "
            f"{found.length} elements."
        )
    return _stacked(xp, found, range(found.length), _shape(element_shape), element_dtype)


@kernel("TensorListGather", device="CPU")
def gather(
    xp: Any, input_handle: Any, indices: Any, element_shape: Any, *, element_dtype: DType
) -> Any:
    """Some elements in a row."""
    places = indices.reshape(-1).tolist()
    return _stacked(xp, _list(input_handle), places, _shape(element_shape), element_dtype)


def _slices(tensor: Any) -> list[Any]:
    if not tensor.ndim:
        raise refuse("Tensor must be at least a vector, but saw shape: []")
    # The dots: a text would be a text, and no array.
    return [tensor[i, ...] for i in range(len(tensor))]


@kernel("TensorListFromTensor", **_HOST)
def from_tensor(xp: Any, tensor: Any, element_shape: Any, *, element_dtype: DType) -> Any:
    """The slices along the first dimension."""
    items = _slices(tensor)
    made = TensorList(element_dtype, _shape(element_shape), items, len(items))
    made.check(element_dtype, tensor.shape[1:])
    return made


@kernel("TensorListScatterV2", **_HOST)
def scatter(
    xp: Any,
    tensor: Any,
    indices: Any,
    element_shape: Any,
    num_elements: Any,
    *,
    element_dtype: DType,
) -> Any:
    """The slices along the first dimension, each at its index."""
    places = numbers_of(indices, "Expected indices to be a vector, but received shape: ")
    items = _slices(tensor)
    if len(items) != len(places):
        raise refuse(
            f"Invalid number of rows in input tensor. Expected: {len(places)} Actual: {len(items)}"
        )
    if min(places, default=0) < 0:
        raise refuse("Indices in TensorListScatter must all be non-negative.")
    count = max(max(places, default=-1) + 1, int(num_elements))
    if 0 <= int(num_elements) < count:
        raise refuse(
            f"TensorListScatter: Trying to scatter at index {count - 1} in list with size "
            f"{int(num_elements)}"
        )
    made = TensorList(element_dtype, _shape(element_shape), [None] * count, count)
    made.check(element_dtype, tensor.shape[1:])
    all_items = made.items()
    for place, item in zip(places, items, strict=True):
        all_items[place] = item
    return TensorList(element_dtype, made.shape, all_items, count)


@kernel("TensorListConcatV2", device="CPU")
def concat(
    xp: Any, input_handle: Any, element_shape: Any, leading_dims: Any, *, element_dtype: DType
) -> Any:
    """Elements one behind the other, and their lengths."""
    found, shape = _list(input_handle), _shape(element_shape)
    found.check(element_dtype)
    lead = leading_dims.reshape(-1).tolist()
    tail = None if shape is None else shape[1:]
    items = []
    for index in range(found.length):
        first = lead[index] if index < len(lead) else None
        items.append(found.element(xp, index, None if tail is None else (first, *tail)))
    if any(not item.ndim for item in items):
        raise refuse("Concat saw a scalar shape at index 0 but requires at least vectors.")
    if len({item.shape[1:] for item in items}) > 1:
        raise refuse("Tried to concat tensors with unequal shapes after the first dimension")
    lengths = np.array([len(item) for item in items], np.int64)
    if items:
        return xp.concatenate(items), lengths
    if tail is None or None in tail:
        raise refuse(
            "All except the first dimension must be fully defined when concating an empty tensor "
            "list."
        )
    return zeros(xp, (0, *tail), element_dtype), lengths  # type: ignore[arg-type]


@kernel("TensorListSplit", **_HOST)
def split(xp: Any, tensor: Any, element_shape: Any, lengths: Any, *, element_dtype: DType) -> Any:
    """Runs of slices of given lengths."""
    sizes = numbers_of(lengths, "Expected lengths to be a vector, received shape: ")
    if not tensor.ndim:
        raise refuse("Tensor must be at least a vector, but saw shape: []")
    if min(sizes, default=0) < 0 or sum(sizes) != len(tensor):
        raise refuse(
            f"Expected sum of lengths to be equal to values.shape[0], but sum of lengths is "
            f"{sum(sizes)} and value's shape is: {list(tensor.shape)}"
        )
    ends = np.cumsum(sizes).tolist()
    items = [tensor[end - size : end] for end, size in zip(ends, sizes, strict=True)]
    made = TensorList(element_dtype, _shape(element_shape), items, len(items))
    for item in items:
        made.check(element_dtype, item.shape)
    return made


@kernel("TensorListConcatLists", **_HOST)
def concat_lists(xp: Any, input_a: Any, input_b: Any, *, element_dtype: DType) -> Any:
    """All elements of both."""
    return _list(input_a).joined(_list(input_b))


# --- optional values ------------------------------------------------------------------------------


@kernel("OptionalNone", device="CPU")
def optional_none(xp: Any) -> Any:
    """Nothing."""
    return ABSENT


@kernel("OptionalFromValue", **_HOST)
def optional_from_value(xp: Any, *components: Any) -> Any:
    """Some tensors."""
    return Optional(components)


@kernel("OptionalHasValue", device="CPU")
def optional_has_value(xp: Any, optional: Any) -> Any:
    """Whether there is something."""
    return np.asarray(optional.components is not None)


@kernel("OptionalGetValue", **_HOST)
def optional_get_value(
    xp: Any, optional: Any, *, output_types: list[DType], output_shapes: list[Shape]
) -> Any:
    """What is there."""
    if optional.components is None:
        raise refuse("The given optional does not have a value.")
    if len(optional.components) != len(output_types):
        raise refuse(
            f"The given optional has {len(optional.components)} components, expected "
            f"{len(output_types)}."
        )
    return optional.components


@kernel("FakeParam", device="CPU")
def fake_param(xp: Any, *, dtype: DType, shape: Shape) -> Any:
    """What stands for a result that a branch does not have: nobody reads it."""
    if dtype in (variant, resource):
        return ABSENT
    sizes = tuple(0 if size is None else size for size in shape or ())
    return np.full(sizes, b"", object) if dtype is string else xp.zeros(sizes, dtype.numpy)


@kernel("ZerosLike", types={"T": ["variant"]}, device="CPU")
def zeros_of_variant(xp: Any, x: Any) -> Any:
    """Zeros in the places of all tensors that a variant holds."""
    return zeros_like(xp, x)


@kernel("AddN", types={"T": ["variant"]}, **_HOST)
def sum_of_variants(xp: Any, *inputs: Any) -> Any:
    """Sums of what variants hold, element by element."""
    total = inputs[0]
    for value in inputs[1:]:
        total = added(total, value)
    return total
