"""Boxes in images: drawn there, sampled at random, and those that overlap left out.

A box is `[y_min, x_min, y_max, x_max]`, in parts of the image's height and width.
"""

from __future__ import annotations

from typing import Any

from tfsession.core.dtypes import float32
from tfsession.core.exports import export
from tfsession.core.op_def import define_op
from tfsession.core.shape import Shape, merge
from tfsession.graph.constant_value import constant_value
from tfsession.graph.create import convert_to_tensor, create_op, graph_of
from tfsession.graph.operation import Operation
from tfsession.graph.shape_fns import merge_dims, with_rank
from tfsession.graph.tensor import Tensor
from tfsession.ops.shape import renamed


def _sampled(op: Operation) -> list[Shape]:
    merge(op.inputs[0]._shape, (3,))
    with_rank(op.inputs[1]._shape, 3)
    with_rank(op.inputs[2]._shape, 0)
    return [(3,), (3,), (1, 1, 4)]


define_op(
    "SampleDistortedBoundingBoxV2",
    ["image_size: T", "bounding_boxes: float", "min_object_covered: float"],
    ["begin: T", "size: T", "bboxes: float"],
    [
        "T: {uint8, int8, int16, int32, int64}",
        "seed: int = 0",
        "seed2: int = 0",
        "aspect_ratio_range: list(float) = [0.75, 1.33]",
        "area_range: list(float) = [0.05, 1.0]",
        "max_attempts: int = 100",
        "use_image_if_no_bounding_boxes: bool = false",
    ],
    _sampled,
    stateful=True,
)


def _drawn(op: Operation) -> list[Shape]:
    images = with_rank(op.inputs[0]._shape, 4)
    boxes = with_rank(op.inputs[1]._shape, 3)
    assert boxes is not None
    merge_dims(boxes[2], 4)
    if len(op.inputs) > 2:
        with_rank(op.inputs[2]._shape, 2)
    return [images]


define_op(
    "DrawBoundingBoxes",
    ["images: T", "boxes: float"],
    ["output: T"],
    ["T: {float, half} = DT_FLOAT"],
    _drawn,
)
define_op(
    "DrawBoundingBoxesV2",
    ["images: T", "boxes: float", "colors: float"],
    ["output: T"],
    ["T: {float, half} = DT_FLOAT"],
    _drawn,
)


def _selected(op: Operation) -> list[Shape]:
    boxes, scores = with_rank(op.inputs[0]._shape, 2), with_rank(op.inputs[1]._shape, 1)
    assert boxes is not None
    assert scores is not None
    merge_dims(boxes[0], scores[0])
    merge_dims(boxes[1], boxes[0] if op.type == "NonMaxSuppressionWithOverlaps" else 4)
    for scalar in op.inputs[2:]:
        with_rank(scalar._shape, 0)
    count: int | None = None
    if op.attrs.get("pad_to_max_output_size"):
        most = constant_value(op.inputs[2])
        count = None if most is None else int(most)
        if count is not None and count < 0:
            raise ValueError(f"Dimension must be non-negative, but is {count}")
    shapes: list[Shape] = [(count,)] * len(op.outputs)
    if op.type in ("NonMaxSuppressionV4", "NonMaxSuppressionV5"):
        shapes[-1] = ()
    return shapes


_T, _T_THRESHOLD = "T: {half, float} = DT_FLOAT", "T_threshold: {half, float} = DT_FLOAT"
_CANDIDATES = ["boxes: T", "scores: T", "max_output_size: int32"]
_IOU, _SCORE = "iou_threshold: T_threshold", "score_threshold: T_threshold"
_INDICES, _VALID = "selected_indices: int32", "valid_outputs: int32"
_PAD = "pad_to_max_output_size: bool = false"
define_op(
    "NonMaxSuppression",
    ["boxes: float", "scores: float", "max_output_size: int32"],
    [_INDICES],
    ["iou_threshold: float = 0.5"],
    _selected,
)
define_op("NonMaxSuppressionV2", [*_CANDIDATES, _IOU], [_INDICES], [_T, _T_THRESHOLD], _selected)
define_op(
    "NonMaxSuppressionV3",
    [*_CANDIDATES, _IOU, _SCORE],
    [_INDICES],
    [_T, _T_THRESHOLD],
    _selected,
)
define_op(
    "NonMaxSuppressionV4",
    [*_CANDIDATES, _IOU, _SCORE],
    [_INDICES, _VALID],
    [_T, _T_THRESHOLD, _PAD],
    _selected,
)
define_op(
    "NonMaxSuppressionV5",
    [*_CANDIDATES, "iou_threshold: T", "score_threshold: T", "soft_nms_sigma: T"],
    [_INDICES, "selected_scores: T", _VALID],
    [_T, _PAD],
    _selected,
)


