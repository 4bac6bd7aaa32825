"""Distinct elements: `unique`, `unique_with_counts`, `setdiff1d`."""

from __future__ import annotations

from typing import Any

from tfsession.core.dtypes import int32
from tfsession.core.exports import export
from tfsession.core.op_def import define_op
from tfsession.core.shape import Shape
from tfsession.graph.create import create_op
from tfsession.graph.operation import Operation
from tfsession.graph.shape_fns import input_rank
from tfsession.graph.tensor import Tensor

_INDEX = "out_idx: {int32, int64} = DT_INT32"


def _unique_shape(op: Operation) -> list[Shape]:
    vector = input_rank(op, 0, 1)
    return [(None,), vector, (None,)][: len(op.outputs)]


def _difference_shape(op: Operation) -> list[Shape]:
    input_rank(op, 0, 1)
    input_rank(op, 1, 1)
    return [(None,), (None,)]


define_op(
    "Unique",
    inputs=["x: T"],
    outputs=["y: T", "idx: out_idx"],
    attrs=["T: type", _INDEX],
    shape=_unique_shape,
)
define_op(
    "UniqueWithCounts",
    inputs=["x: T"],
    outputs=["y: T", "idx: out_idx", "count: out_idx"],
    attrs=["T: type", _INDEX],
    shape=_unique_shape,
)
define_op(
    "ListDiff",
    inputs=["x: T", "y: T"],
    outputs=["out: T", "idx: out_idx"],
    attrs=["T: type", _INDEX],
    shape=_difference_shape,
)


@export("unique")
def unique(x: Any, out_idx: Any = int32, name: str | None = None) -> tuple[Tensor, Tensor]:
    """The distinct elements of a vector in the order they first appear, and where each `x` went."""
    return create_op("Unique", [x], {"out_idx": out_idx}, name)


@export("unique_with_counts")
def unique_with_counts(
    x: Any, out_idx: Any = int32, name: str | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """As `unique`, and how often each distinct element appears."""
    return create_op("UniqueWithCounts", [x], {"out_idx": out_idx}, name)


@export("setdiff1d")
def setdiff1d(
    x: Any, y: Any, index_dtype: Any = int32, name: str | None = None
) -> tuple[Tensor, Tensor]:
    """The elements of a vector that another lacks, duplicates included, and their positions."""
    return create_op("ListDiff", [x, y], {"out_idx": index_dtype}, name)
