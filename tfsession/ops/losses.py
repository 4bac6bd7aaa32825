"""tf.losses: weighted losses that are summed up to scalars and collected in the graph."""

from __future__ import annotations

from typing import Any

from tfsession.core import dtypes
from tfsession.core import shape as shape_lib
from tfsession.core.exports import export
from tfsession.graph.create import convert_to_tensor, graph_of
from tfsession.graph.graph import get_default_graph
from tfsession.graph.graph_keys import GraphKeys
from tfsession.graph.tensor import Tensor
from tfsession.ops.cast import cast
from tfsession.ops.compare import equal, where
from tfsession.ops.confusion import remove_squeezable_dimensions, squeezed_if
from tfsession.ops.constant import constant, ones_like, stop_gradient, zeros_like
from tfsession.ops.cross_entropy import (
    sigmoid_cross_entropy_with_logits,
    softmax_cross_entropy_with_logits_v2,
    sparse_softmax_cross_entropy_with_logits,
)
from tfsession.ops.elementwise import (
    add,
    add_n,
    div_no_nan,
    maximum,
    minimum,
    multiply,
    squared_difference,
    subtract,
)
from tfsession.ops.loss_weights import assert_broadcastable, num_present
from tfsession.ops.nn import relu
from tfsession.ops.reduce import reduce_sum
from tfsession.ops.sequence import range_
from tfsession.ops.shape import rank, renamed, squeeze
from tfsession.ops.shape import shape as shape_of
from tfsession.ops.shape import size as size_of
from tfsession.ops.unary import abs as abs_
from tfsession.ops.unary import log, negative, square


@export("losses.Reduction")
class Reduction:
    """How the elements of a loss become one number."""

    NONE = "none"
    SUM = "weighted_sum"
    SUM_OVER_BATCH_SIZE = "weighted_sum_over_batch_size"
    MEAN = "weighted_mean"
    SUM_BY_NONZERO_WEIGHTS = "weighted_sum_by_nonzero_weights"
    SUM_OVER_NONZERO_WEIGHTS = SUM_BY_NONZERO_WEIGHTS

    @classmethod
    def all(cls) -> tuple[str, ...]:
        """Every way there is."""
        return (
            cls.NONE,
            cls.SUM,
            cls.MEAN,
            cls.SUM_OVER_BATCH_SIZE,
            cls.SUM_OVER_NONZERO_WEIGHTS,
            cls.SUM_BY_NONZERO_WEIGHTS,
        )

    @classmethod
    def validate(cls, key: str) -> None:
        """Raise ValueError when there is no such way."""
        if key not in cls.all():
            raise ValueError(f"Invalid Reduction Key {key}. Key should be one of {cls.all()}.")


_BY_NONZERO = Reduction.SUM_BY_NONZERO_WEIGHTS


def _require(**arguments: Any) -> None:
    for name, value in arguments.items():
        if value is None:
            raise ValueError(f"Argument `{name}` must not be None.")


def _refuse_other_shape(first: Tensor, second: Tensor) -> None:
    if not shape_lib.is_compatible(first._shape, second._shape):
        raise ValueError(f"Shapes {first.shape} and {second.shape} are incompatible")


# --- from elements to one number ------------------------------------------------------------------


@export("losses.add_loss")
def add_loss(loss: Tensor, loss_collection: str | None = GraphKeys.LOSSES) -> None:
    """Add a loss to a collection of its graph; None adds it to none."""
    if loss_collection:
        get_default_graph().add_to_collection(loss_collection, loss)


def _mean(total: Tensor, count: Tensor) -> Tensor:
    """The quotient, or zero where there is nothing."""
    return div_no_nan(reduce_sum(total), count, name="value")


def _reduced(losses: Tensor, weighted: Tensor, weights: Tensor, reduction: str) -> Tensor:
    total = reduce_sum(weighted)
    if reduction == Reduction.MEAN:
        return _mean(total, reduce_sum(ones_like(losses) * weights))
    if reduction == _BY_NONZERO:
        return _mean(total, num_present(losses, weights))
    if reduction == Reduction.SUM_OVER_BATCH_SIZE:
        with get_default_graph().name_scope("num_elements") as scope:
            count = cast(size_of(losses, name=scope), losses.dtype)
        return _mean(total, count)
    return total


