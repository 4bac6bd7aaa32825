"""Losses of logits: softmax and sigmoid cross-entropies, and the Poisson loss."""

from __future__ import annotations

import math
from typing import Any

from tfsession.core import dtypes
from tfsession.core import shape as shape_lib
from tfsession.core.exports import export
from tfsession.core.op_def import define_op
from tfsession.core.shape import Shape
from tfsession.graph.create import convert_to_tensor, create_op, graph_of
from tfsession.graph.operation import Operation
from tfsession.graph.shape_fns import merge_dims, product, with_rank
from tfsession.graph.tensor import Tensor
from tfsession.ops.cast import cast
from tfsession.ops.check import assert_equal
from tfsession.ops.compare import logical_and, where
from tfsession.ops.constant import constant, ones_like, stop_gradient, zeros_like
from tfsession.ops.elementwise import add, subtract
from tfsession.ops.join import concat
from tfsession.ops.nn import relu
from tfsession.ops.sequence import range_
from tfsession.ops.shape import rank, renamed, reshape
from tfsession.ops.shape import shape as shape_of
from tfsession.ops.slice import slice_
from tfsession.ops.transpose import transpose
from tfsession.ops.unary import exp, log, log1p

_FLOATS = "T: {half, bfloat16, float, double}"


def _dense_shape(op: Operation) -> list[Shape]:
    features, labels = op.inputs
    both = with_rank(shape_lib.broadcast(features._shape, labels._shape), 2)
    assert both is not None
    return [both[:1], both]


def _sparse_shape(op: Operation) -> list[Shape]:
    features = with_rank(op.inputs[0]._shape, 2)
    labels = with_rank(op.inputs[1]._shape, 1)
    assert features is not None
    assert labels is not None
    batch = merge_dims(features[0], labels[0])
    return [(batch,), (batch, features[1])]


define_op(
    "SoftmaxCrossEntropyWithLogits",
    inputs=["features: T", "labels: T"],
    outputs=["loss: T", "backprop: T"],
    attrs=[_FLOATS],
    shape=_dense_shape,
)
define_op(
    "SparseSoftmaxCrossEntropyWithLogits",
    inputs=["features: T", "labels: Tlabels"],
    outputs=["loss: T", "backprop: T"],
    attrs=[_FLOATS, "Tlabels: {int32, int64} = DT_INT64"],
    shape=_sparse_shape,
)


def _require_both(function: str, labels: Any, logits: Any) -> None:
    if labels is None or logits is None:
        # The missing space is TensorFlow's.
        raise ValueError(
            f"Both `labels` and `logits` must be provided for {function}Received: "
            f"labels={labels} and logits={logits}"
        )


# --- softmax, labels as probabilities -------------------------------------------------------------


@export("nn.softmax_cross_entropy_with_logits")
def softmax_cross_entropy_with_logits(
    labels: Any = None, logits: Any = None, dim: int = -1, name: str | None = None, axis: Any = None
) -> Tensor:
    """The cross-entropy of `labels` and `softmax(logits)`, without a gradient to `labels`.

    Args:
        labels: probabilities, of the shape of `logits`.
        logits: tensor of half, bfloat16, float32 or float64.
        dim: the dimension of the classes, which the result lacks.
        name: name of the operation.
        axis: the newer name of `dim`.

    Raises:
        ValueError: labels or logits are missing, or the shapes do not fit.
    """
    dim = renamed("axis", axis, "dim", dim)
    _require_both("softmax_cross_entropy_with_logits", labels, logits)
    inputs = (logits, labels)
    default = "softmax_cross_entropy_with_logits_sg"
    with graph_of(inputs).as_default() as graph, graph.name_scope(name or default) as scope:
        labels = stop_gradient(labels, "labels_stop_gradient")
        return _dense(labels, logits, dim, scope)


@export("nn.softmax_cross_entropy_with_logits_v2")
def softmax_cross_entropy_with_logits_v2(
    labels: Any, logits: Any, axis: Any = None, name: str | None = None, dim: Any = None
) -> Tensor:
    """The cross-entropy of `labels` and `softmax(logits)`; gradients flow back to both.

    Args:
        labels: probabilities, of the shape of `logits`.
        logits: tensor of half, bfloat16, float32 or float64.
        axis: the dimension of the classes, which the result lacks; the last one by default.
        name: name of the operation.
        dim: the older name of `axis`.

    Raises:
        ValueError: `axis` and `dim` are both given, or the shapes do not fit.
    """
    axis = renamed("axis", axis, "dim", dim)
    inputs = (logits, labels)
    default = "softmax_cross_entropy_with_logits"
    with graph_of(inputs).as_default() as graph, graph.name_scope(name or default) as scope:
        return _dense(labels, logits, -1 if axis is None else axis, scope)


