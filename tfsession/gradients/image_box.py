"""Gradients of parts of images."""

from __future__ import annotations

from typing import Any

from tfsession.core.dtypes import float16, float32, float64
from tfsession.core.rules import gradient, no_gradient
from tfsession.graph.create import create_op
from tfsession.graph.operation import Operation
from tfsession.ops.shape import shape

no_gradient(
    "SampleDistortedBoundingBoxV2",
    "DrawBoundingBoxes",
    "DrawBoundingBoxesV2",
    "NonMaxSuppression",
    "NonMaxSuppressionV2",
    "NonMaxSuppressionV3",
    "NonMaxSuppressionV4",
    "NonMaxSuppressionV5",
    "NonMaxSuppressionWithOverlaps",
    "CombinedNonMaxSuppression",
    "CropAndResizeGradImage",
    "CropAndResizeGradBoxes",
)


@gradient("CropAndResize")
def _crop_and_resize(op: Operation, grad: Any) -> Any:
    image, boxes, numbers, _ = op.inputs
    to_image = None
    if image.dtype in (float16, float32, float64):
        size = image.shape.as_list() if image.shape.is_fully_defined() else shape(image)
        attrs = {"T": op.attrs["T"], "method": op.attrs["method"]}
        to_image = create_op("CropAndResizeGradImage", [grad, boxes, numbers, size], attrs)
    to_boxes = create_op("CropAndResizeGradBoxes", [grad, image, boxes, numbers])
    return to_image, to_boxes, None, None
