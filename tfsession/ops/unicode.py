"""Texts as code points: `tf.strings.unicode_decode`, `unicode_encode`, `unicode_transcode`."""

from __future__ import annotations

from typing import Any

from tfsession.core.exports import export
from tfsession.core.op_def import define_op
from tfsession.core.shape import Shape
from tfsession.graph.create import convert_to_tensor, create_op, graph_of
from tfsession.graph.operation import Operation
from tfsession.graph.shape_fns import same_as, with_rank
from tfsession.graph.tensor import Tensor
from tfsession.ops.ragged_tensor import RaggedTensor
from tfsession.ops.shape import reshape
from tfsession.ops.string_split import as_nested


def _decoded_shape(op: Operation) -> list[Shape]:
    """Splits, one more than there are texts, and vectors of characters."""
    shape = op.inputs[0]._shape
    count = None
    if shape is not None and None not in shape:
        count = 1
        for size in shape:
            count *= size or 0
        count += 1
    return [(count,), *((None,) for _ in op.outputs[1:])]


def _encoded_shape(op: Operation) -> list[Shape]:
    with_rank(op.inputs[0]._shape, 1)
    splits = with_rank(op.inputs[1]._shape, 1)
    size = splits[0] if splits is not None else None
    return [(None if size is None else size - 1,)]


_ERRORS = "errors: {'strict', 'replace', 'ignore'} = 'replace'"
_OUTPUT = "output_encoding: {'UTF-8', 'UTF-16-BE', 'UTF-32-BE'}"
_REPLACEMENT = "replacement_char: int = 65533"
_CONTROLS = "replace_control_characters: bool = false"
_SPLITS = "Tsplits: {int32, int64} = DT_INT64"

for _name, _outputs in (
    ("UnicodeDecode", []),
    ("UnicodeDecodeWithOffsets", ["char_to_byte_starts: int64"]),
):
    define_op(
        _name,
        inputs=["input: string"],
        outputs=["row_splits: Tsplits", "char_values: int32", *_outputs],
        attrs=["input_encoding: string", _ERRORS, _REPLACEMENT, _CONTROLS, _SPLITS],
        shape=_decoded_shape,
    )
define_op(
    "UnicodeEncode",
    inputs=["input_values: int32", "input_splits: Tsplits"],
    outputs=["output: string"],
    attrs=[
        "errors: {'ignore', 'replace', 'strict'} = 'replace'",
        *(_OUTPUT, _REPLACEMENT, _SPLITS),
    ],
    shape=_encoded_shape,
)
define_op(
    "UnicodeTranscode",
    inputs=["input: string"],
    outputs=["output: string"],
    attrs=["input_encoding: string", _OUTPUT, _ERRORS, _REPLACEMENT, _CONTROLS],
    shape=same_as(0),
)


def _decode(
    op_type: str, texts: Any, encoding: str, errors: str, replacement: int, controls: bool
) -> list[Any]:
    """Code points, and offsets: a vector for a scalar, else a row for each text."""
    if isinstance(texts, RaggedTensor):
        flat: Any = texts.flat_values
    else:
        flat = texts = convert_to_tensor(texts, name="input")
    ndims = flat.shape.ndims
    if ndims is None:
        raise ValueError("Rank of `input` must be statically known.")
    attrs = {
        "input_encoding": encoding,
        "errors": errors,
        "replacement_char": replacement,
        "replace_control_characters": controls,
    }
    splits, *found = create_op(op_type, [reshape(flat, [-1])], attrs)
    if ndims == 0:
        return found
    rows = [
        as_nested(flat, RaggedTensor.from_row_splits(values, splits, validate=False))
        for values in found
    ]
    if isinstance(texts, RaggedTensor):
        return [texts.with_flat_values(row) for row in rows]
    return rows


@export("strings.unicode_decode")
def unicode_decode(
    input: Any,
    input_encoding: str,
    errors: str = "replace",
    replacement_char: int = 65533,
    replace_control_characters: bool = False,
    name: str | None = None,
) -> Any:
    """The code points of texts.

    Args:
        input: a string tensor of known rank, or a RaggedTensor.
        input_encoding: such as "UTF-8", "UTF-16-BE", "US-ASCII" or "ISO-8859-1".
        errors: what to do about bytes that are no character: "strict" fails, "replace" puts
            `replacement_char` there, "ignore" leaves them out.
        replacement_char: a code point.
        replace_control_characters: replace the code points below 32, too.
        name: name scope of the operations.

    Returns:
        An int32 vector for a scalar, else a RaggedTensor with a row for each text.

    Raises:
        ValueError: the rank is not known.
    """
    with graph_of([input]).as_default() as graph, graph.name_scope(name or "UnicodeDecode"):
        settings = (input_encoding, errors, replacement_char, replace_control_characters)
        return _decode("UnicodeDecode", input, *settings)[0]


@export("strings.unicode_decode_with_offsets")
def unicode_decode_with_offsets(
    input: Any,
    input_encoding: str,
    errors: str = "replace",
    replacement_char: int = 65533,
    replace_control_characters: bool = False,
    name: str | None = None,
) -> tuple[Any, Any]:
    """The code points of texts, and the byte at which each begins; see `unicode_decode`."""
    scope = name or "UnicodeDecodeWithOffsets"
    with graph_of([input]).as_default() as graph, graph.name_scope(scope):
        settings = (input_encoding, errors, replacement_char, replace_control_characters)
        points, offsets = _decode("UnicodeDecodeWithOffsets", input, *settings)
        return points, offsets


@export("strings.unicode_encode")
def unicode_encode(
    input: Any,
    output_encoding: str,
    errors: str = "replace",
    replacement_char: int = 65533,
    name: str | None = None,
) -> Tensor:
    """A text for each row of code points.

    Args:
        input: int32: a RaggedTensor with one row for each text, or a vector for one text.
        output_encoding: "UTF-8", "UTF-16-BE" or "UTF-32-BE".
        errors: what to do about numbers that are no code point; see `unicode_decode`.
        replacement_char: a code point.
        name: name scope of the operations.

    Raises:
        ValueError: neither; a matrix has to be made ragged first.
    """
    with graph_of([input]).as_default() as graph, graph.name_scope(name or "UnicodeEncode"):
        if isinstance(input, RaggedTensor) and input.ragged_rank == 1:
            values, splits = input.values, input.row_splits
        else:
            values = convert_to_tensor(input, name="input")
            if values.shape.ndims != 1:
                raise ValueError("input must be a vector, or a RaggedTensor with one row a text")
            splits = create_op("ConcatV2", [[[0], create_op("Shape", [values])], 0])
        attrs = {
            "output_encoding": output_encoding,
            "errors": errors,
            "replacement_char": replacement_char,
        }
        found: Tensor = create_op("UnicodeEncode", [values, splits], attrs)
        return found if isinstance(input, RaggedTensor) else reshape(found, [])


@export("strings.unicode_transcode")
def unicode_transcode(
    input: Any,
    input_encoding: str,
    output_encoding: str,
    errors: str = "replace",
    replacement_char: int = 65533,
    replace_control_characters: bool = False,
    name: str | None = None,
) -> Tensor:
    """Texts in another encoding; see `unicode_decode` and `unicode_encode`."""
    attrs = {
        "input_encoding": input_encoding,
        "output_encoding": output_encoding,
        "errors": errors,
        "replacement_char": replacement_char,
        "replace_control_characters": replace_control_characters,
    }
    result: Tensor = create_op("UnicodeTranscode", [input], attrs, name)
    return result
