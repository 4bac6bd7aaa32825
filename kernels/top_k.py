"""How elements are ranked along the last dimension."""

from __future__ import annotations

from typing import Any

from tfsession.core.dtypes import DType
from tfsession.core.errors import InvalidArgumentError
from tfsession.core.rules import kernel
from tfsession.core.shape import debug_string
from tfsession.kernels.nn import widened

# Rows are sorted whole unless they are this many times longer than what is asked for.
_SELECTION_PAYS = 2


def _descending(xp: Any, x: Any) -> Any:
    """Places of elements, greatest first, and equal ones in their order."""
    backwards = xp.argsort(x[..., ::-1], axis=-1, kind="stable")[..., ::-1]
    return x.shape[-1] - 1 - backwards


def _selected(xp: Any, x: Any, k: int) -> Any | None:
    """Places of the `k` greatest; None when equal elements compete for the last places."""
    width = x.shape[-1]
    places = xp.sort(xp.argpartition(x, width - k, axis=-1)[..., width - k :], axis=-1)
    chosen = xp.take_along_axis(x, places, -1)
    least = chosen.min(axis=-1, keepdims=True)
    if ((x == least).sum(axis=-1) > (chosen == least).sum(axis=-1)).any():
        return None
    return xp.take_along_axis(places, _descending(xp, chosen), -1)


def _greatest(xp: Any, x: Any, k: int, selects: bool) -> Any:
    """Places of the `k` greatest elements, greatest first."""
    if k == 1 and x.shape[-1]:
        return x.argmax(axis=-1)[..., None]
    if selects and 0 < k * _SELECTION_PAYS <= x.shape[-1] and x.size:
        places = _selected(xp, x, k)
        if places is not None:
            return places
    return _descending(xp, x)[..., :k]


def _top(xp: Any, x: Any, k: int, index_type: Any, selects: bool) -> tuple[Any, Any]:
    if not x.ndim:
        raise InvalidArgumentError(None, None, "input must be >= 1-D, got shape []")
    if x.shape[-1] < k:
        raise InvalidArgumentError(
            None, None, f"input must have at least k columns. Had {x.shape[-1]}, needed {k}"
        )
    narrow = x.dtype.kind not in "iu" and x.dtype.itemsize == 2
    places = _greatest(xp, widened(x) if narrow else x, k, selects)
    return xp.take_along_axis(x, places, -1), places.astype(index_type)


def _register(device: str | None, selects: bool) -> None:
    """On a GPU to select is to sort as well, and to ask whether it was possible is to wait."""

    @kernel("TopK", slow=20_000, device=device)
    def top_k(xp: Any, input: Any, k: int) -> Any:
        """The `k` greatest elements along the last dimension, and their places."""
        return _top(xp, input, k, "int32", selects)

    @kernel("TopKV2", host=["k"], slow=20_000, device=device)
    def top_k_v2(xp: Any, input: Any, k: Any, index_type: DType) -> Any:
        """The `k` greatest elements along the last dimension, and their places."""
        if k.ndim:
            raise InvalidArgumentError(
                None, None, f"k must be scalar, got shape {debug_string(k.shape)}"
            )
        if k < 0:
            raise InvalidArgumentError(None, None, f"Need k >= 0, got {k}")
        return _top(xp, input, int(k), index_type.numpy, selects)


_register("CPU", True)
_register(None, False)


def _in_top(xp: Any, predictions: Any, targets: Any, k: int) -> Any:
    text = None
    if predictions.ndim != 2:
        text = "predictions must be 2-dimensional"
    elif targets.ndim != 1:
        text = "targets must be 1-dimensional"
    elif predictions.shape[0] != targets.shape[0]:
        text = (
            f"First dimension of predictions {predictions.shape[0]} must match length of targets "
            f"{targets.shape[0]}"
        )
    if text is not None:
        raise InvalidArgumentError(None, None, text)
    classes = predictions.shape[1]
    if not predictions.size:
        return xp.zeros(targets.shape, bool)
    is_class = (targets >= 0) & (targets < classes)
    rows = xp.arange(targets.size)
    wanted = predictions[rows, xp.where(is_class, targets, targets.dtype.type(0))]
    ahead = (predictions > wanted[:, None]).sum(axis=1)
    # Where a prediction is no finite number, nothing can be said of the row.
    return is_class & (ahead < k) & xp.isfinite(predictions).all(axis=1)


@kernel("InTopK")
def in_top_k(xp: Any, predictions: Any, targets: Any, k: int) -> Any:
    """Whether fewer than `k` predictions of a row exceed its target's."""
    return _in_top(xp, predictions, targets, k)


@kernel("InTopKV2", host=["k"])
def in_top_k_v2(xp: Any, predictions: Any, targets: Any, k: Any) -> Any:
    """Whether fewer than `k` predictions of a row exceed its target's."""
    if k.ndim:
        raise InvalidArgumentError(None, None, f"k must be 0-D, got shape {debug_string(k.shape)}")
    return _in_top(xp, predictions, targets, int(k))
