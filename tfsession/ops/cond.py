"""Conditionals: `cond`, as a graph of Switch and Merge."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tfsession.core import nest
from tfsession.core.exports import export
from tfsession.graph import composite
from tfsession.graph.context import CondContext
from tfsession.graph.create import convert_to_tensor, create_op, graph_of
from tfsession.graph.graph_keys import GraphKeys
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor
from tfsession.ops.constant import identity, with_dependencies


@export("cond")
def cond(
    pred: Any,
    true_fn: Callable[[], Any] | None = None,
    false_fn: Callable[[], Any] | None = None,
    strict: bool = False,
    name: str | None = None,
    fn1: Callable[[], Any] | None = None,
    fn2: Callable[[], Any] | None = None,
) -> Any:
    """What `true_fn` gives where `pred` holds, else what `false_fn` gives.

    Both functions are called once, now: they build the branches. Only operations made inside them
    depend on `pred`; what was made outside runs whichever way it goes.

    Args:
        pred: a bool scalar tensor.
        true_fn, false_fn: functions that return tensors, operations or nests of them, of the same
            structure and dtypes.
        strict: keep lists and tuples of one element, which are unpacked otherwise.
        name: name scope of the operations.
        fn1, fn2: former names of `true_fn` and `false_fn`.

    Raises:
        TypeError: `pred` is a Python bool, or a function is no function.
        ValueError: the branches return nothing, or what cannot be merged.

    Example:
        `y = tf.cond(tf.less(x, 0.0), lambda: -x, lambda: x * 2.0)`
    """
    true_fn = _argument(true_fn, "true_fn", fn1, "fn1")
    false_fn = _argument(false_fn, "false_fn", fn2, "fn2")
    if isinstance(pred, bool):
        raise TypeError("'pred' must not be a Python bool.")
    graph = graph_of([pred])
    with graph.as_default(), graph.name_scope(name or "cond"):
        with graph.name_scope("Switch") as scope:
            both = convert_to_tensor(pred, name="data"), convert_to_tensor(pred, name="pred")
            ways = create_op("Switch", both, name=scope)
        pivots = [identity(ways[1], "switch_t"), identity(ways[0], "switch_f")]
        pred = identity(pred, "pred_id")
        for tensor in (ways[0], *pivots, pred):
            graph.prevent_fetching(tensor.op)
        results = []
        for branch, function, pivot in ((1, true_fn, pivots[0]), (0, false_fn, pivots[1])):
            context = CondContext(graph, graph.unique_name("cond_text"), pred, pivot, branch)
            results.append(_build_branch(context, function, ("false_fn", "true_fn")[branch]))
            if context.outer_context is None:
                graph.add_to_collection(GraphKeys.COND_CONTEXT, context)
        given_true, given_false = results
        told_first = "Incompatible return values of 'true_fn' and 'false_fn': "
        composite.check_same(given_true, given_false, told_first)
        pairs = zip(composite.flatten(given_false), composite.flatten(given_true), strict=True)
        merged = composite.pack(given_true, [_merge(*pair) for pair in pairs])
    return merged if strict else _unpacked(merged)


def _argument(function: Any, name: str, former: Any, former_name: str) -> Callable[[], Any]:
    if former is not None:
        if function is not None:
            raise TypeError(f"cond(): '{name}' and '{former_name}' may not be set simultaneously.")
        function = former
    if function is None:
        raise TypeError(f"cond(): '{name}' argument required")
    if not callable(function):
        raise TypeError(f"'{name}' must be callable.")
    called: Callable[[], Any] = function
    return called


def _build_branch(context: CondContext, function: Callable[[], Any], name: str) -> Any:
    """What a branch returns, with tensors as leaves that belong to the branch."""
    with context.entered():
        given = function()
        if given is None:
            raise ValueError(f"'{name}' must have a return value.")
        if not nest.flatten(given):
            raise ValueError("'true_fn' and 'false_fn' must return at least one result.")
        return composite.map_leaves(lambda leaf: _branch_value(context, leaf), given)


def _branch_value(context: CondContext, value: Any) -> Tensor:
    if isinstance(value, Operation):
        return with_dependencies([value], context.pivot)
    return context.add_result(convert_to_tensor(value))


def _unpacked(structure: Any) -> Any:
    """The element of a list or tuple that has but one."""
    while type(structure) in (list, tuple) and len(structure) == 1:
        structure = structure[0]
    return structure


def _merge(of_false: Tensor, of_true: Tensor) -> Tensor:
    if of_true.dtype.base_dtype is not of_false.dtype.base_dtype:
        raise ValueError(
            "Outputs of 'true_fn' and 'false_fn' must have the same type(s). Received "
            f"{of_true.dtype.name} from 'true_fn' and {of_false.dtype.name} from 'false_fn'."
        )
    return merge([of_false, of_true])


def merge(tensors: list[Any], name: str | None = None) -> Tensor:
    """Whichever of the tensors is there."""
    kind = "RefMerge" if all(tensor.dtype.is_ref for tensor in tensors) else "Merge"
    output: Tensor = create_op(kind, [tensors], None, name or "Merge")[0]
    return output
