"""Checks that a step makes: `tf.Assert`; what waits for nothing: `tf.init_scope`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tfsession.core.dtypes import int32, string
from tfsession.core.exports import export
from tfsession.core.op_def import define_op
from tfsession.graph.create import convert_to_tensor, create_operation, graph_of
from tfsession.graph.graph import get_default_graph
from tfsession.graph.operation import Operation
from tfsession.graph.shape_fns import no_outputs
from tfsession.ops.cond import cond
from tfsession.ops.constant import no_op

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

    Unless all of `data` is on the host anyway (strings and int32), it is copied there, and asked
    for, only when the condition is false: the operation stands in a conditional of its own.

    Args:
        condition: a bool scalar.
        data: a list of tensors to show.
        summarize: how many elements of each to show; 3 when None.
        name: name scope of the operations.

    Raises:
        TypeError: `data` is no list or tuple.
        ValueError: `data` is empty.
    """
    if not isinstance(data, list | tuple):
        raise TypeError("values must be a sequence.")

    def check() -> Operation:
        attrs = {"summarize": summarize}
        return create_operation("Assert", [condition, list(data)], attrs, "Assert")

    graph = graph_of([condition, *data])
    with graph.as_default(), graph.name_scope(name or "Assert"):
        shown = [convert_to_tensor(value) for value in data]
        if all(tensor.dtype.base_dtype in (int32, string) for tensor in shown):
            return check()
        condition = convert_to_tensor(condition, name="Condition")
        guarded: Operation = cond(condition, no_op, check, name="AssertGuard").op
        return guarded


@export("init_scope")
@contextmanager
def init_scope() -> Iterator[None]:
    """Lift operations out of branches, loops and control dependencies."""
    with get_default_graph().control_dependencies(None):
        yield
