"""Summaries: what a step tells of its tensors, as serialized `tf.Summary` messages."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from tfsession.core import protos, verbosity
from tfsession.core.dtypes import float32, string
from tfsession.core.exports import export
from tfsession.core.op_def import define_op
from tfsession.graph.create import convert_to_tensor, create_op
from tfsession.graph.default_graph import add_to_collection, get_collection, name_scope
from tfsession.graph.graph_keys import GraphKeys
from tfsession.graph.shape_fns import scalar as scalar_shape
from tfsession.graph.tensor import Tensor

_NUMBERS: Final = (
    "{float, double, int32, uint8, int16, int8, int64, bfloat16, uint16, half, uint32, uint64}"
)
_SUMMARY: Final = ["summary: string"]

define_op(
    "ScalarSummary", ["tags: string", "values: T"], _SUMMARY, [f"T: {_NUMBERS}"], scalar_shape
)
define_op(
    "HistogramSummary",
    ["tag: string", "values: T"],
    _SUMMARY,
    [f"T: {_NUMBERS} = DT_FLOAT"],
    scalar_shape,
)
define_op(
    "ImageSummary",
    ["tag: string", "tensor: T"],
    _SUMMARY,
    [
        "max_images: int >= 1 = 3",
        "T: {uint8, float, half, double} = DT_FLOAT",
        "bad_color: tensor = uint8 [255, 0, 0, 255]",
    ],
    scalar_shape,
)
define_op(
    "AudioSummaryV2",
    ["tag: string", "tensor: float", "sample_rate: float"],
    _SUMMARY,
    ["max_outputs: int >= 1 = 3"],
    scalar_shape,
)
define_op("MergeSummary", ["inputs: N * string"], _SUMMARY, ["N: int >= 1"], scalar_shape)
define_op(
    "TensorSummary",
    ["tensor: T"],
    _SUMMARY,
    ["T: type", "description: string = ''", "labels: list(string) = []",
     "display_name: string = ''"],
    scalar_shape,
)  # fmt: skip
define_op(
    "TensorSummaryV2",
    ["tag: string", "tensor: T", "serialized_summary_metadata: string"],
    _SUMMARY,
    ["T: type"],
    scalar_shape,
)

_ILLEGAL: Final = re.compile(r"[^-/\w.]")


def _clean(name: str | None) -> str | None:
    """The name with what node names may not hold replaced by underscores."""
    if name is None:
        return None
    cleaned = _ILLEGAL.sub("_", name).lstrip("/")
    if cleaned != name:
        verbosity.info("Summary name %s is illegal; using %s instead.", name, cleaned)
    return cleaned


@export("python.ops.summary_op_util.summary_scope")
@contextmanager
def summary_scope(
    name: str | None,
    family: str | None = None,
    default_name: str | None = None,
    values: Sequence[Any] | None = None,
) -> Iterator[tuple[str, str]]:
    """A scope for one summary; gives its tag, and the scope to use as the operation's name.

    A family stands first in the tag, and inside of the scope, too.
    """
    name, family = _clean(name), _clean(family)
    with name_scope(name if family is None else f"{family}/{name}", default_name, values) as scope:
        tag = scope.rstrip("/")
        yield (tag if family is None else f"{family}/{tag}"), scope


def _collect(summary: Tensor, collections: Sequence[Any] | None, default: Sequence[Any]) -> Tensor:
    for key in default if collections is None else collections:
        add_to_collection(key, summary)
    return summary


def _summary(
    op_type: str,
    inputs: Sequence[Any],
    scope: str,
    collections: Sequence[Any] | None,
    attrs: dict[str, Any] | None = None,
) -> Tensor:
    return _collect(create_op(op_type, inputs, attrs, scope), collections, [GraphKeys.SUMMARIES])


@export("summary.scalar")
def scalar(
    name: str, tensor: Any, collections: Sequence[Any] | None = None, family: str | None = None
) -> Tensor:
    """A summary of one number.

    Args:
        name: name of the operation; with the enclosing name scopes it is the tag, too.
        tensor: a scalar of any real dtype; it is kept as float32.
        collections: graph collections that get the summary; [GraphKeys.SUMMARIES] when None.
        family: stands before the tag; viewers group by it.

    Returns:
        A string scalar, the serialized `tf.Summary`.
    """
    with summary_scope(name, family, values=[tensor]) as (tag, scope):
        return _summary("ScalarSummary", [tag, tensor], scope, collections)


@export("summary.histogram")
def histogram(
    name: str, values: Any, collections: Sequence[Any] | None = None, family: str | None = None
) -> Tensor:
    """A summary of how numbers are spread: `tf.HistogramProto`.

    The buckets grow by 10 % from 1e-12 to 1e20, and likewise below zero. A step fails with
    InvalidArgumentError when a value is infinite or not a number. For the other arguments, and the
    result, see `scalar`.

    Args:
        values: a tensor of any shape and any real dtype.
    """
    with summary_scope(name, family, "HistogramSummary", [values]) as (tag, scope):
        return _summary("HistogramSummary", [tag, values], scope, collections)


@export("summary.image")
def image(
    name: str,
    tensor: Any,
    max_outputs: int = 3,
    collections: Sequence[Any] | None = None,
    family: str | None = None,
) -> Tensor:
    """A summary of images, as PNG files.

    Floating images are scaled, each for itself: the largest value becomes 255 when none is
    negative; else zero becomes 128, and the value that is farthest from it 1 or 255. Pixels that
    are infinite or not a number are red. The tags end in `/image`, or `/image/0` and so on when
    `max_outputs` is above 1. For the other arguments, and the result, see `scalar`.

    Args:
        tensor: of shape [images, height, width, channels], with 1 (grey), 3 (RGB) or 4 (RGBA)
            channels; uint8, or a floating dtype.
        max_outputs: how many images to take.
    """
    with summary_scope(name, family, values=[tensor]) as (tag, scope):
        attrs = {"max_images": max_outputs}
        return _summary("ImageSummary", [tag, tensor], scope, collections, attrs)


@export("summary.audio")
def audio(
    name: str,
    tensor: Any,
    sample_rate: Any,
    max_outputs: int = 3,
    collections: Sequence[Any] | None = None,
    family: str | None = None,
) -> Tensor:
    """A summary of sounds, as WAV files of 16 bits.

    The tags end in `/audio`, or `/audio/0` and so on when `max_outputs` is above 1. For the other
    arguments, and the result, see `scalar`.

    Args:
        tensor: float32 in [-1, 1], of shape [sounds, frames, channels] or [sounds, frames].
        sample_rate: frames a second, a float32 scalar.
        max_outputs: how many sounds to take.
    """
    with summary_scope(name, family, values=[tensor]) as (tag, scope):
        rate = convert_to_tensor(sample_rate, dtype=float32, name="sample_rate")
        attrs = {"max_outputs": max_outputs}
        return _summary("AudioSummaryV2", [tag, tensor, rate], scope, collections, attrs)


@export("summary.tensor_summary")
def tensor_summary(
    name: str,
    tensor: Any,
    summary_description: str | None = None,
    collections: Sequence[Any] | None = None,
    summary_metadata: Any = None,
    family: str | None = None,
    display_name: str | None = None,
) -> Tensor:
    """A summary that holds a whole tensor. For the other arguments, and the result, see `scalar`.

    Args:
        tensor: of any dtype and shape.
        summary_description: what it shows, in Markdown.
        summary_metadata: a `tf.SummaryMetadata`, which names the viewer's plugin.
        display_name: what viewers show instead of the tag.
    """
    metadata = protos.SummaryMetadata()
    if summary_metadata is not None:
        metadata.CopyFrom(protos.coerce(summary_metadata, protos.SummaryMetadata))
    if summary_description is not None:
        metadata.summary_description = summary_description
    if display_name is not None:
        metadata.display_name = display_name
    with summary_scope(name, family, values=[tensor]) as (tag, scope):
        inputs = [tag, tensor, metadata.SerializeToString()]
        return _summary("TensorSummaryV2", inputs, scope, collections)


@export("summary.text")
def text(name: str, tensor: Any, collections: Sequence[Any] | None = None) -> Tensor:
    """A summary of texts, in Markdown. For the other arguments, and the result, see `scalar`.

    Args:
        tensor: a string tensor; viewers show one or two dimensions as a table.

    Raises:
        ValueError: the tensor's dtype is not string.
    """
    if tensor.dtype != string:
        raise ValueError(f"Expected tensor {tensor.name} to have dtype string, got {tensor.dtype}")
    plugin = protos.SummaryMetadata.PluginData(plugin_name="text")
    metadata = protos.SummaryMetadata(plugin_data=plugin)
    return tensor_summary(name, tensor, summary_metadata=metadata, collections=collections)


@export("summary.merge")
def merge(
    inputs: Sequence[Any], collections: Sequence[Any] | None = None, name: str | None = None
) -> Tensor:
    """One summary with the values of several.

    A step fails with InvalidArgumentError when two values have the same tag.

    Args:
        inputs: string scalars, serialized `tf.Summary` messages.
        collections: graph collections that get the summary; none when None.
        name: name of the scope and of the operation.
    """
    name = _clean(name)
    with name_scope(name, "Merge", inputs):
        return _collect(create_op("MergeSummary", [inputs], name=name), collections, [])


@export("summary.merge_all")
def merge_all(
    key: Any = GraphKeys.SUMMARIES, scope: str | None = None, name: str | None = None
) -> Tensor | None:
    """One summary with all that a collection of the default graph has; None when it is empty.

    Args:
        key: the collection.
        scope: take only the summaries whose names match this regular expression from the start.
        name: name of the operation.
    """
    summaries = get_collection(key, scope)
    return merge(summaries, name=name) if summaries else None
