"""Metrics that are means: each gives its value so far, and the operation that takes a batch in.

Their sums are local variables: `tf.local_variables_initializer()` sets them to zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

from tfsession.core.dtypes import DType, float32, float64, int64
from tfsession.core.exports import export
from tfsession.graph.create import convert_to_tensor
from tfsession.graph.graph import get_default_graph
from tfsession.graph.graph_keys import GraphKeys
from tfsession.graph.tensor import Tensor
from tfsession.ops.cast import cast
from tfsession.ops.compare import equal, greater, less, not_equal, where
from tfsession.ops.cond import cond
from tfsession.ops.confusion import confusion_matrix, remove_squeezable_dimensions
from tfsession.ops.constant import ones, ones_like, zeros, zeros_like
from tfsession.ops.diag import diag_part
from tfsession.ops.elementwise import (
    div_no_nan,
    divide,
    maximum,
    multiply,
    squared_difference,
    subtract,
)
from tfsession.ops.loss_weights import broadcast_weights
from tfsession.ops.reduce import reduce_mean, reduce_sum
from tfsession.ops.shape import expand_dims, rank, reshape, size, squeeze
from tfsession.ops.state import assign_add, scatter_add
from tfsession.ops.unary import abs, sqrt
from tfsession.ops.variable_scope import variable_scope
from tfsession.ops.variables import Variable, VariableAggregation, VariableSynchronization

Keys = Sequence[str] | str | None
Metric = tuple[Any, Any]


def metric_variable(shape: Any, dtype: DType, name: str | None = None) -> Any:
    """A local variable of zeros, in the collections of local and of metric variables."""
    return Variable(
        lambda: zeros(shape, dtype),
        trainable=False,
        collections=[GraphKeys.LOCAL_VARIABLES, GraphKeys.METRIC_VARIABLES],
        synchronization=VariableSynchronization.ON_READ,
        aggregation=VariableAggregation.SUM,
        name=name,
    )


def collected(value: Any, keys: Keys) -> Any:
    """The value, added to collections."""
    if keys:
        get_default_graph().add_to_collections(keys, value)
    return value


def of_all_batches() -> AbstractContextManager[Any]:
    """Where the value of a metric is made: whatever else stands around, it waits for nothing."""
    return get_default_graph().control_dependencies(None)


def fitting(
    predictions: Any, labels: Any, weights: Any
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Predictions, labels and weights, brought to one rank by a last dimension of 1."""
    predictions = convert_to_tensor(predictions)
    if labels is not None:
        labels, predictions = remove_squeezable_dimensions(labels, predictions)
        predictions.shape.assert_is_compatible_with(labels.shape)
    if weights is None:
        return predictions, labels, None
    weights = convert_to_tensor(weights)
    if weights._shape == ():
        return predictions, labels, weights
    if predictions._shape is not None and weights._shape is not None:
        surplus = len(weights._shape) - len(predictions._shape)
        if surplus == 1:
            weights = squeeze(weights, [-1])
        elif surplus == -1:
            weights = expand_dims(weights, [-1])
        return predictions, labels, weights
    return predictions, labels, _of_rank(weights, predictions)


def _of_rank(weights: Tensor, predictions: Tensor) -> Tensor:
    """Weights of the rank of predictions, when that shows in a step only."""
    weights_rank = rank(weights)
    surplus = weights_rank - rank(predictions)
    shape = weights._shape
    may_shrink = shape is None or shape[-1] in (1, None)

    def smaller() -> Any:
        return squeeze(weights, [-1]) if may_shrink else weights

    def larger() -> Any:
        return cond(equal(surplus, -1), lambda: expand_dims(weights, [-1]), lambda: weights)

    chosen: Tensor = cond(
        equal(weights_rank, 0),
        lambda: weights,
        lambda: cond(equal(surplus, 1), smaller, larger),
    )
    return chosen


def _ratio(total: Any, count: Any, name: str) -> Tensor:
    return div_no_nan(total, maximum(count, 0), name=name)


