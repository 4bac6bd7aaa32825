"""What softmax cross-entropies compute: the losses, and in the same passes their gradients."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfsession.core.errors import InvalidArgumentError
from tfsession.core.rules import kernel
from tfsession.core.shape import debug_string
from tfsession.devices.workspace import Workspace
from tfsession.kernels.elementwise_loop import function
from tfsession.kernels.nn import by_rows, row_sum, shift_rows, wide_room, widened

# --- labels as probabilities ----------------------------------------------------------------------


def as_matrices(xp: Any, features: Any, labels: Any) -> tuple[Any, Any]:
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
        shape = np.broadcast_shapes(features.shape, labels.shape)
        features, labels = xp.broadcast_to(features, shape), xp.broadcast_to(labels, shape)
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
    features, labels = as_matrices(xp, features, labels)
    if not features.size:
        return xp.zeros(features.shape[0], dtype), xp.empty(features.shape, dtype)
    loss, backprop = xp.empty(len(features), dtype), xp.empty(features.shape, dtype)

    def block(start: int, stop: int) -> None:
        probable, out = widened(labels[start:stop]), backprop[start:stop]
        with Workspace(xp) as take:
            wide = wide_room(take, out)
            costs = take(wide.shape, wide.dtype)
            shift_rows(xp, features[start:stop], costs)
            function(xp, "exp", wide.dtype)(costs, out=wide)
            total = row_sum(xp, wide)
            wide /= total
            xp.subtract(wide, probable, out=out, casting="same_kind")
            xp.subtract(function(xp, "log", total.dtype)(total), costs, out=costs)
            costs *= probable
            loss[start:stop] = row_sum(xp, costs)[:, 0]

    by_rows(xp, *features.shape, block)
    return loss, backprop


# --- labels as class numbers ----------------------------------------------------------------------


def refuse_bad_shapes(features: Any, labels: Any) -> None:
    """Raise InvalidArgumentError unless labels have one number for each row of a matrix."""
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
    loss = xp.empty(labels.shape, features.dtype)
    backprop = xp.empty(features.shape, features.dtype)

    def block(start: int, stop: int) -> None:
        out = backprop[start:stop]
        # In one dimension they are picked in a third of the time.
        places = xp.arange(0, out.size, out.shape[1]) + labels[start:stop]
        with Workspace(xp) as take:
            wide = wide_room(take, out)
            shift_rows(xp, features[start:stop], wide)
            flat = wide.reshape(-1)
            own = flat.take(places)
            function(xp, "exp", wide.dtype)(wide, out=wide)
            total = row_sum(xp, wide)
            wide /= total
            flat[places] -= 1
            loss[start:stop] = function(xp, "log", total.dtype)(total)[:, 0] - own
            if wide is not out:
                out[...] = wide

    by_rows(xp, *features.shape, block)
    return loss, backprop


def _empty(xp: Any, features: Any) -> tuple[Any, Any]:
    return xp.empty(0, features.dtype), xp.empty(features.shape, features.dtype)


@kernel("SparseSoftmaxCrossEntropyWithLogits", device="CPU")
def checked_sparse_softmax_cross_entropy_with_logits(xp: Any, features: Any, labels: Any) -> Any:
    """`-log_softmax(features)` at each row's label, and its gradient; other labels are refused."""
    refuse_bad_shapes(features, labels)
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
