"""Fourier transforms over the last dimensions, by NumPy's and CuPy's libraries."""

from __future__ import annotations

from typing import Any

from tfsession.core.errors import InvalidArgumentError
from tfsession.core.rules import kernel

_COMPLEX_OF = {"float32": "complex64", "float64": "complex128"}
_REAL_OF = {there: here for here, there in _COMPLEX_OF.items()}


def _refuse(text: str) -> InvalidArgumentError:
    return InvalidArgumentError(None, None, text)


def _sizes(values: Any, lengths: Any, dims: int, is_inverse: bool) -> list[int]:
    """The sizes of the real numbers, checked against the input."""
    if lengths.shape != (dims,):
        raise _refuse(f"fft_length must have shape [{dims}]")
    sizes: list[int] = lengths.tolist()
    if min(sizes) < 0:
        raise _refuse(f"fft_length[{sizes.index(min(sizes))}] must be >= 0, but got: {min(sizes)}")
    if values.ndim < dims:
        raise _refuse(f"Input must have rank of at least {dims} but got: {values.ndim}")
    for at, size in enumerate(sizes):
        least = size // 2 + 1 if is_inverse and at == dims - 1 else size
        have = values.shape[values.ndim - dims + at]
        if values.size and have < least:
            raise _refuse(
                f"Input dimension {at} must have length of at least {least} but got: {have}"
            )
    return sizes


def _register(dims: int, suffix: str) -> None:
    axes = tuple(range(-dims, 0))

    def whole(xp: Any, values: Any, is_inverse: bool) -> Any:
        if values.ndim < dims:
            raise _refuse(f"Input must have rank of at least {dims} but got: {values.ndim}")
        if not values.size:
            return values.copy()
        transform = xp.fft.ifftn if is_inverse else xp.fft.fftn
        return transform(values, axes=axes).astype(values.dtype, copy=False)

    @kernel(f"FFT{suffix}", slow=20_000)
    def _(xp: Any, input: Any) -> Any:
        return whole(xp, input, is_inverse=False)

    @kernel(f"IFFT{suffix}", slow=20_000)
    def _(xp: Any, input: Any) -> Any:
        return whole(xp, input, is_inverse=True)

    @kernel(f"RFFT{suffix}", host=["fft_length"], slow=20_000)
    def _(xp: Any, input: Any, fft_length: Any) -> Any:
        sizes = _sizes(input, fft_length, dims, is_inverse=False)
        result_type = _COMPLEX_OF[input.dtype.name]
        if not input.size or 0 in sizes:
            last = [*sizes[:-1], sizes[-1] // 2 + 1 if sizes[-1] else 0]
            return xp.zeros((*input.shape[: input.ndim - dims], *last), result_type)
        return xp.fft.rfftn(input, s=sizes, axes=axes).astype(result_type, copy=False)

    @kernel(f"IRFFT{suffix}", host=["fft_length"], slow=20_000)
    def _(xp: Any, input: Any, fft_length: Any) -> Any:
        sizes = _sizes(input, fft_length, dims, is_inverse=True)
        result_type = _REAL_OF[input.dtype.name]
        if not input.size or 0 in sizes:
            return xp.zeros((*input.shape[: input.ndim - dims], *sizes), result_type)
        return xp.fft.irfftn(input, s=sizes, axes=axes).astype(result_type, copy=False)


for _dims, _suffix in ((1, ""), (2, "2D"), (3, "3D")):
    _register(_dims, _suffix)