def _combined_shape(op: Operation) -> list[Shape]:
    boxes, scores = with_rank(op.inputs[0]._shape, 4), with_rank(op.inputs[1]._shape, 3)
    for tensor in op.inputs[2:]:
        with_rank(tensor._shape, 0)
    assert boxes is not None
    assert scores is not None
    batch = merge_dims(boxes[0], scores[0])
    most, total = (constant_value(op.inputs[i]) for i in (2, 3))
    size = None if total is None else int(total)
    if op.attrs["pad_per_class"] and size is not None:
        classes = scores[2]
        known = most is not None and classes is not None
        size = min(size, int(most) * classes) if known else None  # type: ignore[operator]
    return [(batch, size, 4), (batch, size), (batch, size), (batch,)]


define_op(
    "CombinedNonMaxSuppression",
    [
        *("boxes: float", "scores: float", "max_output_size_per_class: int32"),
        *("max_total_size: int32", "iou_threshold: float", "score_threshold: float"),
    ],
    [
        *("nmsed_boxes: float", "nmsed_scores: float", "nmsed_classes: float"),
        "valid_detections: int32",
    ],
    ["pad_per_class: bool = false", "clip_boxes: bool = true"],
    _combined_shape,
)
define_op(
    "NonMaxSuppressionWithOverlaps",
    [
        "overlaps: float",
        "scores: float",
        "max_output_size: int32",
        "overlap_threshold: float",
        "score_threshold: float",
    ],
    [_INDICES],
    (),
    _selected,
)


@export("image.sample_distorted_bounding_box")
def sample_distorted_bounding_box(
    image_size: Any,
    bounding_boxes: Any,
    seed: int | None = None,
    seed2: int | None = None,
    min_object_covered: Any = 0.1,
    aspect_ratio_range: Any = None,
    area_range: Any = None,
    max_attempts: int | None = None,
    use_image_if_no_bounding_boxes: bool | None = None,
    name: str | None = None,
) -> Any:
    """A random part of an image that shows enough of what is in it.

    Args:
        image_size: vector: height, width, channels.
        bounding_boxes: `[batch, N, 4]`, around what is in it.
        seed, seed2: of the random numbers; the operating system's where both are 0 or None.
        min_object_covered: how much of any box the part must cover, from 0 to 1.
        aspect_ratio_range: width by height, at least and at most; `[0.75, 1.33]` where None.
        area_range: how much of the image, at least and at most; `[0.05, 1]` where None.
        max_attempts: how often to try, before all of the image is given; 100 where None.
        use_image_if_no_bounding_boxes: where there is no box, take one around the image.
        name: name of the scope, and of the operation.

    Returns:
        Vectors begin and size for `tf.slice`, and the part as a box, `[1, 1, 4]`.

    Raises:
        InvalidArgumentError: (when it runs) sizes, boxes or ranges that there are not.
    """
    graph = graph_of([image_size, bounding_boxes, min_object_covered])
    attrs = {
        "seed": seed,
        "seed2": seed2,
        "aspect_ratio_range": aspect_ratio_range,
        "area_range": area_range,
        "max_attempts": max_attempts,
        "use_image_if_no_bounding_boxes": use_image_if_no_bounding_boxes,
    }
    attrs = {key: value for key, value in attrs.items() if value is not None}
    with graph.as_default(), graph.name_scope(name or "sample_distorted_bounding_box"):
        inputs = [image_size, bounding_boxes, min_object_covered]
        return create_op("SampleDistortedBoundingBoxV2", inputs, attrs, name)


@export("image.draw_bounding_boxes")
def draw_bounding_boxes(
    images: Any, boxes: Any, name: str | None = None, colors: Any = None
) -> Tensor:
    """Images with boxes drawn in them, in turn in each of the colors.

    Args:
        images: `[batch, height, width, channels]`, float32 or float16.
        boxes: `[batch, N, 4]`.
        name: name of the operation.
        colors: `[M, channels]`; ten of its own where None.
    """
    result: Tensor
    if colors is None:
        result = create_op("DrawBoundingBoxes", [images, boxes], name=name)
    else:
        result = create_op("DrawBoundingBoxesV2", [images, boxes, colors], name=name)
    return result


