"""Batch normalization by a library of neural networks, where there is one for the arrays.

Functions are for matrices with a column for each channel, and say whether they have done the work;
if not, nothing is written.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from tfsession.devices.onednn import Layout, Library, Primitive, dnn_library

# `dnnl_prop_kind_t`, `dnnl_normalization_flags_t` and the codes of arguments.
_TRAINING, _INFERENCE, _BACK = 64, 96, 128
_GIVEN_MOMENTS, _SCALED, _SHIFTED = 1, 2, 4
_SOURCE, _RESULT, _MEAN, _VARIANCE, _SCALE, _SHIFT = 1, 17, 49, 50, 51, 52
_TO_SOURCE, _OF_RESULT, _TO_SCALE, _TO_SHIFT = 129, 145, 255, 256


def _layouts(library: Library, shape: tuple[int, int]) -> tuple[Layout, Layout]:
    """Those of the matrix, as an image of one row, for which the library is fast, and a vector."""
    return library.channels_last((1, 1, *shape)), library.layout(shape[1:], (1,))


@lru_cache(maxsize=256)
def _moments(library: Library, shape: tuple[int, int]) -> Primitive | None:
    """`moments(x, y, mean, variance)`; `y` is normalized, which nobody needs."""
    matrix, vector = _layouts(library, shape)
    found = library.describe(
        "batch_normalization_forward", _TRAINING, matrix, matrix, library.number(1), 0
    )
    return library.compiled(
        found, {_SOURCE: matrix, _RESULT: matrix, _MEAN: vector, _VARIANCE: vector}
    )


@lru_cache(maxsize=256)
def _normalize(library: Library, shape: tuple[int, int], epsilon: float) -> Primitive | None:
    """`normalize(x, y, mean, variance, scale, shift)`."""
    matrix, vector = _layouts(library, shape)
    flags = _GIVEN_MOMENTS | _SCALED | _SHIFTED
    found = library.describe(
        "batch_normalization_forward", _INFERENCE, matrix, matrix, library.number(epsilon), flags
    )
    vectors = dict.fromkeys((_MEAN, _VARIANCE, _SCALE, _SHIFT), vector)
    return library.compiled(found, {_SOURCE: matrix, _RESULT: matrix, **vectors})


@lru_cache(maxsize=256)
def _back(library: Library, shape: tuple[int, int], epsilon: float) -> Primitive | None:
    """`back(x, of_y, to_x, mean, variance, scale, to_scale, to_shift)`, of given moments."""
    matrix, vector = _layouts(library, shape)
    number, flags = library.number(epsilon), _GIVEN_MOMENTS | _SCALED | _SHIFTED
    hint = library.describe("batch_normalization_forward", _TRAINING, matrix, matrix, number, flags)
    found = hint and library.describe(
        "batch_normalization_backward", _BACK, matrix, matrix, matrix, number, flags, hint
    )
    matrices = dict.fromkeys((_SOURCE, _OF_RESULT, _TO_SOURCE), matrix)
    vectors = dict.fromkeys((_MEAN, _VARIANCE, _SCALE, _TO_SCALE, _TO_SHIFT), vector)
    return library.compiled(found, matrices | vectors)


def moments(xp: Any, take: Any, x: Any, mean: Any, variance: Any) -> bool:
    """The mean and the variance of each column."""
    library = dnn_library(xp, x, mean, variance)
    found = library and _moments(library, x.shape)
    if found:
        found(x, take(x.shape, x.dtype), mean, variance)
    return bool(found)


def normalize(
    xp: Any, x: Any, mean: Any, variance: Any, scale: Any, shift: Any, epsilon: float, out: Any
) -> bool:
    """`(x - mean) / sqrt(variance + epsilon) * scale + shift`, in `out`."""
    library = dnn_library(xp, x, mean, variance, scale, shift, out)
    found = library and _normalize(library, x.shape, epsilon)
    if found:
        found(x, out, mean, variance, scale, shift)
    return bool(found)


def back(
    xp: Any, x: Any, grad: Any, mean: Any, variance: Any, scale: Any, epsilon: float,
    to_x: Any, to_scale: Any, to_shift: Any,
) -> bool:  # fmt: skip
    """The gradients of `normalize`, where mean and variance do not depend on `x`."""
    library = dnn_library(xp, x, grad, mean, variance, scale, to_x, to_scale, to_shift)
    found = library and _back(library, x.shape, epsilon)
    if found:
        found(x, grad, to_x, mean, variance, scale, to_scale, to_shift)
    return bool(found)
