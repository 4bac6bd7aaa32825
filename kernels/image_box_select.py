"""The best boxes of those that overlap: on the host, one step a box that is kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tfsession.core.errors import InvalidArgumentError
from tfsession.core.rules import kernel
from tfsession.core.shape import debug_string

_NONE = np.float32("-inf")
_Likeness = Callable[[int], Any]


def _refuse(text: str) -> InvalidArgumentError:
    return InvalidArgumentError(None, None, text)


def _iou(boxes: Any) -> _Likeness:
    """Intersection by union of a box with all boxes."""
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise _refuse(f"boxes must have 4 columns and be 2-D: {debug_string(boxes.shape)}")
    wide = boxes.astype(np.float32)
    low, high = np.minimum(wide[:, :2], wide[:, 2:]), np.maximum(wide[:, :2], wide[:, 2:])
    areas = (high - low).prod(axis=1)

    def of(number: int) -> Any:
        sides = np.minimum(high, high[number]) - np.maximum(low, low[number])
        common = np.maximum(sides, 0).prod(axis=1)
        counts = (areas > 0) & (areas[number] > 0)
        union = np.where(counts, areas + areas[number] - common, 1)
        return np.where(counts, common / union, 0).astype(np.float32)

    return of


def _check(scores: Any, count: int, max_output_size: Any, **parts: Any) -> None:
    if scores.ndim != 1:
        raise _refuse(f"scores must be 1-D{debug_string(scores.shape)}")
    if scores.shape[0] != count:
        raise _refuse(f"scores has incompatible shape: {scores.shape[0]}, not {count}")
    if max_output_size.ndim:
        raise _refuse(f"max_output_size must be 0-D, got shape "
                      f"{debug_string(max_output_size.shape)}")  # fmt: skip
    for name, part in parts.items():
        if part.ndim:
            raise _refuse(f"{name} must be 0-D, got shape {debug_string(part.shape)}")
    threshold = parts.get("iou_threshold")
    if threshold is not None and not 0 <= threshold <= 1:
        raise _refuse("iou_threshold must be in [0, 1]")


def _select(
    likeness: _Likeness, scores: Any, most: int, threshold: Any, least: Any, sigma: Any = 0
) -> tuple[Any, Any]:
    """Numbers and scores of the boxes that are kept, the best first, then the first."""
    left = scores.astype(np.float32)
    threshold, least, sigma = (np.float32(x) for x in (threshold, least, sigma))
    open_ = left > least
    numbers: list[int] = []
    kept: list[Any] = []
    while len(numbers) < most and open_.any():
        best = int(np.argmax(np.where(open_, left, _NONE)))
        if not open_[best]:
            best = int(np.argmax(open_))
        numbers.append(best)
        kept.append(left[best])
        open_[best] = False
        alike = likeness(best)
        if sigma > 0:
            left = left * np.exp(np.float32(-0.5) / sigma * alike * alike)
            open_ &= left > least
        else:
            open_ &= ~(alike > threshold)
    return np.array(numbers, np.int32), np.array(kept, np.float32)


def _padded(values: Any, most: int, wanted: bool) -> Any:
    return np.pad(values, (0, most - len(values))) if wanted else values


@kernel("NonMaxSuppression", device="CPU")
def non_max_suppression(
    xp: Any, boxes: Any, scores: Any, max_output_size: Any, iou_threshold: float
) -> Any:
    """With an attribute as the threshold."""
    threshold = np.float32(iou_threshold)
    return non_max_suppression_v3(xp, boxes, scores, max_output_size, threshold, _NONE)


@kernel("NonMaxSuppressionV2", device="CPU")
def non_max_suppression_v2(
    xp: Any, boxes: Any, scores: Any, max_output_size: Any, iou_threshold: Any
) -> Any:
    """With any score."""
    return non_max_suppression_v3(xp, boxes, scores, max_output_size, iou_threshold, _NONE)


@kernel("NonMaxSuppressionV3", device="CPU")
def non_max_suppression_v3(
    xp: Any, boxes: Any, scores: Any, max_output_size: Any, iou_threshold: Any, score_threshold: Any
) -> Any:
    """The numbers of the boxes to keep."""
    likeness = _iou(boxes)
    thresholds = {"iou_threshold": iou_threshold, "score_threshold": score_threshold}
    _check(scores, len(boxes), max_output_size, **thresholds)
    return _select(likeness, scores, int(max_output_size), iou_threshold, score_threshold)[0]


@kernel("NonMaxSuppressionV4", device="CPU")
def non_max_suppression_v4(
    xp: Any,
    boxes: Any,
    scores: Any,
    max_output_size: Any,
    iou_threshold: Any,
    score_threshold: Any,
    pad_to_max_output_size: bool,
) -> Any:
    """The numbers, with zeros behind them if asked for, and how many there are."""
    inputs = boxes, scores, max_output_size, iou_threshold, score_threshold
    numbers = non_max_suppression_v3(xp, *inputs)
    padded = _padded(numbers, max(int(max_output_size), 0), pad_to_max_output_size)
    return padded, np.int32(len(numbers))


@kernel("NonMaxSuppressionV5", device="CPU")
def non_max_suppression_v5(
    xp: Any,
    boxes: Any,
    scores: Any,
    max_output_size: Any,
    iou_threshold: Any,
    score_threshold: Any,
    soft_nms_sigma: Any,
    pad_to_max_output_size: bool,
) -> Any:
    """The scores, too, which overlapping boxes may lose."""
    likeness = _iou(boxes)
    parts = {"iou_threshold": iou_threshold, "score_threshold": score_threshold}
    _check(scores, len(boxes), max_output_size, **parts, soft_nms_sigma=soft_nms_sigma)
    if soft_nms_sigma < 0:
        raise _refuse("soft_nms_sigma_val should be non-negative")
    most = max(int(max_output_size), 0)
    numbers, kept = _select(likeness, scores, most, *parts.values(), soft_nms_sigma)
    padded = (_padded(x, most, pad_to_max_output_size) for x in (numbers, kept))
    first, second = padded
    return first, second.astype(scores.dtype), np.int32(len(numbers))


@kernel("NonMaxSuppressionWithOverlaps", device="CPU")
def non_max_suppression_with_overlaps(
    xp: Any,
    overlaps: Any,
    scores: Any,
    max_output_size: Any,
    overlap_threshold: Any,
    score_threshold: Any,
) -> Any:
    """By likenesses that are given."""
    if overlaps.ndim != 2 or overlaps.shape[0] != overlaps.shape[1]:
        raise _refuse(f"overlaps must be square: {debug_string(overlaps.shape)}")
    parts = {"overlap_threshold": overlap_threshold, "score_threshold": score_threshold}
    _check(scores, len(overlaps), max_output_size, **parts)
    most = int(max_output_size)
    return _select(lambda number: overlaps[:, number], scores, most, *parts.values())[0]


@kernel("CombinedNonMaxSuppression", device="CPU")
def combined_non_max_suppression(
    xp: Any,
    boxes: Any,
    scores: Any,
    max_output_size_per_class: Any,
    max_total_size: Any,
    iou_threshold: Any,
    score_threshold: Any,
    *,
    pad_per_class: bool,
    clip_boxes: bool,
) -> Any:
    """For each image the best boxes of all classes, of each class those that do not overlap."""
    most, total = int(max_output_size_per_class), int(max_total_size)
    _check_combined(boxes, scores, most, total, iou_threshold)
    images, _, classes = scores.shape
    size = min(total, most * classes) if pad_per_class else total
    kept_boxes = np.zeros((images, size, 4), np.float32)
    kept_scores, kept_classes = (np.zeros((images, size), np.float32) for _ in range(2))
    counts = np.zeros(images, np.int32)
    for image in range(images):
        found: list[tuple[Any, int, Any]] = []
        for number in range(classes):
            of_class = boxes[image, :, number if boxes.shape[2] > 1 else 0]
            chosen, values = _select(
                _iou(of_class), scores[image, :, number], most, iou_threshold, score_threshold
            )
            found += [(v, number, of_class[i]) for v, i in zip(values, chosen, strict=True)]
        found.sort(key=lambda one: -one[0])
        found = found[:size]
        counts[image] = len(found)
        for place, (value, number, box) in enumerate(found):
            kept_boxes[image, place] = np.clip(box, 0, 1) if clip_boxes else box
            kept_scores[image, place], kept_classes[image, place] = value, number
    return kept_boxes, kept_scores, kept_classes, counts


def _check_combined(boxes: Any, scores: Any, most: int, total: int, threshold: Any) -> None:
    if scores.ndim != 3:
        raise _refuse(f"scores must be 3-D{debug_string(scores.shape)}")
    if boxes.ndim != 4 or boxes.shape[:2] != scores.shape[:2] or boxes.shape[3] != 4:
        raise _refuse(f"boxes must be 4-D, of the scores' boxes{debug_string(boxes.shape)}")
    if boxes.shape[2] not in (1, scores.shape[2]):
        raise _refuse(f"third dimension of boxes must be 1 or {scores.shape[2]}")
    if most <= 0:
        raise _refuse("max_size_per_class must be positive")
    if total <= 0:
        raise _refuse("max_total_size must be > 0")
    if not 0 <= threshold <= 1:
        raise _refuse("iou_threshold must be in [0, 1]")
