"""What is computed along rows on a GPU: texts of whole arrays, of which one kernel can be written.

On the CPU the same goes block by block, in `nn` and `cross_entropy`.
"""

from __future__ import annotations

from typing import Any

from tfsession.core.errors import InvalidArgumentError
from tfsession.core.rules import kernel
from tfsession.core.shape import debug_string
from tfsession.kernels.cross_entropy import as_matrices, refuse_bad_shapes
from tfsession.kernels.nn import widened


def _shifted(logits: Any) -> Any:
    """Rows less their greatest element."""
    return logits - logits.max(axis=-1, keepdims=True)


def _refuse_scalar(logits: Any) -> None:
    if not logits.ndim:
        raise InvalidArgumentError(None, None, "logits must have >= 1 dimension, got []")


@kernel("Softmax", device="GPU", traces=True)
def softmax(xp: Any, logits: Any) -> Any:
    """`exp(x)` over its sum along the last dimension."""
    _refuse_scalar(logits)
    if not logits.size:
        return xp.empty(logits.shape, logits.dtype)
    powers = xp.exp(_shifted(widened(logits)))
    return (powers / powers.sum(axis=-1, keepdims=True)).astype(logits.dtype, copy=False)


@kernel("LogSoftmax", device="GPU", traces=True)
def log_softmax(xp: Any, logits: Any) -> Any:
    """`x - log(sum(exp(x)))` along the last dimension."""
    _refuse_scalar(logits)
    if not logits.size:
        return xp.empty(logits.shape, logits.dtype)
    shifted = _shifted(widened(logits))
    total = xp.exp(shifted).sum(axis=-1, keepdims=True)
    return (shifted - xp.log(total)).astype(logits.dtype, copy=False)


@kernel("SoftmaxCrossEntropyWithLogits", device="GPU", traces=True)
def softmax_cross_entropy(xp: Any, features: Any, labels: Any) -> Any:
    """`sum(labels * -log_softmax(features))` of each row, and `softmax(features) - labels`."""
    dtype = features.dtype
    features, labels = as_matrices(xp, features, labels)
    if not features.size:
        return xp.zeros(features.shape[0], dtype), xp.empty(features.shape, dtype)
    shifted, probable = _shifted(widened(features)), widened(labels)
    powers = xp.exp(shifted)
    total = powers.sum(axis=1, keepdims=True)
    loss = ((xp.log(total) - shifted) * probable).sum(axis=1)
    backprop = powers / total - probable
    return loss.astype(dtype, copy=False), backprop.astype(dtype, copy=False)


@kernel("SparseSoftmaxCrossEntropyWithLogits", device="GPU", traces=True)
def sparse_softmax_cross_entropy(xp: Any, features: Any, labels: Any) -> Any:
    """`-log_softmax(features)` at each row's label, and its gradient.

    Rows whose label is no class become NaN: a look at them would stop the device.
    """
    refuse_bad_shapes(features, labels)
    dtype, classes = features.dtype, features.shape[1]
    if not labels.size:
        return xp.empty(0, dtype), xp.empty(features.shape, dtype)
    wide = widened(features)
    shifted = _shifted(wide)
    powers = xp.exp(shifted)
    total = powers.sum(axis=1, keepdims=True)
    zero, nan = wide.dtype.type(0), wide.dtype.type("nan")
    is_label = xp.arange(classes, dtype=labels.dtype)[None] == labels[:, None]
    is_class = (labels >= 0) & (labels < classes)
    own = xp.where(is_label, shifted, zero).sum(axis=1)
    loss = xp.where(is_class, xp.log(total)[:, 0] - own, nan)
    backprop = xp.where(is_class[:, None], powers / total - is_label.astype(wide.dtype), nan)
    return loss.astype(dtype, copy=False), backprop.astype(dtype, copy=False)


@kernel("BiasAddGrad", device="GPU", traces=True)
def bias_add_grad(xp: Any, out_backprop: Any, data_format: bytes) -> Any:
    """The sum over all but the channels."""
    if out_backprop.ndim < 2:
        raise InvalidArgumentError(
            None, None, f"Input tensor must be at least 2D: {debug_string(out_backprop.shape)}"
        )
    wide = widened(out_backprop)
    channels = wide.ndim - 1 if data_format == b"NHWC" else 1
    axes = tuple([axis for axis in range(wide.ndim) if axis != channels])
    return wide.sum(axis=axes, dtype=wide.dtype).astype(out_backprop.dtype, copy=False)


@kernel("L2Loss", device="GPU", traces=True)
def l2_loss(xp: Any, t: Any) -> Any:
    """Half the sum of squares."""
    wide = widened(t)
    return ((wide * wide).sum() * wide.dtype.type(0.5)).astype(t.dtype)
