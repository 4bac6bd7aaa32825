"""Printing in a step: `tf.Print`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tfsession.core.exports import export
from tfsession.core.op_def import define_op
from tfsession.graph.create import create_op
from tfsession.graph.shape_fns import no_outputs, same_as
from tfsession.graph.tensor import Tensor

define_op(
    "Print",
    inputs=["input: T", "data: U"],
    outputs=["output: T"],
    attrs=[
        "T: type",
        "U: list(type) >= 0",
        "message: string = ''",
        "first_n: int = -1",
        "summarize: int = 3",
    ],
    stateful=True,
    shape=same_as(0),
)
define_op(
    "PrintV2",
    inputs=["input: string"],
    attrs=["output_stream: string = 'stderr'", "end: string = '\n'"],
    stateful=True,
    shape=no_outputs,
)


@export("Print")
def print_(
    input_: Any,
    data: Sequence[Any],
    message: str | None = None,
    first_n: int | None = None,
    summarize: int | None = None,
    name: str | None = None,
) -> Tensor:
    """`input_` itself; a step that computes it writes `data` to the standard error stream.

    Args:
        input_: a tensor.
        data: tensors to show.
        message: what to say before them.
        first_n: how many times to print; each time when None or negative.
        summarize: how many elements of each to show; 3 when None, all when negative.
        name: name of the operation.
    """
    attrs = {"message": message, "first_n": first_n, "summarize": summarize}
    result: Tensor = create_op("Print", [input_, list(data)], attrs, name)
    return result