@export("image.non_max_suppression")
def non_max_suppression(
    boxes: Any,
    scores: Any,
    max_output_size: Any,
    iou_threshold: Any = 0.5,
    score_threshold: Any = float("-inf"),
    name: str | None = None,
) -> Tensor:
    """Which boxes to keep: the best ones of those that overlap, the best first.

    Args:
        boxes: `[N, 4]`, any two opposite corners.
        scores: `[N]`.
        max_output_size: how many to keep at most.
        iou_threshold: intersection by union above which two boxes show the same.
        score_threshold: what has no higher score is left out.
        name: name of the scope.

    Returns:
        int32 vector of the numbers of the boxes.
    """
    graph = graph_of([boxes, scores, max_output_size, iou_threshold, score_threshold])
    with graph.as_default(), graph.name_scope(name or "non_max_suppression"):
        iou = convert_to_tensor(iou_threshold, name="iou_threshold")
        least = convert_to_tensor(score_threshold, name="score_threshold")
        inputs = [boxes, scores, max_output_size, iou, least]
        result: Tensor = create_op("NonMaxSuppressionV3", inputs)
        return result


@export("image.combined_non_max_suppression")
def combined_non_max_suppression(
    boxes: Any,
    scores: Any,
    max_output_size_per_class: Any,
    max_total_size: Any,
    iou_threshold: Any = 0.5,
    score_threshold: Any = float("-inf"),
    pad_per_class: bool = False,
    clip_boxes: bool = True,
    name: str | None = None,
) -> Any:
    """The best boxes of images: of each class those that do not overlap, of all the best ones.

    Args:
        boxes: float32 of shape `[images, boxes, classes or 1, 4]`.
        scores: float32 of shape `[images, boxes, classes]`.
        max_output_size_per_class: how many of each class.
        max_total_size: how many of an image.
        iou_threshold: above which intersection by union two boxes overlap.
        score_threshold: the score that has to be exceeded.
        pad_per_class: give no more than `max_output_size_per_class` for each class.
        clip_boxes: cut what lies outside of [0, 1].
        name: name scope of the operations.

    Returns:
        `nmsed_boxes, nmsed_scores, nmsed_classes, valid_detections`; zeros fill the end.
    """
    with graph_of([boxes, scores]).name_scope(name or "combined_non_max_suppression"):
        thresholds = [
            convert_to_tensor(iou_threshold, float32, name="iou_threshold"),
            convert_to_tensor(score_threshold, float32, name="score_threshold"),
        ]
        total = convert_to_tensor(max_total_size)
        attrs = {"pad_per_class": pad_per_class, "clip_boxes": clip_boxes}
        given = [boxes, scores, max_output_size_per_class, total, *thresholds]
        return create_op("CombinedNonMaxSuppression", given, attrs)


@export("image.non_max_suppression_with_scores")
def non_max_suppression_with_scores(
    boxes: Any,
    scores: Any,
    max_output_size: Any,
    iou_threshold: Any = 0.5,
    score_threshold: Any = float("-inf"),
    soft_nms_sigma: Any = 0.0,
    name: str | None = None,
) -> tuple[Tensor, Tensor]:
    """`non_max_suppression`, and the scores of the boxes that are kept.

    Where `soft_nms_sigma` is not zero, a box that overlaps a better one is not left out, but loses
    score: Bodla et al., Soft-NMS (2017).
    """
    graph = graph_of([boxes, scores, max_output_size, iou_threshold, score_threshold])
    with graph.as_default(), graph.name_scope(name or "non_max_suppression_with_scores"):
        iou = convert_to_tensor(iou_threshold, name="iou_threshold")
        least = convert_to_tensor(score_threshold, name="score_threshold")
        sigma = convert_to_tensor(soft_nms_sigma, name="soft_nms_sigma")
        inputs = [boxes, scores, max_output_size, iou, least, sigma]
        found = create_op("NonMaxSuppressionV5", inputs, {"pad_to_max_output_size": False})
        return found[0], found[1]


