"""The greatest elements of the last dimension."""

from __future__ import annotations

from typing import Any

from tfsession.core.dtypes import DType
from tfsession.core.errors import InvalidArgumentError
from tfsession.core.rules import kernel


def _refuse(text: str) -> InvalidArgumentError:
    return InvalidArgumentError(None, None, text)


@kernel("TopKV2", host=["k"])
def top_k(xp: Any, x: Any, k: Any, index_type: DType) -> Any:
    """The k greatest elements, greatest first, and their indices; equals in order of these."""
    count = int(k)
    if count < 0:
        raise _refuse(f"Need k >= 0, got {count}")
    if x.ndim < 1:
        raise _refuse("input must be >= 1-D, got shape []")
    if x.shape[-1] < count:
        raise _refuse(f"input must have at least k columns. Had {x.shape[-1]}, needed {count}")
    # Ascending order of the reversed rows, read backwards, keeps equal elements in order.
    backwards = xp.argsort(x[..., ::-1], -1, kind="stable")[..., ::-1]
    index = (x.shape[-1] - 1 - backwards)[..., :count]
    return xp.take_along_axis(x, index, -1), index.astype(index_type.numpy)


@kernel("InTopKV2", host=["k"])
def in_top_k_v2(xp: Any, predictions: Any, targets: Any, k: Any) -> Any:
    """Whether fewer than k predictions are greater than the target's."""
    return in_top_k(xp, predictions, targets, int(k))


@kernel("InTopK")
def in_top_k(xp: Any, predictions: Any, targets: Any, k: int) -> Any:
    """Whether fewer than k predictions are greater than the target's."""
    if predictions.ndim != 2 or targets.ndim != 1:
        raise _refuse("predictions must be 2-dimensional and targets 1-dimensional")
    rows, classes = predictions.shape
    if targets.size != rows:
        raise _refuse(
            f"First dimension of predictions {rows} must match length of targets {targets.size}"
        )
    if not classes:
        return xp.zeros(rows, bool)
    known = (targets >= 0) & (targets < classes)
    chosen = predictions[xp.arange(rows), xp.where(known, targets, 0)]
    greater = (predictions > chosen[:, None]).sum(axis=1)
    # A row with a prediction that is not finite has no order.
    return known & (greater < k) & xp.isfinite(predictions).all(axis=1)
