"""Kernels of conditional accumulators. The value of a handle is the accumulator itself."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfsession.core.dtypes import DType
from tfsession.core.errors import InvalidArgumentError
from tfsession.core.rules import kernel
from tfsession.core.shape import Shape
from tfsession.resources.accumulator import Accumulator, SparseAccumulator
from tfsession.resources.store import DEFAULT_CONTAINER

_FLOATS = {"dtype": ("half", "float", "double")}


def _define(op_type: str, kind: type[Accumulator]) -> None:
    @kernel(op_type, device="CPU", stateful=True, types=_FLOATS)
    def accumulator(
        ctx: Any, *, dtype: DType, shape: Shape, container: bytes, shared_name: bytes,
        reduction_type: bytes,
    ) -> Accumulator:  # fmt: skip
        """The accumulator of the node, or of its shared name, made when first met."""
        found: Accumulator | None = ctx.state.get("accumulator")
        if found is None:
            where, store = container.decode() or DEFAULT_CONTAINER, ctx.resources
            name = shared_name.decode() or ctx.state.setdefault("name", store.unique_name(ctx.name))
            made = kind(name, where, dtype, shape, reduction_type.decode())
            found = store.get_or_create(where, name, Accumulator, lambda: made)
            found.check_shared(made)
            ctx.state["accumulator"] = found
        return found


_define("ConditionalAccumulator", Accumulator)
_define("ResourceConditionalAccumulator", Accumulator)
_define("SparseConditionalAccumulator", SparseAccumulator)


def _accumulator(handle: Any) -> Accumulator:
    if isinstance(handle, Accumulator):
        return handle
    raise InvalidArgumentError(
        None,
        None,
        "Trying to access resource using the wrong type. Expected an accumulator, got "
        f"{type(handle).__name__}",
    )


def _holding(handle: Any, kind: type[Accumulator], dtype: DType) -> Accumulator:
    """The accumulator of a handle, which must hold gradients of this kind and type."""
    found = _accumulator(handle)
    if type(found) is not kind or found.dtype is not dtype:
        raise InvalidArgumentError(
            None,
            None,
            f"Accumulator '{found.name}' holds {found.kind} gradients of {found.dtype.name}, not "
            f"{kind.kind} gradients of {dtype.name}",
        )
    return found


def _number(value: Any, name: str) -> int:
    if np.ndim(value):
        raise InvalidArgumentError(
            None, None, f"Argument {name} must be scalar, but had bad shape {np.shape(value)}"
        )
    return int(value)


@kernel("AccumulatorApplyGradient", "ResourceAccumulatorApplyGradient", device="CPU")
def apply_gradient(xp: Any, handle: Any, local_step: Any, gradient: Any, *, dtype: DType) -> None:
    """Add a gradient, unless it is stale."""
    _holding(handle, Accumulator, dtype).apply(_number(local_step, "local_step"), gradient)


@kernel("SparseAccumulatorApplyGradient", device="CPU")
def sparse_apply_gradient(
    xp: Any, handle: Any, local_step: Any, gradient_indices: Any, gradient_values: Any,
    gradient_shape: Any, *, dtype: DType, has_known_shape: bool,
) -> None:  # fmt: skip
    """Add slices of a gradient, unless they are stale."""
    gradient = gradient_indices, gradient_values, gradient_shape if has_known_shape else None
    _holding(handle, SparseAccumulator, dtype).apply(_number(local_step, "local_step"), gradient)


@kernel(
    *("AccumulatorTakeGradient", "ResourceAccumulatorTakeGradient"), device="CPU", blocking=True
)
def take_gradient(xp: Any, handle: Any, num_required: Any, *, dtype: DType) -> Any:
    """The mean or sum of so many gradients."""
    return _holding(handle, Accumulator, dtype).take(_number(num_required, "num_required"))


@kernel("SparseAccumulatorTakeGradient", device="CPU", blocking=True)
def sparse_take_gradient(xp: Any, handle: Any, num_required: Any, *, dtype: DType) -> Any:
    """The mean or sum of the slices of so many gradients."""
    return _holding(handle, SparseAccumulator, dtype).take(_number(num_required, "num_required"))


@kernel("AccumulatorNumAccumulated", "ResourceAccumulatorNumAccumulated", device="CPU")
def num_accumulated(xp: Any, handle: Any) -> Any:
    """How many gradients there are."""
    return np.int32(_accumulator(handle).count)


@kernel("AccumulatorSetGlobalStep", "ResourceAccumulatorSetGlobalStep", device="CPU")
def set_global_step(xp: Any, handle: Any, new_global_step: Any) -> None:
    """Set the step of which gradients must be."""
    _accumulator(handle).set_step(_number(new_global_step, "new_global_step"))