@export("metrics.mean")
def mean(
    values: Any,
    weights: Any = None,
    metrics_collections: Keys = None,
    updates_collections: Keys = None,
    name: str | None = None,
) -> Metric:
    """The mean of all values of all batches.

    Args:
        values: the values of a batch.
        weights: what each counts; of their shape, or such that it broadcasts; 1 when None.
        metrics_collections: the collections to add the value to.
        updates_collections: the collections to add the update to.
        name: name of the variable scope of the sums.

    Returns:
        The value of all batches taken in so far, and the update: run for a batch, it takes it in
        and gives the new value.
    """
    with variable_scope(name, "mean"):
        values = cast(values, float32)
        total = metric_variable([], float32, "total")
        count = metric_variable([], float32, "count")
        if weights is None:
            number = cast(size(values), float32)
        else:
            values, _, weights = fitting(values, None, weights)
            weights = broadcast_weights(cast(weights, float32), values)
            values = multiply(values, weights)
            number = reduce_sum(weights)
        new_total = assign_add(total, reduce_sum(values))
        with get_default_graph().control_dependencies([values]):
            new_count = assign_add(count, number)
        with of_all_batches():
            value = collected(_ratio(total, count, "value"), metrics_collections)
        update = _ratio(new_total, new_count, "update_op")
        return value, collected(update, updates_collections)


@export("metrics.mean_tensor")
def mean_tensor(
    values: Any,
    weights: Any = None,
    metrics_collections: Keys = None,
    updates_collections: Keys = None,
    name: str | None = None,
) -> Metric:
    """The mean over batches of each element of a tensor; see `mean`."""
    with variable_scope(name, "mean"):
        values = cast(values, float32)
        total = metric_variable(values.shape, float32, "total_tensor")
        count = metric_variable(values.shape, float32, "count_tensor")
        number = ones_like(values)
        if weights is not None:
            values, _, weights = fitting(values, None, weights)
            weights = broadcast_weights(cast(weights, float32), values)
            values, number = multiply(values, weights), multiply(number, weights)
        new_total = assign_add(total, values)
        with get_default_graph().control_dependencies([values]):
            new_count = assign_add(count, number)
        with of_all_batches():
            value = collected(_ratio(total, count, "value"), metrics_collections)
        update = _ratio(new_total, new_count, "update_op")
        return value, collected(update, updates_collections)


@export("metrics.accuracy")
def accuracy(
    labels: Any,
    predictions: Any,
    weights: Any = None,
    metrics_collections: Keys = None,
    updates_collections: Keys = None,
    name: str | None = None,
) -> Metric:
    """How often predictions equal labels; see `mean`."""
    predictions, labels, weights = fitting(predictions, labels, weights)
    if labels.dtype != predictions.dtype:
        predictions = cast(predictions, labels.dtype)
    right = cast(equal(predictions, labels), float32)
    return mean(right, weights, metrics_collections, updates_collections, name or "accuracy")


@export("metrics.mean_absolute_error")
def mean_absolute_error(
    labels: Any,
    predictions: Any,
    weights: Any = None,
    metrics_collections: Keys = None,
    updates_collections: Keys = None,
    name: str | None = None,
) -> Metric:
    """The mean of `|predictions - labels|`; see `mean`."""
    predictions, labels, weights = fitting(predictions, labels, weights)
    errors, name = abs(predictions - labels), name or "mean_absolute_error"
    return mean(errors, weights, metrics_collections, updates_collections, name)


@export("metrics.mean_squared_error")
def mean_squared_error(
    labels: Any,
    predictions: Any,
    weights: Any = None,
    metrics_collections: Keys = None,
    updates_collections: Keys = None,
    name: str | None = None,
) -> Metric:
    """The mean of `(predictions - labels) ** 2`; see `mean`."""
    predictions, labels, weights = fitting(predictions, labels, weights)
    errors, name = squared_difference(labels, predictions), name or "mean_squared_error"
    return mean(errors, weights, metrics_collections, updates_collections, name)


@export("metrics.root_mean_squared_error")
def root_mean_squared_error(
    labels: Any,
    predictions: Any,
    weights: Any = None,
    metrics_collections: Keys = None,
    updates_collections: Keys = None,
    name: str | None = None,
) -> Metric:
    """The root of the mean squared error; see `mean`."""
    predictions, labels, weights = fitting(predictions, labels, weights)
    name = name or "root_mean_squared_error"
    square, update = mean_squared_error(labels, predictions, weights, None, None, name)
    with of_all_batches():
        value = collected(sqrt(square), metrics_collections)
    return value, collected(sqrt(update), updates_collections)


@export("metrics.mean_relative_error")
def mean_relative_error(
    labels: Any,
    predictions: Any,
    normalizer: Any,
    weights: Any = None,
    metrics_collections: Keys = None,
    updates_collections: Keys = None,
    name: str | None = None,
) -> Metric:
    """The mean of `|labels - predictions| / normalizer`, zero where that is zero; see `mean`."""
    predictions, labels, weights = fitting(predictions, labels, weights)
    predictions, normalizer = remove_squeezable_dimensions(predictions, normalizer)
    predictions.shape.assert_is_compatible_with(normalizer.shape)
    errors = where(
        equal(normalizer, 0.0),
        zeros_like(labels),
        divide(abs(labels - predictions), normalizer),
    )
    name = name or "mean_relative_error"
    return mean(errors, weights, metrics_collections, updates_collections, name)


