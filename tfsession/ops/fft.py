"""Fourier transforms, discrete and fast, over the last dimensions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tfsession.core import dtypes
from tfsession.core.exports import export
from tfsession.core.op_def import define_op
from tfsession.core.shape import Shape
from tfsession.graph.constant_value import constant_shape, constant_value
from tfsession.graph.create import convert_to_tensor, create_op, graph_of
from tfsession.graph.operation import Operation
from tfsession.graph.shape_fns import with_rank, with_rank_at_least
from tfsession.graph.tensor import Tensor
from tfsession.ops.constant import constant, zeros, zeros_like
from tfsession.ops.elementwise import maximum
from tfsession.ops.join import concat, stack
from tfsession.ops.pad import pad
from tfsession.ops.shape import rank
from tfsession.ops.shape import shape as shape_of

_COMPLEX = "Tcomplex: {complex64, complex128} = DT_COMPLEX64"
_REAL = "Treal: {float, double} = DT_FLOAT"
_SUFFIXES = {1: "", 2: "2D", 3: "3D"}


def _real_shape(dims: int, is_inverse: bool) -> Callable[[Operation], list[Shape]]:
    def infer(op: Operation) -> list[Shape]:
        given = with_rank_at_least(op.inputs[0]._shape, dims)
        lengths = with_rank(op.inputs[1]._shape, 1)
        assert lengths is not None
        if lengths[0] not in (None, dims):
            raise ValueError(f"fft_length must have {dims} elements")
        if given is None:
            return [None]
        sizes: Any = constant_value(op.inputs[1])
        last = [None] * dims if sizes is None else [int(size) for size in sizes]
        if last[-1] is not None and not is_inverse:
            last[-1] = last[-1] // 2 + 1 if last[-1] else 0
        return [(*given[:-dims], *last)]

    return infer


for _dims, _suffix in _SUFFIXES.items():
    for _name in ("FFT", "IFFT"):
        define_op(
            f"{_name}{_suffix}",
            inputs=["input: Tcomplex"],
            outputs=["output: Tcomplex"],
            attrs=[_COMPLEX],
            shape=lambda op, dims=_dims: [with_rank_at_least(op.inputs[0]._shape, dims)],
        )
    define_op(
        f"RFFT{_suffix}",
        inputs=["input: Treal", "fft_length: int32"],
        outputs=["output: Tcomplex"],
        attrs=[_REAL, _COMPLEX],
        shape=_real_shape(_dims, is_inverse=False),
    )
    define_op(
        f"IRFFT{_suffix}",
        inputs=["input: Tcomplex", "fft_length: int32"],
        outputs=["output: Treal"],
        attrs=[_REAL, _COMPLEX],
        shape=_real_shape(_dims, is_inverse=True),
    )


def _complex(op_type: str, what: str, *names: str) -> Callable[..., Tensor]:
    @export(*names)
    def transform(input: Any, name: str | None = None) -> Tensor:
        result: Tensor = create_op(op_type, [input], name=name)
        return result

    transform.__name__ = transform.__qualname__ = names[0].rpartition(".")[2]
    transform.__doc__ = f"{what} of a complex64 or complex128 tensor."
    return transform


def _lengths(values: Tensor, dims: int, is_inverse: bool) -> Any:
    """The sizes that a transform of all of `values` has."""
    static = values._shape
    if static is not None and None not in static[-dims:]:
        sizes: list[Any] = list(static[-dims:])
        if is_inverse:
            sizes[-1] = max(0, 2 * (sizes[-1] - 1))
        return constant(sizes, dtypes.int32)
    whole = shape_of(values)[-dims:]
    if not is_inverse:
        return whole
    parts = [whole[axis] for axis in range(dims)]
    parts[-1] = maximum(0, 2 * (parts[-1] - 1))
    return stack(parts)


def _padded(values: Tensor, dims: int, lengths: Tensor, is_inverse: bool) -> Tensor:
    """With zeros behind, where a dimension is shorter than the transform."""
    static, wanted = values._shape, constant_shape(lengths)
    if static is not None and 0 in static:
        return values
    if is_inverse and wanted is not None and wanted[-1] is not None:
        wanted = (*wanted[:-1], wanted[-1] // 2 + 1)
    if static is not None and wanted is not None and None not in (*static[-dims:], *wanted):
        behind = [max(a - b, 0) for a, b in zip(wanted, static[-dims:], strict=True)]  # type: ignore[operator]
        if not any(behind):
            return values
        return pad(values, [[0, 0]] * (len(static) - dims) + [[0, size] for size in behind])
    all_dims, sizes = rank(values), shape_of(values)[-dims:]
    outer = zeros([maximum(0, all_dims - dims)], lengths.dtype)
    if is_inverse:
        lengths = concat([lengths[:-1], lengths[-1:] // 2 + 1], 0)
    behind_all = concat([outer, maximum(0, lengths - sizes)], 0)
    return pad(values, stack([zeros_like(behind_all), behind_all], axis=1))


def _real(dims: int, is_inverse: bool) -> Callable[..., Tensor]:
    suffix = _SUFFIXES[dims]
    op_type = f"{'I' * is_inverse}RFFT{suffix}"
    label = op_type.lower()
    kinds = {dtypes.float32: dtypes.complex64, dtypes.float64: dtypes.complex128}
    if is_inverse:
        kinds = {there: here for here, there in kinds.items()}

    @export(f"signal.{label}", f"spectral.{label}", f"contrib.signal.{label}")
    def transform(input_tensor: Any, fft_length: Any = None, name: str | None = None) -> Tensor:
        graph = graph_of([input_tensor, fft_length])
        with graph.as_default(), graph.name_scope(name or label) as scope:
            hint = dtypes.complex64 if is_inverse else dtypes.float32
            values = convert_to_tensor(input_tensor, dtype_hint=hint)
            if values.dtype.base_dtype not in kinds:
                taken = (
                    "tf.complex64 or tf.complex128" if is_inverse else "tf.float32 or tf.float64"
                )
                raise ValueError(f"{op_type.rstrip('23D')} requires {taken} inputs, got: {values}")
            with_rank_at_least(values._shape, dims)
            if fft_length is None:
                lengths = _lengths(values, dims, is_inverse)
            else:
                lengths = convert_to_tensor(fft_length, dtypes.int32)
            values = _padded(values, dims, lengths, is_inverse)
            known = constant_value(lengths)
            attr = "Treal" if is_inverse else "Tcomplex"
            result: Tensor = create_op(
                op_type,
                [values, lengths if known is None else known],
                {attr: kinds[values.dtype.base_dtype]},
                scope,
            )
        return result

    transform.__name__ = transform.__qualname__ = label
    last = "dimension" if dims == 1 else f"{dims} dimensions"
    what = "The inverse of the" if is_inverse else "The"
    transform.__doc__ = f"""{what} transform of real numbers over the last {last}.

    Of the transform of real numbers the last dimension's first half is kept, `n // 2 + 1` elements.

    Args:
        input_tensor: {"complex64 or complex128" if is_inverse else "float32 or float64"} tensor.
        fft_length: int32 vector, the size of each dimension of the real numbers: what is shorter is
            filled with zeros, what is longer is cut; all of `input_tensor` when None.
        name: name scope of the operations.

    Raises:
        ValueError: another dtype, or too few dimensions.
    """
    return transform


def _names(label: str) -> list[str]:
    return [label, *(f"{room}.{label}" for room in ("signal", "spectral", "contrib.signal"))]


fft = _complex("FFT", "The transform over the last dimension", *_names("fft"))
ifft = _complex("IFFT", "The inverse transform over the last dimension", *_names("ifft"))
fft2d = _complex("FFT2D", "The transform over the last two dimensions", *_names("fft2d"))
ifft2d = _complex("IFFT2D", "The inverse over the last two dimensions", *_names("ifft2d"))
fft3d = _complex("FFT3D", "The transform over the last three dimensions", *_names("fft3d"))
ifft3d = _complex("IFFT3D", "The inverse over the last three dimensions", *_names("ifft3d"))
rfft, irfft = _real(1, is_inverse=False), _real(1, is_inverse=True)
rfft2d, irfft2d = _real(2, is_inverse=False), _real(2, is_inverse=True)
rfft3d, irfft3d = _real(3, is_inverse=False), _real(3, is_inverse=True)
