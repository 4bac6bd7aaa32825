"""Gradients of resized images."""

from __future__ import annotations

from typing import Any

from tfsession.core.dtypes import float32, float64
from tfsession.core.rules import gradient, no_gradient
from tfsession.graph.create import create_op
from tfsession.graph.operation import Operation
from tfsession.ops.image_resize import resize_bicubic, resize_bilinear, resize_nearest_neighbor
from tfsession.ops.shape import shape

no_gradient("ResizeArea")


def _places(op: Operation) -> dict[str, Any]:
    return {name: op.attrs[name] for name in ("align_corners", "half_pixel_centers")}


@gradient("ResizeBilinear")
def _bilinear(op: Operation, grad: Any) -> Any:
    return create_op("ResizeBilinearGrad", [grad, op.inputs[0]], _places(op)), None


@gradient("ResizeBicubic")
def _bicubic(op: Operation, grad: Any) -> Any:
    if op.inputs[0].dtype not in (float32, float64):
        return None, None
    return create_op("ResizeBicubicGrad", [grad, op.inputs[0]], _places(op)), None


@gradient("ResizeNearestNeighbor")
def _nearest(op: Operation, grad: Any) -> Any:
    image = op.inputs[0]
    known = image.shape[1:3]
    size = known.as_list() if known.is_fully_defined() else shape(image)[1:3]
    return create_op("ResizeNearestNeighborGrad", [grad, size], _places(op)), None


def _size(tensor: Any) -> Any:
    return shape(tensor)[1:3]


@gradient("ResizeBilinearGrad")
def _bilinear_grad(op: Operation, grad: Any) -> Any:
    return resize_bilinear(grad, _size(op.inputs[0]), **_places(op)), None


@gradient("ResizeBicubicGrad")
def _bicubic_grad(op: Operation, grad: Any) -> Any:
    return resize_bicubic(grad, _size(op.inputs[0]), **_places(op)), None


@gradient("ResizeNearestNeighborGrad")
def _nearest_grad(op: Operation, grad: Any) -> Any:
    return resize_nearest_neighbor(grad, _size(op.inputs[0]), **_places(op)), None