@export("metrics.mean_cosine_distance")
def mean_cosine_distance(
    labels: Any,
    predictions: Any,
    dim: int,
    weights: Any = None,
    metrics_collections: Keys = None,
    updates_collections: Keys = None,
    name: str | None = None,
) -> Metric:
    """One minus the mean of the products along `dim` of vectors of length one; see `mean`."""
    predictions, labels, weights = fitting(predictions, labels, weights)
    products = reduce_sum(multiply(predictions, labels), axis=[dim], keepdims=True)
    value, update = mean(products, weights, None, None, name or "mean_cosine_distance")
    value, update = subtract(1.0, value), subtract(1.0, update)
    return collected(value, metrics_collections), collected(update, updates_collections)


@export("metrics.percentage_below")
def percentage_below(
    values: Any,
    threshold: Any,
    weights: Any = None,
    metrics_collections: Keys = None,
    updates_collections: Keys = None,
    name: str | None = None,
) -> Metric:
    """The share of values below a threshold; see `mean`."""
    below, name = cast(less(values, threshold), float32), name or "percentage_below_threshold"
    return mean(below, weights, metrics_collections, updates_collections, name)


def _flat(tensor: Any) -> Any:
    return reshape(tensor, [-1]) if tensor is not None and tensor.shape.ndims > 1 else tensor


@export("metrics.mean_per_class_accuracy")
def mean_per_class_accuracy(
    labels: Any,
    predictions: Any,
    num_classes: int,
    weights: Any = None,
    metrics_collections: Keys = None,
    updates_collections: Keys = None,
    name: str | None = None,
) -> Metric:
    """The mean over classes of how often labels of a class were predicted; see `mean`.

    The update gives the accuracy of each class.
    """
    with variable_scope(name, "mean_accuracy"):
        labels = _flat(cast(labels, int64))
        predictions = _flat(convert_to_tensor(predictions))
        predictions.shape.assert_is_compatible_with(labels.shape)
        total = metric_variable([num_classes], float32, "total")
        count = metric_variable([num_classes], float32, "count")
        each = ones([size(labels)], float32)
        if labels.dtype != predictions.dtype:
            predictions = cast(predictions, labels.dtype)
        right = cast(equal(predictions, labels), float32)
        if weights is not None:
            weights = cast(_flat(convert_to_tensor(weights)), float32)
            right, each = right * weights, each * weights
        new_total = scatter_add(total, labels, each)
        new_count = scatter_add(count, labels, right)
        with of_all_batches():
            shares = div_no_nan(count, maximum(total, 0))
            value = collected(reduce_mean(shares, name="mean_accuracy"), metrics_collections)
        update = _ratio(new_count, new_total, "update_op")
        return value, collected(update, updates_collections)


@export("metrics.mean_iou")
def mean_iou(
    labels: Any,
    predictions: Any,
    num_classes: int,
    weights: Any = None,
    metrics_collections: Keys = None,
    updates_collections: Keys = None,
    name: str | None = None,
) -> Metric:
    """The mean over classes of intersection over union; see `mean`.

    The update gives the confusion matrix.
    """
    with variable_scope(name, "mean_iou"):
        labels, predictions = convert_to_tensor(labels), convert_to_tensor(predictions)
        predictions.shape.assert_is_compatible_with(labels.shape)
        sums = metric_variable([num_classes, num_classes], float64, "total_confusion_matrix")
        predictions, labels = cast(predictions, int64), cast(labels, int64)
        limit = cast(num_classes, int64)
        predictions, labels, weights = _flat(predictions), _flat(labels), _flat(weights)
        found = confusion_matrix(labels, predictions, limit, float64, weights=weights)
        update = assign_add(sums, found)
        with of_all_batches():
            value = collected(_intersection_over_union(sums), metrics_collections)
        return value, collected(update, updates_collections)


def _intersection_over_union(matrix: Any) -> Tensor:
    by_row = cast(reduce_sum(matrix, 0), float32)
    by_column = cast(reduce_sum(matrix, 1), float32)
    diagonal = cast(diag_part(matrix), float32)
    union = by_row + by_column - diagonal
    number = reduce_sum(cast(not_equal(union, 0), float32))
    union = where(greater(union, 0), union, ones_like(union))
    each = divide(diagonal, union)
    some = greater(number, 0)
    result: Tensor = where(some, reduce_sum(each, name="mean_iou") / number, 0)
    return result
