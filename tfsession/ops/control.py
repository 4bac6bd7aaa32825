"""Checks that a step makes: `tf.Assert`."""

from __future__ import annotations

from typing import Any

from tfsession.core.exports import export
from tfsession.core.op_def import define_op
from tfsession.graph.create import create_operation
from tfsession.graph.operation import Operation
from tfsession.graph.shape_fns import no_outputs

define_op(
    "Assert",
    inputs=["condition: bool", "data: T"],
    attrs=["T: list(type) >= 1", "summarize: int = 3"],
    stateful=True,
    shape=no_outputs,
)


@export("Assert", "debugging.Assert")
def assert_(
    condition: Any, data: Any, summarize: int | None = None, name: str | None = None
) -> Operation:
    """An operation that fails with `data` in its error when `condition` is false.

    Args:
        condition: a bool scalar.
        data: a list of tensors to show.
        summarize: how many elements of each to show; 3 when None.
        name: name of the operation.
    """
    attrs = {"summarize": summarize}
    return create_operation("Assert", [condition, list(data)], attrs, name)