@export("losses.compute_weighted_loss")
def compute_weighted_loss(
    losses: Any,
    weights: Any = 1.0,
    scope: str | None = None,
    loss_collection: str | None = GraphKeys.LOSSES,
    reduction: str = _BY_NONZERO,
) -> Tensor:
    """Losses times weights as one number, collected.

    Args:
        losses: tensor, a loss for each element.
        weights: a number, or a tensor of the rank of `losses` whose sizes are the same or one.
        scope: name scope of the operations.
        loss_collection: where the result is added; None for nowhere.
        reduction: how elements become one number, see `Reduction`.

    Raises:
        ValueError: `weights` do not fit `losses`, or `reduction` is unknown.
    """
    Reduction.validate(reduction)
    graph = graph_of((losses, weights))
    with graph.as_default(), graph.name_scope(scope or "weighted_loss"):
        with graph.control_dependencies(assert_broadcastable(weights, losses)):
            losses = convert_to_tensor(losses)
            wide = cast(losses, dtypes.float32)
            weights = cast(weights, dtypes.float32)
            loss = multiply(wide, weights)
            if reduction != Reduction.NONE:
                loss = _reduced(wide, loss, weights, reduction)
            loss = cast(loss, losses.dtype)
        add_loss(loss, loss_collection)
        return loss


# --- losses of predictions ------------------------------------------------------------------------


def _floats(predictions: Any, labels: Any) -> tuple[Tensor, Tensor]:
    predictions = cast(predictions, dtypes.float32)
    labels = cast(labels, dtypes.float32)
    _refuse_other_shape(predictions, labels)
    return predictions, labels


@export("losses.absolute_difference")
def absolute_difference(
    labels: Any,
    predictions: Any,
    weights: Any = 1.0,
    scope: str | None = None,
    loss_collection: str | None = GraphKeys.LOSSES,
    reduction: str = _BY_NONZERO,
) -> Tensor:
    """The loss `abs(predictions - labels)`; see `compute_weighted_loss` for the rest."""
    _require(labels=labels, predictions=predictions)
    inputs = (predictions, labels, weights)
    default = "absolute_difference"
    with graph_of(inputs).as_default() as graph, graph.name_scope(scope or default) as scope:
        predictions, labels = _floats(predictions, labels)
        losses = abs_(subtract(predictions, labels))
        return compute_weighted_loss(losses, weights, scope, loss_collection, reduction)


@export("losses.mean_squared_error")
def mean_squared_error(
    labels: Any,
    predictions: Any,
    weights: Any = 1.0,
    scope: str | None = None,
    loss_collection: str | None = GraphKeys.LOSSES,
    reduction: str = _BY_NONZERO,
) -> Tensor:
    """The loss `(predictions - labels) ** 2`; see `compute_weighted_loss` for the rest."""
    _require(labels=labels, predictions=predictions)
    inputs = (predictions, labels, weights)
    default = "mean_squared_error"
    with graph_of(inputs).as_default() as graph, graph.name_scope(scope or default) as scope:
        losses = squared_difference(*_floats(predictions, labels))
        return compute_weighted_loss(losses, weights, scope, loss_collection, reduction)


@export("losses.huber_loss")
def huber_loss(
    labels: Any,
    predictions: Any,
    weights: Any = 1.0,
    delta: float = 1.0,
    scope: str | None = None,
    loss_collection: str | None = GraphKeys.LOSSES,
    reduction: str = _BY_NONZERO,
) -> Tensor:
    """Half the squared difference up to `delta`, and straight from there on."""
    _require(labels=labels, predictions=predictions)
    inputs = (predictions, labels, weights)
    with graph_of(inputs).as_default() as graph, graph.name_scope(scope or "huber_loss") as scope:
        predictions, labels = _floats(predictions, labels)
        distance = abs_(subtract(predictions, labels))
        near = minimum(distance, delta)
        far = subtract(distance, near)
        half = convert_to_tensor(0.5, near.dtype)
        losses = add(multiply(half, multiply(near, near)), multiply(delta, far))
        return compute_weighted_loss(losses, weights, scope, loss_collection, reduction)


@export("losses.log_loss")
def log_loss(
    labels: Any,
    predictions: Any,
    weights: Any = 1.0,
    epsilon: float = 1e-7,
    scope: str | None = None,
    loss_collection: str | None = GraphKeys.LOSSES,
    reduction: str = _BY_NONZERO,
) -> Tensor:
    """The cross-entropy of labels and probabilities; `epsilon` keeps the logarithms finite."""
    _require(labels=labels, predictions=predictions)
    inputs = (predictions, labels, weights)
    with graph_of(inputs).as_default() as graph, graph.name_scope(scope or "log_loss") as scope:
        predictions, labels = _floats(predictions, labels)
        positive = negative(multiply(labels, log(predictions + epsilon)))
        losses = positive - multiply(1 - labels, log(1 - predictions + epsilon))
        return compute_weighted_loss(losses, weights, scope, loss_collection, reduction)


