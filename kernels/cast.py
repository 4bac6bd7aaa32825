"""What changes of an element's type compute."""

from __future__ import annotations

from typing import Any

import numpy as np
from ml_dtypes import finfo

from tfsession.core.dtypes import DType, bfloat16, float16
from tfsession.core.errors import UnimplementedError
from tfsession.core.rules import elementwise, kernel

_FLOATS = ("half", "bfloat16", "float", "double")
_INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
_COMPLEX = ("complex64", "complex128")
_NARROW = ("int8", "int16", "uint8", "uint16")

elementwise("Conj", "conjugate", types={"T": _COMPLEX})
elementwise("ComplexAbs", "absolute")


@kernel(
    "Cast",
    types={"SrcT": ("bool", *_INTEGERS), "DstT": ("bool", *_INTEGERS, *_COMPLEX)},
    elementwise="broadcast",
)
@kernel("Cast", types={"SrcT": ("bool", *_INTEGERS), "DstT": _FLOATS}, elementwise="broadcast")
@kernel(
    "Cast",
    types={"SrcT": _FLOATS, "DstT": ("bool", "int32", "int64", "uint32", "uint64")},
    elementwise="broadcast",
)
@kernel("Cast", types={"SrcT": _FLOATS, "DstT": _COMPLEX}, elementwise="broadcast")
def cast(xp: Any, x: Any, DstT: DType) -> Any:
    """Integers wrap around; of numbers out of range nothing is said."""
    return x.astype(DstT.numpy)


@kernel("Cast", types={"SrcT": _FLOATS, "DstT": _FLOATS}, elementwise="broadcast")
def cast_float(xp: Any, x: Any, SrcT: DType, DstT: DType, Truncate: bool) -> Any:
    """To the nearest number, or with `Truncate` to the next one toward zero."""
    return (_shortened(x, SrcT, DstT) if Truncate else x).astype(DstT.numpy)


def _shortened(x: Any, source: DType, target: DType) -> Any:
    """`x` without the bits of its fractions that `target` has no room for."""
    lost = _fraction_bits(source) - _fraction_bits(target)
    if lost <= 0 or (source is float16 and target is bfloat16):
        return x
    unsigned = np.dtype(f"u{source.size}")
    return (x.view(unsigned) >> unsigned.type(lost) << unsigned.type(lost)).view(source.numpy)


def _fraction_bits(dtype: DType) -> int:
    return int(finfo(dtype.numpy).nmant)


@kernel("Cast", types={"SrcT": _FLOATS, "DstT": _NARROW}, elementwise="broadcast")
def cast_to_narrow(xp: Any, x: Any, DstT: DType) -> Any:
    """Numbers out of range become the nearest that fits, as where TensorFlow computes in vectors.

    It does not at the end of an array: there they wrap around.
    """
    wide = x.astype("int32")
    low, high = np.int32(DstT.min), np.int32(DstT.max)
    return xp.minimum(xp.maximum(wide, low), high).astype(DstT.numpy)


@kernel("Cast", types={"SrcT": _COMPLEX, "DstT": _COMPLEX}, elementwise="broadcast")
def cast_complex(xp: Any, x: Any, SrcT: DType, DstT: DType, Truncate: bool) -> Any:
    """Both parts."""
    if not Truncate:
        return x.astype(DstT.numpy)
    real = _shortened(x.real, SrcT.real_dtype, DstT.real_dtype)
    imag = _shortened(x.imag, SrcT.real_dtype, DstT.real_dtype)
    return _joined(xp, real, imag, DstT)


@kernel(
    "Cast",
    types={"SrcT": _COMPLEX, "DstT": ("bool", *_INTEGERS, *_FLOATS)},
    elementwise="broadcast",
)
def cast_real_part(xp: Any, x: Any, SrcT: DType, DstT: DType, Truncate: bool) -> Any:
    """The real part alone, also for a truth value."""
    real = x.real
    if Truncate and DstT.is_floating:
        real = _shortened(real, SrcT.real_dtype, DstT)
    return real.astype(DstT.numpy)


@kernel("Cast", elementwise="broadcast")
def cast_rare(xp: Any, x: Any, SrcT: DType, DstT: DType, Truncate: bool) -> Any:
    """Quantized numbers, numbers of 8 bits and less; no texts."""
    if not _is_number(SrcT) or not _is_number(DstT):
        raise UnimplementedError(
            None, None, f"Cast {SrcT.op_def_name} to {DstT.op_def_name} is not supported"
        )
    if SrcT.is_quantized:
        x = x[SrcT.name]
    elif SrcT.is_complex:
        x = x.real
    if Truncate and SrcT.is_floating and DstT.is_floating:
        x = _shortened(x, SrcT, DstT)
    elif SrcT.is_integer:
        x = x.astype("int32")  # types of less than 8 bits know no way to each other
    plain = DstT.numpy[DstT.name] if DstT.is_quantized else DstT.numpy
    result = xp.asarray(x).astype(plain)
    return result.view(DstT.numpy) if DstT.is_quantized else result


def _is_number(dtype: DType) -> bool:
    return dtype.is_numpy_compatible and not dtype.numpy.hasobject


# --- complex numbers ------------------------------------------------------------------------------


@kernel("Complex", elementwise="broadcast")
def complex_(xp: Any, real: Any, imag: Any, Tout: DType) -> Any:
    """Numbers of two parts, which broadcast."""
    return _joined(xp, real, imag, Tout)


def _joined(xp: Any, real: Any, imag: Any, dtype: DType) -> Any:
    shape = real.shape if real.shape == imag.shape else (real + imag).shape
    parts = xp.empty((*shape, 2), dtype.real_dtype.numpy)
    parts[..., 0] = real
    parts[..., 1] = imag
    return parts.view(dtype.numpy).reshape(shape)


@kernel("Real", elementwise="broadcast")
def real(xp: Any, input: Any) -> Any:
    """The real parts, in memory of their own."""
    return input.real.copy()


@kernel("Imag", elementwise="broadcast")
def imag(xp: Any, input: Any) -> Any:
    """The imaginary parts, in memory of their own."""
    return input.imag.copy()


@kernel("Angle", elementwise="broadcast")
def angle(xp: Any, input: Any) -> Any:
    """The angle of each number."""
    return xp.arctan2(input.imag, input.real)
