"""What softmax cross-entropies compute: the losses, and in the same passes their gradients."""

from __future__ import annotations

from typing import Any

from tfsession.core.errors import InvalidArgumentError
from tfsession.core.rules import kernel
from tfsession.core.shape import debug_string
from tfsession.kernels.nn import row_maximum, row_sum, widened


def _shifted_and_exponentials(xp: Any, logits: Any) -> tuple[Any, Any]:
    """Rows less their greatest element, and `exp` of that; both are new."""
    shifted = logits - row_maximum(xp, logits)
    return shifted, xp.exp(shifted)


# --- labels as probabilities ----------------------------------------------------------------------


def _broadcast(xp: Any, features: Any, labels: Any) -> tuple[Any, Any]:
    """Both as matrices of one shape; InvalidArgumentError where there is none."""
    if features.shape != labels.shape:
        pairs = zip(features.shape[::-1], labels.shape[::-1], strict=False)
        if any(a != b and a != 1 and b != 1 for a, b in pairs):
            raise InvalidArgumentError(
                None,
                None,
                "logits and labels must be broadcastable: "
                f"logits_size={debug_string(features.shape)} "
                f"labels_size={debug_string(labels.shape)}",
            )
        features, labels = xp.broadcast_arrays(features, labels)
    if features.ndim != 2:
        raise InvalidArgumentError(
            None,
            None,
            "logits and labels must be either 2-dimensional, or broadcasted to be 2-dimensional",
        )
    return features, labels


@kernel("SoftmaxCrossEntropyWithLogits")
def softmax_cross_entropy_with_logits(xp: Any, features: Any, labels: Any) -> Any:
    """`sum(labels * -log_softmax(features))` of each row, and `softmax(features) - labels`."""
    dtype = features.dtype
    features, labels = _broadcast(xp, features, labels)
    if not features.size:
        return xp.zeros(features.shape[0], dtype), xp.empty(features.shape, dtype)
    features, labels = widened(features), widened(labels)
    shifted, backprop = _shifted_and_exponentials(xp, features)
    total = row_sum(xp, backprop)
    backprop /= total
    backprop -= labels
    costs = xp.subtract(xp.log(total), shifted, out=shifted)
    costs *= labels
    loss = row_sum(xp, costs)[:, 0]
    return loss.astype(dtype, copy=False), backprop.astype(dtype, copy=False)


# --- labels as class numbers ----------------------------------------------------------------------


def _refuse_bad_shapes(features: Any, labels: Any) -> None:
    have, want = debug_string(labels.shape), debug_string(features.shape)
    text = None
    if features.ndim != 2:
        text = f"logits must be 2-D, but got shape {want}"
    elif labels.ndim != 1:
        text = f"labels must be 1-D, but got shape {have}"
    elif features.shape[0] != labels.shape[0]:
        text = (
            "logits and labels must have the same first dimension, got logits shape "
            f"{want} and labels shape {have}"
        )
    elif not features.shape[1]:
        text = f"Must have at least one class, but got logits shape {want}"
    if text is not None:
        raise InvalidArgumentError(None, None, text)


def _sparse(xp: Any, features: Any, labels: Any) -> tuple[Any, Any]:
    """Losses and gradients for labels that are all numbers of classes."""
    dtype = features.dtype
    shifted, backprop = _shifted_and_exponentials(xp, widened(features))
    total = row_sum(xp, backprop)
    backprop /= total
    places = xp.arange(labels.size), labels
    loss = xp.log(total)[:, 0]
    loss -= shifted[places]
    backprop[places] -= 1
    return loss.astype(dtype, copy=False), backprop.astype(dtype, copy=False)


def _empty(xp: Any, features: Any) -> tuple[Any, Any]:
    return xp.empty(0, features.dtype), xp.empty(features.shape, features.dtype)


@kernel("SparseSoftmaxCrossEntropyWithLogits", device="CPU")
def checked_sparse_softmax_cross_entropy_with_logits(xp: Any, features: Any, labels: Any) -> Any:
    """`-log_softmax(features)` at each row's label, and its gradient; other labels are refused."""
    _refuse_bad_shapes(features, labels)
    if not labels.size:
        return _empty(xp, features)
    classes = features.shape[1]
    for label in (labels.max(), labels.min()):
        if not 0 <= label < classes:
            values = " ".join(map(str, labels.tolist()))
            raise InvalidArgumentError(
                None,
                None,
                f"Received a label value of {label} which is outside the valid range of "
                f"[0, {classes}).  Label values: {values}",
            )
    return _sparse(xp, features, labels)


@kernel("SparseSoftmaxCrossEntropyWithLogits")
def sparse_softmax_cross_entropy_with_logits(xp: Any, features: Any, labels: Any) -> Any:
    """As on the CPU, but rows whose label is no class become NaN: a look would stop the device."""
    _refuse_bad_shapes(features, labels)
    if not labels.size:
        return _empty(xp, features)
    is_class = (labels >= 0) & (labels < features.shape[1])
    loss, backprop = _sparse(xp, features, xp.where(is_class, labels, labels.dtype.type(0)))
    nan = loss.dtype.type("nan")
    return xp.where(is_class, loss, nan), xp.where(is_class[:, None], backprop, nan)
