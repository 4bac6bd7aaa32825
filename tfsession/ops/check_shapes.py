"""Checks of shapes that depend on each other, and of order: `tf.debugging.assert_shapes`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tfsession.core.dtypes import bool_
from tfsession.core.exports import export
from tfsession.graph.create import convert_to_tensor, create_op, graph_of
from tfsession.graph.default_graph import get_default_graph
from tfsession.graph.operation import Operation
from tfsession.graph.sparse_tensor import SparseTensor
from tfsession.graph.tensor import Tensor
from tfsession.ops.check_kind import (
    assert_rank,
    assert_rank_at_least,
    assert_rank_in,
    dense_shape_of,
    is_numeric_tensor,
    prefix_of,
)
from tfsession.ops.compare import equal, greater, greater_equal, less
from tfsession.ops.cond import cond
from tfsession.ops.constant import constant, group
from tfsession.ops.control import assert_
from tfsession.ops.reduce import reduce_all
from tfsession.ops.shape import rank, reshape, size
from tfsession.ops.shape import shape as shape_of
from tfsession.ops.slice import strided_slice


def _pairs(shapes: Any, prefix: str) -> list[tuple[Any, list[Any], bool]]:
    """Tensors, the sizes of their last dimensions, and whether there may be more before them."""
    found = []
    for x, symbols in shapes.items() if isinstance(shapes, dict) else shapes:
        if symbols is None:
            continue
        tensor = x if isinstance(x, SparseTensor) else convert_to_tensor(x)
        if not hasattr(symbols, "__iter__") and not hasattr(symbols, "__getitem__"):
            raise ValueError(
                f"{prefix}Tensor {_shown(tensor)}.  Specified shape must be an iterable.  An "
                "iterable has the attribute `__iter__` or `__getitem__`.  Received specified "
                f"shape: {symbols}"
            )
        wanted = list(symbols)
        has_more = bool(wanted) and wanted[0] in (Ellipsis, "*")
        for index, symbol in enumerate(wanted[1:], 1):
            if symbol in (Ellipsis, "*"):
                raise ValueError(
                    f"{prefix}Tensor {_shown(tensor)} specified shape index {index}.  Symbol `...` "
                    "or `*` for a variable number of unspecified dimensions is only allowed as "
                    "the first entry"
                )
        # A scalar counts as a vector of one element.
        found.append((tensor, (wanted[1:] if has_more else wanted) or [1], has_more))
    return found


def _shown(tensor: Any) -> str:
    if isinstance(tensor, SparseTensor):
        return f"shape={tensor.shape} dtype={tensor.dtype.name}"
    return str(tensor.name)


def _sizes(tensor: Any) -> Any:
    """The sizes of a tensor's dimensions, numbers where they are known; a scalar counts as [1]."""
    dynamic, known = dense_shape_of(tensor), tensor.get_shape()
    if known.ndims is None:
        return cond(equal(rank(tensor), 0), lambda: constant([1]), lambda: dynamic)
    sizes = known.as_list()
    return [dynamic[axis] if dim is None else dim for axis, dim in enumerate(sizes)] or [1]


def _number(symbol: Any) -> int | None:
    """The size that stands for itself."""
    if isinstance(symbol, Tensor):
        return None
    try:
        return int(symbol)
    except (TypeError, ValueError):
        return None


