"""Weights of losses: whether they fit, and how many elements they let count."""

from __future__ import annotations

from typing import Any

from tfsession.core import dtypes
from tfsession.core.shape import Shape, is_fully_defined
from tfsession.graph.create import convert_to_tensor
from tfsession.graph.graph import get_default_graph
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor
from tfsession.ops.cast import cast
from tfsession.ops.compare import equal, where
from tfsession.ops.constant import no_op, ones_like, zeros_like
from tfsession.ops.elementwise import multiply
from tfsession.ops.reduce import reduce_sum
from tfsession.ops.sequence import range_
from tfsession.ops.shape import rank
from tfsession.ops.shape import shape as shape_of


def assert_broadcastable(weights: Any, values: Any) -> list[Operation]:
    """Operations that stand for weights that fit: a scalar, or of the values' sizes, or of one.

    This is decided now, as far as shapes are known; for what is not there are none.

    Raises:
        ValueError: the weights do not fit.
    """
    graph = get_default_graph()
    with graph.name_scope("assert_broadcastable"):
        values = convert_to_tensor(values, name="values")
        weights = convert_to_tensor(weights, name="weights")
        for name, tensor in (("weights", weights), ("values", values)):
            shape_of(tensor, name=f"{name}/shape")
            rank(tensor, name=f"{name}/rank")
        have, want = weights._shape, values._shape
        if have == ():
            return [no_op("static_scalar_check_success")]
        if have is None or want is None:
            return []
        text = _complaint(have, want, weights, values)
        if text is not None:
            raise ValueError(
                f"weights can not be broadcast to values. {text}. "
                f"Received weights={weights}, values={values}"
            )
        if is_fully_defined(have) and is_fully_defined(want):
            return [no_op("static_dims_check_success")]
        return []


def _complaint(
    have: tuple[int | None, ...], want: tuple[int | None, ...], weights: Tensor, values: Tensor
) -> str | None:
    if len(have) != len(want):
        return (
            f"values.rank={len(want)}. weights.rank={len(have)}. values.shape={values.shape}. "
            f"weights.shape={weights.shape}"
        )
    for dim, (size, wanted) in enumerate(zip(have, want, strict=True)):
        if None not in (size, wanted) and size not in (1, wanted):
            return f"Mismatch at dim {dim}. values.shape={_text(want)}, weights.shape={_text(have)}"
    return None


def _text(shape: tuple[int | None, ...]) -> str:
    """As NumPy writes an array of the sizes."""
    return f"[{' '.join(map(str, shape))}]"


def num_present(losses: Tensor, weights: Tensor, per_batch: bool = False) -> Tensor:
    """How many losses have a weight that is not zero: of all, or of each first index."""
    graph = get_default_graph()
    with graph.name_scope("num_present") as scope:
        weights = cast(weights, dtypes.float32)
        counts = where(equal(weights, 0.0), zeros_like(weights), ones_like(weights))
        counts = broadcast_weights(counts, losses)
        if not per_batch:
            return reduce_sum(counts, name=scope)
        return reduce_sum(counts, range_(1, rank(counts)), keepdims=True, name=scope)


def broadcast_weights(weights: Tensor, values: Tensor) -> Tensor:
    """The weights in the shape of the values; see `assert_broadcastable`."""
    graph = get_default_graph()
    with graph.name_scope("broadcast_weights") as scope:
        if _same_known_shape(weights._shape, values._shape):
            return weights
        with graph.control_dependencies(assert_broadcastable(weights, values)):
            return multiply(weights, ones_like(values), scope)


def _same_known_shape(first: Shape, second: Shape) -> bool:
    return first == second and is_fully_defined(first)
