"""Counting whole numbers, and finding places in sorted rows."""

from __future__ import annotations

from typing import Any, Final

from tfsession.core import dtypes
from tfsession.core.exports import export
from tfsession.core.op_def import ShapeFunction, define_op
from tfsession.core.shape import Shape
from tfsession.graph.constant_value import constant_value
from tfsession.graph.create import convert_to_tensor, create_op, graph_of
from tfsession.graph.operation import Operation
from tfsession.graph.shape_fns import same_as, unknown, with_rank
from tfsession.graph.tensor import Tensor
from tfsession.ops.cast import cast
from tfsession.ops.elementwise import maximum, minimum
from tfsession.ops.reduce import reduce_max, reduce_prod
from tfsession.ops.shape import reshape
from tfsession.ops.shape import shape as shape_of


def _count_shape(op: Operation) -> list[Shape]:
    with_rank(op.inputs[1]._shape, 0)
    size = constant_value(op.inputs[1])
    return [(None if size is None else int(size),)]


define_op(
    "Bincount",
    inputs=["arr: int32", "size: int32", "weights: T"],
    outputs=["bins: T"],
    attrs=["T: {int32, int64, float, double}"],
    shape=_count_shape,
)


def _counts_shape(rank_of: int) -> ShapeFunction:
    """A vector of counts, or a row of them for each of the input with that number if it has any."""

    def shape(op: Operation) -> list[Shape]:
        index = next(i for i, arg in enumerate(op.op_def.inputs) if arg.name == "size")
        with_rank(op.inputs[index]._shape, 0)
        found = constant_value(op.inputs[index])
        size = None if found is None else int(found)
        if size is not None and size < 0:
            raise ValueError(f"size ({size}) must be non-negative")
        given = op.inputs[rank_of]._shape
        if op.type == "SparseBincount":
            sizes = constant_value(op.inputs[rank_of])
            given = None if sizes is None else tuple(sizes.tolist())
        if given is None:
            return [None]
        if len(given) > 2:
            raise ValueError(f"Shape must be at most rank 2 but is rank {len(given)}")
        return [(*given[:-1], size)]

    return shape


_COUNTED: Final = (
    *("Tidx: {int32, int64}", "T: {int32, int64, float, double}"),
    "binary_output: bool = false",
)
define_op(
    "DenseBincount",
    inputs=["input: Tidx", "size: Tidx", "weights: T"],
    outputs=["output: T"],
    attrs=_COUNTED,
    shape=_counts_shape(0),
)
define_op(
    "RaggedBincount",
    inputs=["splits: int64", "values: Tidx", "size: Tidx", "weights: T"],
    outputs=["output: T"],
    attrs=_COUNTED,
    shape=unknown,
)
define_op(
    "SparseBincount",
    inputs=["indices: int64", "values: Tidx", "dense_shape: int64", "size: Tidx", "weights: T"],
    outputs=["output: T"],
    attrs=_COUNTED,
    shape=_counts_shape(2),
)
define_op(
    "Bucketize",
    inputs=["input: T"],
    outputs=["output: int32"],
    attrs=["T: {int32, int64, float, double}", "boundaries: list(float)"],
    shape=same_as(0),
)


def _places_shape(op: Operation) -> list[Shape]:
    with_rank(op.inputs[0]._shape, 2)
    return [with_rank(op.inputs[1]._shape, 2)]


for _op in ("LowerBound", "UpperBound"):
    define_op(
        _op,
        inputs=["sorted_inputs: T", "values: T"],
        outputs=["output: out_type"],
        attrs=["T: type", "out_type: {int32, int64} = DT_INT32"],
        shape=_places_shape,
    )


@export("bincount", "math.bincount")
def bincount(
    arr: Any,
    weights: Any = None,
    minlength: Any = None,
    maxlength: Any = None,
    dtype: Any = dtypes.int32,
) -> Tensor:
    """How often each whole number is in `arr`, or the sum of its weights.

    Args:
        arr: int32 tensor of any shape, without negative numbers.
        weights: tensor of the same shape; None counts each number once.
        minlength: scalar, how long the result is at least.
        maxlength: scalar, how long it is at most: greater numbers are left out.
        dtype: dtype of the counts, where there are no weights.

    Returns:
        A vector, as long as the greatest number and one.

    Raises:
        InvalidArgumentError: at run time, where a number is negative.
    """
    graph = graph_of([arr, weights, minlength, maxlength])
    with graph.as_default(), graph.name_scope("bincount"):
        numbers = cast(convert_to_tensor(arr, name="arr"), dtypes.int32)
        is_any = cast(reduce_prod(shape_of(numbers)) > 0, dtypes.int32)
        size = is_any * (reduce_max(numbers) + 1)
        if minlength is not None:
            size = maximum(convert_to_tensor(minlength, dtypes.int32), size)
        if maxlength is not None:
            size = minimum(convert_to_tensor(maxlength, dtypes.int32), size)
        each = convert_to_tensor([] if weights is None else weights, name="weights",
                                 dtype=dtype if weights is None else None)  # fmt: skip
        result: Tensor = create_op("Bincount", [numbers, size, each])
        return result


@export("searchsorted")
def searchsorted(
    sorted_sequence: Any,
    values: Any,
    side: str = "left",
    out_type: Any = dtypes.int32,
    name: str | None = None,
) -> Tensor:
    """Where `values` would be put into ascending rows so that these stay so.

    Args:
        sorted_sequence: tensor whose last dimension ascends.
        values: tensor of the same shape but for the last dimension.
        side: "left" before equal elements, "right" behind them.
        out_type: int32 or int64.
        name: name scope of the operations.

    Raises:
        ValueError: another side.
    """
    ops = {"left": "LowerBound", "right": "UpperBound"}
    if side not in ops:
        raise ValueError(f"Argument `side` must be either 'right' or 'left'. Received: {side}.")
    graph = graph_of([sorted_sequence, values])
    with graph.as_default(), graph.name_scope(name or "searchsorted"):
        rows = convert_to_tensor(sorted_sequence, name="sorted_sequence")
        values = convert_to_tensor(values, rows.dtype, name="values")
        flat = [reshape(x, [-1, shape_of(x)[-1]]) for x in (rows, values)]
        found = create_op(ops[side], flat, {"out_type": out_type})
        return reshape(found, shape_of(values))