def _dense(labels: Any, logits: Any, axis: int, scope: str) -> Tensor:
    logits = convert_to_tensor(logits, name="logits")
    labels = convert_to_tensor(labels, name="labels")
    precise = _precise(logits)
    labels = cast(labels, precise.dtype)
    count = rank(precise)
    static = logits._shape
    if axis != -1:
        precise, labels = _last(precise, axis, count), _last(labels, axis, count)
    dims = shape_of(precise)
    precise, labels = _as_matrix(precise), _as_matrix(labels)
    loss, _ = create_op("SoftmaxCrossEntropyWithLogits", (precise, labels), None, scope)
    loss = reshape(loss, slice_(dims, [0], [subtract(count, 1)]))
    if static is not None:
        kept = list(static)
        del kept[axis]
        loss._shape = shape_lib.merge(loss._shape, tuple(kept))
    return cast(loss, logits.dtype.base_dtype)


def _precise(logits: Tensor) -> Tensor:
    narrow = logits.dtype.base_dtype in (dtypes.float16, dtypes.bfloat16)
    return cast(logits, dtypes.float32) if narrow else logits


def _last(x: Tensor, axis: int, count: Tensor) -> Tensor:
    """`x` with the dimension moved behind the others."""
    return transpose(x, concat([range_(axis), range_(axis + 1, count), [axis]], 0))


def _as_matrix(x: Tensor) -> Tensor:
    """`x` with all dimensions but the last in one."""
    count = rank(x)
    classes = slice_(shape_of(x), [subtract(count, 1)], [1])
    matrix = reshape(x, concat([[-1], classes], 0))
    static = x._shape
    if static is not None:
        matrix._shape = shape_lib.merge(matrix._shape, (product(static[:-1]), static[-1]))
    return matrix


# --- softmax, labels as class numbers -------------------------------------------------------------


@export("nn.sparse_softmax_cross_entropy_with_logits")
def sparse_softmax_cross_entropy_with_logits(
    labels: Any = None, logits: Any = None, name: str | None = None
) -> Tensor:
    """The cross-entropy of one true class each and `softmax(logits)`.

    Args:
        labels: class numbers, int32 or int64, of the shape of `logits` without its last dimension.
        logits: tensor of half, bfloat16, float32 or float64; classes along the last dimension.
        name: name of the operation.

    Raises:
        ValueError: labels or logits are missing, or the shapes do not fit.
        InvalidArgumentError: at run time, a label is not the number of a class, or the shapes,
            unknown before, do not fit.
    """
    _require_both("sparse_softmax_cross_entropy_with_logits", labels, logits)
    graph = graph_of((labels, logits))
    default = "SparseSoftmaxCrossEntropyWithLogits"
    with graph.as_default(), graph.name_scope(name or default):
        labels, logits = convert_to_tensor(labels), convert_to_tensor(logits)
        is_half = logits.dtype.base_dtype is dtypes.float16
        precise = cast(logits, dtypes.float32) if is_half else logits
        labels_shape = shape_of(labels)
        _check_sparse(labels, logits)
        if logits._shape is not None and len(logits._shape) == 2:
            loss, _ = create_op(default, (precise, labels), None, name)
        else:
            static = labels._shape
            # Laid out flat, labels of another shape could fit all the same.
            checks = [] if _is_known(labels, logits) else [_checked(labels, logits)]
            with graph.control_dependencies(checks):
                classes = shape_of(logits)[rank(logits) - 1]
                precise, labels = reshape(precise, [-1, classes]), reshape(labels, [-1])
                loss, _ = create_op(default, (precise, labels), None, name)
                loss = reshape(loss, labels_shape)
            loss._shape = shape_lib.merge(loss._shape, static)
        return cast(loss, logits.dtype) if is_half else loss


def _check_sparse(labels: Tensor, logits: Tensor) -> None:
    have, want = labels._shape, logits._shape
    if want == ():
        raise ValueError(f"`logits` cannot be a scalar. Received logits={logits}`")
    if have is None or want is None:
        return
    if len(have) != len(want) - 1:
        raise ValueError(
            "`labels.shape.rank` must equal `logits.shape.rank - 1`. Received: "
            f"labels.shape={labels.shape} of rank {len(have)} and logits.shape={logits.shape} of "
            f"rank {len(want)}"
        )
    if _is_known(labels, logits) and have != want[:-1]:
        raise ValueError(
            "`labels.shape` must equal `logits.shape` except for the last dimension. Received: "
            f"labels.shape={labels.shape} and logits.shape={logits.shape}"
        )


