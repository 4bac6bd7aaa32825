"""Texts: joining, cutting, trimming, measuring, and their form in base64.

Texts are bytes; where `unit` is "UTF8_CHAR" they are counted by characters. All of it happens on
the host.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tfsession.core.dtypes import int32
from tfsession.core.exports import export
from tfsession.core.op_def import define_op
from tfsession.core.shape import Shape, debug_string
from tfsession.core.shape import broadcast as broadcast_shapes
from tfsession.core.shape import merge as merge_shapes
from tfsession.graph.create import convert_to_tensor, create_op, graph_of
from tfsession.graph.operation import Operation
from tfsession.graph.shape_fns import same_as
from tfsession.graph.tensor import Tensor
from tfsession.ops.constant import constant
from tfsession.ops.reduce import reduced_shape
from tfsession.ops.segment import unsorted_segment_shape
from tfsession.ops.sequence import range_
from tfsession.ops.shape import rank, renamed

# --- definitions ----------------------------------------------------------------------------------


def _join_shape(op: Operation) -> list[Shape]:
    """The one shape of all inputs that are no scalars."""
    shapes = [tensor._shape for tensor in op.inputs]
    if None in shapes:
        return [None]
    shape: Shape = ()
    for other in shapes:
        if other:
            shape = other if not shape else merge_shapes(shape, other)
    return [shape]


def _substr_shape(op: Operation) -> list[Shape]:
    text, pos, length = (tensor._shape for tensor in op.inputs)
    if pos is not None and length is not None:
        if len(pos) != len(length):
            raise ValueError(
                f"pos and len must have same rank: {debug_string(pos)} vs. {debug_string(length)}"
            )
        for a, b in zip(pos, length, strict=True):
            if a is not None and b is not None and a != b:
                raise ValueError(
                    f"pos and len shapes must match: {debug_string(pos)} vs. {debug_string(length)}"
                )
    return [broadcast_shapes(text, pos)]


_UNIT = "unit: {'BYTE', 'UTF8_CHAR'} = 'BYTE'"
_SEPARATOR = "separator: string = ''"

define_op(
    "StringJoin",
    inputs=["inputs: N * string"],
    outputs=["output: string"],
    attrs=["N: int >= 0", _SEPARATOR],
    shape=_join_shape,
)
define_op(
    "ReduceJoin",
    inputs=["inputs: string", "reduction_indices: int32"],
    outputs=["output: string"],
    attrs=["keep_dims: bool = false", _SEPARATOR],
    shape=reduced_shape,
)
define_op(
    "UnsortedSegmentJoin",
    inputs=["inputs: string", "segment_ids: Tindices", "num_segments: Tnumsegments"],
    outputs=["output: string"],
    attrs=[_SEPARATOR, "Tindices: {int32, int64}", "Tnumsegments: {int32, int64} = DT_INT32"],
    shape=unsorted_segment_shape,
)
define_op(
    "Substr",
    inputs=["input: string", "pos: T", "len: T"],
    outputs=["output: string"],
    attrs=["T: {int32, int64}", _UNIT],
    shape=_substr_shape,
)
define_op(
    "StringLength",
    inputs=["input: string"],
    outputs=["output: int32"],
    attrs=[_UNIT],
    shape=same_as(0),
)
for _name, _attrs in {
    "StringStrip": [],
    "StringLower": ["encoding: string = ''"],
    "StringUpper": ["encoding: string = ''"],
    "EncodeBase64": ["pad: bool = false"],
    "DecodeBase64": [],
}.items():
    define_op(
        _name,
        inputs=["input: string"],
        outputs=["output: string"],
        attrs=_attrs,
        shape=same_as(0),
    )


# --- joining --------------------------------------------------------------------------------------


@export("string_join", "strings.join")
def string_join(inputs: Sequence[Any], separator: str = "", name: str | None = None) -> Tensor:
    """Texts joined element by element.

    Args:
        inputs: string tensors of one shape, and scalars.
        separator: what stands between two.
        name: name of the operation.

    Raises:
        ValueError: shapes are known and differ; InvalidArgumentError in a step.
    """
    result: Tensor = create_op("StringJoin", [list(inputs)], {"separator": separator}, name)
    return result


@export("reduce_join", "strings.reduce_join")
def reduce_join(
    inputs: Any,
    axis: Any = None,
    keep_dims: bool | None = None,
    separator: str = "",
    name: str | None = None,
    reduction_indices: Any = None,
    keepdims: bool | None = None,
) -> Tensor:
    """The texts along some dimensions joined to one.

    Args:
        inputs: a string tensor.
        axis: the dimensions, in the order in which they are joined; all of them, the last one
            first, when None.
        keep_dims: older name of `keepdims`.
        separator: what stands between two texts.
        name: name of the operation.
        reduction_indices: older name of `axis`.
        keepdims: keep the dimensions, with size 1.
    """
    keepdims = renamed("keepdims", keepdims, "keep_dims", keep_dims)
    axis = renamed("axis", axis, "reduction_indices", reduction_indices)
    with graph_of([inputs, axis]).as_default() as graph, graph.name_scope("ReduceJoin"):
        texts = convert_to_tensor(inputs)
        if axis is None:
            axis = _all_backwards(texts)
        attrs = {"keep_dims": bool(keepdims), "separator": separator}
        result: Tensor = create_op("ReduceJoin", [texts, axis], attrs, name)
    return result


def _all_backwards(texts: Tensor) -> Tensor:
    """The numbers of all dimensions, the last one first."""
    ndims = texts.shape.ndims
    if ndims is None:
        return range_(rank(texts) - 1, -1, -1)
    return constant(np.arange(ndims - 1, -1, -1), int32)


@export("strings.unsorted_segment_join")
def unsorted_segment_join(
    inputs: Any, segment_ids: Any, num_segments: Any, separator: str = "", name: str | None = None
) -> Tensor:
    """The texts of each segment joined, in order; of an empty one an empty text.

    Args:
        inputs: a string tensor, whose shape begins with that of `segment_ids`.
        segment_ids: an integer tensor of ids, each at least 0 and below `num_segments`.
        num_segments: a scalar.
        separator: what stands between two texts.
        name: name of the operation.
    """
    attrs = {"separator": separator}
    inputs = [inputs, segment_ids, num_segments]
    result: Tensor = create_op("UnsortedSegmentJoin", inputs, attrs, name)
    return result


# --- parts and measures ---------------------------------------------------------------------------


@export("substr", "strings.substr")
def substr(input: Any, pos: Any, len: Any, name: str | None = None, unit: str = "BYTE") -> Tensor:
    """Parts of texts: `len` bytes or characters from `pos` on, fewer at the end of a text.

    Args:
        input: a string tensor.
        pos: where each begins, from the end of the text when negative; broadcasts with `input`.
        len: how many, of the shape of `pos`.
        name: name of the operation.
        unit: "BYTE", or "UTF8_CHAR" to count characters.

    A step raises InvalidArgumentError for a `pos` outside of the text.
    """
    result: Tensor = create_op("Substr", [input, pos, len], {"unit": unit}, name)
    return result


@export("strings.length")
def string_length(input: Any, name: str | None = None, unit: str = "BYTE") -> Tensor:
    """How many bytes texts have, int32; characters with `unit="UTF8_CHAR"`."""
    result: Tensor = create_op("StringLength", [input], {"unit": unit}, name)
    return result


@export("string_strip", "strings.strip")
def string_strip(input: Any, name: str | None = None) -> Tensor:
    """Texts without the ASCII white space at both of their ends."""
    result: Tensor = create_op("StringStrip", [input], name=name)
    return result


@export("strings.lower")
def string_lower(input: Any, encoding: str = "", name: str | None = None) -> Tensor:
    """Texts in small letters: ASCII ones alone, or with `encoding="utf-8"` those of all scripts."""
    result: Tensor = create_op("StringLower", [input], {"encoding": encoding}, name)
    return result


@export("strings.upper")
def string_upper(input: Any, encoding: str = "", name: str | None = None) -> Tensor:
    """Texts in capitals: ASCII ones alone, or with `encoding="utf-8"` those of all scripts."""
    result: Tensor = create_op("StringUpper", [input], {"encoding": encoding}, name)
    return result


# --- base64 ---------------------------------------------------------------------------------------


@export("encode_base64", "io.encode_base64")
def encode_base64(input: Any, pad: bool = False, name: str | None = None) -> Tensor:
    """Texts in base64 (RFC 4648) with the alphabet that is safe in URLs.

    `pad` fills them up with "=" to a multiple of four characters.
    """
    result: Tensor = create_op("EncodeBase64", [input], {"pad": pad}, name)
    return result


@export("decode_base64", "io.decode_base64")
def decode_base64(input: Any, name: str | None = None) -> Tensor:
    """What was encoded with the alphabet of base64 that is safe in URLs, filled up or not.

    A step raises InvalidArgumentError for other characters, and for impossible lengths.
    """
    result: Tensor = create_op("DecodeBase64", [input], name=name)
    return result