@export("image.non_max_suppression_padded")
def non_max_suppression_padded(
    boxes: Any,
    scores: Any,
    max_output_size: Any,
    iou_threshold: Any = 0.5,
    score_threshold: Any = float("-inf"),
    pad_to_max_output_size: bool = False,
    name: str | None = None,
    sorted_input: bool = False,
    canonicalized_coordinates: bool = False,
    tile_size: int = 512,
) -> tuple[Tensor, Tensor]:
    """`non_max_suppression` with zeros behind it, and how many boxes are kept.

    The last three arguments, which tell how to go about it, must be what they are.

    Raises:
        NotImplementedError: they are not.
    """
    if sorted_input or canonicalized_coordinates or tile_size != 512:
        raise NotImplementedError(
            "sorted_input, canonicalized_coordinates and tile_size of non_max_suppression_padded "
            "are not supported; leave them out, the boxes that are kept are the same"
        )
    graph = graph_of([boxes, scores, max_output_size, iou_threshold, score_threshold])
    with graph.as_default(), graph.name_scope(name or "non_max_suppression_padded"):
        iou = convert_to_tensor(iou_threshold, name="iou_threshold")
        least = convert_to_tensor(score_threshold, name="score_threshold")
        inputs = [boxes, scores, max_output_size, iou, least]
        attrs = {"pad_to_max_output_size": pad_to_max_output_size}
        found = create_op("NonMaxSuppressionV4", inputs, attrs)
        return found[0], found[1]


@export("image.non_max_suppression_overlaps")
def non_max_suppression_overlaps(
    overlaps: Any,
    scores: Any,
    max_output_size: Any,
    overlap_threshold: Any = 0.5,
    score_threshold: Any = float("-inf"),
    name: str | None = None,
) -> Tensor:
    """`non_max_suppression`, where `overlaps` tells, `[N, N]`, how alike any two boxes are."""
    graph = graph_of([overlaps, scores, max_output_size, overlap_threshold, score_threshold])
    with graph.as_default(), graph.name_scope(name or "non_max_suppression_overlaps"):
        threshold = convert_to_tensor(overlap_threshold, name="overlap_threshold")
        inputs = [overlaps, scores, max_output_size, threshold, score_threshold]
        result: Tensor = create_op("NonMaxSuppressionWithOverlaps", inputs)
        return result


def _resized(op: Operation) -> list[Shape]:
    image, boxes = with_rank(op.inputs[0]._shape, 4), with_rank(op.inputs[1]._shape, 2)
    numbers = with_rank(op.inputs[2]._shape, 1)
    merge(op.inputs[3]._shape, (2,))
    assert image is not None
    assert boxes is not None
    assert numbers is not None
    merge_dims(boxes[1], 4)
    count = merge_dims(boxes[0], numbers[0])
    size = constant_value(op.inputs[3])
    return [(count, *((None, None) if size is None else map(int, size)), image[3])]


def _like_image(op: Operation) -> list[Shape]:
    size = constant_value(op.inputs[3])
    return [(None,) * 4 if size is None else tuple(map(int, size))]


def _like_boxes(op: Operation) -> list[Shape]:
    return [with_rank(op.inputs[2]._shape, 2)]


_ANY = "{uint8, uint16, int8, int16, int32, int64, half, float, double}"
_METHODS = "method: {'bilinear', 'nearest'} = 'bilinear'"
define_op(
    "CropAndResize",
    ["image: T", "boxes: float", "box_ind: int32", "crop_size: int32"],
    ["crops: float"],
    [f"T: {_ANY}", _METHODS, "extrapolation_value: float = 0"],
    _resized,
)
define_op(
    "CropAndResizeGradImage",
    ["grads: float", "boxes: float", "box_ind: int32", "image_size: int32"],
    ["output: T"],
    ["T: {float, half, double}", _METHODS],
    _like_image,
)
define_op(
    "CropAndResizeGradBoxes",
    ["grads: float", "image: T", "boxes: float", "box_ind: int32"],
    ["output: float"],
    [f"T: {_ANY}", "method: {'bilinear'} = 'bilinear'"],
    _like_boxes,
)


@export("image.crop_and_resize")
def crop_and_resize(
    image: Any,
    boxes: Any,
    box_ind: Any = None,
    crop_size: Any = None,
    method: str = "bilinear",
    extrapolation_value: float = 0,
    name: str | None = None,
    box_indices: Any = None,
) -> Tensor:
    """Parts of images, all made of one size: float32 `[N, rows, columns, channels]`.

    Args:
        image: `[batch, height, width, channels]`.
        boxes: `[N, 4]`; what lies outside of the image is there, too.
        box_ind: `[N]`: of which image each is a part.
        crop_size: vector: rows and columns.
        method: "bilinear" or "nearest".
        extrapolation_value: what there is outside of images.
        name: name of the operation.
        box_indices: another name of `box_ind`.

    Raises:
        InvalidArgumentError: (when it runs) there are no such images, or sizes.
    """
    box_ind = renamed("box_indices", box_indices, "box_ind", box_ind)
    attrs = {"method": method, "extrapolation_value": extrapolation_value}
    result: Tensor = create_op("CropAndResize", [image, boxes, box_ind, crop_size], attrs, name)
    return result
