"""Constants, placeholders, fills, sequences and identities."""

from __future__ import annotations

from typing import Any

from tfsession.core.dtypes import ALL_DTYPES, DType, variant
from tfsession.core.errors import InvalidArgumentError
from tfsession.core.rules import kernel
from tfsession.core.shape import Shape, debug_string
from tfsession.core.shape_tensor import sizes_of


@kernel("Const", constant=True)
def const(xp: Any, value: Any) -> Any:
    """The value in the device's memory, contiguous."""
    if not hasattr(value, "dtype") or not hasattr(value, "shape"):
        raise InvalidArgumentError(None, None, "A constant of this type cannot be computed with")
    return xp.asarray(value, order="C")


# Texts lie in host memory, whatever the device.
@kernel(
    *("Placeholder", "PlaceholderV2"),
    stateful=True,
    types={"dtype": ["string"]},
    host_outputs=["output"],
    device="GPU",
)
@kernel("Placeholder", "PlaceholderV2", stateful=True)
def placeholder(ctx: Any, dtype: DType, shape: Shape) -> Any:
    """Runs only where nothing was fed."""
    text = (
        f"You must feed a value for placeholder tensor '{ctx.name}' with dtype {dtype.op_def_name}"
    )
    raise InvalidArgumentError(
        None, None, f"{text} and shape {debug_string(shape)}" if shape else text
    )


@kernel("PlaceholderWithDefault", "Identity", "StopGradient", "PreventGradient", forwards=True)
def forward(xp: Any, value: Any) -> Any:
    """The input itself."""
    return value


@kernel("IdentityN", aliases=True)
def identity_n(xp: Any, *values: Any) -> Any:
    """The inputs themselves."""
    return values


@kernel("NoOp")
def no_op(xp: Any) -> None:
    """Nothing."""


@kernel("ZerosLike", types={"T": ["string"]}, device="CPU")
def empty_texts_like(xp: Any, x: Any) -> Any:
    """Empty texts."""
    return xp.full(x.shape, b"", object)


@kernel("ZerosLike", types={"T": set(ALL_DTYPES) - {variant}}, elementwise="broadcast")
def zeros_like(xp: Any, x: Any) -> Any:
    """Zeros of the same shape and dtype."""
    return xp.zeros(x.shape, x.dtype)


@kernel("OnesLike", elementwise="broadcast")
def ones_like(xp: Any, x: Any) -> Any:
    """Ones of the same shape and dtype."""
    return xp.ones(x.shape, x.dtype)


@kernel("Fill", host=["dims"])
def fill(xp: Any, dims: Any, value: Any) -> Any:
    """One value everywhere."""
    sizes, _ = sizes_of(dims, "dims must represent a vector, got shape ")
    if value.size != 1 or value.ndim > 1:
        raise InvalidArgumentError(
            None, None, f"value must represent a scalar, got shape {debug_string(value.shape)}"
        )
    return xp.full(sizes, value.reshape(()), value.dtype)


@kernel("Empty", host=["shape"])
def empty(xp: Any, shape: Any, dtype: DType, init: bool) -> Any:
    """An array that nobody has written to, or zeros."""
    sizes, _ = sizes_of(shape, "shape must be a vector of int32, got shape ")
    if dtype.numpy.kind == "O":
        return xp.full(sizes, b"", object)
    return (xp.zeros if init else xp.empty)(sizes, dtype.numpy)
