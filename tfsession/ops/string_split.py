"""Texts cut into parts: `tf.string_split`, `tf.strings.split`.

Texts have different numbers of parts, so that the result is sparse or ragged.
"""

from __future__ import annotations

from typing import Any

from tfsession.core.dtypes import int64, string
from tfsession.core.exports import export
from tfsession.core.op_def import define_op
from tfsession.core.shape import Shape
from tfsession.graph.create import convert_to_tensor, create_op, graph_of
from tfsession.graph.operation import Operation
from tfsession.graph.shape_fns import with_rank
from tfsession.graph.sparse_tensor import SparseTensor
from tfsession.graph.tensor import Tensor
from tfsession.ops.join import concat, stack
from tfsession.ops.ragged_tensor import RaggedTensor
from tfsession.ops.shape import expand_dims, renamed, reshape
from tfsession.ops.shape import shape as shape_of

# --- definitions ----------------------------------------------------------------------------------


def _split_shape(op: Operation) -> list[Shape]:
    with_rank(op.inputs[0]._shape, 1)
    with_rank(op.inputs[1]._shape, 0)
    return [(None, 2), (None,), (2,)]


define_op(
    "StringSplit",
    inputs=["input: string", "delimiter: string"],
    outputs=["indices: int64", "values: string", "shape: int64"],
    attrs=["skip_empty: bool = true"],
    shape=_split_shape,
)
define_op(
    "StringSplitV2",
    inputs=["input: string", "sep: string"],
    outputs=["indices: int64", "values: string", "shape: int64"],
    attrs=["maxsplit: int = -1"],
    shape=_split_shape,
)


# --- builders -------------------------------------------------------------------------------------


@export("string_split")
def string_split(
    source: Any,
    sep: Any = None,
    skip_empty: bool = True,
    delimiter: Any = None,
    result_type: str = "SparseTensor",
    name: str | None = None,
) -> Any:
    """Texts cut wherever one of the bytes of `sep` stands.

    Args:
        source: a string vector.
        sep: the bytes at each of which to cut, " " when None; an empty text cuts between all bytes.
        skip_empty: leave out empty parts.
        delimiter: older name of `sep`.
        result_type: "SparseTensor" or "RaggedTensor".
        name: name scope of the operations.

    Returns:
        A row of parts for each text.

    Raises:
        ValueError: another `result_type`.
    """
    with graph_of([source]).as_default() as graph, graph.name_scope(name or "StringSplit"):
        sep = renamed("sep", sep, "delimiter", delimiter)
        sep = convert_to_tensor(" " if sep is None else sep, string)
        source = convert_to_tensor(source, string)
        found = create_op("StringSplit", [source, sep], {"skip_empty": skip_empty})
        if result_type == "SparseTensor":
            return SparseTensor(*found)
        if result_type == "RaggedTensor":
            return _ragged(found)
    raise _no_such_result()


@export("strings.split")
def strings_split(
    input: Any = None,
    sep: Any = None,
    maxsplit: int = -1,
    result_type: str = "SparseTensor",
    source: Any = None,
    name: str | None = None,
) -> Any:
    """Texts cut as `bytes.split` of Python does.

    Args:
        input: a string tensor, or a RaggedTensor.
        sep: the text at which to cut; runs of white space when None or empty.
        maxsplit: how many times to cut at most; no limit when negative.
        result_type: "SparseTensor" or "RaggedTensor".
        source: older name of `input`.
        name: name scope of the operations.

    Returns:
        A row of parts for each text; for a scalar one row, as for a vector of one text.

    Raises:
        ValueError: another `result_type`.
    """
    input = renamed("input", input, "source", source)
    with graph_of([input]).as_default() as graph, graph.name_scope(name or "StringSplit"):
        if not isinstance(input, RaggedTensor):
            input = convert_to_tensor(input, string, name="input")
        ndims = input.shape.ndims
        if ndims == 0:
            input = expand_dims(input, 0)
        if result_type == "RaggedTensor":
            return _ragged_parts(input, sep, maxsplit)
        if result_type != "SparseTensor":
            raise _no_such_result()
        if isinstance(input, RaggedTensor):
            raise NotImplementedError(
                'A SparseTensor of ragged parts is not there: ask for result_type="RaggedTensor"'
            )
        if input.shape.ndims in (1, None):
            return SparseTensor(*_cut(input, sep, maxsplit))
        return _sparse_parts(input, sep, maxsplit)


def _no_such_result() -> ValueError:
    return ValueError("result_type must be 'RaggedTensor' or 'SparseTensor'.")


def _cut(texts: Any, sep: Any, maxsplit: int) -> Any:
    sep = convert_to_tensor("" if sep is None else sep, string)
    return create_op("StringSplitV2", [texts, sep], {"maxsplit": maxsplit})


def _sparse_parts(texts: Tensor, sep: Any, maxsplit: int) -> SparseTensor:
    """Parts of a tensor of two dimensions or more, with one more dimension."""
    sizes = shape_of(texts, out_type=int64)
    indices, values, shape = _cut(reshape(texts, [-1]), sep, maxsplit)
    columns, rows = [indices[:, 1]], indices[:, 0]
    for axis in range(texts.shape.ndims - 1, 0, -1):
        columns.insert(0, rows % sizes[axis])
        rows = rows // sizes[axis]
    return SparseTensor(stack([rows, *columns], 1), values, concat([sizes, shape[1:]], 0))


def _ragged(found: Any) -> RaggedTensor:
    indices, values, shape = found
    return RaggedTensor.from_value_rowids(values, indices[:, 0], shape[0], validate=False)


def as_nested(texts: Tensor, parts: RaggedTensor) -> RaggedTensor:
    """Rows of parts, one for each element of a tensor, nested as these are."""
    sizes = shape_of(texts, out_type=int64)
    for axis in range(texts.shape.ndims - 1, 0, -1):
        parts = RaggedTensor.from_uniform_row_length(parts, sizes[axis])
    return parts


def _ragged_parts(texts: Any, sep: Any, maxsplit: int) -> RaggedTensor:
    """A row of parts for each text of a tensor, or of a RaggedTensor."""
    with graph_of([texts]).name_scope("StringSplit"):
        if isinstance(texts, RaggedTensor):
            return texts.with_flat_values(_ragged_parts(texts.flat_values, sep, maxsplit))
        if texts.shape.ndims in (1, None):
            return _ragged(_cut(texts, sep, maxsplit))
        return as_nested(texts, _ragged(_cut(reshape(texts, [-1]), sep, maxsplit)))


@export("strings.bytes_split")
def bytes_split(input: Any, name: str | None = None) -> Any:
    """Texts cut between all bytes: a RaggedTensor with a row for each text.

    Args:
        input: a string tensor, or a RaggedTensor; a scalar gives a vector.
        name: name scope of the operations.

    Raises:
        ValueError: the rank is not known.
    """
    with graph_of([input]).as_default() as graph, graph.name_scope(name or "StringsByteSplit"):
        if isinstance(input, RaggedTensor):
            return input.with_flat_values(bytes_split(input.flat_values))
        texts: Tensor = convert_to_tensor(input, string, name="input")
        if texts.shape.ndims is None:
            raise ValueError("input must have a statically-known rank.")
        flat = texts if texts.shape.ndims == 1 else reshape(texts, [-1])
        parts = _ragged(create_op("StringSplit", [flat, ""], {"skip_empty": False}))
        return parts.values if texts.shape.ndims == 0 else as_nested(texts, parts)
