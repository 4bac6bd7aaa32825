"""Glimpses: a window of each image, at a place that the program gives."""

from __future__ import annotations

from typing import Any

from tfsession.core.exports import export
from tfsession.core.op_def import define_op
from tfsession.core.shape import Shape
from tfsession.graph.create import create_op
from tfsession.graph.operation import Operation
from tfsession.graph.shape_fns import merge_dims, with_rank
from tfsession.graph.tensor import Tensor
from tfsession.ops.image_resize import new_size


def _windows(op: Operation) -> list[Shape]:
    images, offsets = with_rank(op.inputs[0]._shape, 4), with_rank(op.inputs[2]._shape, 2)
    assert images is not None
    assert offsets is not None
    merge_dims(offsets[1], 2)
    if op.attrs["uniform_noise"] and op.attrs["noise"] not in (b"", b"uniform"):
        raise ValueError("The uniform_noise should not be True when noise is not uniform")
    return [(merge_dims(images[0], offsets[0]), *new_size(op.inputs[1]), images[3])]


define_op(
    "ExtractGlimpse",
    ["input: float", "size: int32", "offsets: float"],
    ["glimpse: float"],
    [
        "centered: bool = true",
        "normalized: bool = true",
        "uniform_noise: bool = true",
        "noise: string = 'uniform'",
    ],
    _windows,
)


@export("image.extract_glimpse")
def extract_glimpse(
    input: Any,
    size: Any,
    offsets: Any,
    centered: bool = True,
    normalized: bool = True,
    uniform_noise: bool = True,
    name: str | None = None,
) -> Tensor:
    """A window of each image; what lies outside of the image is noise.

    Args:
        input: float32 `[batch, height, width, channels]`.
        size: vector of the window's height and width, in pixels.
        offsets: `[batch, 2]`: row and column of the middle of each window.
        centered: count from the middle of the image, not from its first pixel: from -1 to 1.
        normalized: count in parts of the image, not in pixels.
        uniform_noise: accepted; noise is spread evenly from the images' least number to the
            greatest either way, as in TensorFlow.
        name: name of the operation.

    Raises:
        ValueError, or InvalidArgumentError at run time: shapes or sizes that do not fit.
    """
    attrs = {"centered": centered, "normalized": normalized, "uniform_noise": uniform_noise}
    result: Tensor = create_op("ExtractGlimpse", [input, size, offsets], attrs, name)
    return result
