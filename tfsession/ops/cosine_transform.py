"""Discrete cosine transforms (Ahmed, Natarajan, Rao, 1974), by way of Fourier transforms."""

from __future__ import annotations

import math
from typing import Any

from tfsession.core.exports import export
from tfsession.graph.create import convert_to_tensor, create_op, graph_of
from tfsession.graph.tensor import Tensor
from tfsession.ops.cast import cast, complex_, real
from tfsession.ops.constant import ones, zeros, zeros_like
from tfsession.ops.elementwise import maximum
from tfsession.ops.fft import irfft, rfft
from tfsession.ops.join import concat, stack
from tfsession.ops.reverse import reverse
from tfsession.ops.sequence import range_
from tfsession.ops.shape import shape as shape_of
from tfsession.ops.unary import cos, rsqrt, sin, sqrt


def _check(values: Tensor, kind: int, n: int | None, axis: int, norm: str | None) -> None:
    if axis != -1:
        raise NotImplementedError(f"axis must be -1. Got: {axis}")
    if n is not None and n < 1:
        raise ValueError("n should be a positive integer or None")
    if kind not in (1, 2, 3, 4):
        raise ValueError("Types I, II, III and IV (I)DCT are supported.")
    if kind == 1 and norm == "ortho":
        raise ValueError("Normalization is not supported for the Type-I DCT.")
    if kind == 1 and values._shape is not None:
        last = values._shape[-1]
        if last is not None and last < 2:
            raise ValueError("Type-I DCT requires the dimension to be greater than one.")
    if norm not in (None, "ortho"):
        raise ValueError(f"Unknown normalization. Expected None or 'ortho', got: {norm}")


@export("signal.dct", "spectral.dct")
def dct(
    input: Any,
    type: int = 2,
    n: int | None = None,
    axis: int = -1,
    norm: str | None = None,
    name: str | None = None,
) -> Tensor:
    """The cosine transform over the last dimension, as SciPy's `dct` computes it.

    Args:
        input: float32 or float64 tensor of rank 1 at least.
        type: 1 to 4, the kind of transform.
        n: cut or fill the last dimension to this size first.
        axis: -1.
        norm: "ortho" scales so that the transform is orthogonal; not for type 1.
        name: name scope of the operations.

    Raises:
        NotImplementedError: another axis.
        ValueError: another type or norm, or too small a size.
    """
    return _transformed(input, type, type, n, axis, norm, name)


@export("signal.idct", "spectral.idct")
def idct(
    input: Any,
    type: int = 2,
    n: int | None = None,
    axis: int = -1,
    norm: str | None = None,
    name: str | None = None,
) -> Tensor:
    """The inverse of `dct` with the same arguments, up to a factor unless `norm` is "ortho".

    The factor is `2 * n` for types 2 to 4 and `2 * (n - 1)` for type 1.
    """
    inverse = {2: 3, 3: 2}.get(type, type)
    return _transformed(input, type, inverse, n, axis, norm, name)


def _transformed(
    given: Any,
    checked: int,
    kind: int,
    n: int | None,
    axis: int,
    norm: str | None,
    name: str | None,
) -> Tensor:
    with graph_of([given]).as_default() as graph, graph.name_scope(name or "dct"):
        values = convert_to_tensor(given)
        _check(values, checked, n, axis, norm)
        if n is not None:
            values = _resized(values, n)
        return _KINDS[kind](values, norm == "ortho")


def _resized(values: Tensor, n: int) -> Tensor:
    cut = values[..., :n]
    sizes = shape_of(cut)
    missing = stack([maximum(0, n - sizes[-1])])
    filled = concat([cut, zeros(concat([sizes[:-1], missing], 0), values.dtype)], -1)
    if filled._shape is not None:
        filled._shape = (*filled._shape[:-1], n)
    return filled


def _size(values: Tensor) -> Any:
    """The last dimension, a number where it is known."""
    static = None if values._shape is None else values._shape[-1]
    return shape_of(values)[-1] if static is None else static


def _turns(values: Tensor, count: Any, sign: int) -> Tensor:
    """`2 * exp(sign * i * pi * k / (2 * count))` for k below `count`."""
    angles = cast(range_(count), values.dtype) * (math.pi / 2) / cast(count, values.dtype)
    return complex_(2 * cos(angles), sign * 2 * sin(angles))


def _weights(values: Tensor, count: Any, first: Tensor, others: Tensor) -> Tensor:
    """`first`, then `others`."""
    rest = ones(stack([count - 1]), values.dtype) * others
    return concat([create_op("ExpandDims", [first, 0]), rest], 0)


def _first(values: Tensor, is_orthogonal: bool) -> Tensor:
    mirrored = concat([values, reverse(values[..., 1:-1], [-1])], -1)
    return real(rfft(mirrored))


def _second(values: Tensor, is_orthogonal: bool) -> Tensor:
    count = _size(values)
    half = rfft(values, [2 * count])[..., :count]
    result = real(half * _turns(values, count, -1))
    if is_orthogonal:
        scale = 0.5 * rsqrt(cast(count, values.dtype))
        result = result * _weights(values, count, scale, scale * math.sqrt(2.0))
    return result


def _third(values: Tensor, is_orthogonal: bool) -> Tensor:
    count = _size(values)
    scale = cast(count, values.dtype)
    if is_orthogonal:
        scale = sqrt(scale)
        values = values * _weights(values, count, scale, scale * math.sqrt(0.5))
    else:
        values = values * scale
    turned = _turns(values, count, 1) * complex_(values, zeros_like(values))
    return irfft(turned, [2 * count])[..., :count]


def _fourth(values: Tensor, is_orthogonal: bool) -> Tensor:
    count = _size(values)
    doubled = concat([values, zeros_like(values)], -1)
    result = _second(doubled, False)[..., 1::2]
    if is_orthogonal:
        result = result * (math.sqrt(0.5) * rsqrt(cast(count, values.dtype)))
    return result


_KINDS = {1: _first, 2: _second, 3: _third, 4: _fourth}
