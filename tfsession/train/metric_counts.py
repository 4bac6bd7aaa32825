"""Metrics that count right and wrong answers of yes or no, also at thresholds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tfsession.core.dtypes import bool as bool_
from tfsession.core.dtypes import float32, int32
from tfsession.core.exports import export, export_value
from tfsession.graph.create import convert_to_tensor
from tfsession.graph.graph import get_default_graph
from tfsession.graph.tensor import Tensor
from tfsession.ops.cast import cast
from tfsession.ops.check import assert_greater_equal, assert_less_equal
from tfsession.ops.compare import equal, greater, logical_and, logical_not, where
from tfsession.ops.constant import constant, identity, no_op, ones_like
from tfsession.ops.elementwise import div_no_nan, divide, maximum, minimum, multiply
from tfsession.ops.join import stack
from tfsession.ops.loss_weights import broadcast_weights
from tfsession.ops.pad import tile
from tfsession.ops.reduce import argmin, reduce_sum
from tfsession.ops.shape import expand_dims, reshape
from tfsession.ops.shape import shape as shape_of
from tfsession.ops.state import assign_add
from tfsession.ops.transpose import transpose
from tfsession.ops.unary import abs, log
from tfsession.ops.variable_scope import variable_scope
from tfsession.train.metrics import (
    Keys,
    Metric,
    collected,
    fitting,
    metric_variable,
    of_all_batches,
)

# What the label and the prediction are, for each kind of answer, in the order they are made in.
_KINDS = {
    "true_positives": (True, True),
    "false_negatives": (True, False),
    "true_negatives": (False, False),
    "false_positives": (False, True),
}
_TP, _FN, _TN, _FP = _KINDS
# Just outside of [0, 1], so that the ends of a curve are there.
_EDGE = 1e-7


def _counter(kind: str) -> Callable[..., Metric]:
    label, prediction = _KINDS[kind]

    def count(
        labels: Any,
        predictions: Any,
        weights: Any = None,
        metrics_collections: Keys = None,
        updates_collections: Keys = None,
        name: str | None = None,
    ) -> Metric:
        """How many answers are of this kind, in all batches; see `metrics.mean`."""
        with variable_scope(name, kind):
            predictions, labels = cast(predictions, bool_), cast(labels, bool_)
            predictions, labels, weights = fitting(predictions, labels, weights)
            holds = logical_and(equal(labels, label), equal(predictions, prediction))
            no_op("assert_type/statically_determined_correct_type")
            total = metric_variable([], float32, "count")
            values = cast(holds, float32)
            if weights is not None:
                values = multiply(values, broadcast_weights(cast(weights, float32), values))
            with of_all_batches():
                value = collected(identity(total), metrics_collections)
            update = assign_add(total, reduce_sum(values))
            return value, collected(update, updates_collections)

    count.__name__ = count.__qualname__ = kind
    return count


def _threshold_counter(kind: str) -> Callable[..., Metric]:
    def count(
        labels: Any,
        predictions: Any,
        thresholds: Sequence[float],
        weights: Any = None,
        metrics_collections: Keys = None,
        updates_collections: Keys = None,
        name: str | None = None,
    ) -> Metric:
        """How many answers are of this kind, at each threshold; see `metrics.mean`."""
        with variable_scope(name, kind):
            values, updates = _counted(labels, predictions, thresholds, weights, (kind,))
            with of_all_batches():
                value = collected(identity(values[kind]), metrics_collections)
            return value, collected(updates[kind], updates_collections)

    count.__name__ = count.__qualname__ = f"{kind}_at_thresholds"
    return count


_counters = {kind: _counter(kind) for kind in _KINDS}
for _kind in _KINDS:
    export_value(_counters[_kind], f"metrics.{_kind}")
    export_value(_threshold_counter(_kind), f"metrics.{_kind}_at_thresholds")


def _counted(
    labels: Any, predictions: Any, thresholds: Sequence[float], weights: Any, kinds: Sequence[str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Variables with the counts of each kind at each threshold, and their updates."""
    predictions = convert_to_tensor(predictions)
    text = "predictions must be in [0, 1]"
    checks = [
        check(predictions, cast(bound, predictions.dtype), message=text)
        for check, bound in ((assert_greater_equal, 0.0), (assert_less_equal, 1.0))
    ]
    with get_default_graph().control_dependencies(checks):
        predictions, labels, weights = fitting(
            cast(predictions, float32), cast(labels, bool_), weights
        )
    count = len(thresholds)
    column = reshape(predictions, [-1, 1])
    row = reshape(cast(labels, bool_), [1, -1])
    number = column._shape[0] if column._shape else None
    if number is None:
        number = shape_of(column)[0]
    limits = tile(expand_dims(constant(thresholds), [1]), stack([1, number]))
    is_yes = {True: greater(tile(transpose(column), [count, 1]), limits)}
    if _FN in kinds or _TN in kinds:
        is_yes[False] = logical_not(is_yes[True])
    was_yes = {True: tile(row, [count, 1])}
    if _FP in kinds or _TN in kinds:
        was_yes[False] = logical_not(was_yes[True])
    if weights is not None:
        weights = broadcast_weights(cast(weights, float32), predictions)
        weights = tile(reshape(weights, [1, -1]), [count, 1])
    values, updates = {}, {}
    for kind in (k for k in _KINDS if k in kinds):
        label, prediction = _KINDS[kind]
        values[kind] = metric_variable([count], float32, kind)
        holds = cast(logical_and(was_yes[label], is_yes[prediction]), float32)
        if weights is not None:
            holds = holds * weights
        updates[kind] = assign_add(values[kind], reduce_sum(holds, 1))
    return values, updates


