"""Parts of arrays: views."""

from __future__ import annotations

from typing import Any

from tfsession.core.errors import InvalidArgumentError
from tfsession.core.rules import kernel
from tfsession.core.shape import debug_string
from tfsession.core.shape_tensor import sizes_of
from tfsession.core.slicing import Masks, index_of


@kernel("Slice", host=["begin", "size"], aliases=True)
def slice_(xp: Any, x: Any, begin: Any, size: Any) -> Any:
    """A block, as a view."""
    shape = x.shape
    if begin.shape != (len(shape),) or size.shape != begin.shape:
        raise InvalidArgumentError(
            None,
            None,
            f"Expected begin and size arguments to be 1-D tensors of size {len(shape)}, but got "
            f"shapes {debug_string(begin.shape)} and {debug_string(size.shape)} instead.",
        )
    index = []
    for i, (start, count) in enumerate(zip(begin.tolist(), size.tolist(), strict=True)):
        whole = shape[i]
        if not 0 <= start <= whole:
            text = f"Expected begin[{i}] in [0, {whole}], but got {start}"
            raise InvalidArgumentError(None, None, text)
        if count == -1:
            count = whole - start
        elif not 0 <= count <= whole - start:
            text = f"Expected size[{i}] in [0, {whole - start}], but got {count}"
            raise InvalidArgumentError(None, None, text)
        index.append(slice(start, start + count))
    return x[tuple(index)]


@kernel("StridedSlice", host=["begin", "end", "strides"], aliases=True)
def strided_slice(
    xp: Any,
    x: Any,
    begin: Any,
    end: Any,
    strides: Any,
    begin_mask: int,
    end_mask: int,
    ellipsis_mask: int,
    new_axis_mask: int,
    shrink_axis_mask: int,
) -> Any:
    """What an index of Python's kind selects, as a view."""
    masks = Masks(begin_mask, end_mask, ellipsis_mask, new_axis_mask, shrink_axis_mask)
    index = _index(x.shape, begin, end, strides, masks)
    # One text by itself stays an array.
    return x[(*index, ...)] if x.dtype == object else x[index]


def _index(shape: Any, begin: Any, end: Any, strides: Any, masks: Masks) -> Any:
    if not begin.ndim == end.ndim == strides.ndim == 1:
        found = ", ".join(debug_string(part.shape) for part in (begin, end, strides))
        raise InvalidArgumentError(
            None,
            None,
            f"Expected begin, end, and strides to be 1D equal size tensors, but got shapes {found}",
        )
    try:
        return index_of(shape, begin.tolist(), end.tolist(), strides.tolist(), masks)
    except ValueError as error:
        raise InvalidArgumentError(None, None, str(error)) from None


@kernel("StridedSliceGrad", host=["shape", "begin", "end", "strides"])
def strided_slice_grad(
    xp: Any,
    shape: Any,
    begin: Any,
    end: Any,
    strides: Any,
    dy: Any,
    begin_mask: int,
    end_mask: int,
    ellipsis_mask: int,
    new_axis_mask: int,
    shrink_axis_mask: int,
) -> Any:
    """Zeros, with the gradient where the slice was."""
    masks = Masks(begin_mask, end_mask, ellipsis_mask, new_axis_mask, shrink_axis_mask)
    sizes = tuple(sizes_of(shape, "shape must be 1-D, got shape.shape = ")[0])
    result = xp.zeros(sizes, dy.dtype)
    result[_index(sizes, begin, end, strides, masks)] = dy
    return result
