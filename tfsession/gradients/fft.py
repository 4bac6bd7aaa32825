"""Gradients of Fourier transforms: the transform the other way, scaled."""

from __future__ import annotations

from typing import Any

from tfsession.core import dtypes
from tfsession.core.rules import gradient
from tfsession.graph.create import create_op
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor
from tfsession.ops.cast import cast
from tfsession.ops.constant import ones, zeros
from tfsession.ops.join import concat, stack
from tfsession.ops.pad import pad
from tfsession.ops.reduce import reduce_prod
from tfsession.ops.shape import rank
from tfsession.ops.shape import shape as shape_of
from tfsession.ops.slice import slice_


def _size(values: Tensor, dims: int) -> Tensor:
    return reduce_prod(shape_of(values)[-dims:])


def _real_part(values: Tensor) -> Tensor:
    real: Tensor = create_op("Real", [values], {"Tout": values.dtype.real_dtype})
    return real


def _to_size(values: Tensor, sizes: Tensor, dims: int) -> Tensor:
    """Cut or filled with zeros behind, so that the last dimensions have these sizes."""
    outer = rank(values) - dims
    have = shape_of(values)
    kept = create_op("Minimum", [have[-dims:], sizes])
    begin = create_op("ZerosLike", [have])
    cut = slice_(values, begin, concat([have[:-dims], kept], 0))
    behind = concat([zeros(stack([outer]), dtypes.int32), sizes - kept], 0)
    return pad(cut, stack([create_op("ZerosLike", [behind]), behind], axis=1))


def _register(dims: int, suffix: str) -> None:
    @gradient(f"FFT{suffix}")
    def _(op: Operation, grad: Any) -> Any:
        size = cast(_size(grad, dims), grad.dtype)
        return create_op(f"IFFT{suffix}", [grad]) * size

    @gradient(f"IFFT{suffix}")
    def _(op: Operation, grad: Any) -> Any:
        share = cast(1.0 / cast(_size(grad, dims), grad.dtype.real_dtype), grad.dtype)
        return create_op(f"FFT{suffix}", [grad]) * share

    @gradient(f"RFFT{suffix}")
    def _(op: Operation, grad: Any) -> Any:
        # What the transform keeps is the first half: the other half has no gradient.
        values, lengths = op.inputs
        whole = _to_size(grad, lengths, dims)
        size = cast(reduce_prod(lengths), grad.dtype)
        back = _real_part(create_op(f"IFFT{suffix}", [whole]) * size)
        return _to_size(back, shape_of(values)[-dims:], dims), None

    @gradient(f"IRFFT{suffix}")
    def _(op: Operation, grad: Any) -> Any:
        # Elements but the first one, and the middle one of an even length, count for two.
        values, lengths = op.inputs
        last = lengths[-1]
        is_odd = last % 2
        inner = create_op("Maximum", [last // 2 - 1 + is_odd, 0])
        middle = create_op("Minimum", [1 - is_odd, last // 2])
        counts = [ones([1], grad.dtype), 2 * ones(stack([inner]), grad.dtype)]
        mask = concat([*counts, ones(stack([middle]), grad.dtype)], 0)
        attrs = {"Tcomplex": values.dtype.base_dtype}
        back = create_op(f"RFFT{suffix}", [grad, lengths], attrs)
        share = mask / cast(_size(grad, dims), grad.dtype)
        scaled = back * cast(share, values.dtype.base_dtype)
        return _to_size(scaled, shape_of(values)[-dims:], dims), None


for _dims, _suffix in ((1, ""), (2, "2D"), (3, "3D")):
    _register(_dims, _suffix)
