"""What recurrent networks in loops and unrolled ones share: first states, one step, its end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tfsession.core import nest
from tfsession.graph.graph import get_default_graph
from tfsession.graph.tensor import Tensor
from tfsession.ops.compare import where
from tfsession.ops.cond import cond
from tfsession.ops.tensor_array import TensorArray
from tfsession.ops.variable_scope import VariableScope


def read_variables_once(scope: VariableScope) -> None:
    """Let variables of the scope be read once, not in each step, unless it says where already.

    Not inside of a loop, which may train them.
    """
    context = get_default_graph()._get_control_flow_context()
    in_loop = context is not None and context.loop is not None
    if not in_loop and scope.caching_device is None:
        scope.set_caching_device(lambda op: op.device)


def initial_state_of(cell: Any, given: Any, batch_size: Any, dtype: Any) -> Any:
    """The given first state, or the cell's own; ValueError when that lacks a dtype."""
    if given is not None:
        return given
    if not dtype:
        raise ValueError("If no initial_state is provided, argument `dtype` must be specified")
    if getattr(cell, "get_initial_state", None) is not None:
        return cell.get_initial_state(inputs=None, batch_size=batch_size, dtype=dtype)
    return cell.zero_state(batch_size, dtype)


def state_dtype(asked: Any, state: Any) -> Any:
    """The dtype asked for, else that of the state.

    Raises:
        ValueError: it has none, or several.
    """
    if asked is not None:
        return asked
    if not nest.is_nested(state):
        return state.dtype
    found = [tensor.dtype for tensor in nest.flatten(state)]
    if not found:
        raise ValueError(f"Unable to infer dtype from argument state={state}.")
    if any(dtype != found[0] for dtype in found):
        raise ValueError(
            f"Argument state={state} has tensors of different inferred dtypes. Unable to infer a "
            f"single representative dtype. Dtypes received: {found}"
        )
    return found[0]


def kept(condition: Tensor, old: Any, new: Any) -> Any:
    """The rows of `old` where the condition holds, else those of `new`; scalars are always new."""
    if isinstance(old, TensorArray) or old.shape.ndims == 0:
        return new
    with new.graph.colocate_with(new.op):
        return where(condition, old, new)


def step(
    time: Any,
    ends: tuple[Tensor, Tensor, Tensor],
    zero_output: Any,
    state: Any,
    call_cell: Callable[[], Any],
    in_loop: bool,
) -> tuple[Any, Any]:
    """Output and state of one step; zeros, and the old state, for examples that have ended.

    Args:
        time: number of the step.
        ends: the lengths `[batch]`, their least and their greatest.
        zero_output: what there is behind the end.
        state: the state before.
        call_cell: gives output and new state.
        in_loop: whether no step comes behind the greatest length; else such steps do not call the
            cell, and those before the least length copy nothing.
    """
    lengths, shortest, longest = ends
    old = [*nest.flatten(zero_output), *nest.flatten(state)]
    ended = time >= lengths

    def called() -> list[Any]:
        output, new_state = call_cell()
        nest.check_same(zero_output, output)
        nest.check_same(state, new_state)
        return [*nest.flatten(output), *nest.flatten(new_state)]

    def chosen(new: list[Any]) -> list[Any]:
        return [kept(ended, *pair) for pair in zip(old, new, strict=True)]

    def partly_called() -> Any:
        new = called()
        return cond(time < shortest, lambda: new, lambda: chosen(new))

    results = chosen(called()) if in_loop else cond(time >= longest, lambda: old, partly_called)
    for result, before in zip(results, old, strict=True):
        if not isinstance(result, TensorArray):
            result.set_shape(before.shape)
    count = len(nest.flatten(zero_output))
    return nest.pack(zero_output, results[:count]), nest.pack(state, results[count:])
