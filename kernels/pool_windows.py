"""The geometry of pools, and blocks of images, or of rows of large ones.

What is made of a block goes through all its passes while it is in the cache.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tfsession.core.errors import InvalidArgumentError
from tfsession.core.windows import Axis
from tfsession.devices.onednn import dnn_library
from tfsession.devices.threads import block_rows, even_rows, run_blocks
from tfsession.devices.workspace import Workspace
from tfsession.kernels.conv_windows import Then, checked_axes

# Bytes of the input of a block. It leaves the fastest cache, but threads that take turns at running
# Python lose more than that if their calls of NumPy are short. What a library does is done sooner.
_BLOCK, _LIBRARY_BLOCK = 2 << 20, 4 << 20


def _refuse(text: str) -> InvalidArgumentError:
    return InvalidArgumentError(None, None, text)


def pool_axes(
    shape: Sequence[int],
    rank: int,
    ksize: Sequence[int],
    strides: Sequence[int],
    padding: bytes,
    explicit: Sequence[int] = (),
) -> list[Axis]:
    """An axis for each dimension of the input, those that are not pooled among them.

    Raises:
        InvalidArgumentError: sizes that do not fit.
    """
    if len(shape) != rank:
        raise _refuse(f"tensor_in must be {rank}-dimensional")
    for name, values in (("ksize", ksize), ("stride", strides)):
        if len(values) != rank:
            raise _refuse(f"Sliding window {name} field must specify {rank} dimensions")
        if min(values) <= 0:
            raise _refuse(f"Sliding window {name} for dimension {values} was zero or negative.")
    if ksize[0] != 1 or strides[0] != 1:
        raise _refuse("Pooling is not yet supported on the batch dimension.")
    pairs = list(zip(explicit[::2], explicit[1::2], strict=True))
    if padding != b"EXPLICIT":
        return checked_axes(shape, ksize, strides, [1] * rank, padding)
    for pair, extent in zip(pairs, ksize, strict=True):
        if any(pair) and max(pair) >= extent:
            raise _refuse(f"padding {max(pair)} needs to be smaller than the window size {extent}")
    return checked_axes(shape, ksize, strides, [1] * rank, padding, pairs)


def along(dimension: int, part: slice) -> tuple[slice, ...]:
    """The index of a part of one dimension."""
    return (slice(None),) * dimension + (part,)


# --- blocks ---------------------------------------------------------------------------------------


def part_axis(axis: Axis, windows: slice, elements: slice) -> Axis:
    """The axis as some windows see it, on elements that hold all that they touch."""
    size, steps = elements.stop - elements.start, windows.stop - windows.start
    before = axis.before + elements.start - windows.start * axis.stride
    return axis._replace(size=size, steps=steps, before=before)


def touched(axis: Axis, windows: slice) -> slice:
    """The elements that some windows touch; all, for all windows, so that images stay whole."""
    if windows.stop - windows.start == axis.steps:
        return slice(0, axis.size)
    first = windows.start * axis.stride - axis.before
    last = (windows.stop - 1) * axis.stride - axis.before + axis.extent
    return slice(min(max(first, 0), axis.size), max(min(last, axis.size), 0))


def _touching(axis: Axis, elements: slice) -> slice:
    """The windows that touch some elements."""
    first = -((axis.extent - 1 - axis.before - elements.start) // axis.stride)
    last = (elements.stop - 1 + axis.before) // axis.stride
    start = min(max(first, 0), axis.steps)
    return slice(start, max(start, min(last + 1, axis.steps)))


def _rows(xp: Any, row_bytes: int) -> int:
    """How many rows of images a block has."""
    return block_rows(row_bytes, _LIBRARY_BLOCK if dnn_library(xp) else _BLOCK)


def _run_parts(
    xp: Any, batch: int, rows: int, step: int, task: Callable[[slice, slice], object]
) -> None:
    """Run `task(images, rows)` for blocks of `step` rows: of whole images, or of a large one."""
    pieces = -(-rows // step)
    length = -(-rows // pieces)

    def run(start: int, stop: int) -> None:
        if pieces == 1 or stop - start == batch * pieces:
            task(slice(start // pieces, stop // pieces), slice(0, rows))
            return
        for number in range(start, stop):
            image, piece = divmod(number, pieces)
            first = min(piece * length, rows)
            task(slice(image, image + 1), slice(first, min(first + length, rows)))

    images = even_rows(batch, 1, max(step // rows, 1)) if pieces == 1 else 1
    run_blocks(xp, batch * pieces, images, run)


def by_windows(
    xp: Any,
    elements: Sequence[Any],
    dtype: Any,
    axes: Sequence[Axis],
    function: Callable[..., object],
) -> Any:
    """A number for each window: `function(take, out, axes, *elements)` writes those of a block.

    Args:
        elements: arrays of a number for each element; the first one is as large as the input.
    """
    result = xp.empty([axis.steps for axis in axes], dtype)
    axis = axes[1]

    def task(images: slice, given: slice) -> None:
        taken = touched(axis, given)
        near = [axes[0], part_axis(axis, given, taken), *axes[2:]]
        with Workspace(xp) as take:
            function(take, result[images, given], near, *(e[images, taken] for e in elements))

    if result.size:
        row_bytes = elements[0].nbytes // (len(result) * axis.steps)
        _run_parts(xp, len(result), axis.steps, _rows(xp, row_bytes), task)
    return result


def by_elements(
    xp: Any,
    elements: Sequence[Any],
    windows: Sequence[Any],
    dtype: Any,
    axes: Sequence[Axis],
    function: Callable[..., object],
    then: Then = None,
) -> Any:
    """A number for each element: `function(take, out, axes, *elements, *windows)` writes a block.

    `then(result)` gives what is called with the index of each block, images and rows, behind that.
    Windows that reach into two blocks are computed for both: each block writes its own rows only.
    """
    result = xp.empty([axis.size for axis in axes], dtype)
    axis = axes[1]
    done = None if then is None else then(result)

    def task(images: slice, own: slice) -> None:
        write(images, own)
        if done is not None:
            done((images, own))

    def write(images: slice, own: slice) -> None:
        given, out = _touching(axis, own), result[images, own]
        if given.start == given.stop:
            out[...] = 0
            return
        taken = touched(axis, given)
        taken = slice(min(taken.start, own.start), max(taken.stop, own.stop))
        near = [axes[0], part_axis(axis, given, taken), *axes[2:]]
        parts = [*(e[images, taken] for e in elements), *(w[images, given] for w in windows)]
        with Workspace(xp) as take:
            if taken == own:
                function(take, out, near, *parts)
                return
            wide = take((len(out), near[1].size, *out.shape[2:]), dtype)
            function(take, wide, near, *parts)
            out[...] = wide[:, own.start - taken.start : own.stop - taken.start]

    if result.size:
        step = _rows(xp, result.nbytes // (len(result) * axis.size))
        _run_parts(xp, len(result), axis.size, max(step, 2 * axis.extent), task)
    return result
