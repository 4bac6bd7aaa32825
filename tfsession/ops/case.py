"""Choices among several: `case`, as conditionals within conditionals."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from tfsession.core.dtypes import bool as bool_
from tfsession.core.dtypes import int32
from tfsession.core.exports import export
from tfsession.graph.create import graph_of
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor
from tfsession.ops.cast import cast
from tfsession.ops.compare import less_equal
from tfsession.ops.cond import cond
from tfsession.ops.constant import constant
from tfsession.ops.control import assert_
from tfsession.ops.join import stack
from tfsession.ops.reduce import reduce_sum

Function = Callable[[], Any]


@export("case")
def case(
    pred_fn_pairs: Any,
    default: Function | None = None,
    exclusive: bool = False,
    strict: bool = False,
    name: str = "case",
) -> Any:
    """What the function of the first predicate that holds gives, or `default` if none does.

    All functions are called once, now: they build the branches.

    Args:
        pred_fn_pairs: pairs of a bool scalar tensor and a function, as a list, a tuple or a dict; a
            dict that is not ordered is taken in the order of the names of its predicates.
        default: a function; when None, a step fails in which no predicate holds.
        exclusive: let a step fail in which several predicates hold.
        strict: keep lists and tuples of one element, which are unpacked otherwise.
        name: name scope of the operations.

    Raises:
        TypeError: `pred_fn_pairs` has another type, or its parts have.
        ValueError: it is empty, or the functions give what cannot be merged.

    Example:
        `y = tf.case([(x < 0.0, lambda: -x), (x < 1.0, lambda: x)], default=lambda: x * x)`
    """
    preds, functions = _pairs(pred_fn_pairs)
    graph = graph_of(preds)
    with graph.as_default(), graph.name_scope(name or "case"):
        if default is None:
            default = partial(_last, preds, functions[-1])
            preds, functions = preds[:-1], functions[:-1]
        chosen = default
        for pred, function in zip(reversed(preds), reversed(functions), strict=True):
            chosen = partial(cond, pred, function, chosen, strict=strict)
        if not exclusive:
            return chosen()
        with graph.control_dependencies([_at_most(1, preds, "Input error: exclusive=True")]):
            return chosen()


def _pairs(pred_fn_pairs: Any) -> tuple[list[Tensor], list[Function]]:
    if not isinstance(pred_fn_pairs, list | tuple | dict):
        raise TypeError(
            f"'pred_fn_pairs' must be a list, tuple, or dict. Received: {type(pred_fn_pairs)}"
        )
    pairs: list[Any] = list(pred_fn_pairs)
    if isinstance(pred_fn_pairs, dict):
        pairs = list(pred_fn_pairs.items())
        for pred, _ in pairs:
            _check_pred(pred)
        if not isinstance(pred_fn_pairs, OrderedDict):
            pairs.sort(key=lambda pair: pair[0].name)
    if not pairs:
        raise ValueError("'pred_fn_pairs' must have at least one pair.")
    for pair in pairs:
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise TypeError(f"Each entry in 'pred_fn_pairs' must be a 2-tuple. Received {pair}.")
        _check_pred(pair[0])
        if not callable(pair[1]):
            raise TypeError(f"fn for pred {pair[0].name} must be callable.")
    return [pred for pred, _ in pairs], [function for _, function in pairs]


def _check_pred(pred: Any) -> None:
    if not isinstance(pred, Tensor):
        raise TypeError(f"pred must be a Tensor, got: {pred}")
    if pred.dtype is not bool_:
        raise TypeError(f"pred must be Tensor of type bool: {pred.name}")


def _last(preds: Sequence[Tensor], function: Function) -> Any:
    """What stands in for a default: the last function, which must be the one that is meant."""
    none = ("Input error: None of conditions evaluated as True:", stack(preds, name="preds_c"))
    count = len(preds) - 1
    others = (
        f"Implementation error: selected default action #{count} was called, but some of other "
        "predicates are True: "
    )
    checks = [_at_most(0, preds[:-1], others), assert_(preds[-1], none)]
    with preds[0].graph.control_dependencies(checks):
        return function()


def _at_most(count: int, preds: Sequence[Tensor], message: str) -> Operation:
    """A check that no more than `count` predicates hold."""
    values = stack(preds, name="preds_c")
    held = reduce_sum(cast(values, int32), name="num_true_conds")
    condition = less_equal(held, constant(count, name="n_true_conds"))
    names = ", ".join(pred.name for pred in preds)
    text = f"{message}: more than {count} conditions ({names}) evaluated as True:"
    return assert_(condition, [text, values], summarize=len(preds))
