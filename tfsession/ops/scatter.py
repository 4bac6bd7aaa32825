"""Tensors made from, or changed at, given indices."""

from __future__ import annotations

from typing import Any

from tfsession.core import shape as shape_lib
from tfsession.core.exports import export
from tfsession.core.op_def import define_op
from tfsession.core.shape import Shape, debug_string
from tfsession.graph.constant_value import constant_shape
from tfsession.graph.create import create_op
from tfsession.graph.operation import Operation
from tfsession.graph.shape_fns import with_rank, with_rank_at_least
from tfsession.graph.tensor import Tensor


def _check_updates(indices: Shape, updates: Shape, target: Shape) -> None:
    """Raise ValueError unless updates fit the indices, and the slices of the target."""
    if indices is None or updates is None:
        return
    outer = len(indices) - 1
    _check_part("indices", indices, indices[:-1], updates, updates[:outer])
    depth = indices[-1]
    if depth is None or target is None:
        return
    if depth > len(target):
        raise ValueError(
            f"Rank of slices ({depth}) must be at most the rank of the shape ({len(target)})"
        )
    _check_part("input", target, target[depth:], updates, updates[outer:], depth, outer)


def _check_part(
    name: str,
    shape: Shape,
    part: Shape,
    updates: Shape,
    update_part: Shape,
    first: int = 0,
    update_first: int = 0,
) -> None:
    try:
        shape_lib.merge(part, update_part)
    except ValueError as error:
        last, update_last = first + len(part or ()), update_first + len(part or ())
        raise ValueError(
            f"Dimensions [{first},{last}) of {name}[shape={debug_string(shape)}] = "
            f"{debug_string(part)} must match dimensions [{update_first},{update_last}) of "
            f"updates[shape={debug_string(updates)}] = {debug_string(update_part)}: {error}"
        ) from None


def _scatter_nd_shape(op: Operation) -> list[Shape]:
    indices = with_rank_at_least(op.inputs[0]._shape, 1)
    updates = op.inputs[1]._shape
    with_rank(op.inputs[2]._shape, 1)
    _check_updates(indices, updates, None)
    target = constant_shape(op.inputs[2])
    _check_updates(indices, updates, target)
    return [target]


define_op(
    "ScatterNd",
    inputs=["indices: Tindices", "updates: T", "shape: Tindices"],
    outputs=["output: T"],
    attrs=["T: type", "Tindices: {int16, int32, int64}", "bad_indices_policy: string = ''"],
    shape=_scatter_nd_shape,
)


def _tensor_scatter_shape(op: Operation) -> list[Shape]:
    target = with_rank_at_least(op.inputs[0]._shape, 1)
    indices = with_rank_at_least(op.inputs[1]._shape, 1)
    _check_updates(indices, op.inputs[2]._shape, target)
    return [target]


for _name, _types in (
    ("Update", "{int16, int32, int64, uint16}"),
    ("Add", "{int32, int64}"),
    ("Sub", "{int32, int64}"),
    ("Max", "{int32, int64}"),
    ("Min", "{int32, int64}"),
):
    define_op(
        f"TensorScatter{_name}",
        inputs=["tensor: T", "indices: Tindices", "updates: T"],
        outputs=["output: T"],
        attrs=["T: type", f"Tindices: {_types}", "bad_indices_policy: string = ''"],
        shape=_tensor_scatter_shape,
    )


@export("scatter_nd", "manip.scatter_nd")
def scatter_nd(
    indices: Any, updates: Any, shape: Any, bad_indices_policy: str = "", name: str | None = None
) -> Tensor:
    """Zeros of the given shape with `updates` added at the index vectors `indices`.

    Args:
        indices: integer tensor of shape `[..., k]`, each vector an index of the first k dimensions.
        updates: an element or slice for each vector; those of the same vector are summed.
        shape: integer vector.
        bad_indices_policy: "" for the device's own way.
        name: name of the operation.

    Raises:
        InvalidArgumentError: at run time, when an index is out of range.
    """
    attrs = {"bad_indices_policy": bad_indices_policy}
    result: Tensor = create_op("ScatterNd", [indices, updates, shape], attrs, name)
    return result


def _tensor_scatter(
    kind: str, tensor: Any, indices: Any, updates: Any, policy: str, name: str | None
) -> Tensor:
    attrs = {"bad_indices_policy": policy}
    inputs = [tensor, indices, updates]
    result: Tensor = create_op(f"TensorScatter{kind}", inputs, attrs, name)
    return result


@export("tensor_scatter_nd_update", "tensor_scatter_update")
def tensor_scatter_nd_update(
    tensor: Any, indices: Any, updates: Any, name: str | None = None
) -> Tensor:
    """`tensor` with its elements or slices at the index vectors replaced by `updates`."""
    return _tensor_scatter("Update", tensor, indices, updates, "", name)


@export("tensor_scatter_nd_add", "tensor_scatter_add")
def tensor_scatter_nd_add(
    tensor: Any, indices: Any, updates: Any, bad_indices_policy: str = "", name: str | None = None
) -> Tensor:
    """`tensor` with `updates` added at the index vectors, every one where a vector repeats."""
    return _tensor_scatter("Add", tensor, indices, updates, bad_indices_policy, name)


@export("tensor_scatter_nd_sub", "tensor_scatter_sub")
def tensor_scatter_nd_sub(
    tensor: Any, indices: Any, updates: Any, bad_indices_policy: str = "", name: str | None = None
) -> Tensor:
    """`tensor` with `updates` subtracted at the index vectors, every one where a vector repeats."""
    return _tensor_scatter("Sub", tensor, indices, updates, bad_indices_policy, name)


@export("tensor_scatter_nd_max")
def tensor_scatter_nd_max(
    tensor: Any, indices: Any, updates: Any, bad_indices_policy: str = "", name: str | None = None
) -> Tensor:
    """`tensor` with the greater of element and update at the index vectors."""
    return _tensor_scatter("Max", tensor, indices, updates, bad_indices_policy, name)


@export("tensor_scatter_nd_min")
def tensor_scatter_nd_min(
    tensor: Any, indices: Any, updates: Any, bad_indices_policy: str = "", name: str | None = None
) -> Tensor:
    """`tensor` with the smaller of element and update at the index vectors."""
    return _tensor_scatter("Min", tensor, indices, updates, bad_indices_policy, name)
