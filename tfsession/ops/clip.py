"""Bounds on the length of tensors, and the demand that they be finite."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tfsession.core import shape as shape_lib
from tfsession.core.exports import export
from tfsession.graph.create import convert_to_tensor, graph_of
from tfsession.graph.indexed_slices import IndexedSlices
from tfsession.graph.tensor import Tensor
from tfsession.ops.cast import cast
from tfsession.ops.compare import where
from tfsession.ops.constant import constant, identity, ones_like, with_dependencies
from tfsession.ops.elementwise import maximum, minimum
from tfsession.ops.join import stack
from tfsession.ops.nn import l2_loss
from tfsession.ops.reduce import reduce_sum
from tfsession.ops.sequence import range_
from tfsession.ops.shape import rank, size
from tfsession.ops.unary import check_numerics, rsqrt, sqrt


@export("clip_by_norm")
def clip_by_norm(t: Any, clip_norm: Any, axes: Any = None, name: str | None = None) -> Any:
    """`t` shortened to the length `clip_norm` where it is longer.

    Args:
        t: a Tensor, or IndexedSlices.
        clip_norm: a number or a tensor.
        axes: dimensions over which a length is taken; all of them when None.
        name: name of the operation.
    """
    values = t.values if isinstance(t, IndexedSlices) else t
    inputs = (values, clip_norm)
    with graph_of(inputs).as_default() as graph, graph.name_scope(name or "clip_by_norm") as scope:
        values = convert_to_tensor(values, name="t")
        clip_norm = maximum(clip_norm, 0) if isinstance(clip_norm, Tensor) else max(clip_norm, 0)
        squares = reduce_sum(values * values, axes, keepdims=True)
        # The root has no derivative at zero.
        positive = squares > 0
        root = sqrt(where(positive, squares, ones_like(squares)))
        norm = where(positive, root, squares)
        longer = values * clip_norm
        if not shape_lib.is_compatible(values._shape, longer._shape):
            raise ValueError(f"Shapes {values.shape} and {longer.shape} are incompatible")
        clipped = identity(longer / maximum(norm, clip_norm), name=scope)
    if isinstance(t, IndexedSlices):
        return IndexedSlices(clipped, t.indices, t.dense_shape)
    return clipped


@export("clip_by_average_norm")
def clip_by_average_norm(t: Any, clip_norm: Any, name: str | None = None) -> Tensor:
    """`t` shortened where its length over its number of elements exceeds `clip_norm`."""
    graph = graph_of((t, clip_norm))
    with graph.as_default(), graph.name_scope(name or "clip_by_average_norm") as scope:
        t = convert_to_tensor(t, name="t")
        count = cast(size(t), t.dtype)
        inverse = rsqrt(reduce_sum(t * t, range_(rank(t))))
        longer = t * clip_norm
        average = inverse * count
        factor = minimum(average, constant(1.0, t.dtype) / clip_norm)
        clipped: Tensor = identity(longer * factor, name=scope)
    return clipped


@export("global_norm", "linalg.global_norm")
def global_norm(t_list: Any, name: str | None = None) -> Tensor:
    """The length of all tensors of a list together; None and the indices of slices do not count.

    Raises:
        TypeError: `t_list` is no sequence.
    """
    values = [_values(t) for t in _as_sequence(t_list)]
    graph = graph_of([v for v in values if v is not None])
    with graph.as_default(), graph.name_scope(name or "global_norm"):
        halves = []
        for index, value in enumerate(values):
            if value is not None:
                tensor = convert_to_tensor(value, name=f"t_{index}")
                with graph.colocate_with(tensor.op):
                    halves.append(l2_loss(tensor))
        half = reduce_sum(stack(halves))
        norm: Tensor = sqrt(half * constant(2.0, half.dtype), name="global_norm")
    return norm


@export("clip_by_global_norm")
def clip_by_global_norm(
    t_list: Any, clip_norm: Any, use_norm: Any = None, name: str | None = None
) -> tuple[list[Any], Tensor]:
    """The tensors of a list, all shortened alike so that their common length is `clip_norm`.

    Where the length is infinite or NaN, all elements become NaN.

    Returns:
        The clipped list, with None where there was None, and the length before.

    Raises:
        TypeError: `t_list` is no sequence.
    """
    items = list(_as_sequence(t_list))
    norm = global_norm(items, name) if use_norm is None else use_norm
    graph = graph_of([*(_values(t) for t in items if t is not None), norm])
    with graph.as_default(), graph.name_scope(name or "clip_by_global_norm") as scope:
        norm = convert_to_tensor(norm, name="use_norm")
        one = 1.0 / norm
        factor = clip_norm * minimum(one, constant(1.0, norm.dtype.base_dtype) / clip_norm)
        # What is not finite minus itself is NaN, and stays it.
        factor = factor + (norm - norm)
        clipped: list[Any] = []
        for index, item in enumerate(items):
            if item is None:
                clipped.append(None)
                continue
            tensor = convert_to_tensor(_values(item), name=f"t_{index}")
            with graph.colocate_with(tensor.op):
                result = identity(tensor * factor, name=f"{scope}_{index}")
            if isinstance(item, IndexedSlices):
                result = IndexedSlices(result, item.indices, item.dense_shape)
            clipped.append(result)
    return clipped, norm


def _as_sequence(t_list: Any) -> Sequence[Any]:
    if not isinstance(t_list, Sequence) or isinstance(t_list, str):
        raise TypeError(f"`t_list` should be a sequence of tensors. Received {type(t_list)}.")
    return t_list


def _values(t: Any) -> Any:
    return t.values if isinstance(t, IndexedSlices) else t


@export("verify_tensor_all_finite", "debugging.assert_all_finite")
def verify_tensor_all_finite(
    t: Any = None,
    msg: str | None = None,
    name: str | None = None,
    x: Any = None,
    message: str | None = None,
) -> Tensor:
    """`x` itself; infinities and NaNs in it are an error when the graph runs.

    Args:
        t: deprecated, the same as `x`.
        msg: deprecated, the same as `message`.
        name: name of the scope of the operations made.
        x: a tensor of floating type.
        message: what the error begins with.

    Raises:
        ValueError: both names of an argument are given.
    """
    tensor = _one_of("x", x, "t", t)
    text = _one_of("message", message, "msg", msg)
    with graph_of((tensor,)).as_default() as graph, graph.name_scope(name or "VerifyFinite"):
        tensor = convert_to_tensor(tensor, name="x")
        with graph.colocate_with(tensor.op):
            checked = check_numerics(tensor, text)
            result: Tensor = with_dependencies([checked], tensor)
    return result


def _one_of(name: str, value: Any, deprecated: str, old_value: Any) -> Any:
    if old_value is None:
        return value
    if value is not None:
        raise ValueError(f"Cannot specify both '{deprecated}' and '{name}'.")
    return old_value
