"""Counts of what was predicted for what was true."""

from __future__ import annotations

from typing import Any

from tfsession.core.dtypes import int32, int64
from tfsession.core.exports import export
from tfsession.graph.create import convert_to_tensor
from tfsession.graph.graph import get_default_graph
from tfsession.graph.tensor import Tensor
from tfsession.ops.cast import cast
from tfsession.ops.check import assert_less, assert_non_negative
from tfsession.ops.compare import equal
from tfsession.ops.cond import cond
from tfsession.ops.constant import ones_like, with_dependencies
from tfsession.ops.elementwise import maximum
from tfsession.ops.join import stack
from tfsession.ops.reduce import reduce_max
from tfsession.ops.scatter import scatter_nd
from tfsession.ops.shape import rank, squeeze


def remove_squeezable_dimensions(
    labels: Any, predictions: Any, expected_rank_diff: int = 0, name: str | None = None
) -> tuple[Tensor, Tensor]:
    """Labels and predictions, the one of higher rank without its last dimension if that is 1.

    Args:
        labels: a tensor.
        predictions: a tensor.
        expected_rank_diff: by how much the rank of predictions should be the higher one.
        name: name scope of the operations.
    """
    with get_default_graph().name_scope(name or "remove_squeezable_dimensions"):
        predictions, labels = convert_to_tensor(predictions), convert_to_tensor(labels)
        if predictions._shape is not None and labels._shape is not None:
            surplus = len(predictions._shape) - len(labels._shape) - expected_rank_diff
            if surplus == 1 and predictions._shape[-1] in (1, None):
                predictions = squeeze(predictions, [-1])
            elif surplus == -1 and labels._shape[-1] in (1, None):
                labels = squeeze(labels, [-1])
            return labels, predictions
        difference = rank(predictions) - rank(labels)
        predictions = squeezed_if(equal(expected_rank_diff + 1, difference), predictions)
        labels = squeezed_if(equal(expected_rank_diff - 1, difference), labels)
        return labels, predictions


def squeezed_if(condition: Tensor, tensor: Tensor) -> Tensor:
    """A tensor without its last dimension, where a condition says so and the size may be one."""
    shape = tensor._shape
    if shape is not None and (not shape or shape[-1] not in (1, None)):
        return tensor
    chosen: Tensor = cond(condition, lambda: squeeze(tensor, [-1]), lambda: tensor)
    return chosen


@export("confusion_matrix", "math.confusion_matrix")
def confusion_matrix(
    labels: Any,
    predictions: Any,
    num_classes: Any = None,
    dtype: Any = int32,
    name: str | None = None,
    weights: Any = None,
) -> Tensor:
    """How often each class (row) was predicted to be each class (column).

    Args:
        labels: a vector of classes.
        predictions: a vector of classes, as long.
        num_classes: how many there are; one more than the highest when None.
        dtype: of the result.
        name: name scope of the operations.
        weights: what each prediction counts; 1 when None.

    Raises:
        ValueError: the weights have another shape than the predictions.
        InvalidArgumentError: when the graph runs, a class is negative, or not below `num_classes`.
    """
    with get_default_graph().name_scope(name or "confusion_matrix"):
        labels, predictions = remove_squeezable_dimensions(
            convert_to_tensor(labels, name="labels"),
            convert_to_tensor(predictions, name="predictions"),
        )
        predictions, labels = cast(predictions, int64), cast(labels, int64)
        text = "`labels` contains negative values"
        labels = with_dependencies([assert_non_negative(labels, message=text)], labels)
        text = "`predictions` contains negative values"
        predictions = with_dependencies(
            [assert_non_negative(predictions, message=text)], predictions
        )
        if num_classes is None:
            num_classes = maximum(reduce_max(predictions), reduce_max(labels)) + 1
        else:
            limit = cast(num_classes, int64)
            check = assert_less(labels, limit, message="`labels` out of bound")
            labels = with_dependencies([check], labels)
            check = assert_less(predictions, limit, message="`predictions` out of bound")
            predictions = with_dependencies([check], predictions)
        if weights is not None:
            weights = convert_to_tensor(weights, name="weights")
            predictions.shape.assert_is_compatible_with(weights.shape)
            weights = cast(weights, dtype)
        shape = stack([num_classes, num_classes])
        indices = stack([labels, predictions], axis=1)
        values = ones_like(predictions, dtype) if weights is None else weights
        return scatter_nd(indices, values, cast(shape, int64))
