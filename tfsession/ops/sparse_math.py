"""Arithmetic of sparse tensors: products, sums, reductions, and with dense tensors beside them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tfsession.core.dtypes import DType, float32, float64, int32
from tfsession.core.exports import export
from tfsession.core.op_def import define_op
from tfsession.core.shape import Shape
from tfsession.graph.constant_value import constant_shape, constant_value
from tfsession.graph.conversion import convert_to_tensor
from tfsession.graph.create import create_op, graph_of
from tfsession.graph.operation import Operation
from tfsession.graph.shape_fns import merge_dims, unknown, with_rank
from tfsession.graph.sparse_tensor import SparseTensor, SparseTensorValue
from tfsession.graph.tensor import Tensor
from tfsession.ops.cast import cast
from tfsession.ops.constant import constant
from tfsession.ops.sequence import range_
from tfsession.ops.shape import rank, renamed
from tfsession.ops.transpose import transpose

# --- definitions ----------------------------------------------------------------------------------


def _product_shape(op: Operation) -> list[Shape]:
    with_rank(op.inputs[0]._shape, 2)
    with_rank(op.inputs[1]._shape, 1)
    a, b = with_rank(constant_shape(op.inputs[2]), 2), with_rank(op.inputs[3]._shape, 2)
    assert a is not None
    assert b is not None
    rows, inner = reversed(a) if op.attrs["adjoint_a"] else a
    other, columns = reversed(b) if op.attrs["adjoint_b"] else b
    merge_dims(inner, other)
    return [(rows, columns)]


define_op(
    "SparseTensorDenseMatMul",
    inputs=["a_indices: Tindices", "a_values: T", "a_shape: int64", "b: T"],
    outputs=["product: T"],
    attrs=[
        "T: type",
        "Tindices: {int32, int64} = DT_INT64",
        "adjoint_a: bool = false",
        "adjoint_b: bool = false",
    ],
    shape=_product_shape,
)


def _values_shape(op: Operation) -> list[Shape]:
    places = with_rank(op.inputs[0]._shape, 2)
    return [None if places is None else (places[0],)]


for _op in ("SparseDenseCwiseMul", "SparseDenseCwiseDiv", "SparseDenseCwiseAdd"):
    define_op(
        _op,
        inputs=["sp_indices: int64", "sp_values: T", "sp_shape: int64", "dense: T"],
        outputs=["output: T"],
        attrs=["T: numbertype"],
        shape=_values_shape,
    )
define_op(
    "SparseTensorDenseAdd",
    inputs=["a_indices: Tindices", "a_values: T", "a_shape: Tindices", "b: T"],
    outputs=["output: T"],
    attrs=["T: numbertype", "Tindices: {int32, int64}"],
    shape=lambda op: [op.inputs[3]._shape],
)

_PAIR = [
    f"{side}_{part}" for side in "ab" for part in ("indices: int64", "values: T", "shape: int64")
]


def _sum_shape(op: Operation) -> list[Shape]:
    sizes = with_rank(op.inputs[2]._shape, 1)
    assert sizes is not None
    return [(None, sizes[0]), (None,), sizes]


define_op(
    "SparseAdd",
    inputs=[*_PAIR, "thresh: Treal"],
    outputs=["sum_indices: int64", "sum_values: T", "sum_shape: int64"],
    attrs=["T: numbertype", "Treal: realnumbertype"],
    shape=_sum_shape,
)


def _sum_grad_shape(op: Operation) -> list[Shape]:
    a, b = (with_rank(op.inputs[index]._shape, 2) for index in (1, 2))
    return [None if a is None else (a[0],), None if b is None else (b[0],)]


define_op(
    "SparseAddGrad",
    inputs=["backprop_val_grad: T", "a_indices: int64", "b_indices: int64", "sum_indices: int64"],
    outputs=["a_val_grad: T", "b_val_grad: T"],
    attrs=["T: numbertype"],
    shape=_sum_grad_shape,
)
for _op, _types in (
    ("SparseSparseMaximum", "realnumbertype"),
    ("SparseSparseMinimum", "numbertype"),
):
    define_op(
        _op,
        inputs=_PAIR,
        outputs=["output_indices: int64", "output_values: T"],
        attrs=[f"T: {_types}"],
        shape=lambda op: [(None, None), (None,)],
    )


def _reduced_shape(op: Operation) -> list[Shape]:
    sizes, axes = constant_value(op.inputs[2]), constant_value(op.inputs[3])
    if sizes is None or axes is None:
        return [None]
    rank = len(sizes)
    reduced = {int(axis) % rank if -rank <= axis < rank else axis for axis in axes.reshape(-1)}
    if op.attrs["keep_dims"]:
        return [tuple(1 if axis in reduced else int(size) for axis, size in enumerate(sizes))]
    return [tuple(int(size) for axis, size in enumerate(sizes) if axis not in reduced)]


_REDUCED = [
    "input_indices: int64",
    "input_values: T",
    "input_shape: int64",
    "reduction_axes: int32",
]
for _op, _types in (("SparseReduceSum", "numbertype"), ("SparseReduceMax", "realnumbertype")):
    _attrs = ["keep_dims: bool = false", f"T: {_types}"]
    define_op(_op, _REDUCED, ["output: T"], _attrs, _reduced_shape)
    _parts = ["output_indices: int64", "output_values: T", "output_shape: int64"]
    define_op(f"{_op}Sparse", _REDUCED, _parts, _attrs, unknown)
define_op(
    "SparseSoftmax",
    inputs=["sp_indices: int64", "sp_values: T", "sp_shape: int64"],
    outputs=["output: T"],
    attrs=["T: {half, float, double}"],
    shape=lambda op: [with_rank(op.inputs[1]._shape, 1)],
)

# --- builders -------------------------------------------------------------------------------------


def as_sparse(value: Any) -> SparseTensor:
    """`value` as a SparseTensor; TypeError where it is neither that nor a SparseTensorValue."""
    if isinstance(value, SparseTensorValue):
        return SparseTensor.from_value(value)
    if not isinstance(value, SparseTensor):
        raise TypeError("Input must be a SparseTensor.")
    return value


def parts_of(sparse: SparseTensor) -> tuple[Tensor, Tensor, Tensor]:
    """Indices, values and dense shape: inputs of most ops here."""
    return sparse.indices, sparse.values, sparse.dense_shape


def _is_sparse(value: Any) -> bool:
    return isinstance(value, SparseTensor | SparseTensorValue)


@export("sparse_tensor_dense_matmul", "sparse.matmul", "sparse.sparse_dense_matmul")
def sparse_tensor_dense_matmul(
    sp_a: Any, b: Any, adjoint_a: bool = False, adjoint_b: bool = False, name: str | None = None
) -> Tensor:
    """The product of a sparse matrix and a dense one; either may stand first.

    Args:
        sp_a: SparseTensor of rank 2, in any order of its elements; or the dense matrix, and `b` the
            sparse one.
        b: matrix of the same dtype.
        adjoint_a: use the conjugate transpose of `sp_a`.
        adjoint_b: use the conjugate transpose of `b`.
        name: name scope of the operation.

    Raises:
        ValueError: the sizes do not fit; InvalidArgumentError when only a step shows it, or that an
            index lies outside of the shape.
    """
    if _is_sparse(b):
        turned = sparse_tensor_dense_matmul(b, sp_a, not adjoint_b, not adjoint_a, name)
        return transpose(turned)
    sparse = as_sparse(sp_a)
    graph = graph_of([*parts_of(sparse), b])
    with graph.as_default(), graph.name_scope(name or "SparseTensorDenseMatMul"):
        dense = convert_to_tensor(b, name="b")
        attrs = {"adjoint_a": bool(adjoint_a), "adjoint_b": bool(adjoint_b)}
        product: Tensor = create_op("SparseTensorDenseMatMul", [*parts_of(sparse), dense], attrs)
        return product


@export("sparse_add", "sparse.add")
def sparse_add(a: Any, b: Any, threshold: Any = None, thresh: Any = None) -> Any:
    """The sum of two tensors, of which one at least is sparse.

    Args:
        a: SparseTensor, or a dense tensor.
        b: the same, of the same shape.
        threshold: of two sparse tensors, leave out sums of two elements that are less in size.
        thresh: older name of `threshold`.

    Returns:
        A SparseTensor where both are sparse, else a dense Tensor.

    Raises:
        TypeError: neither is sparse.
    """
    threshold = renamed("threshold", threshold, "thresh", thresh)
    if not _is_sparse(a) and not _is_sparse(b):
        raise TypeError("At least one input should be SparseTensor; do you mean to use tf.add()?")
    if not (_is_sparse(a) and _is_sparse(b)):
        sparse, dense = (as_sparse(a), b) if _is_sparse(a) else (as_sparse(b), a)
        return create_op("SparseTensorDenseAdd", [*parts_of(sparse), dense])
    a, b = as_sparse(a), as_sparse(b)
    with graph_of(parts_of(a)).as_default():
        real = {"complex64": float32, "complex128": float64}.get(a.dtype.name, a.dtype.base_dtype)
        limit = convert_to_tensor(0 if threshold is None else threshold, real, "threshold")
    places, values, sizes = create_op("SparseAdd", [*parts_of(a), *parts_of(b), limit])
    static = a.shape.merge_with(b.shape)
    return SparseTensor(places, values, static if static.is_fully_defined() else sizes)


def _extremes(op_type: str, sp_a: Any, sp_b: Any, name: str | None) -> SparseTensor:
    a, b = as_sparse(sp_a), as_sparse(sp_b)
    places, values = create_op(op_type, [*parts_of(a), *parts_of(b)], name=name)
    return SparseTensor(places, values, a.dense_shape)


@export("sparse_maximum", "sparse.maximum")
def sparse_maximum(sp_a: Any, sp_b: Any, name: str | None = None) -> SparseTensor:
    """The greater element at each place that either stores; what one lacks counts as zero."""
    return _extremes("SparseSparseMaximum", sp_a, sp_b, name)


@export("sparse_minimum", "sparse.minimum")
def sparse_minimum(sp_a: Any, sp_b: Any, name: str | None = None) -> SparseTensor:
    """The lesser element at each place that either stores; what one lacks counts as zero."""
    return _extremes("SparseSparseMinimum", sp_a, sp_b, name)


@export("sparse_softmax", "sparse.softmax")
def sparse_softmax(sp_input: Any, name: str | None = None) -> SparseTensor:
    """The softmax of the stored elements of each row: what is not stored gets no share."""
    sparse = as_sparse(sp_input)
    graph = graph_of(parts_of(sparse))
    with graph.as_default(), graph.name_scope(name or "SparseSoftmax"):
        return sparse.with_values(create_op("SparseSoftmax", parts_of(sparse)))


def _axes(sparse: SparseTensor, axis: Any) -> Any:
    if axis is not None:
        return axis
    if sparse.shape.rank is None:
        return range_(0, rank(sparse))
    return constant(np.arange(sparse.shape.rank, dtype=np.int32), int32)


def _reducer(op_type: str, what: str, *names: str) -> Callable[..., Any]:
    """Builders of a reduction, dense and sparse."""
    is_sparse = op_type.endswith("Sparse")

    @export(*names)
    def reduce(
        sp_input: Any,
        axis: Any = None,
        keepdims: bool | None = None,
        reduction_axes: Any = None,
        keep_dims: bool | None = None,
    ) -> Any:
        keepdims = renamed("keepdims", keepdims, "keep_dims", keep_dims)
        axis = renamed("axis", axis, "reduction_axes", reduction_axes)
        sparse = as_sparse(sp_input)
        with graph_of(parts_of(sparse)).as_default():
            axes = _axes(sparse, axis)
        result = create_op(op_type, [*parts_of(sparse), axes], {"keep_dims": bool(keepdims)})
        return SparseTensor(*result) if is_sparse else result

    reduce.__name__ = reduce.__qualname__ = names[0]
    reduce.__doc__ = f"""{what} over some dimensions, as a {"Sparse" * is_sparse}Tensor.

    Args:
        sp_input: SparseTensor.
        axis: the dimensions, an int or a list; None takes all.
        keepdims: leave them in the result, with size 1.
        reduction_axes: older name of `axis`.
        keep_dims: older name of `keepdims`.
    """
    return reduce


sparse_reduce_sum = _reducer(
    "SparseReduceSum", "The sums", "sparse_reduce_sum", "sparse.reduce_sum"
)
sparse_reduce_sum_sparse = _reducer(
    "SparseReduceSumSparse", "The sums", "sparse_reduce_sum_sparse", "sparse.reduce_sum_sparse"
)
sparse_reduce_max = _reducer(
    "SparseReduceMax", "The greatest stored elements", "sparse_reduce_max", "sparse.reduce_max"
)
sparse_reduce_max_sparse = _reducer(
    "SparseReduceMaxSparse",
    "The greatest stored elements",
    "sparse_reduce_max_sparse",
    "sparse.reduce_max_sparse",
)

# --- operators ------------------------------------------------------------------------------------


def _scaled(op_type: str, name: str) -> Callable[[SparseTensor, Any], SparseTensor]:
    def scale(sparse: SparseTensor, other: Any) -> SparseTensor:
        with (
            graph_of([sparse.values, other]).as_default() as graph,
            graph.name_scope(name) as scope,
        ):
            dense = convert_to_tensor(other, dtype_hint=sparse.dtype.base_dtype, name="y")
            values = sparse.values
            if name == "truediv":
                values, dense = _floating(values, dense)
            inputs = [sparse.indices, values, sparse.dense_shape, dense]
            return sparse.with_values(create_op(op_type, inputs, name=scope))

    return scale


def _floating(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Integers as the floats in which TensorFlow divides them."""
    if x.dtype.base_dtype != y.dtype.base_dtype:
        raise TypeError(
            "`x` and `y` must have the same dtype, got "
            f"{x.dtype.base_dtype!r} != {y.dtype.base_dtype!r}."
        )
    wide: DType | None = None
    if x.dtype.is_integer:
        wide = float32 if x.dtype.size <= 2 else float64
    return (x, y) if wide is None else (cast(x, wide), cast(y, wide))


_times = _scaled("SparseDenseCwiseMul", "mul")
for _name, _function in (
    ("__mul__", _times),
    ("__rmul__", _times),
    ("__truediv__", _scaled("SparseDenseCwiseDiv", "truediv")),
    ("__div__", _scaled("SparseDenseCwiseDiv", "div")),
):
    setattr(SparseTensor, _name, _function)
