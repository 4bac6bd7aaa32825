"""Checks of tensors against each other: at once where both are known, else when a step runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tfsession.core.dtypes import float16, float32, float64
from tfsession.core.errors import InvalidArgumentError
from tfsession.core.exports import export
from tfsession.graph.constant_value import get_static_value
from tfsession.graph.create import convert_to_tensor, graph_of
from tfsession.graph.default_graph import get_default_graph
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor
from tfsession.ops.compare import equal, greater, greater_equal, less, less_equal, not_equal
from tfsession.ops.constant import constant, group, no_op
from tfsession.ops.control import assert_
from tfsession.ops.reduce import reduce_all
from tfsession.ops.unary import check_numerics


@export("assert_equal", "debugging.assert_equal")
def assert_equal(
    x: Any,
    y: Any,
    data: Sequence[Any] | None = None,
    summarize: int | None = None,
    message: str | None = None,
    name: str | None = None,
) -> Operation:
    """An operation that fails unless `x == y` everywhere.

    Args:
        x: a tensor.
        y: a tensor that broadcasts with it.
        data: what to show; the values of both by default.
        summarize: how many elements of each to show; 3 when None.
        message: what to say first.
        name: name scope of the operations.

    Raises:
        InvalidArgumentError: at once, when the graph determines both and they differ; else when
            the operation runs.
    """
    with graph_of([x, y]).name_scope(name or "assert_equal"):
        if x is y:
            return no_op()
    return _compared("==", "assert_equal", equal, np.equal, x, y, data, summarize, message, name)


@export("assert_none_equal", "debugging.assert_none_equal")
def assert_none_equal(
    x: Any,
    y: Any,
    data: Sequence[Any] | None = None,
    summarize: int | None = None,
    message: str | None = None,
    name: str | None = None,
) -> Operation:
    """An operation that fails unless `x != y` everywhere; see `assert_equal`."""
    opname = "assert_none_equal"
    return _compared("!=", opname, not_equal, np.not_equal, x, y, data, summarize, message, name)


@export("assert_less", "debugging.assert_less")
def assert_less(
    x: Any,
    y: Any,
    data: Sequence[Any] | None = None,
    summarize: int | None = None,
    message: str | None = None,
    name: str | None = None,
) -> Operation:
    """An operation that fails unless `x < y` everywhere; see `assert_equal`."""
    opname = "assert_less"
    return _compared("<", opname, less, np.less, x, y, data, summarize, message, name)


@export("assert_greater", "debugging.assert_greater")
def assert_greater(
    x: Any,
    y: Any,
    data: Sequence[Any] | None = None,
    summarize: int | None = None,
    message: str | None = None,
    name: str | None = None,
) -> Operation:
    """An operation that fails unless `x > y` everywhere; see `assert_equal`."""
    opname = "assert_greater"
    return _compared(">", opname, greater, np.greater, x, y, data, summarize, message, name)


@export("assert_less_equal", "debugging.assert_less_equal")
def assert_less_equal(
    x: Any,
    y: Any,
    data: Sequence[Any] | None = None,
    summarize: int | None = None,
    message: str | None = None,
    name: str | None = None,
) -> Operation:
    """An operation that fails unless `x <= y` everywhere; see `assert_equal`."""
    opname = "assert_less_equal"
    return _compared("<=", opname, less_equal, np.less_equal, x, y, data, summarize, message, name)


@export("assert_greater_equal", "debugging.assert_greater_equal")
def assert_greater_equal(
    x: Any,
    y: Any,
    data: Sequence[Any] | None = None,
    summarize: int | None = None,
    message: str | None = None,
    name: str | None = None,
) -> Operation:
    """An operation that fails unless `x >= y` everywhere; see `assert_equal`."""
    static, opname = np.greater_equal, "assert_greater_equal"
    return _compared(">=", opname, greater_equal, static, x, y, data, summarize, message, name)


@export("assert_negative", "debugging.assert_negative")
def assert_negative(
    x: Any,
    data: Sequence[Any] | None = None,
    summarize: int | None = None,
    message: str | None = None,
    name: str | None = None,
) -> Operation:
    """An operation that fails unless `x < 0` everywhere; see `assert_equal`."""
    with graph_of([x]).as_default() as graph, graph.name_scope(name or "assert_negative"):
        x, zero, data = _with_zero(x, "x < 0", data, message)
        return assert_less(x, zero, data, summarize)


@export("assert_positive", "debugging.assert_positive")
def assert_positive(
    x: Any,
    data: Sequence[Any] | None = None,
    summarize: int | None = None,
    message: str | None = None,
    name: str | None = None,
) -> Operation:
    """An operation that fails unless `x > 0` everywhere; see `assert_equal`."""
    with graph_of([x]).as_default() as graph, graph.name_scope(name or "assert_positive"):
        x, zero, data = _with_zero(x, "x > 0", data, message)
        return assert_less(zero, x, data, summarize)


@export("assert_non_negative", "debugging.assert_non_negative")
def assert_non_negative(
    x: Any,
    data: Sequence[Any] | None = None,
    summarize: int | None = None,
    message: str | None = None,
    name: str | None = None,
) -> Operation:
    """An operation that fails unless `x >= 0` everywhere; see `assert_equal`."""
    with graph_of([x]).as_default() as graph, graph.name_scope(name or "assert_non_negative"):
        x, zero, data = _with_zero(x, "x >= 0", data, message)
        return assert_less_equal(zero, x, data, summarize)


@export("assert_non_positive", "debugging.assert_non_positive")
def assert_non_positive(
    x: Any,
    data: Sequence[Any] | None = None,
    summarize: int | None = None,
    message: str | None = None,
    name: str | None = None,
) -> Operation:
    """An operation that fails unless `x <= 0` everywhere; see `assert_equal`."""
    with graph_of([x]).as_default() as graph, graph.name_scope(name or "assert_non_positive"):
        x, zero, data = _with_zero(x, "x <= 0", data, message)
        return assert_less_equal(x, zero, data, summarize)


def _with_zero(
    x: Any, condition: str, data: Sequence[Any] | None, message: str | None
) -> tuple[Tensor, Tensor, Sequence[Any]]:
    """The tensor, zero, and what to show."""
    x = convert_to_tensor(x, name="x")
    if data is None:
        prefix = f"{message}.  " if message else ""
        text, name = f"Condition {condition} did not hold element-wise:", f"x ({x.name}) = "
        # In one text for this one condition, as in TensorFlow.
        shown = [text + name] if condition == "x <= 0" else [text, name]
        data = [prefix, *shown, x]
    return x, constant(0, x.dtype), data


def _compared(
    symbol: str,
    opname: str,
    compare: Callable[[Any, Any], Tensor],
    compare_static: Callable[[Any, Any], Any],
    x: Any,
    y: Any,
    data: Sequence[Any] | None,
    summarize: int | None,
    message: str | None,
    name: str | None,
) -> Operation:
    graph = graph_of([x, y, data or []])
    with graph.as_default(), graph.name_scope(name or opname):
        x, y = convert_to_tensor(x, name="x"), convert_to_tensor(y, name="y")
        if data is None:
            data = [
                f"Condition x {symbol} y did not hold element-wise:",
                f"x ({x.name}) = ",
                x,
                f"y ({y.name}) = ",
                y,
            ]
        if message is not None:
            data = [message, *data]
        condition = reduce_all(compare(x, y))
        known_x, known_y = get_static_value(x), get_static_value(y)
        if known_x is not None and known_y is not None:
            _check_now(np.all(compare_static(known_x, known_y)), data)
        return assert_(condition, data, summarize)


def _check_now(holds: Any, data: Sequence[Any]) -> None:
    if not holds:
        known = [get_static_value(item) for item in data]
        shown = [item if value is None else value for item, value in zip(data, known, strict=True)]
        raise InvalidArgumentError(None, None, "\n".join(map(str, shown)))


@export("add_check_numerics_ops")
def add_check_numerics_ops() -> Operation:
    """An operation that fails for infinities and NaNs in any float tensor of the graph, in order.

    Raises:
        ValueError: there are float tensors in branches or loops.
    """
    checks: list[Operation] = []
    graph = get_default_graph()
    for op in graph.get_operations():
        for output in op.outputs:
            if output.dtype not in (float16, float32, float64):
                continue
            if op._control_flow_context is not None:
                raise ValueError(
                    "`tf.add_check_numerics_ops() is not compatible with TensorFlow control flow "
                    "operations such as `tf.cond()` or `tf.while_loop()`."
                )
            with graph.control_dependencies(checks):
                checks = [check_numerics(output, message=output.name).op]
    return group(*checks)