@export("losses.cosine_distance")
def cosine_distance(
    labels: Any,
    predictions: Any,
    axis: int | None = None,
    weights: Any = 1.0,
    scope: str | None = None,
    loss_collection: str | None = GraphKeys.LOSSES,
    reduction: str = _BY_NONZERO,
    dim: int | None = None,
) -> Tensor:
    """One less the product of vectors along `axis`, which are taken for normalized.

    Raises:
        ValueError: `axis` is missing, or given together with its older name `dim`.
    """
    axis = renamed("axis", axis, "dim", dim)
    if axis is None:
        raise ValueError("You must specify argument `axis`.")
    _require(labels=labels, predictions=predictions)
    inputs = (predictions, labels, weights)
    default = "cosine_distance_loss"
    with graph_of(inputs).as_default() as graph, graph.name_scope(scope or default) as scope:
        predictions, labels = _floats(predictions, labels)
        losses = 1 - reduce_sum(multiply(predictions, labels), (axis,), keepdims=True)
        return compute_weighted_loss(losses, weights, scope, loss_collection, reduction)


@export("losses.mean_pairwise_squared_error")
def mean_pairwise_squared_error(
    labels: Any,
    predictions: Any,
    weights: Any = 1.0,
    scope: str | None = None,
    loss_collection: str | None = GraphKeys.LOSSES,
) -> Tensor:
    """How far the differences between predictions are from those between labels, squared."""
    _require(labels=labels, predictions=predictions)
    inputs = (predictions, labels, weights)
    default = "mean_pairwise_squared_error"
    with graph_of(inputs).as_default() as graph, graph.name_scope(scope or default):
        weights = cast(weights, dtypes.float32)
        labels = cast(labels, dtypes.float32)
        with graph.control_dependencies(assert_broadcastable(weights, labels)):
            predictions = cast(predictions, dtypes.float32)
            _refuse_other_shape(predictions, labels)
            differences = subtract(predictions, labels)
            axes = range_(1, rank(differences))
            squares = reduce_sum(square(differences), axes, keepdims=True)
            count = num_present(differences, weights, per_batch=True)
            first = 2.0 * div_no_nan(squares, maximum(count - 1, 0), name="value")
            total = square(reduce_sum(differences, axes, keepdims=True))
            pairs = maximum(multiply(count, count - 1), 0)
            second = 2.0 * div_no_nan(total, pairs, name="value")
            loss = reduce_sum(multiply(first - second, weights))
            loss = where(reduce_sum(count) > 0, loss, zeros_like(loss), name="value")
        add_loss(loss, loss_collection)
        return loss


# --- losses of logits -----------------------------------------------------------------------------


@export("losses.hinge_loss")
def hinge_loss(
    labels: Any,
    logits: Any,
    weights: Any = 1.0,
    scope: str | None = None,
    loss_collection: str | None = GraphKeys.LOSSES,
    reduction: str = _BY_NONZERO,
) -> Tensor:
    """What logits lack of one on the side of their labels, which are 0 or 1."""
    _require(labels=labels, logits=logits)
    inputs = (logits, labels, weights)
    with graph_of(inputs).as_default() as graph, graph.name_scope(scope or "hinge_loss") as scope:
        logits, labels = _floats(logits, labels)
        ones = ones_like(labels)
        sides = subtract(2 * labels, ones)
        losses = relu(subtract(ones, multiply(sides, logits)))
        return compute_weighted_loss(losses, weights, scope, loss_collection, reduction)


@export("losses.sigmoid_cross_entropy")
def sigmoid_cross_entropy(
    multi_class_labels: Any,
    logits: Any,
    weights: Any = 1.0,
    label_smoothing: float = 0,
    scope: str | None = None,
    loss_collection: str | None = GraphKeys.LOSSES,
    reduction: str = _BY_NONZERO,
) -> Tensor:
    """`sigmoid_cross_entropy_with_logits`, with labels moved towards one half by smoothing."""
    _require(multi_class_labels=multi_class_labels, logits=logits)
    inputs = (logits, multi_class_labels, weights)
    default = "sigmoid_cross_entropy_loss"
    with graph_of(inputs).as_default() as graph, graph.name_scope(scope or default) as scope:
        logits = convert_to_tensor(logits)
        labels = cast(multi_class_labels, logits.dtype)
        _refuse_other_shape(logits, labels)
        if label_smoothing > 0:
            labels = labels * (1 - label_smoothing) + 0.5 * label_smoothing
        losses = sigmoid_cross_entropy_with_logits(labels=labels, logits=logits, name="xentropy")
        return compute_weighted_loss(losses, weights, scope, loss_collection, reduction)


