"""Files as tensors: `tf.read_file`, `tf.write_file`, `tf.matching_files`."""

from __future__ import annotations

from typing import Any

from tfsession.core.exports import export
from tfsession.core.op_def import define_op
from tfsession.core.shape import Shape
from tfsession.graph.create import create_op, graph_of
from tfsession.graph.graph_keys import GraphKeys
from tfsession.graph.operation import Operation
from tfsession.graph.shape_fns import input_rank, with_rank_at_most
from tfsession.graph.tensor import Tensor
from tfsession.ops.variables import Variable


def _scalars(op: Operation) -> list[Shape]:
    for index in range(len(op.inputs)):
        input_rank(op, index, 0)
    return [()] * len(op.outputs)


def _names(op: Operation) -> list[Shape]:
    with_rank_at_most(op.inputs[0]._shape, 1)
    return [(None,)]


define_op("ReadFile", inputs=["filename: string"], outputs=["contents: string"], shape=_scalars)
define_op(
    "WriteFile",
    inputs=["filename: string", "contents: string"],
    stateful=True,
    shape=_scalars,
)
define_op("MatchingFiles", inputs=["pattern: string"], outputs=["filenames: string"], shape=_names)


@export("read_file", "io.read_file")
def read_file(filename: Any, name: str | None = None) -> Tensor:
    """The contents of a file.

    Args:
        filename: a string scalar.
        name: name of the operation.

    Returns:
        A string scalar. When it runs it raises NotFoundError if there is no such file.
    """
    result: Tensor = create_op("ReadFile", [filename], None, name)
    return result


@export("write_file", "io.write_file")
def write_file(filename: Any, contents: Any, name: str | None = None) -> Operation:
    """Write `contents` to a file, which it makes anew with the directories on the way to it.

    Args:
        filename: a string scalar.
        contents: a string scalar.
        name: name of the operation.
    """
    result: Operation = create_op("WriteFile", [filename, contents], None, name)
    return result


@export("matching_files", "io.matching_files")
def matching_files(pattern: Any, name: str | None = None) -> Tensor:
    """The names of the files that fit a pattern, or any of several.

    Args:
        pattern: a string scalar or vector; `*`, `?` and `[...]` stand for parts of a name.
        name: name of the operation.

    Returns:
        A string vector, sorted; a file that fits two patterns is there twice.
    """
    result: Tensor = create_op("MatchingFiles", [pattern], None, name)
    return result


@export("train.match_filenames_once", "io.match_filenames_once")
def match_filenames_once(pattern: Any, name: str | None = None) -> Any:
    """The names of the files that fit a pattern when local variables are initialized.

    Args:
        pattern: a string scalar or vector, as for `matching_files`.
        name: name of the variable.

    Returns:
        A local variable, a string vector.
    """
    graph = graph_of([pattern])
    with graph.as_default(), graph.name_scope(name or "matching_filenames") as scope:
        return Variable(
            name=scope,
            initial_value=matching_files(pattern),
            trainable=False,
            validate_shape=False,
            collections=[GraphKeys.LOCAL_VARIABLES],
        )