def _is_known(labels: Tensor, logits: Tensor) -> bool:
    have, want = labels._shape, logits._shape
    if have is None or want is None:
        return False
    return None not in have and None not in want[:-1]


def _checked(labels: Tensor, logits: Tensor) -> Operation:
    return assert_equal(shape_of(labels), shape_of(logits)[:-1])


# --- sigmoid --------------------------------------------------------------------------------------


def _same_shape(one: Tensor, one_name: str, other: Tensor, other_name: str) -> None:
    try:
        shape_lib.merge(one._shape, other._shape)
    except ValueError:
        raise ValueError(
            f"`{one_name}` and `{other_name}` must have the same shape, received "
            f"({one.shape} vs {other.shape})."
        ) from None


@export("nn.sigmoid_cross_entropy_with_logits")
def sigmoid_cross_entropy_with_logits(
    labels: Any = None, logits: Any = None, name: str | None = None
) -> Tensor:
    """The cross-entropy of probabilities `labels` and `sigmoid(logits)`, element by element.

    Raises:
        ValueError: labels or logits are missing, or their shapes differ.
    """
    _require_both("sigmoid_cross_entropy_with_logits", labels, logits)
    graph = graph_of((logits, labels))
    with graph.as_default(), graph.name_scope(name or "logistic_loss") as scope:
        logits = convert_to_tensor(logits, name="logits")
        labels = convert_to_tensor(labels, name="labels")
        _same_shape(logits, "logits", labels, "labels")
        # max(x, 0) - x * z + log(1 + exp(-abs(x))): nothing in it overflows.
        zeros = zeros_like(logits, logits.dtype)
        is_positive = logits >= zeros
        at_least_zero = where(is_positive, logits, zeros)
        minus_size = where(is_positive, -logits, logits)
        return add(at_least_zero - logits * labels, log1p(exp(minus_size)), scope)


@export("nn.weighted_cross_entropy_with_logits")
def weighted_cross_entropy_with_logits(
    labels: Any = None,
    logits: Any = None,
    pos_weight: Any = None,
    name: str | None = None,
    targets: Any = None,
) -> Tensor:
    """As `sigmoid_cross_entropy_with_logits`, positive labels counting `pos_weight` times.

    `targets` is an older name of `labels`.

    Raises:
        ValueError: shapes differ, or both `labels` and `targets` are given.
    """
    labels = renamed("labels", labels, "targets", targets)
    graph = graph_of((logits, labels))
    with graph.as_default(), graph.name_scope(name or "logistic_loss") as scope:
        logits = convert_to_tensor(logits, name="logits")
        labels = convert_to_tensor(labels, name="targets")
        _same_shape(logits, "logits", labels, "labels")
        weight = 1 + (pos_weight - 1) * labels
        # As above, so that nothing overflows.
        weightless = (1 - labels) * logits
        return add(weightless, weight * (log1p(exp(-abs(logits))) + relu(-logits)), scope)


# --- counts ---------------------------------------------------------------------------------------


@export("nn.log_poisson_loss")
def log_poisson_loss(
    targets: Any, log_input: Any, compute_full_loss: bool = False, name: str | None = None
) -> Tensor:
    """The loss of counts `targets` under a Poisson distribution with mean `exp(log_input)`.

    With `compute_full_loss`, the part that only depends on the targets is added, by Stirling's
    approximation of the factorial.

    Raises:
        ValueError: the shapes differ.
    """
    graph = graph_of((log_input, targets))
    with graph.as_default(), graph.name_scope(name or "log_poisson_loss"):
        log_input = convert_to_tensor(log_input, name="log_input")
        targets = convert_to_tensor(targets, name="targets")
        _same_shape(log_input, "log_input", targets, "targets")
        result = exp(log_input) - log_input * targets
        if not compute_full_loss:
            return result
        half = constant(0.5, targets.dtype)
        turn = constant(2 * math.pi, targets.dtype)
        stirling = targets * log(targets) - targets + half * log(turn * targets)
        zeros, ones = zeros_like(targets, targets.dtype), ones_like(targets, targets.dtype)
        tiny = logical_and(targets >= zeros, targets <= ones)
        return result + where(tiny, zeros, stirling)
