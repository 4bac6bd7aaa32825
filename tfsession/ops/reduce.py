"""Reductions along axes: sums, products, extremes, logic, norms, and where the extremes stand."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from tfsession.core.dtypes import as_dtype, bool_, int32, int64, string
from tfsession.core.exports import export
from tfsession.core.op_def import define_op
from tfsession.core.shape import Shape, is_fully_defined
from tfsession.graph.constant_value import constant_value
from tfsession.graph.create import convert_to_tensor, create_op, graph_of
from tfsession.graph.operation import Operation
from tfsession.graph.shape_fns import with_rank, with_rank_at_most
from tfsession.graph.tensor import Tensor
from tfsession.ops import unary
from tfsession.ops.cast import cast, conj, real
from tfsession.ops.compare import not_equal
from tfsession.ops.constant import constant, stop_gradient
from tfsession.ops.elementwise import add, multiply, subtract
from tfsession.ops.sequence import range_
from tfsession.ops.shape import rank, renamed, reshape

# --- definitions ----------------------------------------------------------------------------------


def reduced_shape(op: Operation) -> list[Shape]:
    """The shape of the first input without the dimensions that the second one names."""
    shape, indices = op.inputs[0]._shape, op.inputs[1]
    with_rank_at_most(indices._shape, 1)
    keep = op.attrs["keep_dims"]
    if shape is None:
        return [None]
    axes = constant_value(indices)
    if axes is None:
        return [(None,) * len(shape) if keep else None]
    ndim = len(shape)
    reduced = set()
    for axis in axes.reshape(-1).tolist():
        if not -ndim <= axis < ndim:
            raise ValueError(
                f"Invalid reduction dimension {axis} for input with {ndim} dimensions."
            )
        reduced.add(axis % ndim)
    if keep:
        return [tuple(1 if i in reduced else d for i, d in enumerate(shape))]
    return [tuple(d for i, d in enumerate(shape) if i not in reduced)]


_INDICES = "Tidx: {int32, int64} = DT_INT32"
_EXTREMES = (
    "float, double, int32, uint8, int16, int8, int64, bfloat16, uint16, half, uint32, uint64, "
    "qint8, quint8, qint32, qint16, quint16"
)

for _name, _types in {
    **dict.fromkeys(("Sum", "Mean", "Prod", "EuclideanNorm"), "numbertype"),
    **dict.fromkeys(("Max", "Min"), f"{{{_EXTREMES}}}"),
}.items():
    define_op(
        _name,
        inputs=["input: T", "reduction_indices: Tidx"],
        outputs=["output: T"],
        attrs=["keep_dims: bool = false", f"T: {_types}", _INDICES],
        shape=reduced_shape,
    )
for _name in ("All", "Any"):
    define_op(
        _name,
        inputs=["input: bool", "reduction_indices: Tidx"],
        outputs=["output: bool"],
        attrs=["keep_dims: bool = false", _INDICES],
        shape=reduced_shape,
    )


def _arg_shape(op: Operation) -> list[Shape]:
    shape, dimension = op.inputs[0]._shape, op.inputs[1]
    with_rank(dimension._shape, 0)
    if shape is None:
        return [None]
    ndim = len(shape)
    if ndim <= 1:
        return [()]
    value = constant_value(dimension)
    if value is None:
        return [(None,) * (ndim - 1)]
    axis = int(value)
    if not -ndim <= axis < ndim:
        raise ValueError(
            f"Dimension ({axis}) must be in the range [{-ndim}, {ndim}), where {ndim} is the "
            "number of dimensions in the input."
        )
    axis %= ndim
    return [shape[:axis] + shape[axis + 1 :]]


for _name, _index_types, _output_types in (
    ("ArgMax", "int16, int32, int64", "int16, uint16, int32, int64"),
    ("ArgMin", "int32, int64", "int32, int64"),
):
    define_op(
        _name,
        inputs=["input: T", "dimension: Tidx"],
        outputs=["output: output_type"],
        attrs=[
            f"T: {{{_EXTREMES}, bool}}",
            f"Tidx: {{{_index_types}}} = DT_INT32",
            f"output_type: {{{_output_types}}} = DT_INT64",
        ],
        shape=_arg_shape,
    )


# --- reductions -----------------------------------------------------------------------------------


def _reduce(op_type: str, value: Any, axis: Any, keepdims: Any, name: str | None) -> Tensor:
    keep = False if keepdims is None else bool(keepdims)
    axes = _all_axes(value) if axis is None else axis
    result: Tensor = create_op(op_type, [value, axes], {"keep_dims": keep}, name)
    if axis is None and not keep and not is_fully_defined(result._shape):
        result._shape = ()
    return result


def _all_axes(value: Any) -> Tensor:
    """The numbers of all dimensions: a constant where they are known, else computed."""
    shape = getattr(value, "_shape", None)
    if shape is None:
        shape = getattr(getattr(value, "shape", None), "_dims", None)
    with graph_of([value]).as_default():
        if shape:
            return constant(np.arange(len(shape), dtype=np.int32))
        return range_(0, rank(value))


class Reduction(Protocol):
    """A builder such as `reduce_sum`."""

    def __call__(
        self,
        input_tensor: Any,
        axis: Any = None,
        keepdims: bool | None = None,
        name: str | None = None,
        reduction_indices: Any = None,
        keep_dims: bool | None = None,
    ) -> Tensor:
        """Add the operation."""
        ...


def _define_reduction(public_name: str, op_type: str, documentation: str) -> Reduction:
    """The public builder of a reduction, with the older names of its arguments."""

    @export(public_name, f"math.{public_name}")
    def reduce(
        input_tensor: Any,
        axis: Any = None,
        keepdims: bool | None = None,
        name: str | None = None,
        reduction_indices: Any = None,
        keep_dims: bool | None = None,
    ) -> Tensor:
        axis = renamed("axis", axis, "reduction_indices", reduction_indices)
        keepdims = renamed("keepdims", keepdims, "keep_dims", keep_dims)
        return _reduce(op_type, input_tensor, axis, keepdims, name)

    reduce.__name__ = reduce.__qualname__ = public_name
    reduce.__doc__ = documentation + _ARGUMENTS
    return reduce


_ARGUMENTS = """

    Args:
        input_tensor: the tensor to reduce.
        axis: the dimensions to reduce: an int, a list of ints or a tensor; None is all of them.
        keepdims: leave the reduced dimensions in the result, with size 1.
        name: name of the operation.
        reduction_indices: older name of `axis`.
        keep_dims: older name of `keepdims`.

    Raises:
        ValueError, or InvalidArgumentError at run time: an axis that the tensor has not.
    """


reduce_sum = _define_reduction("reduce_sum", "Sum", "The sum along the dimensions `axis`.")
reduce_mean = _define_reduction(
    "reduce_mean", "Mean", "The mean along the dimensions `axis`; of integers, rounded toward zero."
)
reduce_prod = _define_reduction("reduce_prod", "Prod", "The product along the dimensions `axis`.")
reduce_max = _define_reduction(
    "reduce_max", "Max", "The greatest element along the dimensions `axis`."
)
reduce_min = _define_reduction(
    "reduce_min", "Min", "The least element along the dimensions `axis`."
)
reduce_all = _define_reduction(
    "reduce_all", "All", "Whether all elements along the dimensions `axis` are true."
)
reduce_any = _define_reduction(
    "reduce_any", "Any", "Whether any element along the dimensions `axis` is true."
)


@export("math.reduce_euclidean_norm")
def reduce_euclidean_norm(
    input_tensor: Any, axis: Any = None, keepdims: bool = False, name: str | None = None
) -> Tensor:
    """The root of the sum of squares along the dimensions `axis`."""
    return _reduce("EuclideanNorm", input_tensor, axis, keepdims, name)


@export("reduce_logsumexp", "math.reduce_logsumexp")
def reduce_logsumexp(
    input_tensor: Any,
    axis: Any = None,
    keepdims: bool | None = None,
    name: str | None = None,
    reduction_indices: Any = None,
    keep_dims: bool | None = None,
) -> Tensor:
    """`log(sum(exp(input_tensor)))` along the dimensions `axis`, without overflow.

    The arguments are those of `reduce_sum`.
    """
    axis = renamed("axis", axis, "reduction_indices", reduction_indices)
    keepdims = renamed("keepdims", keepdims, "keep_dims", keep_dims)
    graph = graph_of([input_tensor])
    with graph.as_default(), graph.name_scope(name or "ReduceLogSumExp") as scope:
        greatest = reduce_max(input_tensor, axis, True)
        finite = unary.is_finite(greatest)
        shift = stop_gradient(create_op("SelectV2", [finite, greatest, 0.0]))
        total = reduce_sum(unary.exp(subtract(input_tensor, shift)), axis, keepdims)
        result = unary.log(total)
        if not keepdims:
            shift = reshape(shift, create_op("Shape", [result]))
        return add(result, shift, scope)


@export("math.reduce_variance")
def reduce_variance(
    input_tensor: Any, axis: Any = None, keepdims: bool = False, name: str | None = None
) -> Tensor:
    """The mean squared distance to the mean along the dimensions `axis`.

    Raises:
        TypeError: the tensor's elements are integers.
    """
    graph = graph_of([input_tensor])
    with graph.as_default(), graph.name_scope(name or "reduce_variance"):
        values = convert_to_tensor(input_tensor)
        mean = reduce_mean(values, axis, True)
        if mean.dtype.is_integer:
            raise TypeError(
                f"Input must be either real or complex. Received integer type {mean.dtype}."
            )
        distance = subtract(values, mean, "sub")
        if distance.dtype.is_complex:
            squares = real(multiply(conj(distance), distance))
        else:
            squares = unary.square(distance)
        return reduce_mean(squares, axis, keepdims)


@export("math.reduce_std")
def reduce_std(
    input_tensor: Any, axis: Any = None, keepdims: bool = False, name: str | None = None
) -> Tensor:
    """The standard deviation along the dimensions `axis`: the root of `reduce_variance`.

    Raises:
        TypeError: the tensor's elements are integers.
    """
    graph = graph_of([input_tensor])
    with graph.as_default(), graph.name_scope(name or "reduce_std"):
        values = convert_to_tensor(input_tensor)
        return unary.sqrt(reduce_variance(values, axis, keepdims))


@export("count_nonzero", "math.count_nonzero")
def count_nonzero(
    input_tensor: Any = None,
    axis: Any = None,
    keepdims: bool | None = None,
    dtype: Any = int64,
    name: str | None = None,
    reduction_indices: Any = None,
    keep_dims: bool | None = None,
    input: Any = None,
) -> Tensor:
    """How many elements along the dimensions `axis` are not zero, False or empty texts.

    `dtype` is the result's type; `input` an older name of `input_tensor`; the rest is as in
    `reduce_sum`.
    """
    keepdims = renamed("keepdims", keepdims, "keep_dims", keep_dims)
    input_tensor = renamed("input", input, "input_tensor", input_tensor)
    axis = renamed("axis", axis, "reduction_indices", reduction_indices)
    graph = graph_of([input_tensor])
    with graph.as_default(), graph.name_scope(name or "count_nonzero"):
        values = convert_to_tensor(input_tensor, name="input")
        base = values.dtype.base_dtype
        if base is not bool_:
            zero: Any = "" if base is string else 0
            values = not_equal(values, constant(zero, base, name="zeros"))
        count: Tensor = cast(reduce_sum(cast(values, int64), axis, keepdims), dtype)
        return count


# --- places of extremes ---------------------------------------------------------------------------


def _arg(op_type: str, value: Any, axis: Any, output_type: Any, name: str | None) -> Tensor:
    attrs = {"output_type": as_dtype(output_type)}
    result: Tensor = create_op(op_type, [value, axis], attrs, name)
    return result


@export("argmax", "math.argmax")
def argmax(
    input: Any,
    axis: Any = None,
    name: str | None = None,
    dimension: Any = None,
    output_type: Any = int64,
) -> Tensor:
    """The index of the greatest element along one dimension; the first of several.

    Args:
        input: the tensor.
        axis: the dimension: an int or an integer scalar; None is 0.
        name: name of the operation.
        dimension: older name of `axis`.
        output_type: dtype of the indices.

    Raises:
        TypeError: `axis` is no integer.
        ValueError: the tensor has no such dimension; InvalidArgumentError when that, or that it is
            empty, shows at run time.
    """
    axis = renamed("axis", axis, "dimension", dimension)
    return _arg("ArgMax", input, 0 if axis is None else _axis(axis), output_type, name)


def _axis(axis: Any) -> Any:
    """One axis as ArgMax takes it: narrow integer tensors are cast to int32."""
    if not isinstance(axis, Tensor):
        if isinstance(axis, int | np.integer) or hasattr(axis, "dtype"):
            return axis
        raise TypeError("axis must be int or Tensor with integer datatype")
    if not axis.dtype.is_integer:
        raise TypeError(f"axis tensor dtypes {axis.dtype} is not supported")
    return axis if axis.dtype.base_dtype in (int32, int64) else cast(axis, int32)


@export("argmin", "math.argmin")
def argmin(
    input: Any,
    axis: Any = None,
    name: str | None = None,
    dimension: Any = None,
    output_type: Any = int64,
) -> Tensor:
    """The index of the least element along one dimension; the first of several.

    The arguments are those of `argmax`.
    """
    axis = renamed("axis", axis, "dimension", dimension)
    return _arg("ArgMin", input, 0 if axis is None else axis, output_type, name)


@export("arg_max")
def arg_max(
    input: Any, dimension: Any, output_type: Any = int64, name: str | None = None
) -> Tensor:
    """The index of the greatest element along `dimension`: an older form of `argmax`."""
    return _arg("ArgMax", input, dimension, output_type, name)


@export("arg_min")
def arg_min(
    input: Any, dimension: Any, output_type: Any = int64, name: str | None = None
) -> Tensor:
    """The index of the least element along `dimension`: an older form of `argmin`."""
    return _arg("ArgMin", input, dimension, output_type, name)
