"""Changes of an element's type: casts, and the parts of complex numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfsession.core import dtypes
from tfsession.core.dtypes import DType, as_dtype
from tfsession.core.exports import export
from tfsession.core.op_def import define_op
from tfsession.graph.create import convert_to_tensor, create_op, graph_of
from tfsession.graph.indexed_slices import IndexedSlices
from tfsession.graph.shape_fns import broadcast, same_as
from tfsession.graph.tensor import Tensor
from tfsession.ops.constant import ones_like, zeros_like

define_op(
    "Cast",
    inputs=["x: SrcT"],
    outputs=["y: DstT"],
    attrs=["SrcT: type", "DstT: type", "Truncate: bool = false"],
    shape=same_as(0),
)
define_op(
    "Complex",
    inputs=["real: T", "imag: T"],
    outputs=["out: Tout"],
    attrs=["T: {float, double} = DT_FLOAT", "Tout: {complex64, complex128} = DT_COMPLEX64"],
    shape=broadcast,
)
for _name in ("Real", "Imag", "Angle"):
    define_op(
        _name,
        inputs=["input: T"],
        outputs=["output: Tout"],
        attrs=["T: {complex64, complex128} = DT_COMPLEX64", "Tout: {float, double} = DT_FLOAT"],
        shape=same_as(0),
    )
define_op(
    "ComplexAbs",
    inputs=["x: T"],
    outputs=["y: Tout"],
    attrs=["T: {complex64, complex128} = DT_COMPLEX64", "Tout: {float, double} = DT_FLOAT"],
    shape=same_as(0),
)
define_op(
    "Conj",
    inputs=["input: T"],
    outputs=["output: T"],
    attrs=["T: {complex64, complex128, variant} = DT_COMPLEX64"],
    shape=same_as(0),
)


@export("cast", "dtypes.cast")
def cast(x: Any, dtype: Any, name: str | None = None) -> Any:
    """`x` with elements of `dtype`; `x` itself when it has that type.

    `x` may be IndexedSlices. Fractions are cut off, complex numbers lose their imaginary part.

    Raises:
        TypeError: `dtype` is no type.
    """
    base = as_dtype(dtype).base_dtype
    if isinstance(x, Tensor):
        if x.dtype.base_dtype is base:
            return x
        return create_op("Cast", (x,), {"DstT": base}, name)
    if isinstance(x, IndexedSlices):
        if x.values.dtype.base_dtype is base:
            return x
        values = create_op("Cast", (x.values,), {"DstT": base}, name)
        return IndexedSlices(values, x.indices, x.dense_shape)
    with graph_of((x,)).as_default() as graph, graph.name_scope(name or "Cast") as scope:
        tensor = convert_to_tensor(x, name="x")
        if tensor.dtype.base_dtype is base:
            return tensor
        return create_op("Cast", (tensor,), {"DstT": base}, scope)


@export("saturate_cast", "dtypes.saturate_cast")
def saturate_cast(value: Any, dtype: Any, name: str | None = None) -> Tensor:
    """`value` with elements of `dtype`; what does not fit becomes the nearest number that does.

    Raises:
        TypeError: either type has no least and greatest number.
    """
    target = as_dtype(dtype).base_dtype
    graph = graph_of((value,))
    with graph.as_default(), graph.name_scope(name or "saturate_cast") as scope:
        value = convert_to_tensor(value, name="value")
        source = value.dtype.base_dtype
        if source.is_complex and not target.is_complex:
            value = real(value)
            source = value.dtype.base_dtype
        if source is not dtypes.complex64 or target is not dtypes.complex128:
            least, greatest = _shared_range(source, target)
            value = create_op(
                "ClipByValue",
                (value, _constant(least, source), _constant(greatest, source)),
                None,
                "clamp",
            )
        return cast(value, target, scope)


def _constant(value: Any, dtype: DType) -> Tensor:
    return convert_to_tensor(np.asarray(value).astype(dtype.numpy), name="Const")


def _shared_range(source: DType, target: DType) -> tuple[Any, Any]:
    """The least and the greatest number that both types have, as NumPy scalars of `source`."""
    if source.is_complex:
        least, greatest = _shared_range(source.real_dtype, target.real_dtype)
        return complex(least, least), complex(greatest, greatest)
    wanted = target.real_dtype if target.is_complex else target
    kind = source.numpy.type
    least, greatest = max(source.min, wanted.min), min(source.max, wanted.max)
    low, high = kind(least), kind(greatest)
    if source.is_floating:
        # Rounding to the source's type may lead out of the target's range again.
        if int(low) < int(least):
            low = np.nextafter(low, kind(0))
        if int(high) > int(greatest):
            high = np.nextafter(high, kind(0))
    return low, high


@export("to_float")
def to_float(x: Any, name: str | None = "ToFloat") -> Any:
    """`x` with elements of float32."""
    return cast(x, dtypes.float32, name)


@export("to_double")
def to_double(x: Any, name: str | None = "ToDouble") -> Any:
    """`x` with elements of float64."""
    return cast(x, dtypes.float64, name)


@export("to_int32")
def to_int32(x: Any, name: str | None = "ToInt32") -> Any:
    """`x` with elements of int32."""
    return cast(x, dtypes.int32, name)


@export("to_int64")
def to_int64(x: Any, name: str | None = "ToInt64") -> Any:
    """`x` with elements of int64."""
    return cast(x, dtypes.int64, name)


@export("to_bfloat16")
def to_bfloat16(x: Any, name: str | None = "ToBFloat16") -> Any:
    """`x` with elements of bfloat16."""
    return cast(x, dtypes.bfloat16, name)


@export("to_complex64")
def to_complex64(x: Any, name: str | None = "ToComplex64") -> Any:
    """`x` with elements of complex64."""
    return cast(x, dtypes.complex64, name)


@export("to_complex128")
def to_complex128(x: Any, name: str | None = "ToComplex128") -> Any:
    """`x` with elements of complex128."""
    return cast(x, dtypes.complex128, name)


# --- complex numbers ------------------------------------------------------------------------------

_COMPLEX_OF = {dtypes.float32: dtypes.complex64, dtypes.float64: dtypes.complex128}


@export("complex", "dtypes.complex")
def complex_(real: Any, imag: Any, name: str | None = None) -> Tensor:
    """Complex numbers of their real and imaginary parts.

    Raises:
        TypeError: the parts are not both float32 or both float64.
    """
    with graph_of((real, imag)).as_default() as graph:
        real = convert_to_tensor(real, name="real")
        imag = convert_to_tensor(imag, name="imag")
        kind = _COMPLEX_OF.get(real.dtype.base_dtype)
        if kind is None or imag.dtype.base_dtype is not real.dtype.base_dtype:
            raise TypeError(
                f"The `real` and `imag` components have incorrect types: {real.dtype.name} "
                f"{imag.dtype.name}. They must be consistent, and one of "
                f"{[dtypes.float32, dtypes.float64]}"
            )
        with graph.name_scope(name or "Complex") as scope:
            return create_op("Complex", (real, imag), {"Tout": kind}, scope)


def _part(op_type: str, x: Tensor, name: str | None) -> Tensor:
    return create_op(op_type, (x,), {"Tout": x.dtype.base_dtype.real_dtype}, name)


@export("real", "math.real")
def real(input: Any, name: str | None = None) -> Tensor:
    """The real parts; real numbers are returned as they are.

    Raises:
        TypeError: no numbers.
    """
    with graph_of((input,)).as_default() as graph, graph.name_scope(name or "Real") as scope:
        x = convert_to_tensor(input, name="input")
        if x.dtype.is_complex:
            return _part("Real", x, scope)
    if not x.dtype.is_numeric:
        raise TypeError(
            f"input must be a numeric tensor, but got tensor with dtype {x.dtype.base_dtype}"
        )
    return x


@export("imag", "math.imag")
def imag(input: Any, name: str | None = None) -> Tensor:
    """The imaginary parts; of real numbers zeros."""
    with graph_of((input,)).as_default() as graph, graph.name_scope(name or "Imag") as scope:
        x = convert_to_tensor(input, name="input")
        if x.dtype.is_complex:
            return _part("Imag", x, scope)
        return zeros_like(x)


@export("angle", "math.angle")
def angle(input: Any, name: str | None = None) -> Tensor:
    """The angles of complex numbers, between -pi and pi; of real ones pi below zero, else 0."""
    with graph_of((input,)).as_default() as graph, graph.name_scope(name or "Angle") as scope:
        x = convert_to_tensor(input, name="input")
        if x.dtype.is_complex:
            return _part("Angle", x, scope)
        below = create_op("Less", (x, 0))
        pi = create_op("Mul", (np.pi, ones_like(x)), {"T": x.dtype.base_dtype}, "mul")
        return create_op("Select", (below, pi, zeros_like(x)))


@export("conj", "math.conj")
def conj(x: Any, name: str | None = None) -> Tensor:
    """The complex conjugates; real numbers are returned as they are.

    Raises:
        TypeError: no numbers.
    """
    if isinstance(x, Tensor) and (x.dtype.is_floating or x.dtype.is_integer):
        return x
    with graph_of((x,)).as_default() as graph, graph.name_scope(name or "Conj") as scope:
        x = convert_to_tensor(x, name="x")
        if x.dtype.is_complex or x.dtype is dtypes.variant:
            return create_op("Conj", (x,), None, scope)
    if not (x.dtype.is_floating or x.dtype.is_integer):
        raise TypeError(f"Expected numeric or variant tensor, got dtype {x.dtype!r}.")
    return x