def _share(
    name: str | None,
    scope: str,
    other: str,
    labels: Any,
    predictions: Any,
    weights: Any,
    metrics_collections: Keys,
    updates_collections: Keys,
) -> Metric:
    """True positives, of these and the answers of another kind."""
    with variable_scope(name, scope):
        predictions, labels = cast(predictions, bool_), cast(labels, bool_)
        predictions, labels, weights = fitting(predictions, labels, weights)
        right, new_right = _counters[_TP](labels, predictions, weights)
        wrong, new_wrong = _counters[other](labels, predictions, weights)

        def share(right: Any, wrong: Any, name: str) -> Tensor:
            total = right + wrong
            return where(greater(total, 0), divide(right, right + wrong), 0, name)

        with of_all_batches():
            value = collected(share(right, wrong, "value"), metrics_collections)
        update = share(new_right, new_wrong, "update_op")
        return value, collected(update, updates_collections)


@export("metrics.precision")
def precision(
    labels: Any,
    predictions: Any,
    weights: Any = None,
    metrics_collections: Keys = None,
    updates_collections: Keys = None,
    name: str | None = None,
) -> Metric:
    """How many of the answers "yes" are right; see `metrics.mean`."""
    keys = metrics_collections, updates_collections
    return _share(name, "precision", _FP, labels, predictions, weights, *keys)


@export("metrics.recall")
def recall(
    labels: Any,
    predictions: Any,
    weights: Any = None,
    metrics_collections: Keys = None,
    updates_collections: Keys = None,
    name: str | None = None,
) -> Metric:
    """How many of the labels "yes" were found; see `metrics.mean`."""
    keys = metrics_collections, updates_collections
    return _share(name, "recall", _FN, labels, predictions, weights, *keys)


def _share_at(
    name: str | None, scope: str, other: str, thresholds: Sequence[float], labels: Any,
    predictions: Any, weights: Any, metrics_collections: Keys, updates_collections: Keys,
) -> Metric:  # fmt: skip
    with variable_scope(name, f"{scope}_at_thresholds"):
        values, updates = _counted(labels, predictions, thresholds, weights, (_TP, other))

        def share(counts: dict[str, Any], kind: str) -> Tensor:
            total = _EDGE + counts[_TP] + counts[other]
            return divide(counts[_TP], total, name=f"{scope}_{kind}")

        with of_all_batches():
            value = collected(share(values, "value"), metrics_collections)
        return value, collected(share(updates, "update_op"), updates_collections)


@export("metrics.precision_at_thresholds")
def precision_at_thresholds(
    labels: Any,
    predictions: Any,
    thresholds: Sequence[float],
    weights: Any = None,
    metrics_collections: Keys = None,
    updates_collections: Keys = None,
    name: str | None = None,
) -> Metric:
    """The precision at each threshold; see `metrics.mean`."""
    keys = metrics_collections, updates_collections
    return _share_at(name, "precision", _FP, thresholds, labels, predictions, weights, *keys)


@export("metrics.recall_at_thresholds")
def recall_at_thresholds(
    labels: Any,
    predictions: Any,
    thresholds: Sequence[float],
    weights: Any = None,
    metrics_collections: Keys = None,
    updates_collections: Keys = None,
    name: str | None = None,
) -> Metric:
    """The recall at each threshold; see `metrics.mean`."""
    keys = metrics_collections, updates_collections
    return _share_at(name, "recall", _FN, thresholds, labels, predictions, weights, *keys)


def _even_thresholds(number: int) -> list[float]:
    between = [(i + 1) * 1.0 / (number - 1) for i in range(number - 2)]
    return [0.0 - _EDGE, *between, 1.0 + _EDGE]


