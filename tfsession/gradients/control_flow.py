"""How gradients flow back through conditionals: by the way on which the value came.

The gradient of a Merge goes back through a Switch on the same predicate; the gradient of a Switch
is the Merge of what comes back on both ways, zeros where the value went the other way. Of a loop
each part becomes its counterpart in a loop of gradients: see gradients.while_loop.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from tfsession.core.dtypes import int64
from tfsession.core.rules import gradient, no_gradient
from tfsession.gradients.while_loop import LoopGradient, enter, go_round, leave
from tfsession.graph.composite import components_of, map_components
from tfsession.graph.context import CondContext, WhileContext, switch
from tfsession.graph.create import convert_to_tensor, create_op
from tfsession.graph.graph import Graph
from tfsession.graph.indexed_slices import IndexedSlices
from tfsession.graph.nesting import context_of_outputs
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor
from tfsession.ops.cast import cast
from tfsession.ops.compare import equal
from tfsession.ops.cond import merge
from tfsession.ops.sequence import range_

no_gradient("LoopCond", "ControlTrigger")


def _loop_of_gradients(graph: Graph) -> WhileContext | None:
    """The loop in which gradients are being made, if it goes back through another."""
    context = graph._scopes.control_flow_context
    loop: WhileContext | None = None if context is None else context.loop
    return loop if loop is not None and isinstance(loop.backward, LoopGradient) else None


@gradient("Exit", "RefExit")
def _exit(op: Operation, grad: Any) -> Any:
    loop = _loop_of_gradients(op.graph)
    if loop is None or not loop.back_prop:
        return None
    if op._control_flow_context.backward is not None:
        raise TypeError("Second-order gradient for while loops not supported.")
    name = "Enter" if isinstance(grad, IndexedSlices) else "b_exit"
    return map_components(partial(enter, loop, name=name), grad)


@gradient("NextIteration", "RefNextIteration")
def _next_iteration(op: Operation, grad: Any) -> Any:
    return grad  # the gradient of the Switch goes round


@gradient("Enter", "RefEnter")
def _enter(op: Operation, grad: Any) -> Any:
    loop = _loop_of_gradients(op.graph)
    if loop is None or not loop.back_prop:
        return grad
    if not op.attrs["is_constant"]:
        return map_components(partial(leave, loop), grad)
    state = loop.backward
    if isinstance(grad, IndexedSlices):
        return state.total_of_slices(op, grad)
    return state.total(op, grad)


@gradient("Switch", "RefSwitch")
def _switch(op: Operation, *grads: Any) -> tuple[Any, None]:
    pred, context = op.inputs[1], op._control_flow_context
    if isinstance(context, WhileContext):
        return _switch_of_loop(op, *grads), None
    if isinstance(context, CondContext):
        if grads[1 - context.branch] is None:
            return None, None
        return _merged(list(grads), "cond_grad"), None
    return _merged([_switched(grad, pred)[way] for way, grad in enumerate(grads)], "Merge"), None


def _switch_of_loop(op: Operation, of_exit: Any, of_body: Any) -> Any:
    """First the gradient comes from the Exit, then from the iteration behind this one."""
    loop = _loop_of_gradients(op.graph)
    if loop is None:
        return None
    merges = loop.backward.merges
    merged = merges.get(op)
    if merged is None:
        if of_exit is not None:
            merges[op] = _merged([of_exit, of_exit], "b_switch")
        return merges.get(op)
    if of_body is not None:
        if isinstance(merged, IndexedSlices):
            of_body = _as_slices(of_body)
        else:
            of_body = convert_to_tensor(of_body)
        for part, value in zip(components_of(merged), components_of(of_body), strict=True):
            go_round(part, value)
    return None


@gradient("Merge", "RefMerge")
def _merge(op: Operation, grad: Any, _: Any) -> list[Any]:
    context, loop = context_of_outputs(op.inputs[0].op), _loop_of_gradients(op.graph)
    if isinstance(context, WhileContext):
        return [None, None] if loop is None else _switched(grad, loop.going_on)
    if isinstance(context, CondContext):
        pred = context.pred if loop is None else loop.backward.predicate_of(context)
        return _switched(grad, pred, "cond_grad")
    came = [equal(op.outputs[1], index) for index in range(len(op.inputs))]
    return [_switched(grad, this)[1] for this in came]


def _as_slices(grad: Any) -> IndexedSlices:
    if isinstance(grad, IndexedSlices):
        return grad
    shape = create_op("Shape", [grad])
    return IndexedSlices(grad, range_(0, shape[0]), shape)


def _merged(grads: list[Any], name: str) -> Any:
    """Whichever of two gradients is there; as slices if one of them is."""
    if not any(isinstance(grad, IndexedSlices) for grad in grads):
        return merge(grads, name)
    with grads[0].graph.name_scope(name):
        slices = [_as_slices(grad) for grad in grads]
        if len({part.indices.dtype for part in slices}) > 1:
            slices = [
                IndexedSlices(part.values, cast(part.indices, int64), part.dense_shape)
                for part in slices
            ]
        pairs = zip(*((s.values, s.indices, s.dense_shape) for s in slices), strict=True)
        return IndexedSlices(*[merge(list(pair)) for pair in pairs])


def _switched(grad: Any, pred: Tensor, name: str = "Switch") -> list[Any]:
    """Both ways out of a Switch for a gradient."""
    if not isinstance(grad, IndexedSlices):
        return list(switch(grad, pred, name))
    parts = [
        [None, None] if part is None else switch(part, pred)
        for part in (grad.values, grad.indices, grad.dense_shape)
    ]
    return [IndexedSlices(*[part[way] for part in parts]) for way in (0, 1)]
