"""Elements and slices of a tensor at given indices."""

from __future__ import annotations

from typing import Any

from tfsession.core.exports import export
from tfsession.core.op_def import define_op
from tfsession.core.shape import Shape, debug_string
from tfsession.graph.constant_value import constant_value
from tfsession.graph.create import convert_to_tensor, create_op, graph_of
from tfsession.graph.operation import Operation
from tfsession.graph.shape_fns import merge_dims, with_rank, with_rank_at_least
from tfsession.graph.tensor import Tensor
from tfsession.ops.shape import reshape, shape


def _gather_shape(op: Operation) -> list[Shape]:
    params = with_rank_at_least(op.inputs[0]._shape, 1)
    indices = op.inputs[1]._shape
    return [None if params is None or indices is None else (*indices, *params[1:])]


define_op(
    "Gather",
    inputs=["params: Tparams", "indices: Tindices"],
    outputs=["output: Tparams"],
    attrs=["validate_indices: bool = true", "Tparams: type", "Tindices: {int32, int64}"],
    shape=_gather_shape,
)


def _gather_v2_shape(op: Operation) -> list[Shape]:
    params, indices = with_rank_at_least(op.inputs[0]._shape, 1), op.inputs[1]._shape
    with_rank(op.inputs[2]._shape, 0)
    axis, batch_dims = constant_value(op.inputs[2]), op.attrs["batch_dims"]
    if params is None or indices is None:
        if axis is not None and params is not None:
            _check_axis(params, int(axis))
        return [None]
    batch_dims += len(indices) if batch_dims < 0 else 0
    if not 0 <= batch_dims <= len(indices):
        raise ValueError(f"Shape must be at least rank {batch_dims} but is rank {len(indices)}")
    if axis is None:
        return [(None,) * (len(params) - 1 + len(indices) - batch_dims)]
    at = _check_axis(params, int(axis))
    batch = [merge_dims(None, size) for size in params[:batch_dims]]
    return [(*batch, *params[batch_dims:at], *indices[batch_dims:], *params[at + 1 :])]


def _check_axis(params: Shape, axis: int) -> int:
    params = with_rank_at_least(params, -axis if axis < 0 else axis + 1)
    assert params is not None
    return axis + len(params) if axis < 0 else axis


define_op(
    "GatherV2",
    inputs=["params: Tparams", "indices: Tindices", "axis: Taxis"],
    outputs=["output: Tparams"],
    attrs=[
        "batch_dims: int = 0",
        "Tparams: type",
        "Tindices: {int16, int32, int64}",
        "Taxis: {int32, int64}",
    ],
    shape=_gather_v2_shape,
)


def _gather_nd_shape(op: Operation) -> list[Shape]:
    params = op.inputs[0]._shape
    indices = with_rank_at_least(op.inputs[1]._shape, 1)
    if params is None or indices is None or indices[-1] is None:
        return [None]
    if indices[-1] > len(params):
        raise ValueError(
            "indices.shape[-1] must be <= params.rank, but saw indices shape: "
            f"{debug_string(indices)} and params shape: {debug_string(params)}"
        )
    return [(*indices[:-1], *params[indices[-1] :])]


define_op(
    "GatherNd",
    inputs=["params: Tparams", "indices: Tindices"],
    outputs=["output: Tparams"],
    attrs=["Tparams: type", "Tindices: {int16, int32, int64}", "bad_indices_policy: string = ''"],
    shape=_gather_nd_shape,
)


@export("gather")
def gather(
    params: Any,
    indices: Any,
    validate_indices: Any = None,
    name: str | None = None,
    axis: Any = None,
    batch_dims: int = 0,
) -> Tensor:
    """The slices of `params` at `indices` along `axis`.

    Args:
        params: tensor, or a resource variable, of which only those slices are read.
        indices: integer tensor of any shape, which takes the place of dimension `axis`.
        validate_indices: not used; indices are always checked on the CPU.
        name: name of the operation.
        axis: scalar, the dimension; `batch_dims` if None.
        batch_dims: how many leading dimensions of `params` and `indices` go together.

    Raises:
        InvalidArgumentError: at run time on the CPU, when an index is out of range.
    """
    axis = batch_dims if axis is None else axis
    at = constant_value(axis) if isinstance(axis, Tensor) else axis
    read = getattr(params, "sparse_read", None)
    if read is not None and at is not None and at == 0 and batch_dims == 0:
        try:
            return read(indices, name=name)  # type: ignore[no-any-return]
        except AttributeError:
            pass
    attrs = {"batch_dims": batch_dims}
    result: Tensor = create_op("GatherV2", [params, indices, axis], attrs, name)
    return result


@export("batch_gather")
def batch_gather(params: Any, indices: Any, name: str | None = None) -> Tensor:
    """As `gather` along the last dimension of `indices`, all before it going together.

    Raises:
        ValueError: the rank of `indices` is not known.
    """
    graph = graph_of([params, indices])
    with graph.as_default(), graph.name_scope(name or "BatchGather"):
        indices = convert_to_tensor(indices, name="indices")
        params = convert_to_tensor(params, name="params")
        rank = indices.shape.ndims
        if rank is None:
            raise ValueError("batch_gather does not allow indices with unknown shape.")
        return gather(params, indices, axis=rank - 1, batch_dims=rank - 1)


@export("gather_nd", "manip.gather_nd")
def gather_nd(
    params: Any,
    indices: Any,
    name: str | None = None,
    batch_dims: int = 0,
    bad_indices_policy: str = "",
) -> Tensor:
    """The elements, or slices, of `params` at the index vectors in the last dimension of `indices`.

    Args:
        params: tensor.
        indices: integer tensor of shape `[..., k]`, each vector an index of the first k dimensions.
        name: name of the operation.
        batch_dims: how many leading dimensions of both go together.
        bad_indices_policy: "" for the device's own way.

    Raises:
        InvalidArgumentError: at run time on the CPU, when an index is out of range.
    """
    if batch_dims:
        return _batch_gather_nd(params, indices, batch_dims, name)
    read = getattr(params, "gather_nd", None)
    if read is not None:
        return read(indices, name=name)  # type: ignore[no-any-return]
    attrs = {"bad_indices_policy": bad_indices_policy}
    result: Tensor = create_op("GatherNd", [params, indices], attrs, name)
    return result


def _batch_gather_nd(params: Any, indices: Any, batch_dims: int, name: str | None) -> Tensor:
    """Prefix each index vector with the number of its batch."""
    graph = graph_of([params, indices])
    with graph.as_default(), graph.name_scope(name or "BatchGatherND"):
        params = convert_to_tensor(params, name="params")
        indices = convert_to_tensor(indices, name="indices")
        dtype = indices.dtype.base_dtype
        sizes, given = shape(params), shape(indices)
        count = create_op("Prod", [given[:batch_dims], [0]])
        flat_params = reshape(params, _joined([[-1], sizes[batch_dims:]]))
        flat = reshape(indices, _joined([[count, -1], given[-1:]]))
        numbers = create_op("Cast", [create_op("Range", [0, count, 1])], {"DstT": dtype})
        column = reshape(numbers, [-1, 1, 1])
        one = create_op("OnesLike", [flat[:, :, :1]])
        prefixed = create_op("ConcatV2", [[create_op("Mul", [column, one]), flat], -1])
        found = create_op("GatherNd", [flat_params, prefixed])
        return reshape(found, _joined([given[:-1], shape(found)[2:]]))


def _joined(parts: list[Any]) -> Tensor:
    vector: Tensor = create_op("ConcatV2", [parts, 0], name="concat")
    return vector
