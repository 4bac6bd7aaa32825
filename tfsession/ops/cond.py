"""Conditionals: `cond`, as a graph of Switch and Merge."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tfsession.core import nest
from tfsession.core.exports import export
from tfsession.graph.context import CondContext
from tfsession.graph.create import convert_to_tensor, create_op, graph_of
from tfsession.graph.graph_keys import GraphKeys
from tfsession.graph.indexed_slices import IndexedSlices
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor
from tfsession.ops.constant import identity, no_op, with_dependencies


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
        pred = convert_to_tensor(pred)
        ways = create_op("Switch", [pred, pred])
        pivots = [identity(ways[1], "switch_t"), identity(ways[0], "switch_f")]
        pred = identity(pred, "pred_id")
        for tensor in (ways[0], *pivots, pred):
            graph.prevent_fetching(tensor.op)
        scope = graph.get_name_scope()
        results = []
        for branch, function, pivot in ((1, true_fn, pivots[0]), (0, false_fn, pivots[1])):
            context = CondContext(graph, f"{scope}/cond_text", pred, pivot, branch)
            results.append(_build_branch(context, function, ("false_fn", "true_fn")[branch]))
            if context.outer_context is None:
                graph.add_to_collection(GraphKeys.COND_CONTEXT, context)
        (given_true, of_true), (given_false, of_false) = results
        if not strict:
            given_true, given_false = _unpacked(given_true), _unpacked(given_false)
        nest.check_same(given_true, given_false)
        merged = [_merge(f, t) for f, t in zip(of_false, of_true, strict=True)]
    return _packed(given_true, merged)


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


def _build_branch(
    context: CondContext, function: Callable[[], Any], name: str
) -> tuple[Any, list[Any]]:
    """What a branch returns, and its leaves as tensors that belong to the branch."""
    with context.entered():
        given = function()
        if given is None:
            raise ValueError(f"'{name}' must have a return value.")
        leaves = [_branch_value(context, leaf) for leaf in nest.flatten(given)]
    return given, leaves


def _branch_value(context: CondContext, value: Any) -> Any:
    if value is None:
        value = no_op()
    if isinstance(value, Operation):
        return with_dependencies([value], context.pivot)
    if isinstance(value, IndexedSlices):
        parts = (value.values, value.indices, value.dense_shape)
        return IndexedSlices(*[p if p is None else context.add_value(p) for p in parts])
    return context.add_value(convert_to_tensor(value))


def _unpacked(structure: Any) -> Any:
    """The element of a list or tuple that has but one."""
    while type(structure) in (list, tuple) and len(structure) == 1:
        structure = structure[0]
    return structure


def _merge(of_false: Any, of_true: Any) -> Any:
    if isinstance(of_false, IndexedSlices) != isinstance(of_true, IndexedSlices):
        of_false, of_true = convert_to_tensor(of_false), convert_to_tensor(of_true)
    if isinstance(of_true, IndexedSlices):
        parts = [
            None if t is None or f is None else _merge(f, t)
            for f, t in (
                (of_false.values, of_true.values),
                (of_false.indices, of_true.indices),
                (of_false.dense_shape, of_true.dense_shape),
            )
        ]
        return IndexedSlices(*parts)
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


def _packed(structure: Any, merged: list[Any]) -> Any:
    return nest.pack(structure, merged) if nest.is_nested(structure) else merged[0]