@export("debugging.assert_shapes")
def assert_shapes(
    shapes: Any,
    data: Sequence[Any] | None = None,
    summarize: int | None = None,
    message: str | None = None,
    name: str | None = None,
) -> Operation:
    """An operation that fails unless tensors have shapes that fit each other.

    Args:
        shapes: a dict, or pairs, of tensors and their shapes: tuples of numbers, of symbols that
            stand for one number wherever they come, and of None or "." for any number. Ellipsis or
            "*" at the beginning stands for any further dimensions.
        data: what to show.
        summarize: how many elements of each to show; 3 when None.
        message: what to say first.
        name: name scope of the operations.

    Raises:
        ValueError: at once, where the graph knows shapes that do not fit.
    """
    prefix = prefix_of(message)
    graph = get_default_graph()
    with graph.name_scope(name or "assert_shapes"):
        specified = [(x, symbols, more, _sizes(x)) for x, symbols, more in _pairs(shapes, prefix)]
        ranks = []
        for x, symbols, has_more, _ in specified:
            count, settings = len(symbols), (data, summarize, message, name)
            if has_more:
                if count > 1:
                    ranks.append(assert_rank_at_least(x, count, *settings))
            elif count <= 1:
                ranks.append(assert_rank_in(x, [0, 1], *settings))
            else:
                ranks.append(assert_rank(x, count, *settings))
        checks: list[Operation] = []
        seen: dict[Any, tuple[Any, Any, int]] = {}
        for x, symbols, has_more, sizes in specified:
            for index, symbol in enumerate(symbols):
                if symbol is None or symbol == ".":
                    continue
                axis = index - len(symbols) if has_more else index
                with graph.control_dependencies(ranks):
                    actual = sizes[axis]
                number = _number(symbol)
                if number is None and symbol not in seen:
                    seen[symbol] = actual, x, axis
                    continue
                if number is not None:
                    wanted, why = number, "Specified explicitly"
                else:
                    wanted, other, at = seen[symbol]
                    why = f"Specified by tensor {_shown(other)} dimension {at}"
                check = _size_check(x, axis, actual, wanted, why, data, summarize, prefix)
                checks += [] if check is None else [check]
        with graph.control_dependencies(ranks):
            return group(*checks)


def _size_check(
    x: Any, axis: int, actual: Any, wanted: Any, why: str, data: Any, summarize: int | None,
    prefix: str,
) -> Operation | None:  # fmt: skip
    """What compares two sizes in a step; None where they are known to be equal."""
    if not isinstance(actual, Tensor) and not isinstance(wanted, Tensor):
        if actual != wanted:
            raise ValueError(
                f"{prefix}{why}.  Tensor {_shown(x)} dimension {axis} must have size {wanted}.  "
                f"Received size {actual}, shape {x.get_shape()}"
            )
        return None
    condition = equal(convert_to_tensor(actual), convert_to_tensor(wanted))
    if data is None:
        data = [
            *(prefix, why, f"Tensor {_shown(x)} dimension", axis, "must have size", wanted),
            *("Received shape: ", dense_shape_of(x)),
        ]
    return assert_(condition, data, summarize)


# --- order ----------------------------------------------------------------------------------------


def _in_order(x: Any, compare: Any, opname: str, name: str | None) -> Tensor:
    with graph_of([x]).as_default() as graph, graph.name_scope(name or opname):
        flat = reshape(x, [-1])
        if not is_numeric_tensor(flat):
            raise TypeError(f"Expected x to be numeric, instead found: {flat}")
        is_short = less(size(flat), 2)
        last = shape_of(flat) - 1
        return reduce_all(
            cond(
                is_short,
                lambda: convert_to_tensor([], bool_),
                lambda: compare(
                    strided_slice(flat, [1], create_op("AddV2", ([1], last), None, "add")),
                    strided_slice(flat, [0], last),
                ),
            )
        )


@export("is_non_decreasing", "debugging.is_non_decreasing", "math.is_non_decreasing")
def is_non_decreasing(x: Any, name: str | None = None) -> Tensor:
    """Whether no element, in row-major order, is less than the one before it; a bool scalar.

    Raises:
        TypeError: no numbers.
    """
    return _in_order(x, greater_equal, "is_non_decreasing", name)


@export("is_strictly_increasing", "debugging.is_strictly_increasing", "math.is_strictly_increasing")
def is_strictly_increasing(x: Any, name: str | None = None) -> Tensor:
    """Whether each element, in row-major order, is above the one before it; a bool scalar.

    Raises:
        TypeError: no numbers.
    """
    return _in_order(x, greater, "is_strictly_increasing", name)
