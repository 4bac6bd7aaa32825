"""Edit distances between sequences in sparse tensors (Levenshtein, 1966)."""

from __future__ import annotations

from typing import Any

from tfsession.core.exports import export
from tfsession.core.op_def import define_op
from tfsession.core.shape import Shape
from tfsession.graph.constant_value import constant_value
from tfsession.graph.create import create_op
from tfsession.graph.operation import Operation
from tfsession.graph.shape_fns import with_rank
from tfsession.graph.sparse_tensor import SparseTensor, SparseTensorValue
from tfsession.graph.tensor import Tensor
from tfsession.ops.sparse_math import as_sparse, parts_of


def _distance_shape(op: Operation) -> list[Shape]:
    for index, rank in enumerate((2, 1, 1, 2, 1, 1)):
        with_rank(op.inputs[index]._shape, rank)
    found, wanted = constant_value(op.inputs[2]), constant_value(op.inputs[5])
    if found is None or wanted is None:
        return [None]
    if len(found) != len(wanted):
        raise ValueError(
            "Num elements of hypothesis_shape does not match truth_shape: "
            f"{len(found)} vs. {len(wanted)}"
        )
    if len(found) < 2:
        raise ValueError(
            "Input Hypothesis SparseTensors must have rank at least 2, but hypothesis_shape rank "
            f"is: {len(found)}"
        )
    return [tuple(int(max(pair)) for pair in zip(found[:-1], wanted[:-1], strict=True))]


define_op(
    "EditDistance",
    inputs=[
        *("hypothesis_indices: int64", "hypothesis_values: T", "hypothesis_shape: int64"),
        *("truth_indices: int64", "truth_values: T", "truth_shape: int64"),
    ],
    outputs=["output: float"],
    attrs=["normalize: bool = true", "T: type"],
    shape=_distance_shape,
)


@export("edit_distance")
def edit_distance(
    hypothesis: Any, truth: Any, normalize: bool = True, name: str = "edit_distance"
) -> Tensor:
    """How many insertions, deletions and replacements make each hypothesis its truth.

    Args:
        hypothesis: SparseTensor of rank 2 or more, with sequences along its last dimension.
        truth: the same, of the same dtype and rank.
        normalize: divide by the length of the truth: infinite where that is empty and the
            hypothesis is not.
        name: name of the operation.

    Returns:
        A float32 tensor of the shape of both without the last dimension.

    Raises:
        TypeError: one is no SparseTensor.
        InvalidArgumentError: at run time, where ranks differ or an index is out of range.
    """
    for value, what in ((hypothesis, "Hypothesis"), (truth, "Truth")):
        if not isinstance(value, SparseTensor | SparseTensorValue):
            raise TypeError(f"{what} must be a SparseTensor.")
    inputs = [*parts_of(as_sparse(hypothesis)), *parts_of(as_sparse(truth))]
    result: Tensor = create_op("EditDistance", inputs, {"normalize": normalize}, name)
    return result