@export("metrics.auc")
def auc(
    labels: Any,
    predictions: Any,
    weights: Any = None,
    num_thresholds: int = 200,
    metrics_collections: Keys = None,
    updates_collections: Keys = None,
    curve: str = "ROC",
    name: str | None = None,
    summation_method: str = "trapezoidal",
    thresholds: Sequence[float] | None = None,
) -> Metric:
    """The area under a curve over thresholds; see `metrics.mean`.

    Args:
        labels: yes or no.
        predictions: numbers of [0, 1].
        weights: what each counts.
        num_thresholds: how many thresholds there are, spread evenly.
        metrics_collections: the collections to add the value to.
        updates_collections: the collections to add the update to.
        curve: "ROC", recall over false positives; or "PR", precision over recall.
        name: name of the variable scope.
        summation_method: "trapezoidal", "minoring", "majoring", or "careful_interpolation" (Davis
            and Goadrich, 2006) for "PR".
        thresholds: the inner thresholds.

    Raises:
        ValueError: no such curve or method.
    """
    with variable_scope(name, "auc"):
        if curve not in ("ROC", "PR"):
            raise ValueError(f"Curve must be either ROC or PR. Curve {curve} is unknown.")
        if thresholds is None:
            limits = _even_thresholds(num_thresholds)
        else:
            limits = [0.0 - _EDGE, *sorted(thresholds), 1.0 + _EDGE]
        values, updates = _counted(labels, predictions, limits, weights, tuple(_KINDS))
        with of_all_batches():
            area = _area(values, curve, summation_method, len(limits), "value")
            value = collected(area, metrics_collections)
        update = _area(updates, curve, summation_method, len(limits), "update_op")
        return value, collected(update, updates_collections)


def _area(counts: dict[str, Any], curve: str, method: str, number: int, name: str) -> Tensor:
    tp, fn, tn, fp = (counts[kind] for kind in _KINDS)
    small, last = 1e-6, number - 1
    if curve == "PR" and method == "careful_interpolation":
        return _interpolated(tp, fp, fn, last)
    found = divide(tp + small, tp + fn + small)
    if curve == "ROC":
        x, y = divide(fp, fp + tn + small), found
    else:
        x, y = found, divide(tp + small, tp + fp + small)
    if method in ("trapezoidal", "careful_interpolation"):
        width = x[:last] - x[1:]
        return reduce_sum(multiply(width, (y[:last] + y[1:]) / 2.0), name=name)
    if method not in ("minoring", "majoring"):
        raise ValueError(
            f"Invalid summation_method: {method} summation_method should be 'trapezoidal', "
            "'careful_interpolation', 'minoring', or 'majoring'."
        )
    width, bound = x[:last] - x[1:], minimum if method == "minoring" else maximum
    return reduce_sum(multiply(width, bound(y[:last], y[1:])), name=name)


def _interpolated(tp: Any, fp: Any, fn: Any, last: int) -> Tensor:
    step = tp[:last] - tp[1:]
    positives = tp + fp
    slope = div_no_nan(step, maximum(positives[:last] - positives[1:], 0), name="prec_slope")
    intercept = tp[1:] - multiply(slope, positives[1:])
    ratio = where(
        logical_and(positives[:last] > 0, positives[1:] > 0),
        div_no_nan(positives[:last], maximum(positives[1:], 0), name="recall_relative_ratio"),
        ones_like(positives[1:]),
    )
    increments = div_no_nan(
        slope * (step + intercept * log(ratio)),
        maximum(tp[1:] + fn[1:], 0),
        name="pr_auc_increment",
    )
    return reduce_sum(increments, name="interpolate_pr_auc")


@export("metrics.sensitivity_at_specificity")
def sensitivity_at_specificity(
    labels: Any,
    predictions: Any,
    specificity: float,
    weights: Any = None,
    num_thresholds: int = 200,
    metrics_collections: Keys = None,
    updates_collections: Keys = None,
    name: str | None = None,
) -> Metric:
    """The recall at the threshold whose specificity is the nearest; see `metrics.mean`.

    Raises:
        ValueError: `specificity` is not in [0, 1].
    """
    if specificity < 0 or specificity > 1:
        raise ValueError(
            "`specificity` must be in the range [0, 1]. Currently, `specificity` got "
            f"{specificity}."
        )
    with variable_scope(name, "sensitivity_at_specificity"):
        limits = _even_thresholds(num_thresholds)
        values, updates = _counted(labels, predictions, limits, weights, tuple(_KINDS))

        def sensitivity(counts: dict[str, Any], name: str) -> Tensor:
            tp, fn, tn, fp = (counts[kind] for kind in _KINDS)
            there = divide(tn, tn + fp + _EDGE)
            index = cast(argmin(abs(there - specificity), 0), int32)
            return divide(tp[index], tp[index] + fn[index] + _EDGE, name)

        with of_all_batches():
            value = collected(sensitivity(values, "value"), metrics_collections)
        return value, collected(sensitivity(updates, "update_op"), updates_collections)