@export("losses.softmax_cross_entropy")
def softmax_cross_entropy(
    onehot_labels: Any,
    logits: Any,
    weights: Any = 1.0,
    label_smoothing: float = 0,
    scope: str | None = None,
    loss_collection: str | None = GraphKeys.LOSSES,
    reduction: str = _BY_NONZERO,
) -> Tensor:
    """`softmax_cross_entropy_with_logits`, with labels moved towards equal ones by smoothing."""
    _require(onehot_labels=onehot_labels, logits=logits)
    inputs = (logits, onehot_labels, weights)
    default = "softmax_cross_entropy_loss"
    with graph_of(inputs).as_default() as graph, graph.name_scope(scope or default) as scope:
        logits = convert_to_tensor(logits)
        labels = cast(onehot_labels, logits.dtype)
        _refuse_other_shape(logits, labels)
        if label_smoothing > 0:
            classes = cast(shape_of(labels)[-1], logits.dtype)
            share = label_smoothing / classes
            labels = labels * (1.0 - label_smoothing) + share
        labels = stop_gradient(labels, "labels_stop_gradient")
        losses = softmax_cross_entropy_with_logits_v2(labels, logits, name="xentropy")
        return compute_weighted_loss(losses, weights, scope, loss_collection, reduction)


@export("losses.sparse_softmax_cross_entropy")
def sparse_softmax_cross_entropy(
    labels: Any,
    logits: Any,
    weights: Any = 1.0,
    scope: str | None = None,
    loss_collection: str | None = GraphKeys.LOSSES,
    reduction: str = _BY_NONZERO,
) -> Tensor:
    """`sparse_softmax_cross_entropy_with_logits`; labels and weights may end in a size of one."""
    _require(labels=labels, logits=logits)
    inputs = (logits, labels, weights)
    default = "sparse_softmax_cross_entropy_loss"
    with graph_of(inputs).as_default() as graph, graph.name_scope(scope or default) as scope:
        labels, logits, weights = _squeezed(labels, logits, weights)
        losses = sparse_softmax_cross_entropy_with_logits(
            labels=labels, logits=logits, name="xentropy"
        )
        return compute_weighted_loss(losses, weights, scope, loss_collection, reduction)


def _squeezed(labels: Any, logits: Any, weights: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Labels one rank below logits, and weights of the labels' rank, without a last size of one."""
    labels, logits = remove_squeezable_dimensions(labels, logits, expected_rank_diff=1)
    weights = convert_to_tensor(weights)
    if weights._shape is not None and labels._shape is not None:
        if len(weights._shape) - len(labels._shape) == 1:
            weights = squeeze(weights, [-1])
    elif weights._shape != ():
        weights = squeezed_if(equal(1, rank(weights) - rank(labels)), weights)
    return labels, logits, weights


# --- what was collected ---------------------------------------------------------------------------


@export("losses.get_losses")
def get_losses(scope: str | None = None, loss_collection: str = GraphKeys.LOSSES) -> list[Any]:
    """The losses collected in the default graph, of those whose names match `scope`."""
    found: list[Any] = get_default_graph().get_collection(loss_collection, scope)
    return found


@export("losses.get_regularization_losses")
def get_regularization_losses(scope: str | None = None) -> list[Any]:
    """The regularization losses collected in the default graph."""
    return get_losses(scope, GraphKeys.REGULARIZATION_LOSSES)


@export("losses.get_regularization_loss")
def get_regularization_loss(
    scope: str | None = None, name: str = "total_regularization_loss"
) -> Tensor:
    """The sum of all regularization losses; zero if there are none."""
    losses = get_regularization_losses(scope)
    return add_n(losses, name) if losses else constant(0.0)


@export("losses.get_total_loss")
def get_total_loss(
    add_regularization_losses: bool = True, name: str = "total_loss", scope: str | None = None
) -> Tensor:
    """The sum of all collected losses, and of regularization losses unless told otherwise.

    Raises:
        ValueError: there are none.
    """
    losses = get_losses(scope)
    if add_regularization_losses:
        losses += get_regularization_losses(scope)
    return add_n(losses, name)
